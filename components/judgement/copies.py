"""Examples of a split that are copies of others, or nearly so, found by their inputs.

A test takes examples for independent draws. Copies, and frames of one clip, are not, and make it
far too sure. Two sketches find them: one of the digests of the inputs, and one of digests that
near inputs share. The second rounds random projections of the values (Datar, Immorlica, Indyk and
Mirrokni 2004, Locality-sensitive hashing scheme based on p-stable distributions). Each sketch keeps
the examples with the lowest digests, and how often each was seen, so that it is bounded and the
same in any order.

Only NumPy and pydantic are imported here, because workers import this module.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.judgement.copies_found import Copies

# Rows of tables are often alike by chance; those of so many values are not.
_LEAST_VALUES = 32
# So many of an example's values are projected, which do for images and sounds.
_MOST_POSITIONS = 256
# Of two noisy frames a table tells with good probability, and of two digits hardly ever: with
# 50,000 handwritten digits 2.5 % share a bucket with another one by chance.
_TABLES, _PROJECTIONS, _WIDTH = 2, 32, 1.5
# Values are rounded to whole numbers, in 1/128 of their deviation: then sums are exact in 32 bits.
_STEPS, _LARGEST = 128, 4095
_KEPT = 4096
# From how many times the design effect of exact copies on near ones are told of.
_MANY_MORE = 1.05
_SEED = 0


def _mixed(numbers: Array) -> Array:
    """Returns numbers of 64 bits whose order says nothing of what they were (splitmix64)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _digests(words: Array) -> Array:
    """Returns a multilinear hash of each row, uint64 of shape (n,).

    Args:
        words: Shape (n, words), any integers.
    """
    generator = np.random.Generator(np.random.Philox(_SEED))
    factors = generator.integers(1 << 63, size=words.shape[1], dtype=np.uint64) * 2 + 1
    found = np.empty(len(words), np.uint64)
    # A part of the rows at a time, as numbers of 64 bits take room.
    step = max(1, (1 << 15) // max(words.shape[1], 1))
    for start in range(0, len(words), step):
        part = words[start : start + step].astype(np.uint64)
        np.matmul(part, factors, out=found[start : start + step])
    return _mixed(found)


def _words(inputs: Mapping[str, Array]) -> Array:
    """Returns the bytes of each example's inputs as whole numbers, shape (n, words)."""
    parts = []
    for _, values in sorted(inputs.items()):
        rows = np.ascontiguousarray(values.reshape(len(values), -1)).view(np.uint8)
        left = -rows.shape[1] % 4
        parts.append((np.pad(rows, ((0, 0), (0, left))) if left else rows).view("<u4"))
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


@dataclass(frozen=True, eq=False)
class CopyFinder:
    """What finds copies, the same on all workers.

    Attributes:
        near: The input of numbers whose near values are found; None if there is none.
        positions: Which of its values are projected, shape (positions,).
        mean: About what these are; `deviation` how far from it.
        deviation: About how far they are from it.
        signs: The projections, float32 of shape (positions, projections of all tables).
        centers: About what they are, shape (projections,).
        widths: How wide a bucket of each is, of the same shape.
        offsets: Where buckets begin, in widths, of the same shape.
    """

    near: str | None
    positions: Array
    mean: float
    deviation: float
    signs: Array
    centers: Array
    widths: Array
    offsets: Array

    @classmethod
    def of(cls, inputs: Mapping[str, Array]) -> "CopyFinder | None":
        """Returns what finds copies among examples like some; None if they are of few values.

        Args:
            inputs: Some examples' inputs by name, each of shape (n, *example_shape).
        """
        sizes = {name: values[0].size for name, values in inputs.items()}
        if sum(sizes.values()) < _LEAST_VALUES:
            return None
        floats = [name for name, values in sorted(inputs.items()) if values.dtype.kind == "f"]
        near = max(floats, key=sizes.__getitem__, default=None)
        nothing = np.zeros(0)
        if near is None or sizes[near] < _LEAST_VALUES or len(inputs[near]) < 2:
            return cls(None, nothing, 0.0, 1.0, nothing, nothing, nothing, nothing)
        generator = np.random.Generator(np.random.Philox(_SEED))
        positions = np.sort(generator.permutation(sizes[near])[:_MOST_POSITIONS])
        count = _TABLES * _PROJECTIONS
        signs = generator.choice(np.array([-1, 1], np.float32), (len(positions), count))
        offsets = generator.random(count)
        rows = inputs[near].reshape(len(inputs[near]), -1)[:, positions].astype(np.float64)
        mean, deviation = float(rows.mean()), float(rows.std()) or 1.0
        projected = (_rounded(rows, mean, deviation) @ signs).astype(np.float64)
        widths = _WIDTH * np.maximum(projected.std(axis=0), 1.0)
        centers = projected.mean(axis=0)
        return cls(near, positions, mean, deviation, signs, centers, widths, offsets)

    def digests(self, inputs: Mapping[str, Array]) -> Array:
        """Returns digests of some examples, int64 of shape (n, kinds): exact, then near ones.

        Args:
            inputs: By name, each of shape (n, *example_shape).
        """
        found = [_digests(_words(inputs))]
        if self.near is not None and inputs[self.near][0].size > self.positions[-1]:
            rows = inputs[self.near].reshape(len(inputs[self.near]), -1)[:, self.positions]
            # Sums of whole numbers, which are the same in batches of any size.
            projected = _rounded(rows, self.mean, self.deviation) @ self.signs
            buckets = np.floor((projected - self.centers) / self.widths + self.offsets)
            found += map(_digests, np.split(buckets.astype(np.int64), _TABLES, axis=1))
        return np.stack(found, axis=1).view(np.int64)


def _rounded(rows: Array, mean: float, deviation: float) -> Array:
    # In 32 bits it is as much the same for batches of any size, and faster.
    numbers = rows.astype(np.float32)
    numbers -= np.float32(mean)
    numbers *= np.float32(_STEPS / deviation)
    return np.clip(np.rint(numbers, out=numbers), -_LARGEST, _LARGEST, out=numbers)


@dataclass
class CopySketch:
    """How often the lowest digests of each kind were seen.

    Attributes:
        kinds: For each kind the digests, ascending, and their counts.
    """

    kinds: list[tuple[Array, Array]] = field(default_factory=list)

    @classmethod
    def of(cls, digests: Array) -> "CopySketch":
        """Returns the sketch of some examples.

        Args:
            digests: As `CopyFinder.digests` returns them.
        """
        ones = np.ones(len(digests), np.int64)
        return cls([_lowest(column, ones) for column in digests.view(np.uint64).T])

    def merge(self, other: "CopySketch") -> None:
        """Adds what another part of the data gave."""
        # Examples of another shape may have fewer kinds.
        for place, (digests, counts) in enumerate(other.kinds):
            if place == len(self.kinds):
                self.kinds.append((digests, counts))
                continue
            known, known_counts = self.kinds[place]
            both = np.concatenate([known, digests]), np.concatenate([known_counts, counts])
            self.kinds[place] = _lowest(*both)

    def copies(self) -> "Copies | None":
        """Returns the exact copies, or the near ones if these are many more; None of nothing."""
        found = [_counted(counts, place > 0) for place, (_, counts) in enumerate(self.kinds)]
        if not found:
            return None
        exact, most = found[0], max(found, key=lambda copies: copies.design_effect)
        # Some near ones are alike by chance.
        return most if most.design_effect > _MANY_MORE * exact.design_effect else exact


def _counted(counts: Array, near: bool) -> Copies:
    """Returns what the multiplicities of some distinct examples say, shape (examples,)."""
    total = int(counts.sum())
    return Copies(
        near=near,
        share=1 - len(counts) / total,
        most=int(counts.max()),
        design_effect=float(np.square(counts, dtype=np.float64).sum()) / total,
    )


def _lowest(digests: Array, counts: Array) -> tuple[Array, Array]:
    distinct, places = np.unique(digests, return_inverse=True)
    return distinct[:_KEPT], np.bincount(places, counts, len(distinct))[:_KEPT].astype(np.int64)
