"""Metrics on whole batches with NumPy, for the TFMA metrics that most gates name.

Each gives the value that TFMA gives for the metric of the same class name and config, to 1e-6;
tests compare the two. A metric, or a setting of one, that is not here goes through TFMA itself.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tfx_tflite.components.quantization_evaluator.score_metrics import (
    ScoreMetric,
    score_metric,
)

# Keras keeps probabilities this far from 0 and 1 before it takes their logarithm.
_EPSILON = 1e-7

# (labels of shape (n,), predictions of shape (n, classes)) -> one value an example, shape (n,).
ExampleValues = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class MeanMetric:
    """A metric that is the mean of one value an example.

    Attributes:
        name: What rules and reports call it.
        values: One value an example.
        is_correctness: Whether the values are 1 for right and 0 for wrong.
        is_root: Whether the metric is the root of the mean.
    """

    name: str
    values: ExampleValues
    is_correctness: bool = False
    is_root: bool = False

    def value(self, total: float, examples: int) -> float:
        """Returns the metric from the sum of its values."""
        mean = total / examples
        return math.sqrt(mean) if self.is_root else mean


BatchedMetric = MeanMetric | ScoreMetric


def batched_metric(
    class_name: str, config: Mapping[str, Any], name: str, output_size: int | None
) -> BatchedMetric | None:
    """Returns the batched form of a TFMA metric, or None where there is none.

    Args:
        class_name: TFMA's or Keras' class.
        config: Its arguments; `name` is not looked at.
        name: What rules and reports call it.
        output_size: The number of values that the model's output has for an example; None where
            that is not fixed.
    """
    settings = {key: value for key, value in config.items() if key not in ("name", "dtype")}
    values = (_CLASSES if (output_size or 0) > 1 else _SCALARS).get(class_name)
    if output_size is None:
        return None
    if values is None:
        return score_metric(class_name, settings, name) if output_size == 1 else None
    try:
        inspect.signature(values).bind(None, None, **settings)
    except TypeError:  # A setting that only TFMA knows.
        return None
    return MeanMetric(
        name,
        # Workers import the function by its name, so nothing of this machine crosses to them.
        partial(values, **settings),
        is_correctness=class_name.endswith("Accuracy"),
        is_root=class_name.startswith("Root"),
    )


def _sparse_categorical_accuracy(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return (predictions.argmax(axis=-1) == labels).astype(np.float64)


def _sparse_top_k_categorical_accuracy(
    labels: np.ndarray, predictions: np.ndarray, k: int = 5
) -> np.ndarray:
    # As tf.math.in_top_k: classes that tie with the k-th all count as among the top.
    own = _of_label(labels, predictions)[:, None]
    return ((predictions > own).sum(axis=-1) < k).astype(np.float64)


def _sparse_categorical_crossentropy(
    labels: np.ndarray, predictions: np.ndarray, from_logits: bool = False
) -> np.ndarray:
    outputs = predictions.astype(np.float64)
    logits = outputs if from_logits else np.log(np.clip(outputs, _EPSILON, 1 - _EPSILON))
    peak = logits.max(axis=-1)
    total = peak + np.log(np.exp(logits - peak[:, None]).sum(axis=-1))
    return total - _of_label(labels, logits)


def _of_label(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return np.take_along_axis(predictions, labels.astype(np.int64)[:, None], axis=-1)[:, 0]


def _binary_accuracy(
    labels: np.ndarray, predictions: np.ndarray, threshold: float = 0.5
) -> np.ndarray:
    return np.where(predictions[:, 0] > threshold, labels, 1 - labels).astype(np.float64)


def _binary_crossentropy(
    labels: np.ndarray, predictions: np.ndarray, from_logits: bool = False
) -> np.ndarray:
    outputs = predictions[:, 0].astype(np.float64)
    if from_logits:
        outputs = 1 / (1 + np.exp(-outputs))
    outputs = np.clip(outputs, _EPSILON, 1 - _EPSILON)
    return -(labels * np.log(outputs) + (1 - labels) * np.log1p(-outputs))


def _absolute_error(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return np.abs(predictions[:, 0].astype(np.float64) - labels)


def _squared_error(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return np.square(predictions[:, 0].astype(np.float64) - labels)


_CLASSES: dict[str, Callable[..., np.ndarray]] = {
    "SparseCategoricalAccuracy": _sparse_categorical_accuracy,
    "SparseTopKCategoricalAccuracy": _sparse_top_k_categorical_accuracy,
    "SparseCategoricalCrossentropy": _sparse_categorical_crossentropy,
}
_SCALARS: dict[str, Callable[..., np.ndarray]] = {
    "BinaryAccuracy": _binary_accuracy,
    "BinaryCrossentropy": _binary_crossentropy,
    "MeanAbsoluteError": _absolute_error,
    "MeanSquaredError": _squared_error,
    "RootMeanSquaredError": _squared_error,
}
