"""What adding up the cells of many batches costs."""

import numpy as np
import pytest

from tfx_tflite.components.judgement.metrics.paired_scores import PairedScores

_CELLS_A_BATCH = 20


class Counting(np.ndarray):
    """Codes that count how often somebody asks how many they are."""

    looks = 0

    def __len__(self) -> int:
        Counting.looks += 1
        return super().__len__()


def batch(number: int) -> PairedScores:
    """Returns a batch none of whose cells was seen before."""
    codes = np.arange(_CELLS_A_BATCH, dtype=np.uint64) + _CELLS_A_BATCH * number
    return PairedScores(codes.view(Counting), np.ones(_CELLS_A_BATCH, np.int64))


def looks_a_batch(batches: int) -> float:
    Counting.looks = 0
    total = PairedScores()
    for number in range(batches):
        total.merge(batch(number))
    assert total.cells().counts.sum() == batches * _CELLS_A_BATCH
    return Counting.looks / batches


def test_a_batch_costs_as_much_among_ten_times_as_many():
    """It did not while each merge counted all the parts that wait."""
    assert looks_a_batch(10_000) <= 1.2 * looks_a_batch(1_000)


def test_what_waits_of_a_small_slice_is_little_however_many_batches_have_it():
    """In a slice of a user each batch has one example, which takes ten times the room of a cell."""
    total = PairedScores()
    waiting = []
    for number in range(3_000):
        codes = np.array([number % 7], np.uint64)
        total.merge(PairedScores(codes, np.ones(1, np.int64)))
        waiting.append(len(total.waiting))
    assert max(waiting) <= 300 and total.cells().counts.sum() == 3_000


@pytest.mark.parametrize("batches", [1, 7, 500])
def test_parts_that_were_added_up_apart_are_added_up_as_well(batches: int):
    halves = [PairedScores(), PairedScores()]
    for number in range(batches):
        halves[number % 2].merge(batch(number // 3))
    halves[0].merge(halves[1])
    whole = PairedScores()
    for number in range(batches):
        whole.merge(batch(number // 3))
    found, expected = halves[0].cells(), whole.cells()
    np.testing.assert_array_equal(found.counts, expected.counts)
    np.testing.assert_array_equal(found.buckets, expected.buckets)


def merged(*counts: np.ndarray) -> PairedScores:
    total = PairedScores()
    for part in counts:
        total.merge(PairedScores(np.arange(len(part), dtype=np.uint64), part))
    total.compact()
    return total


def test_a_cell_of_a_slice_takes_twelve_bytes():
    """Most of what ten million examples leave in memory is cells."""
    total = merged(np.array([1, 2], np.uint32), np.array([3, 4], np.int64))
    assert total.codes.itemsize + total.counts.itemsize == 12
    assert total.cells().counts.tolist() == [4, 6]


def test_a_cell_that_is_seen_more_often_than_fits_into_32_bits_is_counted():
    often = np.array([2**32 - 1, 5], np.uint32)
    assert merged(often, often, often).cells().counts.tolist() == [3 * (2**32 - 1), 15]


def test_weights_stay_weights():
    total = merged(np.array([0.25, 2.0]), np.array([0.5, 1.0]))
    assert total.cells().counts.tolist() == [0.75, 3.0]
