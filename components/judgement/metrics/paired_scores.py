"""Both models' scores of the same examples as counts, which add up over batches.

Every metric that is made from confusion matrices, and every bootstrap replicate of it, comes from
how often each label was seen with each bucket of the float model's score and of the quantized
model's: an example's weight in a Poisson bootstrap is Poisson with mean 1, so that the weights of a
cell of m like examples add up to a Poisson number with mean m. No example is kept.

Only NumPy is imported here, because workers import this module.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from tfx_tflite.components.examples.tensors import Array

# TFMA's buckets of a score from 0 to 1, with one below and one above.
BUCKETS = 10_000
_OUTER_BUCKETS = BUCKETS + 2
REPLICATES = 200
_SEED = 0

# A cell as one number of 64 bits, which sorts and compares as such.
_CELL = np.dtype([("label", "<f4"), ("float", "<u2"), ("quantized", "<u2")])
_CELL_CODE = np.dtype("<u8")
# How much may wait to be sorted into the cells, as a multiple of them, and how much of the cells of
# a small slice: what waits takes ten times the room.
_MOST_WAITING, _FEW = 1, 200


@dataclass(frozen=True)
class ScoreBuckets:
    """The buckets that scores are counted in.

    TFMA's histogram has 10,000 buckets of the form [start, end) (`calibration_histogram`). Metrics
    with thresholds of their own ask for scores above a threshold to the last bit, so the bucket in
    which such a threshold lies is split there.

    Attributes:
        thresholds: Where buckets are split, in ascending order and without repetition.
    """

    thresholds: tuple[float, ...] = ()

    @property
    def count(self) -> int:
        """The number of buckets."""
        return _OUTER_BUCKETS + len(self.thresholds)

    def of(self, scores: Array) -> Array:
        """Returns the bucket of each score, uint16 of the same shape; a higher score is not lower.

        Args:
            scores: Of any shape.
        """
        # NaN counts as the lowest score, as a prediction that says nothing.
        scores = np.nan_to_num(np.asarray(scores, np.float64), nan=-1.0)
        splits_below = np.searchsorted(np.array(self.thresholds), scores, side="left")
        return (_outer_bucket(scores) + splits_below).astype(np.uint16)

    def first_from(self, score: float) -> int:
        """Returns the first bucket of TFMA's histogram that begins at a score or above it."""
        starts = np.concatenate([[-np.inf], np.arange(BUCKETS) / BUCKETS, [1.0]])
        outer = int(np.searchsorted(starts, score, side="left"))
        if outer >= _OUTER_BUCKETS:
            return self.count
        return outer + int(np.searchsorted(self.thresholds, starts[outer], side="left"))

    def first_above(self, threshold: float) -> int:
        """Returns the first bucket of the scores above one of the thresholds."""
        place = self.thresholds.index(threshold)
        return int(_outer_bucket(np.array([threshold]))[0]) + place + 1


@dataclass(frozen=True, eq=False)
class ScoreRanks:
    """A bucket for each value that scores have, so that nothing of their order is lost.

    Attributes:
        values: The scores, each once, in ascending order.
    """

    values: Array

    @property
    def count(self) -> int:
        """The number of buckets."""
        return len(self.values)

    def of(self, scores: Array) -> Array:
        """Returns the bucket of each score, int64 of the same shape.

        Args:
            scores: Of any shape, all among the values.
        """
        return np.searchsorted(self.values, scores)


Buckets = ScoreBuckets | ScoreRanks


def _outer_bucket(scores: Array) -> Array:
    # Below 0 is a bucket of its own, which truncation alone would miss.
    return np.clip(np.floor(scores * BUCKETS) + 1, 0, BUCKETS + 1).astype(np.int64)


@dataclass(frozen=True)
class Cells:
    """How often each combination of label and two buckets was seen.

    Attributes:
        labels: The label of each cell, 0 to 1, float64 of shape (cells,).
        buckets: The float and the quantized model's bucket, int64 of shape (2, cells).
        counts: How often it was seen, int64 of shape (cells,).
    """

    labels: Array
    buckets: Array
    counts: Array

    def histograms(self, counts: Array, size: int) -> Array:
        """Returns the scores of negatives and positives of both models.

        A label between 0 and 1 counts as a share of each.

        Args:
            counts: How often each cell counts, shape (cells,).
            size: The number of buckets.

        Returns:
            float64 of shape (models, 2, size): negatives and positives in each bucket.
        """
        weights = (counts * (1 - self.labels), counts * self.labels)
        return np.array(
            [[np.bincount(b, weight, size) for weight in weights] for b in self.buckets]
        )

    def replicates(self) -> Iterator[Array]:
        """Yields how often each cell counts in each replicate of a Poisson bootstrap.

        The cells are in the order of their codes and the generator is seeded, so the same examples
        give the same replicates, however they were divided into batches.
        """
        generator = np.random.Generator(np.random.Philox(_SEED))
        for _ in range(REPLICATES):
            yield generator.poisson(self.counts)


@dataclass(frozen=True)
class GroupedCells(Cells):
    """Cells of examples that belong to groups, which a replicate takes or leaves as a whole.

    Attributes:
        groups: Which group each part of a cell is of, int64 of shape (parts,).
        places: Which cell it is a part of, int64 of shape (parts,).
        parts: How often the cell was seen in the group, or with which weight, shape (parts,).
    """

    groups: Array
    places: Array
    parts: Array

    @property
    def group_count(self) -> int:
        """The number of groups."""
        return int(self.groups.max()) + 1 if len(self.groups) else 0

    def by_group(self, of_cells: Array) -> Array:
        """Returns a sum over the examples of each group, float64 of shape (groups,).

        Args:
            of_cells: What an example of each cell adds, shape (cells,).
        """
        return np.bincount(self.groups, self.parts * of_cells[self.places], self.group_count)

    def replicates(self) -> Iterator[Array]:
        """Yields how often each cell counts in each replicate of a Poisson bootstrap of groups.

        All examples of a group have one weight, which is Poisson with mean 1 (Field and Welsh 2007,
        Journal of the Royal Statistical Society B 69:369: the bootstrap of clusters).
        """
        generator = np.random.Generator(np.random.Philox(_SEED))
        for _ in range(REPLICATES):
            weights = generator.poisson(1.0, self.group_count)
            yield np.bincount(self.places, weights[self.groups] * self.parts, len(self.counts))


def cell_codes(labels: Array, before: Array, after: Array) -> Array:
    """Returns the cell of each score as one number of 64 bits, (n,); see `PairedScores.of`."""
    cells = np.empty(len(labels), _CELL)
    cells["label"], cells["float"], cells["quantized"] = labels, before, after
    return cells.view(_CELL_CODE)


def cells_of(codes: Array) -> tuple[Array, Array]:
    """Returns the labels of some cells, shape (cells,), and their buckets, shape (2, cells)."""
    cells = codes.view(_CELL)
    buckets = np.stack([cells["float"], cells["quantized"]]).astype(np.int64)
    return cells["label"].astype(np.float64), buckets


@dataclass(slots=True)
class PairedScores:
    """The cells of some examples; those of several parts add up.

    Weights are numbers of 32 bits, as tf.Examples have them, so that their sums in 64 bits are
    exact, in whatever order, as long as the weights do not differ a thousandfold.

    Attributes:
        codes: The cells that were seen, in ascending order.
        counts: How often, or with which weight: uint32, int64 where one has more than fits into
            that, or float64 where examples have weights.
        waiting: Parts that are still to be sorted in.
        waiting_cells: How many cells these have.
    """

    codes: Array = field(default_factory=lambda: np.zeros(0, _CELL_CODE))
    counts: Array = field(default_factory=lambda: np.zeros(0, np.uint32))
    waiting: list[tuple[Array, Array]] = field(default_factory=list)
    waiting_cells: int = 0

    @classmethod
    def of(
        cls,
        labels: Array,
        before: Array,
        after: Array,
        weights: Array | None = None,
    ) -> "PairedScores":
        """Returns the cells of a batch.

        Args:
            labels: From 0 to 1, shape (n,).
            before: The buckets of the float model's scores, shape (n,).
            after: The buckets of the quantized model's scores, shape (n,).
            weights: How much each counts, shape (n,); None if each counts once.
        """
        codes = cell_codes(labels, before, after)
        if weights is None:
            distinct, counts = np.unique(codes, return_counts=True)
            return cls(distinct, _narrow(counts))
        distinct, places = np.unique(codes, return_inverse=True)
        exact = weights.astype(np.float32).astype(np.float64)
        return cls(distinct, np.bincount(places, exact, len(distinct)))

    def merge(self, other: "PairedScores") -> None:
        """Adds what another part of the data gave."""
        self.waiting += [(other.codes, other.counts), *other.waiting]
        # Counted on the way: the parts that wait become more and more as the cells do.
        self.waiting_cells += len(other.codes) + other.waiting_cells
        if self.waiting_cells > _MOST_WAITING * (len(self.codes) + _FEW):
            self.compact()

    def copy(self) -> "PairedScores":
        """Returns the same, which others may be merged into."""
        return PairedScores(self.codes, self.counts, [*self.waiting], self.waiting_cells)

    def compact(self) -> None:
        """Sorts in what waits."""
        if not self.waiting:
            return
        parts = [(self.codes, self.counts), *self.waiting]
        codes, places = np.unique(
            np.concatenate([codes for codes, _ in parts]), return_inverse=True
        )
        counts = np.bincount(places, np.concatenate([counts for _, counts in parts]), len(codes))
        has_weights = any(len(part) and part.dtype.kind == "f" for _, part in parts)
        self.codes, self.counts = codes, counts if has_weights else _narrow(counts)
        self.waiting, self.waiting_cells = [], 0

    def cells(self) -> Cells:
        """Returns the cells, in an order that depends on nothing but which they are."""
        self.compact()
        counts = self.counts if self.counts.dtype.kind == "f" else self.counts.astype(np.int64)
        return Cells(*cells_of(self.codes), counts)


def _narrow(counts: Array) -> Array:
    """Returns whole numbers in the room that they need; there are millions of them."""
    widest = counts.max(initial=0)
    return counts.astype(np.uint32 if widest <= np.iinfo(np.uint32).max else np.int64)
