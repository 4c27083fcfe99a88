"""What metrics give at each position: the functions that the rows of the catalog name.

Each gives the value that TFMA gives for the metric of that row and its config, to 1e-6; tests
compare the two. Labels and predictions are laid out as `label_kinds.laid_out` does for the row's
kind of label, and the result is float64 of shape (n, positions). Keyword arguments are those of the
metric's config.

Only NumPy is imported here, because workers import this module.
"""

import numpy as np

from tfx_tflite.components.examples.tensors import Array

# Keras keeps probabilities this far from 0 and 1 before it takes their logarithm.
_EPSILON = 1e-7


def equality(labels: Array, predictions: Array) -> Array:
    """Returns 1 if the output is the label, else 0."""
    return (predictions == labels).astype(np.float64)


def accuracy(labels: Array, predictions: Array) -> Array:
    """Returns 1 if the most likely class is the label, else 0."""
    return (predictions.argmax(axis=-1) == labels).astype(np.float64)


def top_k(labels: Array, predictions: Array, k: int = 5) -> Array:
    """Returns 1 if the label is among the k most likely classes, else 0."""
    # As tf.math.in_top_k: classes that tie with the k-th all count as among the top.
    own = _of_label(labels, predictions)[..., None]
    return ((predictions > own).sum(axis=-1) < k).astype(np.float64)


def log_loss(labels: Array, predictions: Array, from_logits: bool = False) -> Array:
    """Returns the cross-entropy of classes, in nats."""
    logits = _logits(predictions, from_logits)
    return _log_total(logits) - _of_label(labels, logits)


def _logits(predictions: Array, from_logits: bool) -> Array:
    outputs = predictions.astype(np.float64)
    return outputs if from_logits else np.log(np.clip(outputs, _EPSILON, 1 - _EPSILON))


def _log_total(logits: Array) -> Array:
    """Returns the logarithm of the sum of exponentials over the last axis."""
    peak = logits.max(axis=-1)
    return peak + np.log(np.exp(logits - peak[..., None]).sum(axis=-1))


def _of_label(labels: Array, predictions: Array) -> Array:
    return np.take_along_axis(predictions, labels.astype(np.int64)[..., None], axis=-1)[..., 0]


def one_hot_accuracy(labels: Array, predictions: Array) -> Array:
    """Returns `accuracy` for one-hot labels."""
    return accuracy(labels.argmax(axis=-1), predictions)


def one_hot_top_k(labels: Array, predictions: Array, k: int = 5) -> Array:
    """Returns `top_k` for one-hot labels."""
    return top_k(labels.argmax(axis=-1), predictions, k)


def one_hot_log_loss(
    labels: Array,
    predictions: Array,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
) -> Array:
    """Returns the cross-entropy of shares of classes, in nats."""
    smooth = labels * (1 - label_smoothing) + label_smoothing / labels.shape[-1]
    outputs = predictions.astype(np.float64)
    if from_logits:
        return (smooth * (_log_total(outputs)[..., None] - outputs)).sum(axis=-1)
    # Keras first makes the outputs add up to 1.
    shares = outputs / outputs.sum(axis=-1, keepdims=True)
    return -(smooth * np.log(np.clip(shares, _EPSILON, 1 - _EPSILON))).sum(axis=-1)


def binary_accuracy(labels: Array, predictions: Array, threshold: float = 0.5) -> Array:
    """Returns 1 if a value is on the label's side of the threshold, else 0."""
    return np.where(predictions > threshold, labels, 1 - labels).astype(np.float64)


def binary_log_loss(labels: Array, predictions: Array, from_logits: bool = False) -> Array:
    """Returns the cross-entropy of a probability, in nats."""
    outputs = predictions.astype(np.float64)
    if from_logits:
        # log(1 + exp(x)) - y x, in the form that neither overflows nor loses digits.
        return np.maximum(outputs, 0) - outputs * labels + np.log1p(np.exp(-np.abs(outputs)))
    outputs = np.clip(outputs, _EPSILON, 1 - _EPSILON)
    return -(labels * np.log(outputs) + (1 - labels) * np.log1p(-outputs))


def absolute_error(labels: Array, predictions: Array) -> Array:
    """Returns how far off a value is."""
    return np.abs(predictions.astype(np.float64) - labels)


def squared_error(labels: Array, predictions: Array) -> Array:
    """Returns the square of how far off a value is."""
    return np.square(predictions.astype(np.float64) - labels)


def within_tolerance(
    labels: Array,
    predictions: Array,
    relative: float | None = None,
    absolute: float | None = None,
) -> Array:
    """Returns 1 if a value is near enough to the label, else 0.

    Args:
        labels: Shape (n, values).
        predictions: Of the same shape.
        relative: How far off it may be, as a share of the label's size.
        absolute: How far off it may be, in the label's unit. Of two tolerances one is enough.
    """
    errors = absolute_error(labels, predictions)
    allowed = np.full(errors.shape, 0.0 if absolute is None else absolute)
    if relative is not None:
        allowed = np.maximum(allowed, relative * np.abs(labels))
    return (errors <= allowed).astype(np.float64)
