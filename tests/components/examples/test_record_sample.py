"""A sample of records by their checksums: the same for any files, and as good as random."""

import io

import numpy as np
import pytest

from tests.components.examples.test_frames import frame
from tfx_tflite.components.examples import record_sample
from tfx_tflite.components.examples.frames import frames_of
from tfx_tflite.components.examples.record_sample import RecordSample, ranks_of

RECORDS = [f"record {number}".encode() for number in range(1000)]


def sample_of(records: list[bytes], limit: int = 30, seed: int = 0) -> RecordSample:
    sample = RecordSample(limit)
    for frames in frames_of(io.BytesIO(b"".join(map(frame, records))), "a"):
        sample.add_frames(frames, seed)
    return sample


def drawn(sample: RecordSample) -> list[bytes]:
    return [record for _, record in sample.lowest()]


def test_is_the_same_in_whatever_files_and_order_the_records_are():
    expected = drawn(sample_of(RECORDS))
    for parts in (2, 7, 100):
        samples = [sample_of(RECORDS[part::parts]) for part in range(parts)]
        for order in (samples, samples[::-1]):
            merged = record_sample._Merge(30).merge_accumulators(order)
            assert drawn(merged) == expected and merged.seen == len(RECORDS)


def test_no_more_records_than_twice_the_sample_are_kept(monkeypatch: pytest.MonkeyPatch):
    from tfx_tflite.components.examples import frames

    monkeypatch.setattr(frames, "CHUNK", 100)
    kept = []
    sample = RecordSample(30)
    for part in frames_of(io.BytesIO(b"".join(map(frame, RECORDS))), "a"):
        sample.add_frames(part, 0)
        kept.append(len(sample.candidates))
    assert max(kept) <= 60 and drawn(sample) == drawn(sample_of(RECORDS))


def test_another_seed_draws_others():
    assert not set(drawn(sample_of(RECORDS))) & set(drawn(sample_of(RECORDS, seed=1))) > {*RECORDS}
    assert drawn(sample_of(RECORDS)) != drawn(sample_of(RECORDS, seed=1))


def test_of_fewer_records_than_asked_for_all_are_drawn():
    assert sorted(drawn(sample_of(RECORDS[:20]))) == sorted(RECORDS[:20])


def test_ranks_are_spread_evenly_whatever_the_checksums():
    """Checksums that follow each other are as bad as they can be."""
    for seed in (0, 1, -1):
        ranks = ranks_of(np.arange(100_000, dtype=np.uint32), seed)
        assert len(np.unique(ranks)) == len(ranks)
        counts, _ = np.histogram(ranks, bins=100, range=(0, 2.0**64))
        # Chi-square with 99 degrees of freedom: above 149 in one of a thousand draws.
        assert np.sum((counts - 1000) ** 2 / 1000) < 149
