"""Metrics on whole batches with NumPy, for the TFMA metrics that most gates name.

Each gives the value that TFMA gives for the metric of the same class name and config, to 1e-6;
tests compare the two. A metric, or a setting of one, that is not here goes through TFMA itself.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tfx_tflite.components.judgement.metrics.label_kinds import LabelKind, laid_out
from tfx_tflite.components.judgement.metrics.score_metrics import ScoreMetric, score_metric

# Keras keeps probabilities this far from 0 and 1 before it takes their logarithm.
_EPSILON = 1e-7

# (labels, predictions), laid out for the metric's kind -> one value a position, (n, positions).
PositionValues = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class MeanMetric:
    """A metric that is the mean of one value an example.

    Where an output has several positions, or several values, an example's value is the mean over
    these. For outputs of one size that is Keras' mean over everything; where the sizes of examples
    differ, Keras counts an example by its size, and here each counts the same. With a class that is
    ignored an example counts by its positions that are left, so that the metric is Keras' mean over
    these.

    Attributes:
        name: What rules and reports call it.
        position_values: One value a position.
        kind: What it takes the label for.
        is_correctness: Whether an example's value is 1 for right and 0 for wrong.
        is_root: Whether the metric is the root of the mean.
        ignore_class: The label of positions that do not count; None where all count.
    """

    name: str
    position_values: PositionValues
    kind: LabelKind
    is_correctness: bool = False
    is_root: bool = False
    ignore_class: int | None = None

    def values(self, labels: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Returns one value an example, float64 of shape (n,); 0 where no position counts.

        Args:
            labels: Shape (n,) or (n, …).
            outputs: Shape (n, …).
        """
        by_position, outputs = laid_out(self.kind, labels, outputs)
        if self.ignore_class is not None:
            return self._values_of_counted(by_position, outputs)
        found = self.position_values(by_position, outputs)
        return found[:, 0] if found.shape[1] == 1 else found.mean(axis=1)

    def _values_of_counted(self, labels: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        counts = labels != self.ignore_class
        # Any class that there is stands in for one that may not be.
        found = self.position_values(np.where(counts, labels, 0), outputs)
        return np.where(counts, found, 0.0).sum(axis=1) / np.maximum(counts.sum(axis=1), 1)

    def counted_positions(self, labels: np.ndarray) -> np.ndarray | None:
        """Returns how many positions of each example count, shape (n,); None where all count.

        Args:
            labels: Shape (n,) or (n, …).
        """
        if self.ignore_class is None:
            return None
        return (labels.reshape(len(labels), -1) != self.ignore_class).sum(axis=1)

    def value(self, total: float, weight: float) -> float:
        """Returns the metric from the sum of its values.

        Args:
            total: The sum, each value times the weight of its example.
            weight: The sum of the weights, which is the number of examples where all are 1.
        """
        if not weight:
            return math.nan
        mean = total / weight
        return math.sqrt(mean) if self.is_root else mean


BatchedMetric = MeanMetric | ScoreMetric


def batched_metric(
    class_name: str, config: Mapping[str, Any], name: str, shape: Sequence[int | None] | None
) -> BatchedMetric | None:
    """Returns the batched form of a TFMA metric, or None where there is none.

    Args:
        class_name: TFMA's or Keras' class.
        config: Its arguments; `name` is not looked at.
        name: What rules and reports call it.
        shape: Of an example's output; None where not even its rank is known.
    """
    settings = {key: value for key, value in config.items() if key not in ("name", "dtype")}
    if class_name not in _FUNCTIONS:
        return score_metric(class_name, settings, name)
    values, kind = _FUNCTIONS[class_name]
    ignored = settings.pop("ignore_class", None) if kind is LabelKind.CLASS_INDEX else None
    try:
        inspect.signature(values).bind(None, None, **settings)
    except TypeError:  # A setting that only TFMA knows.
        return None
    return MeanMetric(
        name,
        # Workers import the function by its name, so nothing of this machine crosses to them.
        partial(values, **settings),
        kind,
        is_correctness=class_name.endswith("Accuracy") and _has_one_answer(kind, shape),
        is_root=class_name.startswith("Root"),
        ignore_class=None if ignored is None else int(ignored),
    )


def _has_one_answer(kind: LabelKind, shape: Sequence[int | None] | None) -> bool:
    if shape is None:
        return False
    has_classes = kind in (LabelKind.CLASS_INDEX, LabelKind.ONE_HOT)
    axes = shape[:-1] if has_classes else shape
    return all(size == 1 for size in axes)


def _equality(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return (predictions == labels).astype(np.float64)


def _sparse_categorical_accuracy(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return (predictions.argmax(axis=-1) == labels).astype(np.float64)


def _sparse_top_k_categorical_accuracy(
    labels: np.ndarray, predictions: np.ndarray, k: int = 5
) -> np.ndarray:
    # As tf.math.in_top_k: classes that tie with the k-th all count as among the top.
    own = _of_label(labels, predictions)[..., None]
    return ((predictions > own).sum(axis=-1) < k).astype(np.float64)


def _sparse_categorical_crossentropy(
    labels: np.ndarray, predictions: np.ndarray, from_logits: bool = False
) -> np.ndarray:
    logits = _logits(predictions, from_logits)
    return _log_total(logits) - _of_label(labels, logits)


def _logits(predictions: np.ndarray, from_logits: bool) -> np.ndarray:
    outputs = predictions.astype(np.float64)
    return outputs if from_logits else np.log(np.clip(outputs, _EPSILON, 1 - _EPSILON))


def _log_total(logits: np.ndarray) -> np.ndarray:
    """Returns the logarithm of the sum of exponentials over the last axis."""
    peak = logits.max(axis=-1)
    return peak + np.log(np.exp(logits - peak[..., None]).sum(axis=-1))


def _of_label(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return np.take_along_axis(predictions, labels.astype(np.int64)[..., None], axis=-1)[..., 0]


def _categorical_accuracy(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return _sparse_categorical_accuracy(labels.argmax(axis=-1), predictions)


def _top_k_categorical_accuracy(
    labels: np.ndarray, predictions: np.ndarray, k: int = 5
) -> np.ndarray:
    return _sparse_top_k_categorical_accuracy(labels.argmax(axis=-1), predictions, k)


def _categorical_crossentropy(
    labels: np.ndarray,
    predictions: np.ndarray,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
) -> np.ndarray:
    smooth = labels * (1 - label_smoothing) + label_smoothing / labels.shape[-1]
    outputs = predictions.astype(np.float64)
    if from_logits:
        return (smooth * (_log_total(outputs)[..., None] - outputs)).sum(axis=-1)
    # Keras first makes the outputs add up to 1.
    shares = outputs / outputs.sum(axis=-1, keepdims=True)
    return -(smooth * np.log(np.clip(shares, _EPSILON, 1 - _EPSILON))).sum(axis=-1)


def _binary_accuracy(
    labels: np.ndarray, predictions: np.ndarray, threshold: float = 0.5
) -> np.ndarray:
    return np.where(predictions > threshold, labels, 1 - labels).astype(np.float64)


def _binary_crossentropy(
    labels: np.ndarray, predictions: np.ndarray, from_logits: bool = False
) -> np.ndarray:
    outputs = predictions.astype(np.float64)
    if from_logits:
        # log(1 + exp(x)) - y x, in the form that neither overflows nor loses digits.
        return np.maximum(outputs, 0) - outputs * labels + np.log1p(np.exp(-np.abs(outputs)))
    outputs = np.clip(outputs, _EPSILON, 1 - _EPSILON)
    return -(labels * np.log(outputs) + (1 - labels) * np.log1p(-outputs))


def _absolute_error(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return np.abs(predictions.astype(np.float64) - labels)


def _squared_error(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return np.square(predictions.astype(np.float64) - labels)


_FUNCTIONS: dict[str, tuple[Callable[..., np.ndarray], LabelKind]] = {
    "Accuracy": (_equality, LabelKind.VALUE),
    "SparseCategoricalAccuracy": (_sparse_categorical_accuracy, LabelKind.CLASS_INDEX),
    "SparseTopKCategoricalAccuracy": (_sparse_top_k_categorical_accuracy, LabelKind.CLASS_INDEX),
    "SparseCategoricalCrossentropy": (_sparse_categorical_crossentropy, LabelKind.CLASS_INDEX),
    "CategoricalAccuracy": (_categorical_accuracy, LabelKind.ONE_HOT),
    "TopKCategoricalAccuracy": (_top_k_categorical_accuracy, LabelKind.ONE_HOT),
    "CategoricalCrossentropy": (_categorical_crossentropy, LabelKind.ONE_HOT),
    "BinaryAccuracy": (_binary_accuracy, LabelKind.ZERO_OR_ONE),
    "BinaryCrossentropy": (_binary_crossentropy, LabelKind.ZERO_OR_ONE),
    "MeanAbsoluteError": (_absolute_error, LabelKind.VALUE),
    "MeanSquaredError": (_squared_error, LabelKind.VALUE),
    "RootMeanSquaredError": (_squared_error, LabelKind.VALUE),
}
