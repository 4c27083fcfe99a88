"""Labels that a metric could not use are an error, not a wrong figure.

TFMA counts a class that the output does not have as a wrong prediction of both models, which hides
a mistake in the data or the config behind two equal and plausible figures.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.model_inputs import feature_values

_PROBABILITY_METRICS = frozenset(
    {"AUC", "BinaryAccuracy", "BinaryCrossEntropy", "BinaryCrossentropy"}
)


@dataclass(frozen=True)
class LabelCheck:
    """What labels must be for the metrics that are evaluated.

    Attributes:
        label: The feature that holds the label.
        class_indices: Whether a metric takes the label for the index of a class.
        zero_or_one: Whether a metric takes it for one of two classes.
    """

    label: str
    class_indices: bool
    zero_or_one: bool

    @classmethod
    def for_metrics(cls, label: str, class_names: Iterable[str]) -> "LabelCheck":
        """Returns the check that TFMA metrics of these class names need."""
        names = list(class_names)
        return cls(
            label,
            any(name.startswith("Sparse") for name in names),
            any(name in _PROBABILITY_METRICS for name in names),
        )

    def of(self, batch: pa.RecordBatch) -> np.ndarray:
        """Returns the labels of a batch, shape (n,).

        Raises:
            DataError: An example has no label, several, or a string.
        """
        lengths, labels = self._numbers(batch)
        if np.any(lengths != 1):
            raise DataError(
                f"label {self.label!r} has {int(lengths[lengths != 1][0])} values in an example, "
                "expected one"
            )
        return labels

    def _numbers(self, batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
        lengths, labels = feature_values(batch, self.label, "evaluation.label")
        if labels.dtype == object:
            raise DataError(f"label {self.label!r} holds strings, expected numbers")
        return lengths, labels

    def __call__(self, batch: pa.RecordBatch, predictions: np.ndarray) -> None:
        """Checks the labels of a batch against the predictions' shape, (batch, …).

        Raises:
            DataError: A label is missing or out of range.
        """
        _, labels = self._numbers(batch)
        classes = predictions.shape[-1] if predictions.ndim > 1 else 1
        if self.class_indices and classes > 1:
            wrong = (labels < 0) | (labels >= classes) | (labels != np.floor(labels))
            _refuse(self.label, labels, wrong, f"the output has classes 0 to {classes - 1}")
        elif self.zero_or_one and classes == 1:
            _refuse(self.label, labels, (labels < 0) | (labels > 1), "the metrics take 0 to 1")


def _refuse(label: str, labels: np.ndarray, wrong: np.ndarray, expected: str) -> None:
    if wrong.any():
        raise DataError(
            f"label {label!r} is {labels[wrong][0]}, but {expected}; so it is in "
            f"{int(wrong.sum())} of {len(labels)} examples of a batch"
        )
