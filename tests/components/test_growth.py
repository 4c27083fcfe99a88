"""What one more part of the data costs, however many were added up before."""

import sys
from collections.abc import Callable

import apache_beam as beam
import numpy as np
import pytest

from tfx_tflite.components.examples.lowest_digests import LowestDigests
from tfx_tflite.components.examples.sampling import SampleCalibrationExamples
from tfx_tflite.components.examples.settings import SamplePlan
from tfx_tflite.components.judgement.copies import CopySketch
from tfx_tflite.components.judgement.metrics.groups import KeyedSums
from tfx_tflite.components.judgement.statistics.exact_sums import ExactSums, exact_layers
from tfx_tflite.components.quantization.ranges.ranges import BatchExtremes, CombineExtremes

EXAMPLES = 10


def calls_of(act: Callable[[], object]) -> int:
    """Returns how many functions are called, of Python's and of C's."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(None)
    return calls


def examples(part: int) -> list[bytes]:
    return [b"example %d" % number for number in range(part * EXAMPLES, (part + 1) * EXAMPLES)]


def numbers(part: int) -> np.ndarray:
    return np.random.default_rng(part).normal(size=(EXAMPLES, 3)).astype(np.float32)


def combined(combine: beam.CombineFn, element: Callable[[int], object], parts: int) -> None:
    """Adds parts up one by one, as workers' results come."""
    total = combine.create_accumulator()
    for part in range(parts):
        new = combine.add_input(combine.create_accumulator(), element(part))
        total = combine.merge_accumulators([total, new])


def sample(parts: int) -> None:
    combined(
        SampleCalibrationExamples(SamplePlan(samples=20)), lambda n: (None, examples(n)), parts
    )


def first_examples(parts: int) -> None:
    combined(LowestDigests(12), lambda n: (n * EXAMPLES, examples(n)), parts)


def ranges(parts: int) -> None:
    values = (BatchExtremes(n * EXAMPLES, numbers(n), numbers(n)) for n in range(parts))
    combined(CombineExtremes(), lambda _: next(values), parts)


def exact_sums(parts: int) -> None:
    total = ExactSums(np.zeros((0, 3)))
    for part in range(parts):
        total = ExactSums.merged([total, ExactSums.of(exact_layers(numbers(part)))])


def groups(parts: int) -> None:
    """Groups none of which was seen before."""
    total = KeyedSums()
    for part in range(parts):
        ids = np.arange(EXAMPLES, dtype=np.uint64) + np.uint64(part * EXAMPLES)
        total.merge(KeyedSums.of([ids], np.ones((EXAMPLES, 1), np.int64)))
    total.rows()


def copies(parts: int) -> None:
    total = CopySketch()
    for part in range(parts):
        digests = np.random.default_rng(part).integers(1 << 62, size=(EXAMPLES, 2))
        total.merge(CopySketch.of(digests))


@pytest.mark.parametrize("added_up", [sample, first_examples, ranges, exact_sums, groups, copies])
def test_a_part_costs_as_much_among_ten_times_as_many(added_up: Callable[[int], None]):
    # What is made once.
    added_up(2)
    few, many = (calls_of(lambda n=n: added_up(n)) / n for n in (100, 1_000))
    assert many <= 1.2 * few
