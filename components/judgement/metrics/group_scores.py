"""Scores of whole groups, such as files, from the scores of their examples.

A score is an error between the output and its target, or the output itself. What an example adds to
its group is whole numbers, so that no order of the examples changes a bit of the groups' scores.

Only NumPy, Arrow and pydantic are imported here, because workers import this module.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.judgement.metrics.groups import FixedPoint, KeyedSums
from tfx_tflite.components.judgement.metrics.paired_scores import Cells, ScoreBuckets, ScoreRanks
from tfx_tflite.components.judgement.metrics.targets import Aggregate

_ScoreKind = Literal["mean_squared_error", "mean_absolute_error", "output"]
# Makes an integer of the bits of a float that is the larger, the larger the float is.
_ALL_BUT_SIGN = np.int64(0x7FFF_FFFF_FFFF_FFFF)


def example_scores(kind: _ScoreKind, outputs: Array, target: Array | None) -> Array:
    """Returns the score of each example, float64 of shape (n,).

    Args:
        kind: What the score is.
        outputs: A model's outputs, shape (n, …), one value an example if they are the score.
        target: What the error is from, of as many values; None if the output is the score.
    """
    values = outputs.reshape(len(outputs), -1).astype(np.float64)
    if target is None:
        return values[:, 0]
    errors = values - target.reshape(len(outputs), -1)
    return (np.abs(errors) if kind == "mean_absolute_error" else np.square(errors)).mean(axis=1)


@dataclass(frozen=True)
class GroupScores:
    """Both models' scores of some groups.

    Attributes:
        labels: 0 or 1 for each group, float64 of shape (groups,).
        scores: The float and the quantized model's, float64 of shape (2, groups).
    """

    labels: Array
    scores: Array

    def ranked(self) -> tuple[Cells, ScoreRanks]:
        """Returns the groups by the ranks of their scores, which areas are exact of."""
        ranks = ScoreRanks(np.unique(self.scores))
        return self._cells(ranks), ranks

    def bucketed(self, buckets: ScoreBuckets) -> Cells:
        """Returns the groups by the buckets of their scores, which are probabilities."""
        return self._cells(buckets)

    def _cells(self, buckets: ScoreBuckets | ScoreRanks) -> Cells:
        counts = np.ones(len(self.labels), np.int64)
        return Cells(self.labels, buckets.of(self.scores).astype(np.int64), counts)


@dataclass(frozen=True)
class ScoreSums:
    """How the scores of examples add up to those of groups.

    Attributes:
        aggregate: What is asked for.
        unit: Of the scores.
    """

    aggregate: Aggregate
    unit: FixedPoint

    def of(self, ids: Array, labels: Array, before: Array, after: Array) -> KeyedSums:
        """Returns what some examples add to their groups.

        Args:
            ids: The group of each, uint64 of shape (n,).
            labels: 0 or 1, shape (n,).
            before: The float model's scores, shape (n,).
            after: The quantized model's.
        """
        columns = [np.ones(len(ids), np.int64), labels.astype(np.int64)]
        if self.aggregate.reduce == "max":
            columns += [_ordered(before), _ordered(after)]
            return KeyedSums.of([ids], np.stack(columns, axis=1), maxima=2)
        columns += [*self.unit.terms(before), *self.unit.terms(after)]
        return KeyedSums.of([ids], np.stack(columns, axis=1))

    def scores(self, sums: KeyedSums, names: Mapping[int, object]) -> GroupScores:
        """Returns the scores of the groups.

        Args:
            sums: Of all examples of a slice.
            names: The groups' values, by their numbers, for messages.

        Raises:
            DataError: The examples of a group have different labels, or no score.
        """
        keys, totals = sums.rows()
        counts, ones = totals[:, 0], totals[:, 1]
        by = self.aggregate.by
        mixed = keys[(ones > 0) & (ones < counts), 0]
        if len(mixed):
            raise DataError(
                f"group {_first(mixed, names)} of {by!r} (evaluation.aggregate.by) has label 0 in "
                f"some of its examples and label 1 in others; so have {len(mixed)} of {len(keys)} "
                "groups, and each must have one"
            )
        if self.aggregate.reduce == "max":
            scores = np.stack([_unordered(column) for column in totals[:, 2:].T])
        else:
            both = (self.unit.totals(part) for part in np.split(totals[:, 2:], 2, axis=1))
            scores = np.stack([part / counts for part in both])
        lost = keys[np.isnan(scores).any(axis=0), 0]
        if len(lost):
            raise DataError(
                f"the scores of group {_first(lost, names)} of {by!r} are not finite, or many "
                "million times those of the first examples; look at its examples"
            )
        return GroupScores((ones > 0).astype(np.float64), scores)


def _first(ids: Iterable[int], names: Mapping[int, object]) -> str:
    """Returns the first of some groups by name, as messages show it."""
    return min(_text(names[int(key)]) for key in ids)


def _text(value: object) -> str:
    return repr(value.decode("utf-8", "replace")) if isinstance(value, bytes) else str(value)


def _ordered(values: Array) -> Array:
    """Returns int64 numbers that are in the order of float64 ones."""
    bits = (values + 0.0).view(np.int64)
    return np.where(bits < 0, bits ^ _ALL_BUT_SIGN, bits)


def _unordered(numbers: Array) -> Array:
    """Returns the float64 numbers that `_ordered` was given."""
    return np.where(numbers < 0, numbers ^ _ALL_BUT_SIGN, numbers).view(np.float64)
