"""What a label must be for a metric on an output, and how both are laid out for the metric.

An output of shape [batch, …, C] is taken for C classes at each position of the axes between, or for
so many single values. Which of the two, and what a label is then, the metric decides. A label that
does not fit is an error that says what would: TFMA and Keras broadcast instead, and give a figure.

Only NumPy and Arrow are imported here, because workers import this module.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tfx_tflite.components.errors import DataError, EvaluationError
from tfx_tflite.components.examples.tensors import Array, format_shape, place_of
from tfx_tflite.components.judgement.metrics.catalog import LabelKind
from tfx_tflite.components.judgement.metrics.configured import ConfiguredMetric

# How far beyond 0 and 1 a quantized probability may be: more than a step of 1/255.
_PROBABILITY_TOLERANCE = 0.01


@dataclass(frozen=True)
class LabelFit:
    """The label and the output that metrics are computed on, for messages and checks.

    Attributes:
        label: The label's name.
        output: The output's name.
        count: How many values the label has in an example.
        shape: The shape of an example's output.
    """

    label: str
    output: str
    count: int
    shape: tuple[int, ...]

    @property
    def values(self) -> int:
        """How many values the output has in an example."""
        return math.prod(self.shape)

    @property
    def classes(self) -> int:
        """How many classes it has at each position."""
        return self.shape[-1] if self.shape else 1

    @property
    def positions(self) -> int:
        """At how many positions it has classes."""
        return math.prod(self.shape[:-1])

    def check(self, metric: ConfiguredMetric) -> None:
        """Checks that the label is what a metric takes on this output.

        Raises:
            EvaluationError: It is not, or the metric cannot be had of so many positions.
        """
        self._check_overlap(metric)
        if not self._fits(metric):
            raise EvaluationError(
                f"metric {metric.name!r} takes {self._wanted(metric)}, but label {self.label!r} "
                f"has {_counted(self.count)} an example beside output {self.output!r} of shape "
                f"{format_shape((None, *self.shape))}; {self._remedy(metric)}"
            )

    def _check_overlap(self, metric: ConfiguredMetric) -> None:
        answers = {"values": self.values, "positions": self.positions, None: 1}[metric.overlap]
        if answers > 1:
            # Keras takes a weight an answer for these, and TFMA gives one an example.
            raise EvaluationError(
                f"TFMA cannot compute metric {metric.name!r} of output {self.output!r} of "
                f"shape {format_shape((None, *self.shape))}, which has {answers} answers an "
                "example; use SparseCategoricalAccuracy, or Accuracy for an output that is the "
                "class itself, or a metric of your own (module)"
            )

    def _fits(self, metric: ConfiguredMetric) -> bool:
        if metric.label is LabelKind.CLASS_INDEX:
            return self.classes > 1 and self.count == self.positions
        if metric.label is LabelKind.ONE_HOT:
            return self.classes > 1 and self.count == self.values
        if metric.label is LabelKind.ONE_CLASS:
            assert metric.class_id is not None
            has_class = 0 <= metric.class_id < self.classes
            return has_class and self.count in (self.positions, self.values)
        if metric.label is LabelKind.ANY:
            return self.count == self.values or self.positions == 1
        return metric.label is LabelKind.OWN or self.count == self.values

    def _wanted(self, metric: ConfiguredMetric) -> str:
        if metric.label is LabelKind.CLASS_INDEX:
            return f"the index of a class at each position ({self.positions})"
        if metric.label is LabelKind.ONE_HOT:
            return f"one-hot labels, a share of each class ({self.values})"
        if metric.label is LabelKind.ONE_CLASS:
            return (
                f"class {metric.class_id} of labels that are class indices ({self.positions}) or "
                f"one for each class ({self.values})"
            )
        if metric.label is LabelKind.ANY:
            return f"one label a value ({self.values}); through TFMA no class index a position"
        return f"{metric.label.value} ({self.values})"

    def _remedy(self, metric: ConfiguredMetric) -> str:
        is_index = self.classes > 1 and self.count == self.positions
        if metric.label is LabelKind.ONE_HOT and is_index:
            return "for class indices use SparseCategoricalAccuracy or its like"
        if metric.label is LabelKind.ZERO_OR_ONE and is_index:
            return (
                "for class indices use SparseCategoricalAccuracy, or give a metric such as "
                "Precision or AUC a class_id, or let the model have an output of a single score"
            )
        if metric.label is LabelKind.CLASS_INDEX and self.classes == 1:
            return (
                "with a single value there are no classes; use BinaryAccuracy or its like, or "
                "Accuracy if the value is the class itself"
            )
        if metric.label is LabelKind.CLASS_INDEX and self.count == self.values:
            return (
                "for one-hot labels use CategoricalAccuracy or its like, for an output that is the "
                "class itself Accuracy"
            )
        if metric.label is LabelKind.ONE_CLASS and not 0 <= (metric.class_id or 0) < self.classes:
            return f"the output has classes 0 to {self.classes - 1}"
        return "name a label of that many values, or another metric"

    def check_labels(self, metric: ConfiguredMetric, labels: Array, batch: pa.RecordBatch) -> None:
        """Checks the labels of a batch for a metric that they fit by number.

        Args:
            metric: The metric.
            labels: Shape (n, count).
            batch: The examples, for messages.

        Raises:
            DataError: A label is out of range.
        """
        subject = f"label {self.label!r} is"
        if self.count == self.positions and self.classes > 1:
            if metric.label in (LabelKind.CLASS_INDEX, LabelKind.ONE_CLASS):
                in_range = (labels >= 0) & (labels < self.classes) & (labels == np.floor(labels))
                in_range |= labels == (
                    np.nan if metric.ignore_class is None else metric.ignore_class
                )
                expected = f"but {self._classes_expected(metric)}"
                refuse(batch, labels, ~in_range, subject, expected)
        elif metric.label in (LabelKind.ZERO_OR_ONE, LabelKind.ONE_CLASS, LabelKind.ONE_HOT):
            in_range = (labels >= 0) & (labels <= 1)
            expected = f"but the metrics take 0 to 1 ({metric.name})"
            refuse(batch, labels, ~in_range, subject, expected)
        if metric.label is LabelKind.ONE_HOT:
            totals = labels.reshape(len(labels), -1, self.classes).sum(axis=2)
            refuse(
                batch,
                totals,
                np.abs(totals - 1) > 1e-3,
                f"label {self.label!r} adds up to",
                f"but {metric.name} takes shares of classes that add up to 1",
            )

    def _classes_expected(self, metric: ConfiguredMetric) -> str:
        classes = f"the output has classes 0 to {self.classes - 1}"
        if metric.label is not LabelKind.CLASS_INDEX or metric.ignore_class is not None:
            return classes
        return f"{classes} (if it marks what does not count, give {metric.name} an ignore_class)"

    def check_outputs(self, metric: ConfiguredMetric, outputs: Array, model: str) -> None:
        """Checks that a metric of probabilities, or of answers, gets some.

        Args:
            metric: The metric.
            outputs: A model's outputs, shape (n, *shape).
            model: Which model's, for the message.

        Raises:
            EvaluationError: A probability is outside 0 to 1, or an answer is no whole number, so
                that hardly any could equal a label.
        """
        output = f"output {self.output!r} of the {model} model"
        if metric.takes_probabilities and outputs.size:
            for value in (outputs.min(), outputs.max()):
                if value < -_PROBABILITY_TOLERANCE or value > 1 + _PROBABILITY_TOLERANCE:
                    logits = "give the metric from_logits: true, or " if metric.has_logits else ""
                    raise EvaluationError(
                        f"metric {metric.name!r} takes probabilities from 0 to 1, but {output} is "
                        f"{value:.4g} for an example; if these are logits, {logits}export the "
                        "model with its sigmoid or softmax"
                    )
        if metric.takes_answers and outputs.dtype.kind == "f":
            wrong = outputs != np.round(outputs)
            if wrong.any():
                raise EvaluationError(
                    f"metric {metric.name!r} takes an output that is the class itself, but "
                    f"{output} is {outputs[wrong][0]:.4g} for an example; for scores use "
                    "BinaryAccuracy or BinaryIoU, for classes SparseCategoricalAccuracy or "
                    "CategoricalAccuracy, or OneHotMeanIoU with one-hot labels"
                )


def refuse(batch: pa.RecordBatch, values: Array, wrong: Array, subject: str, expected: str) -> None:
    """Checks that none of the values of a batch is wrong.

    Args:
        batch: The examples, for the message.
        values: Shape (n, …).
        wrong: Which of them are wrong, of the same shape.
        subject: What is wrong, as the message puts it before the value.
        expected: What would be right.

    Raises:
        DataError: One is.
    """
    if wrong.any():
        rows = np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1))
        raise DataError(
            f"{subject} {values[wrong][0]} in {place_of(batch, int(rows[0]))}, {expected}; so it "
            f"is in {len(rows)} of {len(wrong)} examples of a batch"
        )


def _counted(values: int) -> str:
    return "1 value" if values == 1 else f"{values} values"


def laid_out(
    kind: LabelKind, labels: Array, outputs: Array, class_id: int | None = None
) -> tuple[Array, Array]:
    """Returns labels and outputs as a metric of a kind takes them, with positions as second axis.

    Args:
        kind: What the metric takes the label for.
        labels: Shape (n,) or (n, …).
        outputs: Shape (n, …).
        class_id: The class of ONE_CLASS.

    Returns:
        (n, positions) and (n, positions, classes) of CLASS_INDEX; twice (n, positions, classes) of
        ONE_HOT; else twice (n, values).
    """
    n = len(outputs)
    classes = outputs.shape[-1] if outputs.ndim > 1 else 1
    if kind is LabelKind.CLASS_INDEX:
        return labels.reshape(n, -1), outputs.reshape(n, -1, classes)
    if kind is LabelKind.ONE_HOT:
        return labels.reshape(n, -1, classes), outputs.reshape(n, -1, classes)
    if kind is LabelKind.ONE_CLASS:
        scores = outputs.reshape(n, -1, classes)[:, :, class_id]
        flat = labels.reshape(n, -1)
        if flat.shape[1] == scores.shape[1] and classes > 1:
            return (flat == class_id).astype(np.float64), scores
        return labels.reshape(n, -1, classes)[:, :, class_id], scores
    return labels.reshape(n, -1), outputs.reshape(n, -1)


def for_tfma(labels: Array, outputs: Array) -> Array:
    """Returns labels in the shape in which TFMA pairs them with outputs.

    Args:
        labels: Shape (n, count).
        outputs: Shape (n, …).
    """
    if labels.size == outputs.size:
        return labels.reshape(outputs.shape if outputs.ndim > 1 else (len(outputs), 1))
    return labels


def unknown(shape: Sequence[int | None] | None) -> bool:
    """Returns whether a shape, or a dimension of it, is known only when a model has run."""
    return shape is None or any(size is None for size in shape)
