"""Metrics on whole batches with NumPy, for the TFMA metrics that most gates name.

A metric, or a setting of one, that is not computed here goes through TFMA itself.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.judgement.metrics import position_values
from tfx_tflite.components.judgement.metrics.catalog import Judging, LabelKind
from tfx_tflite.components.judgement.metrics.configured import ConfiguredMetric
from tfx_tflite.components.judgement.metrics.label_kinds import laid_out
from tfx_tflite.components.judgement.metrics.score_metrics import ScoreMetric, score_metric

# (labels, predictions), laid out for the metric's kind -> one value a position, (n, positions).
PositionValues = Callable[..., Array]


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
        is_share: Whether an example's value is from 0 to 1, the share of its positions that are
            right.
        is_root: Whether the metric is the root of the mean.
        ignore_class: The label of positions that do not count; None if all count.
    """

    name: str
    position_values: PositionValues
    kind: LabelKind
    is_correctness: bool = False
    is_share: bool = False
    is_root: bool = False
    ignore_class: int | None = None

    def values(self, labels: Array, outputs: Array) -> Array:
        """Returns one value an example, float64 of shape (n,); 0 if no position counts.

        Args:
            labels: Shape (n,) or (n, …).
            outputs: Shape (n, …).
        """
        by_position, outputs = laid_out(self.kind, labels, outputs)
        if self.ignore_class is not None:
            return self._values_of_counted(by_position, outputs)
        found = self.position_values(by_position, outputs)
        return found[:, 0] if found.shape[1] == 1 else found.mean(axis=1)

    def _values_of_counted(self, labels: Array, outputs: Array) -> Array:
        counts = labels != self.ignore_class
        # Any class that there is stands in for one that may not be.
        found = self.position_values(np.where(counts, labels, 0), outputs)
        return np.where(counts, found, 0.0).sum(axis=1) / np.maximum(counts.sum(axis=1), 1)

    def counted_positions(self, labels: Array) -> Array | None:
        """Returns how many positions of each example count, shape (n,); None if all count.

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
    metric: ConfiguredMetric, shape: Sequence[int | None] | None
) -> BatchedMetric | None:
    """Returns the batched form of a TFMA metric, or None if there is none.

    Args:
        metric: The metric.
        shape: Of an example's output; None if not even its rank is known.
    """
    row = metric.row
    if row.judging in (Judging.SCORES, Judging.SHARE):
        return score_metric(metric)
    if row.values is None:
        return None
    settings = {
        key: value
        for key, value in metric.settings.items()
        if key != "ignore_class" or row.label is not LabelKind.CLASS_INDEX
    }
    values: PositionValues = getattr(position_values, row.values)
    try:
        inspect.signature(values).bind(None, None, **settings)
    except TypeError:  # A setting that only TFMA knows.
        return None
    return MeanMetric(
        metric.name,
        # Workers import the function by its name, so nothing of this machine crosses to them.
        partial(values, **settings),
        row.label,
        is_correctness=row.judging is Judging.COUNTS and _has_one_answer(row.label, shape),
        is_share=row.judging is Judging.COUNTS,
        is_root=row.judging is Judging.ROOT,
        ignore_class=metric.ignore_class,
    )


def _has_one_answer(kind: LabelKind, shape: Sequence[int | None] | None) -> bool:
    if shape is None:
        return False
    has_classes = kind in (LabelKind.CLASS_INDEX, LabelKind.ONE_HOT)
    axes = shape[:-1] if has_classes else shape
    return all(size == 1 for size in axes)
