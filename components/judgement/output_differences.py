"""Batches with two models' predictions of one output, and how these differ, whatever the labels.

How they differ is sums that merge in any order.

Only NumPy and Arrow are imported here, because workers import this module.
"""

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import BeforeValidator, PlainSerializer

from tfx_tflite.components.digests import example_digest
from tfx_tflite.components.examples.tensors import POSITION_COLUMN, RAW_RECORD_COLUMN, Array
from tfx_tflite.components.judgement.metrics.decisions import Decision
from tfx_tflite.components.judgement.saturation import InputsSeen

_WORST_EXAMPLES = 10
_DIGEST_BYTES = 16
# Up to so many pairs of classes are counted in an array, more by sorting.
_MOST_BINS = 1 << 16
# The sums of numbers that are rounded, which are added up exactly, in this order.
EXACT = ("signal", "noise", "absolute", "divergence")


@dataclass(frozen=True)
class ComparedBatch:
    """A batch with both models' predictions of one output.

    Attributes:
        batch: The examples.
        labels: Shape (n, values); None if no batched metric needs them.
        float_output: The float model's output, shape (n, …).
        quantized_output: The quantized model's, of the same shape.
        inputs: What the inputs are like beside their ranges; None if they have none.
        weights: How much each example counts, shape (n,); None if all count the same.
        digests: By which copies are found, shape (n, kinds); None if nobody asks.
        scores: Both models' score of each example, each of shape (n,), if metrics are of groups.
    """

    batch: pa.RecordBatch
    labels: Array | None
    float_output: Array
    quantized_output: Array
    inputs: InputsSeen | None = None
    weights: Array | None = None
    scores: tuple[Array, Array] | None = None
    digests: Array | None = None

    @cached_property
    def names(self) -> list[bytes]:
        """The digest of each example, by which reports name it."""
        index = self.batch.schema.get_field_index(RAW_RECORD_COLUMN)
        return list(map(example_digest, self.batch.column(index).flatten().to_pylist()))


# JSON has no pairs as keys, so they are written as triples.
_Transitions = Annotated[
    Counter[tuple[int, int]],
    PlainSerializer(lambda counts: [[a, b, n] for (a, b), n in sorted(counts.items())]),
    BeforeValidator(lambda triples: {(a, b): n for a, b, n in triples}),
]


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
        worst: (difference, digest) of the examples that differ most, of equal ones the lowest
            digests; an example that is there more than once is one of them.
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
    transitions: _Transitions = field(default_factory=Counter)
    worst: list[tuple[float, str]] = field(default_factory=list)
    digest: int = 0

    def merge(self, other: "OutputSums") -> None:
        """Adds what another part of the data gave."""
        for name in ("examples", "values", *EXACT, "distributions"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.largest = max(self.largest, other.largest)
        self.transitions.update(other.transitions)
        self.worst = _most_different({*self.worst, *other.worst})
        self.digest = (self.digest + other.digest) % (1 << 8 * _DIGEST_BYTES)

    @property
    def agreement(self) -> float | None:
        """The share of decisions that are the same; None if the metrics make no decision."""
        total = sum(self.transitions.values())
        same = sum(count for (a, b), count in self.transitions.items() if a == b)
        return same / total if total else None

    @property
    def kl_divergence(self) -> float | None:
        """The mean divergence in nats; None if no outputs are distributions."""
        return self.divergence / self.distributions if self.distributions else None

    @property
    def mean_absolute_difference(self) -> float | None:
        """The mean absolute difference of the outputs; None if there are none."""
        return self.absolute / self.values if self.values else None

    @property
    def sqnr_db(self) -> float | None:
        """The signal-to-quantization-noise ratio of the outputs in dB; None without noise."""
        if not (0 < self.noise < math.inf and 0 < self.signal < math.inf):
            return None
        return 10 * math.log10(self.signal / self.noise)


def differences(element: ComparedBatch, decision: Decision | None) -> tuple[OutputSums, Array]:
    """Returns how the outputs of a batch differ, and what each example adds to `EXACT`.

    Args:
        element: The batch.
        decision: What the metrics take for a model's answer; None if they take none.

    Returns:
        All but the sums of `EXACT`, and float64 of shape (n, len(EXACT)).
    """
    n = element.batch.num_rows
    # Of [batch, …, classes] the classes of each position; else all values of an example.
    a = element.float_output.reshape(n, -1).astype(np.float64)
    b = element.quantized_output.reshape(n, -1).astype(np.float64)
    difference = np.abs(a - b)
    per_example = difference.max(axis=1)
    distributions, divergence = _divergences(
        _by_position(a, element.float_output), _by_position(b, element.quantized_output)
    )
    # Examples of so many differences are at least as many examples.
    large = np.flatnonzero(per_example >= np.unique(per_example)[-_WORST_EXAMPLES:][0])
    worst = {(float(per_example[row]), element.names[row].hex()) for row in large}
    outputs = OutputSums(
        examples=len(a),
        values=a.size,
        largest=float(per_example.max(initial=0.0)),
        distributions=int(distributions.sum()),
        transitions=_transitions(element, decision),
        worst=_most_different(worst),
        digest=sum(int.from_bytes(digest, "little") for digest in element.names)
        % (1 << 8 * _DIGEST_BYTES),
    )
    terms = [np.square(a).sum(axis=1), np.square(difference).sum(axis=1)]
    terms += [difference.sum(axis=1), divergence]
    return outputs, np.stack(terms, axis=1)


def _transitions(element: ComparedBatch, decision: Decision | None) -> Counter[tuple[int, int]]:
    if decision is None or not decision.fits(element.float_output):
        return Counter()
    before = decision.of(element.float_output).ravel()
    after = decision.of(element.quantized_output).ravel()
    answers, (before, after) = _ranked(before, after)
    # As one number each, which is counted faster than pairs.
    size = len(answers)
    codes, counts = _counted(before * size + after, size * size)
    pairs = answers[np.stack(np.divmod(codes, size), axis=1)].tolist()
    return Counter({(a, b): int(n) for (a, b), n in zip(pairs, counts, strict=True)})


def _ranked(before: Array, after: Array) -> tuple[Array, Sequence[Array]]:
    """Returns what the answers may be, in order, and both models' answers as places in that."""
    lowest = min(before.min(initial=0), after.min(initial=0))
    highest = max(before.max(initial=0), after.max(initial=0))
    if lowest >= 0 and highest < _MOST_BINS:
        return np.arange(highest + 1), (before, after)
    answers, places = np.unique(np.concatenate([before, after]), return_inverse=True)
    return answers, np.split(places, [len(before)])


def _counted(codes: Array, limit: int) -> tuple[Array, Array]:
    """Returns the distinct codes, which are below a limit, and how often each is there."""
    if limit > _MOST_BINS:
        return np.unique(codes, return_counts=True)
    counts = np.bincount(codes, minlength=limit)
    present = np.flatnonzero(counts)
    return present, counts[present]


def _by_position(values: Array, output: Array) -> Array:
    """Returns the classes of each position, shape (n, positions, classes)."""
    return values.reshape(len(output), -1, output.shape[-1] if output.ndim > 1 else 1)


def _divergences(a: Array, b: Array) -> tuple[Array, Array]:
    """Returns which examples have distributions at all positions, and how these diverge.

    Args:
        a: Shape (n, positions, classes).
        b: Of the same shape.

    Returns:
        bool of shape (n,), and the mean divergence over the positions in nats, 0 for the others.
    """
    # To type checkers `all` may return a single value.
    distributions = np.asarray((_is_distribution(a) & _is_distribution(b)).all(axis=1))
    divergence = np.zeros(len(a))
    if distributions.any():
        divergence[distributions] = _divergence(a[distributions], b[distributions]).mean(axis=1)
    return distributions, divergence


def _divergence(a: Array, b: Array) -> Array:
    """Returns the divergence of two distributions along the last axis, in nats."""
    # An integer output may be 0 while the float one is not; as Keras, take that for 1e-7.
    p, q = (np.clip(values, 1e-7, None) for values in (a, b))
    p, q = (values / values.sum(axis=-1, keepdims=True) for values in (p, q))
    return (p * np.log(p / q)).sum(axis=-1)


def _is_distribution(values: Array) -> Array:
    # An int8 softmax has steps of 1/256, so its classes may miss 1 by some of them.
    near_one = np.abs(values.sum(axis=-1) - 1) < 0.05
    return near_one & (values >= 0).all(axis=-1) & (values.shape[-1] > 1)


def _most_different(examples: Iterable[tuple[float, str]]) -> list[tuple[float, str]]:
    return heapq.nsmallest(_WORST_EXAMPLES, examples, key=lambda found: (-found[0], found[1]))


def positions_of(batch: pa.RecordBatch) -> Array:
    """Returns where the examples of a batch are in the split, -1 if that is not known."""
    index = batch.schema.get_field_index(POSITION_COLUMN)
    if index < 0:
        return np.full(batch.num_rows, -1)
    return batch.column(index).flatten().to_numpy(zero_copy_only=False)
