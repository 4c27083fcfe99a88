"""A sample of calibration examples that depends on the data and the seed alone.

Each example is ranked by a seeded hash of its bytes and the lowest ranks are kept (bottom-k
sampling: Cohen and Kaplan, "Summarizing data using bottom-k sketches", PODC 2007). The hash is as
good as a random draw, but the same for any number of shards, workers and any order, and one pass
is enough, in memory for some `samples` examples a stratum. Copies of an example have its rank, so
they tend to be drawn together.

With `seeds` of more than one, several samples are drawn in the same pass. The first is that of the
lowest ranks, the second that of the next ones, and so on, so that no two have an example in common.
What a stratum has too few examples for is drawn from all of them anew, by a hash of its own.

Only Beam and NumPy are imported here, because workers import this module.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import apache_beam as beam
import numpy as np
import pyarrow as pa

from tfx_tflite.components.digests import records_digest
from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples.settings import SamplePlan
from tfx_tflite.components.examples.tensors import RAW_RECORD_COLUMN

# The stratum of examples that lack the feature, and the one of a sample without strata.
MISSING = "(missing)"
ALL = "all"

_RANK_BYTES = 16
# Every stratum keeps up to `samples` candidates a draw, so their number bounds the memory.
_MAX_STRATA = 1000


@dataclass(frozen=True)
class CalibrationSample:
    """The sample: serialized examples by ascending rank, and how they were drawn.

    Attributes:
        records: Serialized tf.Examples.
        seen: How many examples each stratum has in the data.
        drawn: How many of them are in the sample.
        others: The records of the second draw and of those that follow, as many in each.
    """

    records: tuple[bytes, ...]
    seen: Mapping[str, int]
    drawn: Mapping[str, int]
    others: tuple[tuple[bytes, ...], ...] = ()

    @property
    def draws(self) -> tuple[tuple[bytes, ...], ...]:
        """The records of each draw."""
        return (self.records, *self.others)

    @property
    def digest(self) -> str:
        """A digest of the records in their order, those of all draws."""
        return records_digest(chain(*self.draws))

    @property
    def shared(self) -> float:
        """The share of the draws' examples that more than one draw has."""
        counts = Counter(chain(*map(set, self.draws)))
        total = sum(counts.values())
        return sum(count for count in counts.values() if count > 1) / total if total else 0.0


@dataclass
class _Stratum:
    """The candidates of one stratum: (rank, record) pairs, at least the `limit` lowest."""

    seen: int = 0
    candidates: list[tuple[bytes, bytes]] = field(default_factory=list)
    threshold: bytes | None = None

    def add(self, ranked: Iterable[tuple[bytes, bytes]], seen: int, limit: int) -> None:
        self.seen += seen
        if self.threshold is not None:
            ranked = (pair for pair in ranked if pair[0] <= self.threshold)
        self.candidates.extend(ranked)
        if len(self.candidates) > 2 * limit:
            self.prune(limit)

    def prune(self, limit: int) -> None:
        self.candidates.sort()
        del self.candidates[limit:]
        if len(self.candidates) == limit:
            self.threshold = self.candidates[-1][0]


_Accumulator = dict[str, _Stratum]


class SampleCalibrationExamples(beam.CombineFn):
    """Combines (strata, records) batches into one `CalibrationSample`.

    Args:
        plan: How to sample.
    """

    def __init__(self, plan: SamplePlan):
        self._plan = plan
        self._key = _key(plan.seed)
        # What the draws may take of a stratum.
        self._limit = plan.samples * plan.seeds

    def create_accumulator(self) -> _Accumulator:
        """Returns no strata."""
        return {}

    def add_input(
        self, accumulator: _Accumulator, element: tuple[Sequence[str] | None, Sequence[bytes]]
    ) -> _Accumulator:
        """Adds a batch: the stratum of each example, or None for one stratum, and the examples."""
        strata, records = element
        ranked = [(_rank(record, self._key), record) for record in records]
        if strata is None:
            self._add(accumulator, ALL, ranked)
            return accumulator
        groups: dict[str, list[tuple[bytes, bytes]]] = {}
        for stratum, pair in zip(strata, ranked, strict=True):
            groups.setdefault(stratum, []).append(pair)
        for stratum, pairs in groups.items():
            self._add(accumulator, stratum, pairs)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[_Accumulator]) -> _Accumulator:
        """Merges in any order to the same result."""
        merged: _Accumulator = {}
        for accumulator in accumulators:
            for name, stratum in accumulator.items():
                self._add(merged, name, stratum.candidates, stratum.seen)
        return merged

    def extract_output(self, accumulator: _Accumulator) -> CalibrationSample:
        """Returns the sample, which is empty if there were no examples."""
        seen = {name: accumulator[name].seen for name in sorted(accumulator)}
        quotas = allocate(seen, self._plan.samples, self._plan.allocation)
        ranked = {name: sorted(stratum.candidates) for name, stratum in accumulator.items()}
        draws = [self._draw(ranked, quotas, draw) for draw in range(self._plan.seeds)]
        return CalibrationSample(draws[0], seen, quotas, tuple(draws[1:]))

    def _draw(
        self,
        ranked: Mapping[str, Sequence[tuple[bytes, bytes]]],
        quotas: Mapping[str, int],
        draw: int,
    ) -> tuple[bytes, ...]:
        """Returns the records of a draw by ascending rank.

        Args:
            ranked: The candidates of each stratum by ascending rank.
            quotas: How many of each.
            draw: Which draw, from 0.
        """
        drawn: list[tuple[bytes, bytes]] = []
        for name, candidates in ranked.items():
            quota = quotas[name]
            part = candidates[draw * quota : (draw + 1) * quota]
            if len(part) < quota:
                # Fewer than all draws ask for, so that all examples of the stratum are candidates.
                key = _key(f"{self._plan.seed}/{draw}")
                anew = sorted((_rank(record, key), rank, record) for rank, record in candidates)
                part = [(rank, record) for _, rank, record in anew[:quota]]
            drawn.extend(part)
        return tuple(record for _, record in sorted(drawn))

    def _add(
        self,
        accumulator: _Accumulator,
        name: str,
        pairs: list[tuple[bytes, bytes]],
        seen: int | None = None,
    ) -> None:
        if name not in accumulator:
            if len(accumulator) >= _MAX_STRATA:
                raise DataError(
                    f"calibration.stratify_by: feature {self._plan.stratify_by!r} has more than "
                    f"{_MAX_STRATA} distinct values; choose a feature with fewer"
                )
            accumulator[name] = _Stratum()
        count = len(pairs) if seen is None else seen
        accumulator[name].add(pairs, count, self._limit)


def _key(seed: int | str) -> bytes:
    return hashlib.blake2b(str(seed).encode()).digest()


def _rank(record: bytes, key: bytes) -> bytes:
    return hashlib.blake2b(record, digest_size=_RANK_BYTES, key=key).digest()


def allocate(seen: Mapping[str, int], samples: int, allocation: str) -> dict[str, int]:
    """Returns how many examples to draw from each stratum.

    The quotas add up to `samples`, or to all examples if there are fewer, and none is above
    what its stratum has. Ties go to the stratum that sorts first.

    Args:
        seen: The number of examples in each stratum.
        samples: How many to draw in all.
        allocation: `equal` or `proportional`.
    """
    total = min(samples, sum(seen.values()))
    if allocation == "proportional":
        return _largest_remainders(seen, total)
    return _rounds(seen, total)


def _largest_remainders(seen: Mapping[str, int], total: int) -> dict[str, int]:
    everything = max(sum(seen.values()), 1)
    quotas = {name: total * count // everything for name, count in seen.items()}
    by_remainder = sorted(seen, key=lambda name: (-(total * seen[name] % everything), name))
    for name in by_remainder[: total - sum(quotas.values())]:
        quotas[name] += 1
    return quotas


def _rounds(seen: Mapping[str, int], total: int) -> dict[str, int]:
    quotas = dict.fromkeys(seen, 0)
    left = total
    while left:
        open_strata = sorted(name for name in seen if quotas[name] < seen[name])
        share = max(left // len(open_strata), 1)
        for name in open_strata[:left]:
            added = min(share, seen[name] - quotas[name])
            quotas[name] += added
            left -= added
    return quotas


def strata_and_records(
    batch: pa.RecordBatch, stratify_by: str | None
) -> tuple[list[str] | None, list[bytes]]:
    """Returns the stratum of each example of a batch (None without strata) and the examples.

    Raises:
        DataError: An example has several values of the feature.
    """
    raw = batch.column(batch.schema.get_field_index(RAW_RECORD_COLUMN))
    records = raw.flatten().to_pylist()
    return (None if stratify_by is None else _strata(batch, stratify_by)), records


def _strata(batch: pa.RecordBatch, feature: str) -> list[str]:
    index = batch.schema.get_field_index(feature)
    if index < 0 or pa.types.is_null(batch.column(index).type):
        return [MISSING] * batch.num_rows
    column = batch.column(index)
    lengths = np.asarray(column.value_lengths().fill_null(0))
    if np.any(lengths > 1):
        raise DataError(
            f"calibration.stratify_by: feature {feature!r} has {int(lengths.max())} values in an "
            "example, expected one"
        )
    values = iter(column.flatten().to_pylist())
    return [_stratum_name(next(values)) if length else MISSING for length in lengths]


def _stratum_name(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


class DrawCalibrationSample(beam.PTransform):
    """PCollection of RecordBatches to a PCollection of one `CalibrationSample`.

    Args:
        plan: How to sample.
    """

    def __init__(self, plan: SamplePlan):
        super().__init__()
        self._plan = plan

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        """Builds the transform."""
        return (
            batches
            | "StrataAndRecords" >> beam.Map(strata_and_records, self._plan.stratify_by)
            | "Sample" >> beam.CombineGlobally(SampleCalibrationExamples(self._plan))
        )
