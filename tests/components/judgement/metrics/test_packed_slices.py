"""Sums of slices on their way to another worker."""

import pickle

import numpy as np

from tfx_tflite.components.judgement.metrics.packed_slices import PackedScores, PackedSums
from tfx_tflite.components.judgement.metrics.paired_scores import PairedScores
from tfx_tflite.components.judgement.statistics.exact_sums import ExactSums

SLICES = 1_000
# The same objects everywhere, as a batch's slices are.
KEYS = [(("user", number),) for number in range(SLICES)]


def sums() -> dict[tuple[tuple[str, int], ...], ExactSums]:
    generator = np.random.default_rng(0)
    return {KEYS[n]: ExactSums(generator.normal(size=(n % 4, 3))) for n in range(SLICES)}


def scores() -> dict[tuple[tuple[str, int], ...], dict[int | None, PairedScores]]:
    found: dict[tuple[tuple[str, int], ...], dict[int | None, PairedScores]] = {}
    for number in range(SLICES):
        for class_id in (None, 3):
            known = found.setdefault(KEYS[number], {})[class_id] = PairedScores()
            for part in range(number % 3):
                codes = np.arange(part, part + 2, dtype=np.uint64)
                known.merge(PairedScores(codes, np.ones(2, np.int64)))
    return found


def test_sums_are_unpacked_as_they_were():
    before, after = sums(), PackedSums.of(sums()).unpacked()
    assert [*before] == [*after]
    assert all((before[name].parts == after[name].parts).all() for name in before)


def test_scores_are_unpacked_as_they_were_with_nothing_that_waits():
    before, after = scores(), PackedScores.of(scores()).unpacked()
    assert [*before] == [*after]
    for name, by_class in before.items():
        assert [*by_class] == [*after[name]]
        for class_id, known in by_class.items():
            found = after[name][class_id]
            assert not found.waiting
            expected = known.cells()
            np.testing.assert_array_equal(found.cells().counts, expected.counts)
            np.testing.assert_array_equal(found.cells().buckets, expected.buckets)


def test_nothing_is_packed_as_nothing():
    assert PackedSums.of({}).unpacked() == PackedScores.of({}).unpacked() == {}


def test_packed_sums_take_less_than_a_third_of_what_each_by_itself_takes():
    loose = len(pickle.dumps((sums(), scores())))
    assert len(pickle.dumps((PackedSums.of(sums()), PackedScores.of(scores())))) < loose / 3
