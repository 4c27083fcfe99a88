"""The sums of very many slices as a few large arrays, for their way to another worker.

Pickle takes a note of each object that it writes or reads. Of a million slices with some small
arrays each the notes alone would take more room than the sums.

Only NumPy is imported here, because workers import this module.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.judgement.metrics.paired_scores import PairedScores
from tfx_tflite.components.judgement.metrics.slices import SliceKey
from tfx_tflite.components.judgement.statistics.exact_sums import ExactSums


@dataclass(frozen=True, eq=False)
class PackedSums:
    """The exact sums of some slices.

    Attributes:
        keys: The slices.
        parts: The parts of all sums, those of a slice in a row, shape (parts, columns).
        lengths: How many parts each slice has, shape (slices,).
    """

    keys: list[SliceKey]
    parts: Array
    lengths: Array

    @classmethod
    def of(cls, sums: Mapping[SliceKey, ExactSums]) -> "PackedSums":
        """Packs the sums of some slices."""
        parts = [each.parts for each in sums.values()]
        lengths = np.array([len(part) for part in parts], np.int64)
        return cls([*sums], np.concatenate(parts) if parts else np.zeros((0, 0)), lengths)

    def unpacked(self) -> dict[SliceKey, ExactSums]:
        """Returns what was packed."""
        return dict(zip(self.keys, map(ExactSums, _split(self.parts, self.lengths)), strict=True))


@dataclass(frozen=True, eq=False)
class PackedScores:
    """The scores of some slices and classes.

    Attributes:
        keys: The slices, each with its classes.
        codes: The cells of all, those of a slice and class in a row, shape (cells,).
        counts: How often each was seen, of the same shape.
        lengths: How many cells each slice and class has.
    """

    keys: list[tuple[SliceKey, tuple[int | None, ...]]]
    codes: Array
    counts: Array
    lengths: Array

    @classmethod
    def of(cls, scores: Mapping[SliceKey, Mapping[int | None, PairedScores]]) -> "PackedScores":
        """Packs the scores of some slices, by class."""
        found = [each for by_class in scores.values() for each in by_class.values()]
        for each in found:
            each.compact()
        nothing = PairedScores()
        return cls(
            [(key, tuple(by_class)) for key, by_class in scores.items()],
            np.concatenate([nothing.codes, *(each.codes for each in found)]),
            np.concatenate([nothing.counts, *(each.counts for each in found)]),
            np.array([len(each.codes) for each in found], np.int64),
        )

    def unpacked(self) -> dict[SliceKey, dict[int | None, PairedScores]]:
        """Returns what was packed."""
        parts = (_split(array, self.lengths) for array in (self.codes, self.counts))
        found = map(PairedScores, *parts)
        return {key: {class_id: next(found) for class_id in classes} for key, classes in self.keys}


def _split(array: Array, lengths: Array) -> list[Array]:
    """Returns parts of an array, so many rows each."""
    ends = np.cumsum(lengths).tolist()
    return [array[end - length : end] for end, length in zip(ends, lengths.tolist(), strict=True)]
