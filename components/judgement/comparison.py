"""Float against quantized predictions of whole batches, as sums that merge in any order.

Only NumPy, SciPy, Arrow, pydantic and Beam are imported here, because workers import this module.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

import apache_beam as beam
import numpy as np
from pydantic import Field as JsonField
from pydantic import PlainValidator

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.judgement.answer_figures import AnswerFigures
from tfx_tflite.components.judgement.answer_sums import (
    AnswerKind,
    AnswerSums,
    Differing,
    NamedExamples,
    answer_sums,
)
from tfx_tflite.components.judgement.copies import CopySketch
from tfx_tflite.components.judgement.copies_found import Copies
from tfx_tflite.components.judgement.metrics.batched_metrics import BatchedMetric, MeanMetric
from tfx_tflite.components.judgement.metrics.catalog import LabelKind
from tfx_tflite.components.judgement.metrics.decisions import Decision
from tfx_tflite.components.judgement.metrics.group_scores import GroupScores, ScoreSums
from tfx_tflite.components.judgement.metrics.groups import (
    AGGREGATE_KEY,
    FixedPoint,
    Grouping,
    KeyedSums,
    TotalsBySlice,
    group_ids,
    group_values,
    grouped_cells,
    metric_terms,
    score_terms,
    totals_of,
)
from tfx_tflite.components.judgement.metrics.label_kinds import laid_out
from tfx_tflite.components.judgement.metrics.metric_sums import MetricSums, WeightedSums
from tfx_tflite.components.judgement.metrics.packed_slices import PackedScores, PackedSums
from tfx_tflite.components.judgement.metrics.paired_scores import (
    GroupedCells,
    PairedScores,
    cell_codes,
)
from tfx_tflite.components.judgement.metrics.score_metrics import ScoreMetric, score_buckets
from tfx_tflite.components.judgement.metrics.slices import (
    CountsBySlice,
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

# With more slices those that no rule judges, as they have too few examples, are only counted.
MOST_SLICES = 10_000
# So many slices have figures at most, each of some kilobytes in the process that judges them.
MOST_JUDGED = 100_000

Scores = dict[SliceKey, dict[int | None, PairedScores]]
GroupedScores = dict[SliceKey, dict[int | None, GroupedCells]]
_OfSlice = TypeVar("_OfSlice")
# What is pickled in place of the sums and scores of the slices.
_PACKED = "packed"


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
        copies: How many examples are copies of others; None if nobody asked.
        groups: How many groups the examples of each slice are in; empty if they are in none.
        group_totals: For each slice and tested metric, the sums of each group.
        grouped_scores: For each slice and class that a metric is tested on, the scores of each
            group. They are not part of the JSON.
        group_scores: For each slice one score of each group, if metrics are of groups. They are not
            part of the JSON.
        left_out: How many more slices there are; they have too few examples to be judged.
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
    copies: Copies | None = None
    groups: CountsBySlice = field(default_factory=dict)
    group_totals: TotalsBySlice = field(default_factory=dict)
    group_scores: Annotated[
        dict[SliceKey, GroupScores], PlainValidator(dict), JsonField(exclude=True)
    ] = field(default_factory=dict)
    grouped_scores: Annotated[GroupedScores, PlainValidator(dict), JsonField(exclude=True)] = field(
        default_factory=dict
    )
    left_out: int = 0

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
                if class_id in known:
                    known[class_id].merge(scores)
                else:
                    known[class_id] = scores.copy()
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
        groups: For each slice the sums of each group: the number of its examples, and those of the
            metrics that are tested there; see `metrics.groups`.
        group_cells: For each slice and class, how often each cell was seen in each group.
        score_sums: For each slice what the scores of its examples add up to in each group.
        names: The values of groups by their numbers, if metrics are of groups.
        copies: How often examples were seen.
    """

    comparison: Comparison
    slices: dict[SliceKey, ExactSums] = field(default_factory=dict)
    outputs: ExactSums = field(default_factory=lambda: ExactSums(np.zeros((0, len(EXACT)))))
    answers: AnswerSums = field(default_factory=AnswerSums)
    groups: dict[SliceKey, KeyedSums] = field(default_factory=dict)
    group_cells: dict[SliceKey, dict[int | None, KeyedSums]] = field(default_factory=dict)
    score_sums: dict[SliceKey, KeyedSums] = field(default_factory=dict)
    names: dict[int, object] = field(default_factory=dict)
    copies: CopySketch = field(default_factory=CopySketch)

    def __getstate__(self) -> dict[str, object]:
        packed = PackedSums.of(self.slices), PackedScores.of(self.comparison.scores)
        rest = replace(self.comparison, scores={})
        return {**vars(self), "comparison": rest, "slices": {}, _PACKED: packed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        sums, scores = state.pop(_PACKED)
        vars(self).update(state)
        self.slices, self.comparison.scores = sums.unpacked(), scores.unpacked()

    def compact(self) -> None:
        """Sorts in what waits."""
        for scores in self.comparison.scores.values():
            for each in scores.values():
                each.compact()
        for cells in self.group_cells.values():
            for sums in cells.values():
                sums.compact()
        for sums in (*self.groups.values(), *self.score_sums.values()):
            sums.compact()

    def of_slices(self, kept: Set[SliceKey]) -> "_Accumulator":
        """Returns what is known of some slices, with the number of the others."""
        left_out = len(self.slices) - len(kept)
        if not left_out:
            return self
        scores = _of_slices(self.comparison.scores, kept)
        return replace(
            self,
            comparison=replace(self.comparison, scores=scores, left_out=left_out),
            slices=_of_slices(self.slices, kept),
            groups=_of_slices(self.groups, kept),
            group_cells=_of_slices(self.group_cells, kept),
            score_sums=_of_slices(self.score_sums, kept),
        )

    def merge(self, other: "_Accumulator") -> None:
        """Adds what another part of the data gave."""
        self.comparison.merge(other.comparison)
        for key, sums in other.slices.items():
            known = self.slices.get(key)
            self.slices[key] = sums if known is None else ExactSums.merged([known, sums])
        self.outputs = ExactSums.merged([self.outputs, other.outputs])
        self.answers.merge(other.answers)
        for key, groups in other.groups.items():
            self.groups.setdefault(key, KeyedSums()).merge(groups)
        for key, scores_of_groups in other.score_sums.items():
            self.score_sums.setdefault(key, KeyedSums()).merge(scores_of_groups)
        self.names.update(other.names)
        self.copies.merge(other.copies)
        for key, by_class in other.group_cells.items():
            scores = self.group_cells.setdefault(key, {})
            for class_id, cells in by_class.items():
                scores.setdefault(class_id, KeyedSums()).merge(cells)


def _of_slices(known: Mapping[SliceKey, _OfSlice], kept: Set[SliceKey]) -> dict[SliceKey, _OfSlice]:
    return {key: found for key, found in known.items() if key in kept}


def _count(sums: ExactSums) -> int:
    """Returns how many examples a slice has, of which each adds 1 to the first sum."""
    return int(sums.parts[:, 0].sum())


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
        grouping: What is to be known of groups of examples; None if they are in none.
        score_sums: How the groups get scores, if metrics are of groups and not of examples.
        min_slice_examples: A slice with fewer examples is not judged.
    """

    def __init__(
        self,
        metrics: Sequence[BatchedMetric],
        slices: Sequence[Sequence[str]],
        decision: Decision | None,
        is_weighted: bool = False,
        origins: Mapping[str, float] = _NO_ORIGINS,
        answers: AnswerKind | None = None,
        grouping: Grouping | None = None,
        score_sums: ScoreSums | None = None,
        min_slice_examples: int = 1,
    ):
        self._min_slice_examples = min_slice_examples
        self._metrics = tuple(metric for metric in metrics if isinstance(metric, MeanMetric))
        self._origins = tuple(origins.get(metric.name, 0.0) for metric in self._metrics)
        classes = {metric.class_id for metric in metrics if isinstance(metric, ScoreMetric)}
        if score_sums is not None:
            classes = set()
        self._score_sums = score_sums
        self._score_classes = tuple(
            sorted(classes, key=lambda known: -1 if known is None else known)
        )
        self._scores_of = {m.name: m.class_id for m in metrics if isinstance(m, ScoreMetric)}
        self._buckets = score_buckets(metrics)
        self._grouping = grouping
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
                *self._group_sums(element, rows_by_slice),
                *self._scores_of_groups(element, rows_by_slice),
                CopySketch() if element.digests is None else CopySketch.of(element.digests),
            )
        )
        return accumulator

    def _group_sums(
        self, element: ComparedBatch, rows_by_slice: Mapping[SliceKey, Array]
    ) -> tuple[dict[SliceKey, KeyedSums], dict[SliceKey, dict[int | None, KeyedSums]]]:
        if self._grouping is None:
            return {}, {}
        ids = group_ids(group_values(element.batch, self._grouping.by, self._grouping.key))
        terms = [self._group_terms(element, self._grouped(is_slice)) for is_slice in (False, True)]
        sums = {
            key: KeyedSums.of([ids[rows]], terms[bool(key)][rows])
            for key, rows in rows_by_slice.items()
        }
        scores: dict[SliceKey, dict[int | None, KeyedSums]] = {}
        for class_id in self._score_classes:
            keys = [key for key in rows_by_slice if class_id in self._grouped_classes(bool(key))]
            if not keys:
                continue
            labels, before, after = self._of_class(element, class_id)
            for key in keys:
                rows, values = rows_by_slice[key], labels.shape[1]
                codes = cell_codes(*(part[rows].ravel() for part in (labels, before, after)))
                weights = None if element.weights is None else element.weights[rows].repeat(values)
                scores.setdefault(key, {})[class_id] = KeyedSums.of(
                    [ids[rows].repeat(values), codes], score_terms(len(codes), weights)
                )
        return sums, scores

    def _scores_of_groups(
        self, element: ComparedBatch, rows_by_slice: Mapping[SliceKey, Array]
    ) -> tuple[dict[SliceKey, KeyedSums], dict[int, object]]:
        if self._score_sums is None:
            return {}, {}
        assert element.labels is not None and element.scores is not None
        values = group_values(element.batch, self._score_sums.aggregate.by, AGGREGATE_KEY)
        ids = group_ids(values)
        parts = (ids, element.labels[:, 0], *element.scores)
        sums = {
            key: self._score_sums.of(*(part[rows] for part in parts))
            for key, rows in rows_by_slice.items()
        }
        return sums, dict(zip(ids.tolist(), values.tolist(), strict=True))

    def _grouped(self, on_slices: bool) -> list[tuple[MeanMetric, FixedPoint]]:
        """Returns the means that are tested on slices, or on all examples, with their units."""
        assert self._grouping is not None
        return [
            (metric, FixedPoint.near(origin))
            for metric, origin in zip(self._metrics, self._origins, strict=True)
            if (metric.name, on_slices) in self._grouping.tested
        ]

    def _grouped_classes(self, on_slices: bool) -> set[int | None]:
        """Returns the classes whose scores are tested on slices, or on all examples."""
        assert self._grouping is not None
        return {
            class_id
            for name, class_id in self._scores_of.items()
            if (name, on_slices) in self._grouping.tested
        }

    def _group_terms(
        self, element: ComparedBatch, metrics: Sequence[tuple[MeanMetric, FixedPoint]]
    ) -> Array:
        """Returns what each example adds to the sums of its group, int64 of shape (n, columns)."""
        columns = [np.ones(element.batch.num_rows, np.int64)]
        for metric, unit in metrics:
            columns += metric_terms(*self._values(metric, element), unit)
        return np.stack(columns, axis=1)

    def _answer_sums(self, element: ComparedBatch) -> AnswerSums:
        if self._answers is None:
            return AnswerSums()
        outputs = element.float_output, element.quantized_output
        named = NamedExamples(element.names, positions_of(element.batch))
        return answer_sums(self._answers, element.labels, *outputs, named)

    def compact(self, accumulator: _Accumulator) -> _Accumulator:
        """Returns the same in less room: it is about to be sent to another worker, or copied."""
        accumulator.compact()
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[_Accumulator]) -> _Accumulator:
        """Merges in any order to the same result."""
        merged = self.create_accumulator()
        for accumulator in accumulators:
            merged.merge(accumulator)
        return merged

    def extract_output(self, accumulator: _Accumulator) -> Comparison:
        """Returns the comparison.

        Raises:
            DataError: There are more slices than can be judged.
        """
        accumulator = accumulator.of_slices(self._kept(accumulator))
        comparison = accumulator.comparison
        kind = WeightedSums if self._is_weighted else MetricSums
        width = (2 if self._is_weighted else 1) + kind.COLUMNS * len(self._metrics)
        for key, sums in sorted(accumulator.slices.items(), key=by_name):
            totals = sums.totals()
            comparison.slices[key] = totals[:width]
            if comparison.saturation.lowest is not None:
                comparison.saturation.outside[key] = totals[width:]
        self._add_groups(comparison, accumulator)
        comparison.copies = accumulator.copies.copies()
        for name, total in zip(EXACT, accumulator.outputs.totals(), strict=True):
            setattr(comparison.outputs, name, float(total))
        if self._answers is not None:
            comparison.answers = accumulator.answers.figures()
            comparison.differing = accumulator.answers.differing_most()
        return comparison

    def _kept(self, accumulator: _Accumulator) -> Set[SliceKey]:
        """Returns the slices that get figures: all, or those that a rule may judge of very many."""
        slices, least = accumulator.slices, self._min_slice_examples
        if len(slices) <= MOST_SLICES:
            return slices.keys()
        kept = {key for key, sums in slices.items() if not key or _count(sums) >= least}
        if len(kept) > MOST_JUDGED:
            raise DataError(
                f"evaluation.slices: {len(kept):,} slices have at least {least} examples "
                f"(gate.min_slice_examples), and at most {MOST_JUDGED:,} can be judged; slice by "
                "features with fewer values, or raise gate.min_slice_examples"
            )
        return kept

    def _add_groups(self, comparison: Comparison, accumulator: _Accumulator) -> None:
        for key, groups in sorted(accumulator.groups.items(), key=by_name):
            _, sums = groups.rows()
            comparison.groups[key] = len(sums)
            for place, (metric, unit) in enumerate(self._grouped(bool(key))):
                totals = totals_of(sums, place, self._is_weighted, unit)
                comparison.group_totals[key, metric.name] = totals
        for key, by_class in sorted(accumulator.group_cells.items(), key=by_name):
            comparison.grouped_scores[key] = {
                class_id: grouped_cells(scores) for class_id, scores in by_class.items()
            }
        for key, scores_of_groups in sorted(accumulator.score_sums.items(), key=by_name):
            assert self._score_sums is not None
            found = self._score_sums.scores(scores_of_groups, accumulator.names)
            comparison.group_scores[key] = found

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
        before, after, weights = self._values(metric, element)
        if weights is None:
            return MetricSums.terms(before, after, origin)
        return WeightedSums.terms(weights, before, after, origin)

    def _values(
        self, metric: MeanMetric, element: ComparedBatch
    ) -> tuple[Array, Array, Array | None]:
        """Returns both models' values and the weights, each of shape (n,), None without weights."""
        assert element.labels is not None
        before = metric.values(element.labels, element.float_output)
        after = metric.values(element.labels, element.quantized_output)
        if not self._is_weighted:
            return before, after, None
        weights = np.ones(len(before)) if element.weights is None else element.weights
        counted = metric.counted_positions(element.labels)
        return before, after, weights if counted is None else weights * counted
