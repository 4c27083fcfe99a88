"""Groups of examples: which there are, and their sums, whatever order they come in."""

import json
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from pydantic import TypeAdapter

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples.tensors import POSITION_COLUMN, RAW_RECORD_COLUMN
from tfx_tflite.components.judgement.comparison import CompareOutputs, Comparison
from tfx_tflite.components.judgement.metrics.batched_metrics import batched_metric
from tfx_tflite.components.judgement.metrics.configured import ConfiguredMetric
from tfx_tflite.components.judgement.metrics.groups import (
    FixedPoint,
    Grouping,
    KeyedSums,
    group_ids,
    group_values,
    grouped_cells,
    score_terms,
)
from tfx_tflite.components.judgement.metrics.paired_scores import REPLICATES, cell_codes
from tfx_tflite.components.judgement.output_differences import ComparedBatch

ROWS, CLIPS = 400, 37
RNG = np.random.default_rng(0)
CLIP = RNG.integers(CLIPS, size=ROWS)
KIND = RNG.integers(2, size=ROWS)
LABEL = RNG.integers(2, size=ROWS).astype(np.float64)
BEFORE = RNG.lognormal(sigma=3, size=(ROWS, 1))
AFTER = BEFORE * RNG.lognormal(sigma=0.1, size=(ROWS, 1))
WEIGHT = RNG.lognormal(size=ROWS)
MEANS = ("MeanSquaredError", "BinaryAccuracy")
TESTED = frozenset((name, on_slices) for name in MEANS for on_slices in (False, True))


def batch_of(rows: np.ndarray, clips: pa.Array | None = None) -> pa.RecordBatch:
    names = pa.array([[f"clip {CLIP[row]}".encode()] for row in rows])
    return pa.RecordBatch.from_arrays(
        [
            names if clips is None else clips,
            pa.array([[int(KIND[row])] for row in rows]),
            pa.array([[b"record"] for _ in rows]),
            pa.array([[int(row)] for row in rows]),
        ],
        ["clip", "kind", RAW_RECORD_COLUMN, POSITION_COLUMN],
    )


def combine(weighted: bool = False) -> CompareOutputs:
    metrics = [batched_metric(ConfiguredMetric(name, name, {}), (1,)) for name in MEANS]
    return CompareOutputs(
        metrics,
        [(), ("kind",)],
        None,
        is_weighted=weighted,
        origins={"MeanSquaredError": 90.0, "BinaryAccuracy": 0.5},
        grouping=Grouping("clip", TESTED),
    )


def compare(parts: list[np.ndarray], weighted: bool = False) -> Comparison:
    one = combine(weighted)
    sums = []
    for rows in parts:
        weights = WEIGHT[rows] if weighted else None
        batch = ComparedBatch(
            batch_of(rows), LABEL[rows], BEFORE[rows], AFTER[rows], weights=weights
        )
        sums.append(one.add_input(one.create_accumulator(), batch))
    return one.extract_output(one.merge_accumulators(sums))


def as_json(found: Comparison) -> str:
    return json.dumps(TypeAdapter(Comparison).dump_python(found, mode="json"))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("count", [2, 7, ROWS])
def test_parts_in_any_order_give_what_the_whole_gives_to_the_last_bit(count: int, weighted: bool):
    shuffled = np.random.default_rng(count).permutation(ROWS)
    parts = compare(np.array_split(shuffled, count), weighted)
    assert as_json(parts) == as_json(compare([np.arange(ROWS)], weighted))


def test_what_is_written_is_what_is_read():
    found = compare([np.arange(ROWS)])
    again = TypeAdapter(Comparison).validate_python(json.loads(as_json(found)))
    assert as_json(again) == as_json(found)
    assert again.groups == found.groups


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", [None, 0, 1])
def test_sums_are_those_of_the_examples_of_each_group_in_a_slice(kind: int | None, weighted: bool):
    key = () if kind is None else (("kind", kind),)
    rows = np.ones(ROWS, bool) if kind is None else kind == KIND
    found = compare([np.arange(ROWS)], weighted)
    clips = np.unique(CLIP[rows])
    assert found.groups[key] == len(clips)
    totals = found.group_totals[key, "MeanSquaredError"]
    weight = WEIGHT if weighted else np.ones(ROWS)
    expected = {
        name: [float((weight * values)[rows & (clip == CLIP)].sum()) for clip in clips]
        for name, values in (
            ("sizes", np.ones(ROWS)),
            ("f", np.square(BEFORE[:, 0] - LABEL)),
            ("q", np.square(AFTER[:, 0] - LABEL)),
        )
    }
    for name, sums in expected.items():
        np.testing.assert_allclose(sorted(getattr(totals, name)), sorted(sums), atol=1e-11)


def test_only_metrics_that_are_tested_have_sums_of_groups():
    one = combine()
    one._grouping = Grouping("clip", frozenset({("BinaryAccuracy", True)}))
    rows = np.arange(ROWS)
    batch = ComparedBatch(batch_of(rows), LABEL, BEFORE, AFTER)
    found = one.extract_output(one.add_input(one.create_accumulator(), batch))
    assert {(len(key), metric) for key, metric in found.group_totals} == {(1, "BinaryAccuracy")}
    assert found.groups[()] == CLIPS


@pytest.mark.parametrize(
    ("clips", "said"),
    [
        (pa.array([[b"a"], None, [b"b"]]), r"'clip' \(evaluation.group_by\) is missing in 1 of 3"),
        (pa.array([[b"a"], [b"b"], []]), "has 0 values in record 2 of a file, expected one"),
        (pa.array([[b"a"], [b"b", b"c"], [b"b"]]), "has 2 values in record 1 of a file"),
        (pa.array([[0.5], [1.0], [1.0]]), "groups are strings or whole numbers"),
    ],
)
def test_an_example_without_one_group_is_named(clips: pa.Array, said: str):
    with pytest.raises(DataError, match=said):
        group_values(batch_of(np.arange(3), clips), "clip")


@pytest.mark.parametrize(
    "values",
    [
        np.array([b"a", b"b", b"a", b"", b"\xff"], object),
        np.array([1, -1, 1, 2**62, 0]),
    ],
)
def test_equal_values_are_one_group_and_others_are_not(values: np.ndarray):
    ids = group_ids(values)
    assert ids.dtype == np.uint64
    np.testing.assert_array_equal(ids[:, None] == ids, values[:, None] == values)


def test_a_number_in_fixed_point_is_itself_and_one_without_a_place_makes_no_number():
    point = FixedPoint.near(1e-6)
    values = np.array([1e-6, -3.3e-7, 0.0, 1e-6 * 2**27])
    terms = np.stack(point.terms(values), axis=1)
    np.testing.assert_allclose(point.totals(terms), values, rtol=1e-9)
    total = sum(map(Fraction, values.tolist()), Fraction())
    assert point.totals(terms.sum(axis=0)[None])[0] == pytest.approx(float(total), rel=1e-12)
    for value in (np.nan, np.inf, -np.inf, 1e6):
        lost = np.stack(point.terms(np.array([1e-6, value])), axis=1).sum(axis=0)
        assert np.isnan(point.totals(lost[None])[0])


class Counting(np.ndarray):
    """Keys that count how often somebody asks how many they are."""

    looks = 0

    def __len__(self) -> int:
        Counting.looks += 1
        return super().__len__()


def test_a_batch_costs_as_much_among_ten_times_as_many():
    def looks_a_batch(batches: int) -> float:
        Counting.looks = 0
        total = KeyedSums()
        for number in range(batches):
            keys = np.arange(20, dtype=np.uint64)[:, None] + 20 * number
            total.merge(KeyedSums(keys.view(Counting), np.ones((20, 1), np.int64)))
        assert len(total.rows()[0]) == 20 * batches
        return Counting.looks / batches

    assert looks_a_batch(5_000) <= 1.2 * looks_a_batch(500)


# --- Scores ---------------------------------------------------------------------------------------


def cells(groups: np.ndarray, buckets: np.ndarray, labels: np.ndarray):
    codes = cell_codes(labels, buckets, buckets)
    ids = groups.astype(np.uint64)
    return grouped_cells(KeyedSums.of([ids, codes], score_terms(len(codes), None)))


def test_a_replicate_takes_or_leaves_a_group_as_a_whole():
    groups = np.arange(10).repeat(30)
    found = cells(groups, groups, np.zeros(300))
    assert found.group_count == 10
    replicates = np.array(list(found.replicates()))
    assert replicates.shape == (REPLICATES, 10)
    assert set(np.unique(replicates % 30)) == {0}
    # Poisson with mean 1, 30 examples at a time.
    assert replicates.mean() == pytest.approx(30, rel=0.1)
    assert replicates.var() == pytest.approx(900, rel=0.2)


def test_cells_of_groups_are_those_of_the_examples():
    groups, buckets = RNG.integers(5, size=200), RNG.integers(20, size=200)
    labels = RNG.integers(2, size=200).astype(float)
    found = cells(groups, buckets, labels)
    assert found.counts.sum() == 200
    np.testing.assert_array_equal(
        found.by_group(found.labels), [labels[groups == group].sum() for group in range(5)]
    )
