"""TFMA's metrics of one score an example, computed from counts instead of example by example.

AUC, recall at a precision, F1 and their like are functions of confusion matrices at thresholds. The
matrices come from `paired_scores`; what a metric makes of them is TFMA's own code, so that values
are TFMA's, and each of them has a paired bootstrap.

TFMA is imported on first use, as the batched metrics name this module and most need none of it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.judgement.metrics.catalog import Side, row_of
from tfx_tflite.components.judgement.metrics.configured import ConfiguredMetric
from tfx_tflite.components.judgement.metrics.paired_scores import (
    Buckets,
    Cells,
    ScoreBuckets,
    ScoreRanks,
)

if TYPE_CHECKING:
    from tensorflow_model_analysis.metrics import metric_types

# What TFMA rounds thresholds up by, so that a score equal to one is not above it.
_EPSILON = 1e-7
_AREAS = ("AUC", "AUCPrecisionRecall")


@dataclass(frozen=True)
class ScoreMetric:
    """A metric that is a function of confusion matrices.

    Attributes:
        name: What rules and reports call it.
        class_name: TFMA's class.
        config: Its arguments as JSON, but for `class_id`.
        class_id: The class whose scores it looks at; None if it looks at all scores.
    """

    name: str
    class_name: str
    config: str
    class_id: int | None = None

    @property
    def share(self) -> tuple[int, Side] | None:
        """The class and the side of the threshold whose share this is; None if it is none."""
        return row_of(self.class_name).share

    @property
    def is_area(self) -> bool:
        """Whether it looks at all thresholds from 0 to 1, so that other scores are lost on it."""
        return _computation(self).is_histogram

    @property
    def area(self) -> Literal["ROC", "PR"] | None:
        """The curve that it is the area under; None if it is none."""
        if self.class_name not in _AREAS:
            return None
        curve = json.loads(self.config).get("curve", "ROC")
        return "PR" if self.class_name == "AUCPrecisionRecall" or curve == "PR" else "ROC"

    @property
    def own_thresholds(self) -> tuple[float, ...]:
        """The thresholds that scores are compared with to the last bit; none for a whole curve."""
        computation = _computation(self)
        return () if computation.is_histogram else computation.thresholds

    def value(self, histograms: Array, buckets: Buckets) -> float:
        """Returns the metric, NaN if a curve has no positives or no negatives.

        TFMA gives 0 for such a curve, which would look like a model without a drop.

        Args:
            histograms: Negatives and positives in each bucket, shape (2, buckets).
            buckets: What was counted in.
        """
        totals = histograms.sum(axis=1)
        if _computation(self).is_histogram and not totals.all():
            return float("nan")
        return self._of_counts(self._above(histograms, buckets), totals)

    def one_more_mistake(
        self, histograms: Array, buckets: Buckets, sign: int, mistake: float = 1.0
    ) -> float:
        """Returns how much the metric drops where one example more is on the wrong side.

        That is the grain of a metric of counts, which a bootstrap of few mistakes, or none, does
        not see. An area is made of many small steps and has no grain to speak of.

        Args:
            histograms: The quantized model's negatives and positives, shape (2, buckets).
            buckets: What was counted in.
            sign: 1 if higher is better, else -1.
            mistake: How many examples a mistake is, as those of a group may go wrong together.

        Returns:
            The largest drop that one mistake causes, in the metric's unit, 0 or more.
        """
        if self.area is not None:
            return 0.0
        above, totals = self._above(histograms, buckets), histograms.sum(axis=1)
        value = self._of_counts(above, totals)
        negative, positive = np.array([[mistake], [0.0]]), np.array([[0.0], [mistake]])
        mistakes = (
            np.minimum(above + negative, totals[:, None]),
            np.maximum(above - positive, 0),
        )
        drops = [sign * (value - self._of_counts(mistake, totals)) for mistake in mistakes]
        return float(max([0.0, *(drop for drop in drops if np.isfinite(drop))]))

    def disagreements(self, cells: Cells, buckets: ScoreBuckets) -> tuple[int, int, int]:
        """Returns, of a metric that is a share, what its test needs.

        Args:
            cells: Both models' scores.
            buckets: What was counted in.

        Returns:
            The examples of its class; on how many of them the quantized model alone is not on the
            side that counts; on how many the float model alone.
        """
        is_of_class, before, after = self.sides(cells, buckets)
        counts = np.where(is_of_class, cells.counts, 0)
        lost, won = int(counts[before & ~after].sum()), int(counts[after & ~before].sum())
        return int(counts.sum()), lost, won

    def counted(self, cells: Cells, buckets: ScoreBuckets) -> int:
        """Returns, of a metric that is a share, how many examples the quantized model counts.

        Args:
            cells: Both models' scores.
            buckets: What was counted in.
        """
        is_of_class, _, after = self.sides(cells, buckets)
        return int(cells.counts[is_of_class & after].sum())

    def sides(self, cells: Cells, buckets: ScoreBuckets) -> tuple[Array, Array, Array]:
        """Returns, of a metric that is a share, what each cell adds to it.

        Args:
            cells: Both models' scores.
            buckets: What was counted in.

        Returns:
            Whether a cell is of the class; whether the float model's score is on the side that
            counts; whether the quantized model's is. Each is bool of shape (cells,).
        """
        assert self.share is not None
        label, side = self.share
        [threshold] = self.own_thresholds
        before, after = (cells.buckets >= buckets.first_above(threshold)) == (side == "above")
        return (cells.labels > 0.5) == bool(label), before, after

    def _above(self, histograms: Array, buckets: Buckets) -> Array:
        """Returns how many negatives and positives are above each threshold, (2, thresholds)."""
        from_each = np.cumsum(histograms[:, ::-1], axis=1, dtype=np.float64)[:, ::-1]
        # One more bucket, of nothing, for thresholds that no score is above.
        padded = np.concatenate([from_each, np.zeros((2, 1))], axis=1)
        if isinstance(buckets, ScoreRanks):
            # Of an area, which has a threshold at each score then.
            return padded
        return padded[:, _first_buckets(self, buckets)]

    def _of_counts(self, above: Array, totals: Array) -> float:
        from tensorflow_model_analysis.metrics.binary_confusion_matrices import Matrices

        computation = _computation(self)
        fp, tp = above
        tn, fn = totals[:, None] - above
        # Only their number matters to an area, which may have more of them than TFMA would choose.
        thresholds = computation.thresholds if len(tp) == len(computation.thresholds) else tp
        matrices = Matrices(list(thresholds), tp, tn, fp, fn)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = computation.derived.result({computation.matrices: matrices})
        return float(found[computation.key])


@dataclass(frozen=True)
class _Computation:
    """How TFMA computes a metric.

    Attributes:
        thresholds: Of its confusion matrices, in order.
        is_histogram: Whether the matrices come from TFMA's histogram of 10,000 buckets.
        matrices: The key under which its last step finds the matrices.
        derived: Its last step, from the matrices to the value.
        key: The key of the value.
    """

    thresholds: tuple[float, ...]
    is_histogram: bool
    matrices: "metric_types.MetricKey"
    derived: "metric_types.DerivedMetricComputation"
    key: "metric_types.MetricKey"


@cache
def _computation(metric: ScoreMetric) -> _Computation:
    from tensorflow_model_analysis.metrics import metric_types
    from tensorflow_model_analysis.proto import config_pb2

    made = metric_types.registered_metrics()[metric.class_name](**json.loads(metric.config))
    counting, matrices, derived = made.computations(
        eval_config=config_pb2.EvalConfig(), model_names=[""], output_names=[""], sub_keys=[None]
    )
    [matrices_key], [key] = matrices.keys, derived.keys
    nothing = counting.combiner.extract_output(counting.combiner.create_accumulator())
    thresholds = matrices.result(nothing)[matrices_key].thresholds
    return _Computation(
        tuple(thresholds),
        # TFMA counts a single threshold below 0 in its histogram, too, where such scores are lost.
        isinstance(counting.keys[-1], metric_types.PlotKey) and len(thresholds) > 1,
        matrices_key,
        derived,
        key,
    )


@cache
def _first_buckets(metric: ScoreMetric, buckets: ScoreBuckets) -> Array:
    """Returns the first bucket above each threshold of a metric."""
    computation = _computation(metric)
    if not computation.is_histogram:
        return np.array([buckets.first_above(threshold) for threshold in computation.thresholds])
    # The first threshold of a curve is below all scores.
    above = [buckets.first_from(threshold + _EPSILON) for threshold in computation.thresholds[1:]]
    return np.array([0, *above])


def score_metric(metric: ConfiguredMetric) -> ScoreMetric | None:
    """Returns a metric of one score from confusion matrices, or None if TFMA has no such one."""
    if "top_k" in metric.settings:
        return None
    settings = {key: value for key, value in metric.settings.items() if key != "class_id"}
    config = json.dumps(settings, sort_keys=True)
    found = ScoreMetric(metric.name, metric.class_name, config, metric.class_id)
    try:
        buckets = score_buckets([found])
        found.value(np.ones((2, buckets.count)), buckets)
    except Exception:  # TFMA raises nearly anything, or the metric is not one number.
        return None
    return found


def score_buckets(metrics: Iterable[object]) -> ScoreBuckets:
    """Returns the buckets that the metrics of scores among some metrics need."""
    wanted = [metric for metric in metrics if isinstance(metric, ScoreMetric)]
    return ScoreBuckets(tuple(sorted({t for metric in wanted for t in metric.own_thresholds})))
