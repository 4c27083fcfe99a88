"""Float against quantized predictions of whole batches, as sums that merge in any order.

Only NumPy, SciPy, Arrow and Beam are imported here, because workers import this module.
"""

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from tfx_tflite.components.examples.tensors import POSITION_COLUMN, RAW_RECORD_COLUMN
from tfx_tflite.components.judgement.metrics.batched_metrics import BatchedMetric, MeanMetric
from tfx_tflite.components.judgement.metrics.catalog import LabelKind
from tfx_tflite.components.judgement.metrics.decisions import Decision
from tfx_tflite.components.judgement.metrics.label_kinds import laid_out
from tfx_tflite.components.judgement.metrics.paired_scores import PairedScores
from tfx_tflite.components.judgement.metrics.score_metrics import ScoreMetric, score_buckets
from tfx_tflite.components.judgement.metrics.slices import SliceKey, by_name, slice_name, slice_rows
from tfx_tflite.components.judgement.metrics.weighted_means import WeightedMoments
from tfx_tflite.components.judgement.saturation import InputsSeen, Saturation
from tfx_tflite.components.judgement.statistics.exact_sums import ExactSums, exact_layers
from tfx_tflite.components.judgement.statistics.paired_tests import PairedMoments

_WORST_EXAMPLES = 10
_DIGEST_BYTES = 16
# Up to so many pairs of classes are counted in an array, more by sorting.
_MOST_BINS = 1 << 16
# What is summed for a metric and slice, of the float model's values f, the quantized model's q and
# their difference d = q - f: products for the variance and skewness of any combination, and where
# only one model is right. In products f counts from an origin near its mean.
_SUMS = ("f", "q", "d", "dd", "df", "ff", "ddd", "ddf", "dff", "fff", "worse", "better")
# What is summed instead where examples count differently: each value times its example's weight,
# and that weight. Their moments are in `weighted_means`.
_WEIGHTED_SUMS = ("f", "q", "weight")
# What is summed for the outputs, in the order of `OutputSums`.
_OUTPUT_SUMS = ("signal", "noise", "absolute", "divergence")


@dataclass(frozen=True)
class ComparedBatch:
    """A batch with both models' predictions of one output.

    Attributes:
        batch: The examples.
        labels: Shape (n, values); None where no batched metric needs them.
        float_output: The float model's output, shape (n, …).
        quantized_output: The quantized model's, of the same shape.
        inputs: What the inputs are like beside their ranges; None where they have none.
        weights: How much each example counts, shape (n,); None where all count the same.
    """

    batch: pa.RecordBatch
    labels: np.ndarray | None
    float_output: np.ndarray
    quantized_output: np.ndarray
    inputs: InputsSeen | None = None
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class MetricSums:
    """The sums of one metric on one slice of examples that all count the same.

    Attributes:
        examples: The number of examples.
        f: The sum of the float model's values; `q` of the quantized model's.
        d: The sum of the differences q - f; `dd` to `fff` sums of products of d and f - origin.
        worse: How often the quantized model's value is lower; `better` how often it is higher.
        origin: A number near the mean of f, from which products count: those of f itself would lose
            all their digits if the mean is large beside the spread.
    """

    examples: int
    f: float
    q: float
    d: float
    dd: float
    df: float
    ff: float
    ddd: float
    ddf: float
    dff: float
    fff: float
    worse: float
    better: float
    origin: float = 0.0

    def moments(self, sign: int) -> PairedMoments:
        """Returns the moments of drop and float value.

        Args:
            sign: 1 where higher is better, so that the drop is f - q, else -1.
        """
        flip = -sign
        n = self.examples
        # Of the drop and of f less the origin.
        mean = np.array([flip * self.d, self.f - n * self.origin]) / n
        second = np.array([[self.dd, flip * self.df], [flip * self.df, self.ff]])
        cubes = np.array([flip * self.ddd, self.ddf, flip * self.dff, self.fff])
        # Entry (i, j, k) is the sum with i + j + k factors f.
        third = cubes[np.indices((2, 2, 2)).sum(axis=0)]
        pairs = np.einsum("i,jk->ijk", mean, second)
        return PairedMoments(
            count=n,
            mean=mean + np.array([0.0, self.origin]),
            second=second - n * np.outer(mean, mean),
            third=third
            - pairs
            - pairs.transpose(1, 0, 2)
            - pairs.transpose(1, 2, 0)
            + 2 * n * np.einsum("i,j,k->ijk", mean, mean, mean),
        )


@dataclass
class OutputSums:
    """How the outputs differ, whatever the labels say.

    Attributes:
        examples: The number of examples.
        values: The number of output values.
        signal: The sum of squares of the float outputs.
        noise: The sum of squares of the differences.
        absolute: The sum of absolute differences.
        largest: The largest absolute difference.
        divergence: The sum over examples of the Kullback-Leibler divergence of the quantized from
            the float distribution, in nats.
        distributions: The number of examples whose two outputs are distributions.
        transitions: How often each pair of (float, quantized) decisions was made.
        worst: (difference, digest, position in the split) of the examples that differ most; the
            position is -1 where it is not known.
        digest: The sum of the examples' digests, which no order changes.
    """

    examples: int = 0
    values: int = 0
    signal: float = 0.0
    noise: float = 0.0
    absolute: float = 0.0
    largest: float = 0.0
    divergence: float = 0.0
    distributions: int = 0
    transitions: Counter[tuple[int, int]] = field(default_factory=Counter)
    worst: list[tuple[float, str, int]] = field(default_factory=list)
    digest: int = 0

    def merge(self, other: "OutputSums") -> None:
        """Adds what another part of the data gave."""
        for name in ("examples", "values", *_OUTPUT_SUMS, "distributions"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.largest = max(self.largest, other.largest)
        self.transitions.update(other.transitions)
        self.worst = heapq.nlargest(_WORST_EXAMPLES, {*self.worst, *other.worst})
        self.digest = (self.digest + other.digest) % (1 << 8 * _DIGEST_BYTES)

    @property
    def agreement(self) -> float | None:
        """The share of decisions that are the same; None where the metrics make no decision."""
        total = sum(self.transitions.values())
        same = sum(count for (a, b), count in self.transitions.items() if a == b)
        return same / total if total else None

    @property
    def kl_divergence(self) -> float | None:
        """The mean divergence in nats; None where no outputs are distributions."""
        return self.divergence / self.distributions if self.distributions else None

    @property
    def mean_absolute_difference(self) -> float | None:
        """The mean absolute difference of the outputs; None where there are none."""
        return self.absolute / self.values if self.values else None

    @property
    def sqnr_db(self) -> float | None:
        """The signal-to-quantization-noise ratio of the outputs in dB; None without noise."""
        if not (0 < self.noise < math.inf and 0 < self.signal < math.inf):
            return None
        return 10 * math.log10(self.signal / self.noise)


@dataclass
class Comparison:
    """All that is known of two models on a split.

    Attributes:
        metrics: The names of the metrics that are means, in order.
        slices: For each slice the number of examples, their weight if they count differently, and
            the sums of each metric.
        outputs: How the outputs differ.
        scores: For each slice and class (None of all scores) both models' scores; empty where no
            metric needs them.
        saturation: How the inputs fit the ranges that they were calibrated for.
        origins: For each metric the origin of its sums; see `MetricSums`.
        is_weighted: Whether examples count differently: they have weights, or a metric counts them
            by their positions that it does not ignore.
        weighted: For each slice the moments of each metric; empty where all count the same.
    """

    metrics: tuple[str, ...]
    origins: tuple[float, ...] = ()
    slices: dict[SliceKey, np.ndarray] = field(default_factory=dict)
    outputs: OutputSums = field(default_factory=OutputSums)
    scores: dict[SliceKey, dict[int | None, PairedScores]] = field(default_factory=dict)
    saturation: Saturation = field(default_factory=Saturation)
    is_weighted: bool = False
    weighted: dict[SliceKey, tuple[WeightedMoments, ...]] = field(default_factory=dict)

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
        if not self.is_weighted or metric not in self.metrics or key not in self.slices:
            return self.weight(key)
        return float(self._of_metric(key, metric)[_WEIGHTED_SUMS.index("weight")])

    def totals(self, key: SliceKey, metric: str) -> tuple[float, float]:
        """Returns the sums of the float and the quantized model's values, each times its weight."""
        before, after = self._of_metric(key, metric)[:2]
        return float(before), float(after)

    def sums(self, key: SliceKey, metric: str) -> MetricSums:
        """Returns the sums of a metric on a slice of examples without weights."""
        origin = self.origins[self.metrics.index(metric)] if self.origins else 0.0
        sums = MetricSums(self.examples(key), *map(float, self._of_metric(key, metric)))
        return replace(sums, origin=origin)

    def _of_metric(self, key: SliceKey, metric: str) -> np.ndarray:
        names = _WEIGHTED_SUMS if self.is_weighted else _SUMS
        at = (2 if self.is_weighted else 1) + len(names) * self.metrics.index(metric)
        return self.slices[key][at : at + len(names)]

    def weighted_moments(self, key: SliceKey, metric: str) -> WeightedMoments:
        """Returns the moments of a metric on a slice of examples with weights."""
        return self.weighted[key][self.metrics.index(metric)]

    def merge(self, other: "Comparison") -> None:
        """Adds what another part of the data gave."""
        for key, sums in other.slices.items():
            self.slices[key] = self.slices[key] + sums if key in self.slices else sums
        for key, by_class in other.scores.items():
            known = self.scores.setdefault(key, {})
            for class_id, scores in by_class.items():
                known.setdefault(class_id, PairedScores()).merge(scores)
        for key, moments in other.weighted.items():
            self.weighted[key] = (
                _added(self.weighted[key], moments) if key in self.weighted else moments
            )
        self.outputs.merge(other.outputs)
        self.saturation.merge(other.saturation)


def _added(
    left: tuple[WeightedMoments, ...], right: tuple[WeightedMoments, ...]
) -> tuple[WeightedMoments, ...]:
    return tuple(a + b for a, b in zip(left, right, strict=True))


@dataclass
class _Accumulator:
    """A comparison whose sums of numbers are still exact, and therefore apart.

    Attributes:
        comparison: What has no rounding: counts, extremes, digests.
        slices: For each slice the sums of `Comparison.slices` and then of `Saturation.outside`.
        outputs: The sums of `_OUTPUT_SUMS`.
    """

    comparison: Comparison
    slices: dict[SliceKey, ExactSums] = field(default_factory=dict)
    outputs: ExactSums = field(default_factory=lambda: ExactSums(np.zeros((0, len(_OUTPUT_SUMS)))))

    def merge(self, other: "_Accumulator") -> None:
        """Adds what another part of the data gave."""
        self.comparison.merge(other.comparison)
        for key, sums in other.slices.items():
            known = self.slices.get(key)
            self.slices[key] = sums if known is None else ExactSums.merged([known, sums])
        self.outputs = ExactSums.merged([self.outputs, other.outputs])


@dataclass(frozen=True)
class _MetricValues:
    """The values of one metric on a batch.

    Attributes:
        before: The float model's, shape (n,).
        after: The quantized model's.
        weights: How much each example counts for the metric.
    """

    before: np.ndarray
    after: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, metric: MeanMetric, element: ComparedBatch) -> "_MetricValues":
        assert element.labels is not None
        outputs = (element.float_output, element.quantized_output)
        before, after = (metric.values(element.labels, output) for output in outputs)
        weights = np.ones(len(before)) if element.weights is None else element.weights
        counted = metric.counted_positions(element.labels)
        return cls(before, after, weights if counted is None else weights * counted)


class CompareOutputs(beam.CombineFn):
    """Combines `ComparedBatch`es into one `Comparison`, the same in whatever order they come.

    Args:
        metrics: What to compute.
        slices: The features of each slicing spec; () is the overall slice.
        decision: What the metrics take for a model's answer; None where they take none.
        is_weighted: Whether the batches have weights; a metric that ignores a class weighs, too.
        origins: By metric, about what its mean is; see `MetricSums`. Those left out are 0.
    """

    def __init__(
        self,
        metrics: Sequence[BatchedMetric],
        slices: Sequence[Sequence[str]],
        decision: Decision | None,
        is_weighted: bool = False,
        origins: Mapping[str, float] = MappingProxyType({}),
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
        self._is_weighted = is_weighted or any(
            metric.ignore_class is not None for metric in self._metrics
        )

    def create_accumulator(self) -> _Accumulator:
        """Returns a comparison of nothing."""
        names = tuple(metric.name for metric in self._metrics)
        return _Accumulator(Comparison(names, self._origins, is_weighted=self._is_weighted))

    def add_input(self, accumulator: _Accumulator, element: ComparedBatch) -> _Accumulator:
        """Adds a batch."""
        rows_by_slice = dict(slice_rows(element.batch, self._slices))
        values = self._values(element)
        layers = exact_layers(self._terms(element, values))
        outputs, output_terms = self._outputs(element)
        part = Comparison(
            accumulator.comparison.metrics,
            self._origins,
            outputs=outputs,
            scores=self._scores(element, rows_by_slice),
            is_weighted=self._is_weighted,
            weighted=_weighted(values, rows_by_slice) if self._is_weighted else {},
        )
        if element.inputs is not None:
            part.saturation.lowest = element.inputs.lowest.min(axis=0)
            part.saturation.highest = element.inputs.highest.max(axis=0)
        accumulator.merge(
            _Accumulator(
                part,
                {key: ExactSums.of(layers[:, rows]) for key, rows in rows_by_slice.items()},
                ExactSums.of(exact_layers(output_terms)),
            )
        )
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[_Accumulator]) -> _Accumulator:
        """Merges in any order to the same result."""
        merged = self.create_accumulator()
        for accumulator in accumulators:
            merged.merge(accumulator)
        return merged

    def extract_output(self, accumulator: _Accumulator) -> Comparison:
        """Returns the comparison."""
        comparison = accumulator.comparison
        width = (
            2 + len(_WEIGHTED_SUMS) * len(self._metrics)
            if self._is_weighted
            else 1 + len(_SUMS) * len(self._metrics)
        )
        for key, sums in sorted(accumulator.slices.items(), key=by_name):
            totals = sums.totals()
            comparison.slices[key] = totals[:width]
            if comparison.saturation.lowest is not None:
                comparison.saturation.outside[key] = totals[width:]
        for name, total in zip(_OUTPUT_SUMS, accumulator.outputs.totals(), strict=True):
            setattr(comparison.outputs, name, float(total))
        return comparison

    def _scores(
        self, element: ComparedBatch, rows_by_slice: Mapping[SliceKey, np.ndarray]
    ) -> dict[SliceKey, dict[int | None, PairedScores]]:
        found: dict[SliceKey, dict[int | None, PairedScores]] = {}
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

    def _of_class(
        self, element: ComparedBatch, class_id: int | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the labels and both models' buckets, each of shape (n, scores of an example)."""
        assert element.labels is not None
        kind = LabelKind.ZERO_OR_ONE if class_id is None else LabelKind.ONE_CLASS
        labels, before = laid_out(kind, element.labels, element.float_output, class_id)
        _, after = laid_out(kind, element.labels, element.quantized_output, class_id)
        return labels, self._buckets.of(before), self._buckets.of(after)

    def _values(self, element: ComparedBatch) -> list[_MetricValues]:
        return [_MetricValues.of(metric, element) for metric in self._metrics]

    def _terms(self, element: ComparedBatch, values: Sequence[_MetricValues]) -> np.ndarray:
        """Returns what each example adds to the sums of its slices, shape (n, sums)."""
        ones = np.ones(element.batch.num_rows)
        columns = [ones]
        if self._is_weighted:
            columns.append(ones if element.weights is None else element.weights)
        for metric, origin in zip(values, self._origins, strict=True):
            f, q, weights = metric.before, metric.after, metric.weights
            if self._is_weighted:
                columns += [weights * f, weights * q, weights]
                continue
            d, g = q - f, f - origin
            dd, gg = d * d, g * g
            columns += [f, q, d, dd, d * g, gg, dd * d, dd * g, d * gg, gg * g, d < 0, d > 0]
        if element.inputs is not None:
            columns += list(element.inputs.outside.T)
        return np.stack(columns, axis=1)

    def _outputs(self, element: ComparedBatch) -> tuple[OutputSums, np.ndarray]:
        """Returns how the outputs differ, and what each example adds to `_OUTPUT_SUMS`."""
        n = element.batch.num_rows
        # Of [batch, …, classes] the classes of each position; else all values of an example.
        a = element.float_output.reshape(n, -1).astype(np.float64)
        b = element.quantized_output.reshape(n, -1).astype(np.float64)
        difference = np.abs(a - b)
        per_example = difference.max(axis=1)
        distributions, divergence = _divergences(
            _by_position(a, element.float_output), _by_position(b, element.quantized_output)
        )
        worst = np.argsort(-per_example, kind="stable")[:_WORST_EXAMPLES]
        positions = _positions(element.batch)
        digests = _digests(element.batch)
        outputs = OutputSums(
            examples=len(a),
            values=a.size,
            largest=float(per_example.max(initial=0.0)),
            distributions=int(distributions.sum()),
            transitions=self._transitions(element),
            worst=[
                (float(per_example[row]), digests[row].hex(), int(positions[row])) for row in worst
            ],
            digest=sum(int.from_bytes(digest, "little") for digest in digests)
            % (1 << 8 * _DIGEST_BYTES),
        )
        terms = [np.square(a).sum(axis=1), np.square(difference).sum(axis=1)]
        terms += [difference.sum(axis=1), divergence]
        return outputs, np.stack(terms, axis=1)

    def _transitions(self, element: ComparedBatch) -> Counter[tuple[int, int]]:
        if self._decision is None or not self._decision.fits(element.float_output):
            return Counter()
        before = self._decision.of(element.float_output).ravel()
        after = self._decision.of(element.quantized_output).ravel()
        answers, (before, after) = _ranked(before, after)
        # As one number each, which is counted faster than pairs.
        size = len(answers)
        codes, counts = _counted(before * size + after, size * size)
        pairs = answers[np.stack(np.divmod(codes, size), axis=1)].tolist()
        return Counter({(a, b): int(n) for (a, b), n in zip(pairs, counts, strict=True)})


def _ranked(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, Sequence[np.ndarray]]:
    """Returns what the answers may be, in order, and both models' answers as places in that."""
    lowest = min(before.min(initial=0), after.min(initial=0))
    highest = max(before.max(initial=0), after.max(initial=0))
    if lowest >= 0 and highest < _MOST_BINS:
        return np.arange(highest + 1), (before, after)
    answers, places = np.unique(np.concatenate([before, after]), return_inverse=True)
    return answers, np.split(places, [len(before)])


def _counted(codes: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distinct codes, which are below a limit, and how often each is there."""
    if limit > _MOST_BINS:
        return np.unique(codes, return_counts=True)
    counts = np.bincount(codes, minlength=limit)
    present = np.flatnonzero(counts)
    return present, counts[present]


def _weighted(
    values: Sequence[_MetricValues], rows_by_slice: Mapping[SliceKey, np.ndarray]
) -> dict[SliceKey, tuple[WeightedMoments, ...]]:
    return {
        key: tuple(
            WeightedMoments.of(metric.weights[rows], metric.before[rows], metric.after[rows])
            for metric in values
        )
        for key, rows in rows_by_slice.items()
    }


def _by_position(values: np.ndarray, output: np.ndarray) -> np.ndarray:
    """Returns the classes of each position, shape (n, positions, classes)."""
    return values.reshape(len(output), -1, output.shape[-1] if output.ndim > 1 else 1)


def _divergences(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns which examples have distributions at all positions, and how these diverge.

    Args:
        a: Shape (n, positions, classes).
        b: Of the same shape.

    Returns:
        bool of shape (n,), and the mean divergence over the positions in nats, 0 for the others.
    """
    distributions = (_is_distribution(a) & _is_distribution(b)).all(axis=1)
    divergence = np.zeros(len(a))
    if distributions.any():
        divergence[distributions] = _divergence(a[distributions], b[distributions]).mean(axis=1)
    return distributions, divergence


def _divergence(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns the divergence of two distributions along the last axis, in nats."""
    # An integer output may be 0 where the float one is not; as Keras, take that for 1e-7.
    p, q = (np.clip(values, 1e-7, None) for values in (a, b))
    p, q = (values / values.sum(axis=-1, keepdims=True) for values in (p, q))
    return (p * np.log(p / q)).sum(axis=-1)


def _is_distribution(values: np.ndarray) -> np.ndarray:
    # An int8 softmax has steps of 1/256, so its classes may miss 1 by some of them.
    near_one = np.abs(values.sum(axis=-1) - 1) < 0.05
    return near_one & (values >= 0).all(axis=-1) & (values.shape[-1] > 1)


def _digests(batch: pa.RecordBatch) -> list[bytes]:
    records = batch.column(batch.schema.get_field_index(RAW_RECORD_COLUMN)).flatten().to_pylist()
    return [hashlib.blake2b(record, digest_size=_DIGEST_BYTES).digest() for record in records]


def _positions(batch: pa.RecordBatch) -> np.ndarray:
    index = batch.schema.get_field_index(POSITION_COLUMN)
    if index < 0:
        return np.full(batch.num_rows, -1)
    return batch.column(index).flatten().to_numpy(zero_copy_only=False)


def comparison_to_json(comparison: Comparison) -> dict[str, Any]:
    """Returns a comparison ready for JSON, but for the scores."""
    outputs = comparison.outputs
    return {
        "metrics": comparison.metrics,
        "origins": comparison.origins,
        "slices": [
            {"key": key, "sums": sums.tolist()}
            for key, sums in sorted(comparison.slices.items(), key=by_name)
        ],
        "outputs": {
            **vars(outputs),
            "transitions": [[a, b, n] for (a, b), n in sorted(outputs.transitions.items())],
            "digest": f"{outputs.digest:032x}",
        },
        "saturation": comparison.saturation.to_json(),
        "is_weighted": comparison.is_weighted,
        "weighted": [
            {"key": key, "moments": [metric.to_json() for metric in moments]}
            for key, moments in sorted(comparison.weighted.items(), key=by_name)
        ],
    }


def comparison_from_json(document: Mapping[str, Any]) -> Comparison:
    """Returns the comparison that `comparison_to_json` wrote."""
    outputs = dict(document["outputs"])
    outputs["transitions"] = Counter({(a, b): n for a, b, n in outputs["transitions"]})
    outputs["worst"] = [tuple(example) for example in outputs["worst"]]
    outputs["digest"] = int(outputs["digest"], 16)
    return Comparison(
        tuple(document["metrics"]),
        tuple(document["origins"]),
        {_slice_key(entry["key"]): np.array(entry["sums"]) for entry in document["slices"]},
        OutputSums(**outputs),
        saturation=Saturation.from_json(document["saturation"]),
        is_weighted=document["is_weighted"],
        weighted={
            _slice_key(entry["key"]): tuple(map(WeightedMoments.from_json, entry["moments"]))
            for entry in document["weighted"]
        },
    )


def _slice_key(pairs: Iterable[Iterable[Any]]) -> SliceKey:
    return tuple((feature, value) for feature, value in pairs)
