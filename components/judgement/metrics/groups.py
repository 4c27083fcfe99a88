"""Examples that belong together, such as frames of one clip: their sums, group by group.

Examples of a group resemble each other, so that a test may count only groups as independent. It
needs the sums of each group, which are integers here: no order of the batches, and no number of
workers, changes a bit of them.

Only NumPy, Arrow and pydantic are imported here, because workers import this module.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import PlainSerializer, PlainValidator

from tfx_tflite.components.documents import Part
from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples.tensors import Array, feature_values, place_of
from tfx_tflite.components.judgement.metrics.paired_scores import GroupedCells, cells_of
from tfx_tflite.components.judgement.metrics.slices import SliceKey, slice_key

GROUP_KEY, AGGREGATE_KEY = "evaluation.group_by", "evaluation.aggregate.by"
# As for `PairedScores`.
_MOST_WAITING, _FEW = 1, 200

# The two parts of a number in fixed point, in units: multiples of 2**-10, and of what is left
# multiples of 2**-49. So 2**24 examples of a group have room in 64 bits.
_COARSE, _FINE = 2.0**10, 2.0**49
_LARGEST = 2.0**29


def group_values(batch: pa.RecordBatch, feature: str, needed_as: str = GROUP_KEY) -> Array:
    """Returns the value of each example's group, bytes or integers, shape (n,).

    Args:
        batch: The examples.
        feature: Whose values are the groups.
        needed_as: The key of the config that names the feature, for messages.

    Raises:
        DataError: An example has no value or several, or numbers that are not whole.
    """
    lengths, values = feature_values(batch, feature, needed_as)
    if np.any(lengths != 1):
        row = int(np.argmax(lengths != 1))
        raise DataError(
            f"feature {feature!r} ({needed_as}) has {int(lengths[row])} values in "
            f"{place_of(batch, row)}, expected one: the example's group"
        )
    if values.dtype.kind not in "iuO":
        raise DataError(
            f"feature {feature!r} ({needed_as}) holds {values.dtype} numbers, first in "
            f"{place_of(batch, 0)}; groups are strings or whole numbers"
        )
    return values


def group_ids(values: Array) -> Array:
    """Returns a number for each group, by 64 bits of a digest, which no two groups share.

    Among a million groups the chance that any two share one is 3 in 100 million.

    Args:
        values: As `group_values` returns them, shape (n,).

    Returns:
        uint64 of shape (n,).
    """
    distinct, places = np.unique(values, return_inverse=True)
    if values.dtype != object:
        return distinct.astype("<i8").view("<u8")[places.ravel()]
    digests = b"".join(hashlib.blake2b(value, digest_size=8).digest() for value in distinct)
    return np.frombuffer(digests, "<u8")[places.ravel()]


# --- Sums -----------------------------------------------------------------------------------------


def _no_rows() -> Array:
    return np.zeros((0, 0))


@dataclass(slots=True)
class KeyedSums:
    """Sums, and maxima, by key, which add up over parts of the data in any order.

    Attributes:
        keys: uint64 of shape (rows, parts of a key), in ascending order and without repetition.
        sums: int64 of shape (rows, columns).
        maxima: How many of the columns, the last ones, are maxima instead of sums.
        waiting: Parts that are still to be sorted in.
        waiting_rows: How many rows these have.
    """

    keys: Array = field(default_factory=_no_rows)
    sums: Array = field(default_factory=_no_rows)
    maxima: int = 0
    waiting: list[tuple[Array, Array]] = field(default_factory=list)
    waiting_rows: int = 0

    @classmethod
    def of(cls, keys: Sequence[Array], terms: Array, maxima: int = 0) -> "KeyedSums":
        """Returns the sums of some examples.

        Args:
            keys: The parts of each example's key, each uint64 of shape (n,).
            terms: What each example adds, int64 of shape (n, columns).
            maxima: How many of these columns are maxima.
        """
        return cls(*_added_up(np.stack(keys, axis=1), terms, maxima), maxima)

    def merge(self, other: "KeyedSums") -> None:
        """Adds what another part of the data gave."""
        self.maxima = other.maxima
        self.waiting += [(other.keys, other.sums), *other.waiting]
        # Counted on the way: the parts that wait become more and more as the rows do.
        self.waiting_rows += len(other.keys) + other.waiting_rows
        if self.waiting_rows > _MOST_WAITING * (len(self.keys) + _FEW):
            self.compact()

    def compact(self) -> None:
        """Sorts in what waits."""
        parts = [
            (keys, sums) for keys, sums in [(self.keys, self.sums), *self.waiting] if keys.size
        ]
        if len(parts) > 1 or self.waiting_rows:
            keys, sums = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
            self.keys, self.sums = _added_up(keys, sums, self.maxima)
        self.waiting, self.waiting_rows = [], 0

    def rows(self) -> tuple[Array, Array]:
        """Returns keys and sums, in an order that depends on nothing but the keys."""
        self.compact()
        return self.keys, self.sums


def _added_up(keys: Array, sums: Array, maxima: int) -> tuple[Array, Array]:
    order = np.lexsort(keys.T[::-1])
    keys, sums = keys[order], sums[order]
    is_new = np.ones(len(keys), bool)
    is_new[1:] = (keys[1:] != keys[:-1]).any(axis=1)
    starts = np.flatnonzero(is_new)
    if not len(starts):
        return keys, sums
    added, largest = np.split(sums, [sums.shape[1] - maxima], axis=1)
    parts = [np.add.reduceat(added, starts, axis=0), np.maximum.reduceat(largest, starts, axis=0)]
    return keys[starts], np.concatenate(parts, axis=1)


@dataclass(frozen=True)
class FixedPoint:
    """Numbers as integers, whose sums are exact.

    Attributes:
        unit: A power of two near the numbers' size. They are rounded to 2**-49 of it.
    """

    unit: float = 1.0

    @classmethod
    def near(cls, size: float) -> "FixedPoint":
        """Returns the fixed point for numbers of about a size; 1 if that is 0 or not known."""
        is_known = math.isfinite(size) and size != 0
        return cls(2.0 ** math.frexp(size)[1] if is_known else 1.0)

    def terms(self, values: Array) -> list[Array]:
        """Returns three int64 arrays of shape (n,), the last 1 for a number that has no place.

        That is one which is not finite, or 2**29 units and more.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = values / self.unit
            has_place = np.abs(scaled) < _LARGEST
        scaled = np.where(has_place, scaled, 0.0)
        coarse = np.rint(scaled * _COARSE)
        fine = np.rint((scaled - coarse / _COARSE) * _FINE)
        return [coarse.astype(np.int64), fine.astype(np.int64), (~has_place).astype(np.int64)]

    def totals(self, sums: Array) -> Array:
        """Returns sums as numbers, NaN if any of the numbers had no place.

        Args:
            sums: Of the three terms, int64 of shape (groups, 3).
        """
        coarse, fine, lost = sums.T
        return np.where(lost, np.nan, self.unit * (coarse / _COARSE + fine / _FINE))


_ONE = FixedPoint()
_WIDTH = 3


def metric_terms(f: Array, q: Array, weights: Array | None, unit: FixedPoint) -> list[Array]:
    """Returns what each example adds to the sums of its group for one metric.

    Args:
        f: The float model's values, shape (n,).
        q: The quantized model's.
        weights: How much each example counts, shape (n,); None if each counts once.
        unit: Of the values.
    """
    if weights is None:
        return [*unit.terms(f), *unit.terms(q)]
    return [*unit.terms(weights * f), *unit.terms(weights * q), *_ONE.terms(weights)]


_Numbers = Annotated[
    Array,
    PlainValidator(lambda values: np.asarray(values, np.float64)),
    PlainSerializer(lambda values: values.tolist()),
]


class GroupTotals(Part):
    """What the test of a metric on groups rests on.

    Attributes:
        sizes: The number of each group's examples, or their weight, float64 of shape (groups,).
        f: The sum of the float model's values, each times its weight; `q` the quantized model's.
    """

    sizes: _Numbers
    f: _Numbers
    q: _Numbers


# By slice and metric. JSON has no pairs as keys, so they are written as triples.
TotalsBySlice = Annotated[
    dict[tuple[SliceKey, str], GroupTotals],
    PlainValidator(
        lambda triples: {
            (slice_key(pairs), metric): GroupTotals.model_validate(totals)
            for pairs, metric, totals in triples
        }
    ),
    PlainSerializer(
        lambda found: [
            (key, metric, totals.model_dump(mode="json")) for (key, metric), totals in found.items()
        ]
    ),
]


@dataclass(frozen=True)
class Grouping:
    """Which sums of groups are kept.

    Attributes:
        by: The feature whose values are the groups.
        tested: The metrics with a rule that asks for a confidence, and whether on each slice.
        key: The key of the config that names the feature, for messages.
    """

    by: str
    tested: frozenset[tuple[str, bool]] = frozenset()
    key: str = GROUP_KEY


def totals_of(sums: Array, place: int, is_weighted: bool, unit: FixedPoint) -> GroupTotals:
    """Returns the sums of one metric.

    Args:
        sums: Of groups, int64 of shape (groups, columns): the number of examples, then what
            `metric_terms` gives for each metric.
        place: Which of the metrics.
        is_weighted: Whether examples have weights.
        unit: Of the metric's values.
    """
    width = _WIDTH * (3 if is_weighted else 2)
    own = sums[:, 1 + width * place :][:, :width]
    f, q, *weights = np.split(own, width // _WIDTH, axis=1)
    sizes = _ONE.totals(weights[0]) if weights else sums[:, 0].astype(np.float64)
    return GroupTotals(sizes=sizes, f=unit.totals(f), q=unit.totals(q))


def score_terms(count: int, weights: Array | None) -> Array:
    """Returns what each of some scores adds to its cell of its group, int64 of shape (n, 3)."""
    return np.stack(_ONE.terms(np.ones(count) if weights is None else weights), axis=1)


def grouped_cells(scores: KeyedSums) -> GroupedCells:
    """Returns the cells of all groups.

    Args:
        scores: The sums of `score_terms`, by group and cell.
    """
    keys, sums = scores.rows()
    codes, places = np.unique(keys[:, 1], return_inverse=True)
    _, groups = np.unique(keys[:, 0], return_inverse=True)
    counts = _ONE.totals(sums)
    labels, buckets = cells_of(codes)
    return GroupedCells(
        labels, buckets, np.bincount(places, counts, len(codes)), groups, places, counts
    )
