from collections import Counter

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.testing.util import assert_that, equal_to

from tfx_tflite.components.errors import ConfigError, DataError
from tfx_tflite.components.examples.sampling import (
    ALL,
    MISSING,
    DrawCalibrationSample,
    SampleCalibrationExamples,
    SamplePlan,
    allocate,
    strata_and_records,
)
from tfx_tflite.components.examples.tensors import RAW_RECORD_COLUMN

RECORDS = [f"example {index}".encode() for index in range(500)]
STRATA = [str(index % 3) for index in range(500)]


def sample(plan: SamplePlan, shards: int = 1, order: list[int] | None = None, strata=None):
    """Draws from RECORDS in `shards` accumulators, as that many workers would."""
    combine = SampleCalibrationExamples(plan)
    order = list(range(len(RECORDS))) if order is None else order
    accumulators = []
    for shard in range(shards):
        accumulator = combine.create_accumulator()
        rows = order[shard::shards]
        for start in range(0, len(rows), 40):
            batch = rows[start : start + 40]
            names = None if strata is None else [strata[row] for row in batch]
            accumulator = combine.add_input(accumulator, (names, [RECORDS[row] for row in batch]))
        accumulators.append(accumulator)
    return combine.extract_output(combine.merge_accumulators(accumulators))


@pytest.mark.parametrize("strata", [None, STRATA])
def test_shards_and_order_do_not_change_the_sample(strata: list[str] | None):
    plan = SamplePlan(samples=50)
    expected = sample(plan, strata=strata)
    shuffled = list(np.random.default_rng(1).permutation(len(RECORDS)))
    for shards in (2, 8):
        assert sample(plan, shards, strata=strata) == expected
    assert sample(plan, 3, shuffled, strata=strata) == expected


def test_merging_in_another_order_gives_the_same_sample():
    combine = SampleCalibrationExamples(SamplePlan(samples=20))
    parts = [
        combine.add_input(combine.create_accumulator(), (None, RECORDS[start::4]))
        for start in range(4)
    ]
    forward = combine.merge_accumulators(parts)
    nested = combine.merge_accumulators([combine.merge_accumulators(parts[2:]), *parts[1::-1]])
    assert combine.extract_output(forward) == combine.extract_output(nested)


def test_another_seed_gives_another_sample():
    assert (
        sample(SamplePlan(samples=50, seed=1)).records
        != sample(SamplePlan(samples=50, seed=2)).records
    )


def test_every_example_is_as_likely_as_any_other():
    drawn = Counter(
        record
        for seed in range(200)
        for record in sample(SamplePlan(samples=100, seed=seed)).records
    )
    counts = np.array([drawn[record] for record in RECORDS])
    # Each is binomial with n = 200 and p = 0.2: mean 40, standard deviation 5.7.
    assert counts.mean() == 40
    assert abs(counts.std() - 5.66) < 1
    assert counts.min() > 15 and counts.max() < 65


def test_a_sample_of_more_than_there_is_is_everything():
    result = sample(SamplePlan(samples=10_000))
    assert sorted(result.records) == sorted(RECORDS)
    assert result.drawn == {ALL: 500} == result.seen


def test_a_sample_of_nothing_is_empty():
    combine = SampleCalibrationExamples(SamplePlan(samples=3))
    assert combine.extract_output(combine.create_accumulator()).records == ()


def test_memory_is_bounded_by_the_sample():
    combine = SampleCalibrationExamples(SamplePlan(samples=10))
    accumulator = combine.create_accumulator()
    for record in RECORDS:
        accumulator = combine.add_input(accumulator, (None, [record]))
        assert len(accumulator[ALL].candidates) <= 20


def test_strata_share_the_sample_equally():
    result = sample(SamplePlan(samples=31), strata=STRATA)
    assert result.seen == {"0": 167, "1": 167, "2": 166}
    assert result.drawn == {"0": 11, "1": 10, "2": 10}
    assert len(result.records) == 31


@pytest.mark.parametrize(
    ("seen", "samples", "equal", "proportional"),
    [
        ({"a": 90, "b": 10}, 20, {"a": 10, "b": 10}, {"a": 18, "b": 2}),
        ({"a": 90, "b": 4}, 20, {"a": 16, "b": 4}, {"a": 19, "b": 1}),
        ({"a": 1, "b": 1, "c": 1}, 2, {"a": 1, "b": 1, "c": 0}, {"a": 1, "b": 1, "c": 0}),
        ({"a": 2, "b": 3}, 10, {"a": 2, "b": 3}, {"a": 2, "b": 3}),
        ({}, 10, {}, {}),
    ],
)
def test_allocation(seen: dict, samples: int, equal: dict, proportional: dict):
    assert allocate(seen, samples, "equal") == equal
    assert allocate(seen, samples, "proportional") == proportional


def test_allocation_never_draws_more_than_there_is_and_always_all_that_is_asked():
    generator = np.random.default_rng(0)
    for _ in range(200):
        seen = {str(i): int(n) for i, n in enumerate(generator.integers(1, 50, size=6))}
        samples = int(generator.integers(1, 250))
        for allocation in ("equal", "proportional"):
            quotas = allocate(seen, samples, allocation)
            assert sum(quotas.values()) == min(samples, sum(seen.values()))
            assert all(0 <= quotas[name] <= seen[name] for name in seen)


def test_refuses_a_feature_with_too_many_values():
    plan = SamplePlan(samples=5, stratify_by="user")
    names = [str(index) for index in range(1001)]
    combine = SampleCalibrationExamples(plan)
    with pytest.raises(DataError, match="'user' has more than 1000 distinct values"):
        combine.add_input(combine.create_accumulator(), (names, [b"x"] * 1001))


def record_batch(**features: list) -> pa.RecordBatch:
    rows = len(next(iter(features.values())))
    raw = pa.array([[f"r{row}".encode()] for row in range(rows)])
    arrays = [pa.array(values) for values in features.values()]
    return pa.RecordBatch.from_arrays([*arrays, raw], [*features, RAW_RECORD_COLUMN])


def test_a_stratum_is_named_by_the_features_value():
    strata, records = strata_and_records(
        record_batch(kind=[[b"cat"], None, [b"dog"], []]), stratify_by="kind"
    )
    assert strata == ["cat", MISSING, "dog", MISSING]
    assert records == [b"r0", b"r1", b"r2", b"r3"]


def test_examples_without_the_feature_are_one_stratum():
    assert strata_and_records(record_batch(x=[[1], [2]]), "kind")[0] == [MISSING, MISSING]


def test_refuses_to_stratify_by_a_feature_with_several_values():
    with pytest.raises(DataError, match="'kind' has 2 values in an example"):
        strata_and_records(record_batch(kind=[[1, 2], [1]]), "kind")


@pytest.mark.parametrize("arguments", [{"samples": 0}, {"samples": 1, "allocation": "fair"}])
def test_refuses_an_impossible_plan(arguments: dict):
    with pytest.raises(ConfigError):
        SamplePlan.given(None, arguments)


def test_the_transform_gives_what_the_combiner_gives():
    expected = sample(SamplePlan(samples=7, stratify_by="kind"), strata=STRATA)
    batches = [
        pa.RecordBatch.from_arrays(
            [
                pa.array([[name] for name in STRATA[start : start + 100]]),
                pa.array([[record] for record in RECORDS[start : start + 100]]),
            ],
            ["kind", RAW_RECORD_COLUMN],
        )
        for start in range(0, 500, 100)
    ]
    with beam.Pipeline("FnApiRunner") as pipeline:
        drawn = (
            pipeline
            | beam.Create(batches, reshuffle=False)
            | DrawCalibrationSample(SamplePlan(samples=7, stratify_by="kind"))
        )
        assert_that(drawn, equal_to([expected]))


@pytest.mark.parametrize("strata", [None, STRATA])
@pytest.mark.parametrize("seeds", [2, 5])
def test_the_first_of_several_draws_is_the_sample_of_one(strata: list[str] | None, seeds: int):
    alone = sample(SamplePlan(samples=50), strata=strata)
    several = sample(SamplePlan(samples=50, seeds=seeds), strata=strata)
    assert several.records == alone.records and several.drawn == alone.drawn
    assert len(several.draws) == seeds and alone.draws == (alone.records,)


@pytest.mark.parametrize("samples", [50, 100])
def test_each_draw_is_the_sample_of_what_the_draws_before_it_left(samples: int):
    draws = sample(SamplePlan(samples=samples, seeds=5)).draws
    left = set(RECORDS)
    for draw in draws:
        combine = SampleCalibrationExamples(SamplePlan(samples=samples))
        accumulator = combine.add_input(combine.create_accumulator(), (None, sorted(left)))
        assert draw == combine.extract_output(accumulator).records
        left -= set(draw)


@pytest.mark.parametrize("seeds", [3, 7])
@pytest.mark.parametrize("allocation", ["equal", "proportional"])
def test_every_draw_has_the_quota_of_every_stratum(seeds: int, allocation: str):
    strata = ["rare" if index % 10 == 0 else "common" for index in range(500)]
    found = sample(
        SamplePlan(samples=40, seeds=seeds, allocation=allocation, stratify_by="kind"),
        strata=strata,
    )
    of_record = dict(zip(RECORDS, strata, strict=True))
    for draw in found.draws:
        assert Counter(map(of_record.get, draw)) == found.drawn


@pytest.mark.parametrize(("samples", "seeds"), [(50, 4), (200, 5)])
def test_shards_and_order_do_not_change_the_draws(samples: int, seeds: int):
    plan = SamplePlan(samples=samples, seeds=seeds)
    shuffled = list(np.random.default_rng(1).permutation(len(RECORDS)))
    assert sample(plan, 3, shuffled, STRATA) == sample(plan, strata=STRATA)


def test_no_example_is_in_two_draws_while_there_are_enough():
    assert sample(SamplePlan(samples=100, seeds=5)).shared == 0
    assert sample(SamplePlan(samples=100)).shared == 0


def test_draws_that_there_are_too_few_examples_for_are_drawn_anew_from_all():
    found = sample(SamplePlan(samples=200, seeds=5))
    first, second, *others = map(set, found.draws)
    assert not first & second and len({*found.draws}) == 5
    assert all(len(draw) == 200 for draw in others)
    # Of those as much is as likely in the first draw as anywhere else: 200 of 500.
    common = [len(draw & first) / 200 for draw in others]
    assert abs(np.mean(common) - 0.4) < 0.1
    counts = Counter(record for draw in found.draws for record in draw)
    several = sum(count for count in counts.values() if count > 1)
    assert found.shared == several / 1000


def test_memory_is_bounded_by_the_draws():
    combine = SampleCalibrationExamples(SamplePlan(samples=10, seeds=3))
    accumulator = combine.create_accumulator()
    for record in RECORDS:
        accumulator = combine.add_input(accumulator, (None, [record]))
        assert len(accumulator[ALL].candidates) <= 60
