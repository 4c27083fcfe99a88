"""Float against quantized predictions of whole batches, as sums that merge in any order.

Only NumPy, SciPy, Arrow, pydantic and Beam are imported here, because workers import this module.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated

import apache_beam as beam
import numpy as np
from pydantic import Field as JsonField
from pydantic import PlainValidator

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.judgement.answer_figures import AnswerFigures
from tfx_tflite.components.judgement.answer_sums import (
    AnswerKind,
    AnswerSums,
    Differing,
    answer_sums,
)
from tfx_tflite.components.judgement.metrics.batched_metrics import BatchedMetric, MeanMetric
from tfx_tflite.components.judgement.metrics.catalog import LabelKind
from tfx_tflite.components.judgement.metrics.decisions import Decision
from tfx_tflite.components.judgement.metrics.label_kinds import laid_out
from tfx_tflite.components.judgement.metrics.metric_sums import MetricSums, WeightedSums
from tfx_tflite.components.judgement.metrics.paired_scores import PairedScores
from tfx_tflite.components.judgement.metrics.score_metrics import ScoreMetric, score_buckets
from tfx_tflite.components.judgement.metrics.slices import (
    SliceKey,
    SumsBySlice,
    by_name,
    slice_name,
    slice_rows,
)
from tfx_tflite.components.judgement.output_differences import (
    EXACT,
    ComparedBatch,
    OutputSums,
    differences,
    positions_of,
)
from tfx_tflite.components.judgement.saturation import Saturation
from tfx_tflite.components.judgement.statistics.exact_sums import ExactSums, exact_layers

Scores = dict[SliceKey, dict[int | None, PairedScores]]


@dataclass
class Comparison:
    """All that is known of two models on a split.

    Attributes:
        metrics: The names of the metrics that are means, in order.
        origins: For each metric the origin of its sums; see `metric_sums`.
        slices: For each slice the number of examples, their weight if they count differently, and
            the sums of each metric.
        outputs: How the outputs differ.
        scores: For each slice and class (None of all scores) both models' scores; empty if no
            metric needs them. They are not part of the JSON.
        saturation: How the inputs fit the ranges that they were calibrated for.
        is_weighted: Whether examples count differently: they have weights, or a metric counts them
            by their positions that it does not ignore.
        answers: What is known of the answers beside the labels; None if nobody asked.
        differing: The examples that differ most, if somebody asked.
    """

    metrics: tuple[str, ...]
    origins: tuple[float, ...] = ()
    slices: SumsBySlice = field(default_factory=dict)
    outputs: OutputSums = field(default_factory=OutputSums)
    scores: Annotated[Scores, PlainValidator(dict), JsonField(exclude=True)] = field(
        default_factory=dict
    )
    saturation: Saturation = field(default_factory=Saturation)
    is_weighted: bool = False
    answers: AnswerFigures | None = None
    differing: list[Differing] = field(default_factory=list)

    @property
    def slices_by_name(self) -> dict[str, SliceKey]:
        """The slices by the names that rules and reports call them."""
        return {slice_name(key): key for key in self.slices}

    def examples(self, key: SliceKey) -> int:
        """Returns the number of examples in a slice."""
        return int(self.slices[key][0]) if key in self.slices else 0

    def weight(self, key: SliceKey) -> float:
        """Returns how much a slice's examples count together, their number if all count 1."""
        if key not in self.slices:
            return 0.0
        return float(self.slices[key][1 if self.is_weighted else 0])

    def weight_of(self, key: SliceKey, metric: str) -> float:
        """Returns how much a slice's examples count together for a metric.

        Args:
            key: The slice.
            metric: Any; for one that is not in `metrics` it is the weight of the examples.
        """
        if metric not in self.metrics or key not in self.slices:
            return self.weight(key)
        return self.sums(key, metric).weight

    def sums(self, key: SliceKey, metric: str) -> MetricSums | WeightedSums:
        """Returns the sums of a metric on a slice."""
        kind = WeightedSums if self.is_weighted else MetricSums
        index = self.metrics.index(metric)
        start = (2 if self.is_weighted else 1) + kind.COLUMNS * index
        totals = self.slices[key][start : start + kind.COLUMNS]
        origin = self.origins[index] if self.origins else 0.0
        if self.is_weighted:
            return WeightedSums(self.examples(key), totals, origin)
        return MetricSums(self.examples(key), *map(float, (*totals, origin)))

    def merge(self, other: "Comparison") -> None:
        """Adds what another part of the data gave, but for the sums, which are added exactly."""
        for key, by_class in other.scores.items():
            known = self.scores.setdefault(key, {})
            for class_id, scores in by_class.items():
                known.setdefault(class_id, PairedScores()).merge(scores)
        self.outputs.merge(other.outputs)
        self.saturation.merge(other.saturation)


@dataclass
class _Accumulator:
    """A comparison whose sums of numbers are still exact, and therefore apart.

    Attributes:
        comparison: What has no rounding: counts, extremes, digests.
        slices: For each slice the sums of `Comparison.slices` and then of `Saturation.outside`.
        outputs: The sums of `EXACT`.
        answers: The counts of the answers.
    """

    comparison: Comparison
    slices: dict[SliceKey, ExactSums] = field(default_factory=dict)
    outputs: ExactSums = field(default_factory=lambda: ExactSums(np.zeros((0, len(EXACT)))))
    answers: AnswerSums = field(default_factory=AnswerSums)

    def merge(self, other: "_Accumulator") -> None:
        """Adds what another part of the data gave."""
        self.comparison.merge(other.comparison)
        for key, sums in other.slices.items():
            known = self.slices.get(key)
            self.slices[key] = sums if known is None else ExactSums.merged([known, sums])
        self.outputs = ExactSums.merged([self.outputs, other.outputs])
        self.answers.merge(other.answers)


_NO_ORIGINS: Mapping[str, float] = MappingProxyType({})


class CompareOutputs(beam.CombineFn):
    """Combines `ComparedBatch`es into one `Comparison`, the same in whatever order they come.

    Args:
        metrics: What to compute.
        slices: The features of each slicing spec; () is the overall slice.
        decision: What the metrics take for a model's answer; None if they take none.
        is_weighted: Whether the batches have weights; a metric that ignores a class weighs, too.
        origins: By metric, about what its mean is; see `metric_sums`. Those left out are 0.
        answers: What the answers are, if they are to be counted beside the labels.
    """

    def __init__(
        self,
        metrics: Sequence[BatchedMetric],
        slices: Sequence[Sequence[str]],
        decision: Decision | None,
        is_weighted: bool = False,
        origins: Mapping[str, float] = _NO_ORIGINS,
        answers: AnswerKind | None = None,
    ):
        self._metrics = tuple(metric for metric in metrics if isinstance(metric, MeanMetric))
        self._origins = tuple(origins.get(metric.name, 0.0) for metric in self._metrics)
        classes = {metric.class_id for metric in metrics if isinstance(metric, ScoreMetric)}
        self._score_classes = tuple(
            sorted(classes, key=lambda known: -1 if known is None else known)
        )
        self._buckets = score_buckets(metrics)
        self._slices = tuple(tuple(features) for features in slices)
        self._decision = decision
        self._answers = answers
        self._is_weighted = is_weighted or any(
            metric.ignore_class is not None for metric in self._metrics
        )

    def create_accumulator(self) -> _Accumulator:
        """Returns a comparison of nothing."""
        return _Accumulator(self._nothing())

    def _nothing(self) -> Comparison:
        names = tuple(metric.name for metric in self._metrics)
        return Comparison(names, self._origins, is_weighted=self._is_weighted)

    def add_input(self, accumulator: _Accumulator, element: ComparedBatch) -> _Accumulator:
        """Adds a batch."""
        rows_by_slice = dict(slice_rows(element.batch, self._slices))
        layers = exact_layers(self._terms(element))
        outputs, output_terms = differences(element, self._decision)
        part = self._nothing()
        part.outputs, part.scores = outputs, self._scores(element, rows_by_slice)
        if element.inputs is not None:
            part.saturation.lowest = element.inputs.lowest.min(axis=0)
            part.saturation.highest = element.inputs.highest.max(axis=0)
        accumulator.merge(
            _Accumulator(
                part,
                {key: ExactSums.of(layers[:, rows]) for key, rows in rows_by_slice.items()},
                ExactSums.of(exact_layers(output_terms)),
                self._answer_sums(element),
            )
        )
        return accumulator

    def _answer_sums(self, element: ComparedBatch) -> AnswerSums:
        if self._answers is None:
            return AnswerSums()
        outputs = element.float_output, element.quantized_output
        return answer_sums(self._answers, element.labels, *outputs, positions_of(element.batch))

    def merge_accumulators(self, accumulators: Iterable[_Accumulator]) -> _Accumulator:
        """Merges in any order to the same result."""
        merged = self.create_accumulator()
        for accumulator in accumulators:
            merged.merge(accumulator)
        return merged

    def extract_output(self, accumulator: _Accumulator) -> Comparison:
        """Returns the comparison."""
        comparison = accumulator.comparison
        kind = WeightedSums if self._is_weighted else MetricSums
        width = (2 if self._is_weighted else 1) + kind.COLUMNS * len(self._metrics)
        for key, sums in sorted(accumulator.slices.items(), key=by_name):
            totals = sums.totals()
            comparison.slices[key] = totals[:width]
            if comparison.saturation.lowest is not None:
                comparison.saturation.outside[key] = totals[width:]
        for name, total in zip(EXACT, accumulator.outputs.totals(), strict=True):
            setattr(comparison.outputs, name, float(total))
        if self._answers is not None:
            comparison.answers = accumulator.answers.figures()
            comparison.differing = accumulator.answers.differing_most()
        return comparison

    def _scores(self, element: ComparedBatch, rows_by_slice: Mapping[SliceKey, Array]) -> Scores:
        found: Scores = {}
        for class_id in self._score_classes:
            labels, before, after = self._of_class(element, class_id)
            weights = None
            if element.weights is not None:
                weights = np.broadcast_to(element.weights[:, None], labels.shape)
            for key, rows in rows_by_slice.items():
                found.setdefault(key, {})[class_id] = PairedScores.of(
                    labels[rows].ravel(),
                    before[rows].ravel(),
                    after[rows].ravel(),
                    None if weights is None else weights[rows].ravel(),
                )
        return found

    def _of_class(self, element: ComparedBatch, class_id: int | None) -> tuple[Array, Array, Array]:
        """Returns the labels and both models' buckets, each of shape (n, scores of an example)."""
        assert element.labels is not None
        kind = LabelKind.ZERO_OR_ONE if class_id is None else LabelKind.ONE_CLASS
        labels, before = laid_out(kind, element.labels, element.float_output, class_id)
        _, after = laid_out(kind, element.labels, element.quantized_output, class_id)
        return labels, self._buckets.of(before), self._buckets.of(after)

    def _terms(self, element: ComparedBatch) -> Array:
        """Returns what each example adds to the sums of its slices, shape (n, sums)."""
        ones = np.ones(element.batch.num_rows)
        columns = [ones]
        if self._is_weighted:
            columns.append(ones if element.weights is None else element.weights)
        for metric, origin in zip(self._metrics, self._origins, strict=True):
            columns += self._metric_terms(metric, origin, element)
        if element.inputs is not None:
            columns += list(element.inputs.outside.T)
        return np.stack(columns, axis=1)

    def _metric_terms(
        self, metric: MeanMetric, origin: float, element: ComparedBatch
    ) -> list[Array]:
        assert element.labels is not None
        before = metric.values(element.labels, element.float_output)
        after = metric.values(element.labels, element.quantized_output)
        if not self._is_weighted:
            return MetricSums.terms(before, after, origin)
        weights = np.ones(len(before)) if element.weights is None else element.weights
        counted = metric.counted_positions(element.labels)
        weights = weights if counted is None else weights * counted
        return WeightedSums.terms(weights, before, after, origin)
