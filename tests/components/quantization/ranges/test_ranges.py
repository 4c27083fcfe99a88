"""Extremes, how they merge, and the ranges that follow from them; nothing here runs a model."""

import json
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tfx_tflite.components.errors import ConfigError, DataError
from tfx_tflite.components.examples.tensors import EXAMPLES_A_FILE
from tfx_tflite.components.quantization.ranges.policy import KEPT, RangePolicy
from tfx_tflite.components.quantization.ranges.ranges import (
    BatchExtremes,
    CombineExtremes,
    CombineExtremesOfFiles,
    TensorRanges,
)
from tfx_tflite.components.quantization.ranges.tensor_range import ActivationTensor

TENSORS = (ActivationTensor(0, "x", is_input=True), ActivationTensor(5, "a/b;c/d"))
PERCENTILE = RangePolicy("percentile")


def extremes_of(examples: int, seed: int = 0) -> BatchExtremes:
    values = np.random.default_rng(seed).normal(size=(2, examples, len(TENSORS)))
    return BatchExtremes(0, *np.sort(values.astype(np.float32), axis=0))


def combine(*shards: list[BatchExtremes]) -> TensorRanges:
    fn = CombineExtremes()
    accumulators = []
    for shard in shards:
        accumulator = fn.create_accumulator()
        for batch in shard:
            accumulator = fn.add_input(accumulator, batch)
        accumulators.append(accumulator)
    merged = fn.extract_output(fn.merge_accumulators(accumulators))
    return merged.ranges("sha256:model", TENSORS)


def rows(batch: BatchExtremes, start: int, stop: int) -> BatchExtremes:
    return BatchExtremes(start, batch.minima[start:stop], batch.maxima[start:stop])


@pytest.mark.parametrize("shards", [1, 2, 8])
def test_ranges_are_the_same_for_any_shards_and_any_order(shards: int):
    whole = extremes_of(3000)
    batches = [rows(whole, start, start + 7) for start in range(0, 3000, 7)]
    random.Random(shards).shuffle(batches)
    split = [batches[index::shards] for index in range(shards)]
    assert combine(*split).to_json() == combine([whole]).to_json()


def test_the_two_zeros_are_one_whatever_the_order():
    zeros = [BatchExtremes(0, np.full((1, 2), z, np.float32), np.full((1, 2), z, np.float32))
             for z in (0.0, -0.0)]  # fmt: skip
    assert combine(zeros).to_json() == combine(zeros[::-1]).to_json()


def test_minmax_takes_the_outermost_values():
    whole = extremes_of(1000)
    for column, found in enumerate(combine([whole]).resolve(RangePolicy("minmax"))):
        assert found.minimum == whole.minima[:, column].min()
        assert found.maximum == whole.maxima[:, column].max()


@pytest.mark.parametrize("percentile", [99.9, 99.0, 97.5])
@pytest.mark.parametrize("examples", [50, 201, 1001, 1002, 5000])
def test_the_percentile_is_numpys_lower_rank(percentile: float, examples: int):
    whole = extremes_of(examples)
    ranges = combine([whole]).resolve(RangePolicy("percentile", percentile))
    for column, found in enumerate(ranges):
        maxima, minima = whole.maxima[:, column], whole.minima[:, column]
        assert found.maximum == np.percentile(maxima, percentile, method="lower")
        assert found.minimum == np.percentile(-minima, percentile, method="lower") * -1


@pytest.mark.parametrize(
    ("examples", "left_out"), [(1, 0), (49, 0), (50, 1), (201, 1), (1001, 1), (1002, 2), (5000, 5)]
)
def test_the_percentile_leaves_out_one_example_at_least_once_there_are_fifty(
    examples: int, left_out: int
):
    assert PERCENTILE.left_out(examples) == left_out
    assert RangePolicy("minmax").left_out(examples) == 0


def test_one_outlier_of_201_does_not_decide_a_percentile():
    usual = extremes_of(200)
    outlier = BatchExtremes(200, usual.minima[:1] * 20 - 20, usual.maxima[:1] * 20 + 20)
    with_outlier = combine([usual], [outlier]).resolve(PERCENTILE)
    assert with_outlier == combine([usual]).resolve(RangePolicy("minmax"))


def test_a_percentile_is_refused_where_it_leaves_out_more_than_is_kept():
    most = 10 * (KEPT - 1) + 1
    policy = RangePolicy("percentile", 90)
    assert policy.left_out(most) == KEPT - 1
    with pytest.raises(ConfigError, match=rf"256 of {most + 1} examples.*at most {most} samples"):
        policy.left_out(most + 1)


def test_ranges_survive_json_to_the_last_bit():
    ranges = combine([extremes_of(300)])
    read = TensorRanges.from_json(ranges.to_json())
    np.testing.assert_array_equal(read.minima, ranges.minima)
    np.testing.assert_array_equal(read.maxima, ranges.maxima)
    assert read.to_json() == ranges.to_json()
    assert read.resolve(PERCENTILE) == ranges.resolve(PERCENTILE)


@pytest.mark.parametrize("shards", [1, 3])
def test_the_first_bad_example_is_named_whatever_the_shards(shards: int):
    whole = extremes_of(30)
    whole.minima[21, :] = whole.maxima[21, :] = np.nan
    whole.maxima[7, 1] = np.inf
    batches = [rows(whole, start, start + 2) for start in reversed(range(0, 30, 2))]
    with pytest.raises(DataError, match=r"^calibration example 7 gives infinity in tensor 'c/d'"):
        combine(*[batches[index::shards] for index in range(shards)])


def test_nan_in_an_input_is_blamed_on_the_input():
    whole = extremes_of(3)
    whole.minima[1, :] = whole.maxima[1, :] = np.nan
    with pytest.raises(DataError, match=r"^calibration example 1 has NaN in input 'x'; remove"):
        combine([whole])


def test_no_examples_are_an_error():
    with pytest.raises(DataError, match="holds no examples"):
        combine([], [])


def test_a_constant_input_is_a_warning():
    whole = extremes_of(10)
    whole.minima[:, 0] = whole.maxima[:, 0] = 0
    ranges = combine([whole])
    assert [found.tensor for found in ranges.constant()] == [TENSORS[0]]
    assert ranges.warnings() == (
        "input 'x' is 0 in all 10 calibration examples; its range in production is unknown",
    )


def test_workers_import_the_module_without_tensorflow():
    code = (
        "import sys, tfx_tflite.components.quantization.ranges.ranges\n"
        "sys.exit('tensorflow' in sys.modules or 'tfx' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_low_percentile_does_not_turn_a_range_round():
    policy = RangePolicy("percentile", 50)
    for examples in (50, 51, 101):
        assert 2 * policy.left_out(examples) <= examples - 1


ROBUST = RangePolicy("robust")
HEAVY_TAILS = {
    "lognormal": lambda generator, shape: generator.lognormal(0, 1, shape),
    "wider lognormal": lambda generator, shape: generator.lognormal(0, 1.5, shape),
    "Student's t, 3": lambda generator, shape: generator.standard_t(3, shape),
    "fares with a flat one": lambda generator, shape: np.where(
        generator.random(shape) < 0.02, 52, generator.lognormal(2.2, 0.6, shape)
    ),
}
LIGHT_TAILS = {
    "normal": lambda generator, shape: generator.normal(0, 1, shape),
    "uniform": lambda generator, shape: generator.uniform(0, 255, shape),
    "exponential": lambda generator, shape: generator.exponential(1, shape),
    "constant": lambda generator, shape: np.ones(shape),
    "rarely more than zero": lambda generator, shape: generator.random(shape) < 0.02,
}


def observed(values: np.ndarray) -> BatchExtremes:
    """The extremes of examples whose values are in rows, for both tensors."""
    found = values.astype(np.float32)
    minima, maxima = found.min(axis=1), found.max(axis=1)
    return BatchExtremes(0, np.stack([minima] * 2, 1), np.stack([maxima] * 2, 1))


@pytest.mark.parametrize("examples", [50, 200, 5000])
@pytest.mark.parametrize("draw", LIGHT_TAILS.values(), ids=LIGHT_TAILS)
def test_robust_ranges_of_data_without_outliers_are_the_outermost_values(draw, examples: int):
    for seed in range(20):
        ranges = combine([observed(draw(np.random.default_rng(seed), (examples, 16)))])
        assert ranges.resolve(ROBUST) == ranges.resolve(RangePolicy("minmax"))
        assert ranges.outliers() == ()


@pytest.mark.parametrize(
    ("values", "shares"),
    [
        ((0, 1, 2, 5), (0.60, 0.37, 0.02, 0.01)),
        ((1, 3), (0.985, 0.015)),
        ((1, 2, 3, 4, 5, 30), (0.3, 0.3, 0.2, 0.1, 0.09, 0.01)),
    ],
)
@pytest.mark.parametrize("examples", [200, 1000])
def test_robust_ranges_keep_counts_and_grades(values: tuple, shares: tuple, examples: int):
    for seed in range(100):
        drawn = np.random.default_rng(seed).choice(values, (examples, 1), p=shares)
        assert combine([observed(drawn)]).outliers() == ()


def test_robust_ranges_leave_out_the_image_that_was_not_scaled():
    images = np.random.default_rng(0).random((200, 64))
    images[:, 0] = 1.0
    images[[5, 9, 70]] *= 255
    found = combine([observed(images)])
    assert {outlier.examples for outlier in found.outliers()} == {(5, 9, 70)}


@pytest.mark.parametrize("draw", HEAVY_TAILS.values(), ids=HEAVY_TAILS)
def test_robust_ranges_hardly_ever_cut_a_tail(draw):
    """A factor of two alone, without what is usual behind it, would cut 7 to 36 % of these."""
    cut = 0
    for seed in range(200):
        ranges = combine([observed(draw(np.random.default_rng(seed), (200, 4)))])
        cut += bool(ranges.outliers())
    assert cut <= 6


@pytest.mark.parametrize("factor", [20, -20, 100])
@pytest.mark.parametrize(("examples", "outlying"), [(50, 1), (200, 1), (200, 2), (200, 3)])
def test_robust_ranges_leave_out_outliers_and_name_them(
    examples: int, outlying: int, factor: float
):
    clean = np.random.default_rng(3).normal(0, 1, (examples, 16))
    positions = [7, 31, 44][:outlying]
    dirty = clean.copy()
    dirty[positions] *= factor
    ranges = combine([observed(dirty)])
    others = combine([observed(np.delete(clean, positions, axis=0))])
    assert ranges.resolve(ROBUST) == others.resolve(RangePolicy("minmax"))
    assert {outlier.examples for outlier in ranges.outliers()} == {tuple(positions)}
    [warning] = ranges.warnings(ROBUST)
    names = ", ".join(map(str, positions))
    assert f"calibration example{'s' if outlying > 1 else ''} {names}; input 'x' goes to" in warning
    assert ranges.warnings(RangePolicy("minmax")) == ()


def test_of_fewer_than_fifty_examples_none_is_an_outlier():
    values = np.random.default_rng(0).normal(0, 1, (49, 16))
    values[5] *= 1000
    ranges = combine([observed(values)])
    assert ranges.resolve(ROBUST) == ranges.resolve(RangePolicy("minmax"))


def test_no_more_than_two_percent_are_outliers():
    values = np.random.default_rng(0).normal(0, 1, (200, 16))
    values[:5] *= 1000
    ranges = combine([observed(values)])
    assert ranges.resolve(ROBUST) == ranges.resolve(RangePolicy("minmax"))


def test_an_outlier_is_named_by_its_file_and_its_number_in_it():
    values = np.random.default_rng(0).normal(0, 1, (100, 16))
    values[20] *= 50
    found = observed(values)
    second = [BatchExtremes(EXAMPLES_A_FILE + 3, found.minima[20:21], found.maxima[20:21])]
    rest = rows(found, 0, 20), rows(found, 21, 100)
    assert "calibration example 3 of file 1;" in combine(second, [*rest]).warnings(ROBUST)[0]


def test_of_equal_values_the_first_examples_are_kept_whatever_the_order():
    """Else the position of an example would depend on how the work was shared."""
    same = BatchExtremes(0, np.ones((600, 2), np.float32), np.ones((600, 2), np.float32))
    batches = [rows(same, start, start + 25) for start in range(0, 600, 25)]
    ranges = combine(batches[::-2], batches[-2::-2])
    assert ranges.lowest_examples[0].tolist() == list(range(12))
    assert ranges.to_json() == combine([same]).to_json()


def test_ranges_of_an_older_version_can_be_read():
    written = json.loads(combine([extremes_of(300)]).to_json())
    for tensor in written["tensors"]:
        del tensor["lowest_examples"], tensor["highest_examples"]
    read = TensorRanges.from_json(json.dumps(written))
    assert read.resolve(ROBUST) == combine([extremes_of(300)]).resolve(ROBUST)


@pytest.mark.parametrize("shards", [1, 3])
def test_the_extremes_of_a_file_are_those_that_it_has_alone(shards: int):
    files = [extremes_of(300, seed) for seed in range(3)]
    batches = [
        replace(rows(whole, start, start + 7), position=file * EXAMPLES_A_FILE + start)
        for file, whole in enumerate(files)
        for start in range(0, 300, 7)
    ]
    random.Random(shards).shuffle(batches)
    fn = CombineExtremesOfFiles()
    accumulators = []
    for shard in range(shards):
        accumulator = fn.create_accumulator()
        for batch in batches[shard::shards]:
            accumulator = fn.add_input(accumulator, batch)
        accumulators.append(accumulator)
    found = fn.extract_output(fn.merge_accumulators(accumulators))
    assert [each.ranges("sha256:model", TENSORS).to_json() for each in found] == [
        combine([whole]).to_json() for whole in files
    ]
