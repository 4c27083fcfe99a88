"""Sums over batches, merged in any order, against the whole data at once."""

import json
import math
import pickle

import numpy as np
import pyarrow as pa
import pytest
from pydantic import TypeAdapter

from tests.components.judgement.statistics.moments import moments_of
from tfx_tflite.components.digests import example_digest
from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples.tensors import POSITION_COLUMN, RAW_RECORD_COLUMN
from tfx_tflite.components.judgement import comparison
from tfx_tflite.components.judgement.comparison import CompareOutputs, Comparison
from tfx_tflite.components.judgement.metrics.batched_metrics import batched_metric
from tfx_tflite.components.judgement.metrics.configured import ConfiguredMetric
from tfx_tflite.components.judgement.metrics.decisions import Decision
from tfx_tflite.components.judgement.metrics.groups import Grouping
from tfx_tflite.components.judgement.metrics.slices import slice_name, slice_rows
from tfx_tflite.components.judgement.output_differences import ComparedBatch
from tfx_tflite.components.judgement.saturation import InputRange, InputsSeen
from tfx_tflite.components.judgement.statistics.paired_tests import mean_interval

ROWS, CLASSES = 300, 4
LEAST = 100
GENERATOR = np.random.default_rng(0)
LABELS = GENERATOR.integers(CLASSES, size=ROWS)
GROUPS = GENERATOR.integers(3, size=ROWS)
FLOAT = GENERATOR.dirichlet(np.ones(CLASSES), size=ROWS)
INPUT = GENERATOR.normal(size=(ROWS, 7))
QUANTIZED = np.clip(np.round(FLOAT * 16) / 16, 0, 1)
METRICS = [
    batched_metric(ConfiguredMetric(name, name, {}), (CLASSES,))
    for name in ("SparseCategoricalAccuracy", "SparseCategoricalCrossentropy")
]


JSON = TypeAdapter(Comparison)


def as_json(comparison: Comparison) -> str:
    return json.dumps(JSON.dump_python(comparison, mode="json"))


def record_batch(rows: np.ndarray) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [
            pa.array([[int(GROUPS[row])] for row in rows]),
            pa.array([[f"example {row}".encode()] for row in rows]),
            pa.array([[int(row)] for row in rows]),
        ],
        ["group", RAW_RECORD_COLUMN, POSITION_COLUMN],
    )


def compared_batch(rows: np.ndarray, **others) -> ComparedBatch:
    return ComparedBatch(record_batch(rows), LABELS[rows], FLOAT[rows], QUANTIZED[rows], **others)


def compare(parts: list[np.ndarray]):
    combine = CompareOutputs(METRICS, [(), ("group",)], Decision())
    accumulators = []
    for rows in parts:
        seen = InputsSeen.of({"x": INPUT[rows]}, [InputRange("x", -1.0, 1.0)])
        batch = compared_batch(rows, inputs=seen)
        accumulators.append(combine.add_input(combine.create_accumulator(), batch))
    return combine.extract_output(combine.merge_accumulators(accumulators))


WHOLE = compare([np.arange(ROWS)])


def test_what_is_sent_to_other_workers_has_nothing_that_waits():
    combine = CompareOutputs(METRICS, [(), ("group",)], Decision(), grouping=Grouping("group"))
    total = combine.create_accumulator()
    for rows in np.array_split(np.arange(ROWS), 10):
        combine.add_input(total, compared_batch(rows))
    before, sums = combine.extract_output(pickle.loads(pickle.dumps(total))), total.groups.values()
    assert any(each.waiting for each in sums)
    compact = combine.compact(total)
    assert not any(each.waiting for each in sums)
    assert as_json(combine.extract_output(compact)) == as_json(before)


def of_slices(monkeypatch: pytest.MonkeyPatch, most: int, judged: int = ROWS) -> Comparison:
    """Returns a comparison in which slices of 100 examples are judged, if at most so many are."""
    monkeypatch.setattr(comparison, "MOST_SLICES", most)
    monkeypatch.setattr(comparison, "MOST_JUDGED", judged)
    combine = CompareOutputs(
        METRICS,
        [(), ("group",)],
        Decision(),
        grouping=Grouping("group"),
        min_slice_examples=LEAST,
    )
    batch = compared_batch(np.arange(ROWS))
    return combine.extract_output(combine.add_input(combine.create_accumulator(), batch))


def test_of_very_many_slices_those_that_no_rule_judges_are_counted_alone(monkeypatch):
    few, all_ = of_slices(monkeypatch, most=2), of_slices(monkeypatch, most=4)
    judged = [key for key in all_.slices if all_.examples(key) >= LEAST]
    assert 1 < len(judged) < 4 == len(all_.slices) and all_.left_out == 0
    assert [*few.slices] == judged == [*few.groups] and few.left_out == 4 - len(judged)
    assert all((few.slices[key] == all_.slices[key]).all() for key in judged)


def test_more_slices_than_can_be_judged_are_an_error_that_says_what_to_do(monkeypatch):
    problem = r"evaluation.slices: \d slices have at least 100 examples .*at most 1 can be judged"
    with pytest.raises(DataError, match=problem):
        of_slices(monkeypatch, most=2, judged=1)


@pytest.mark.parametrize("count", [2, 7, 60, ROWS])
def test_parts_in_any_order_give_what_the_whole_gives_to_the_last_bit(count: int):
    shuffled = np.random.default_rng(count).permutation(ROWS)
    parts = compare(np.array_split(shuffled, count))
    assert as_json(parts) == as_json(WHOLE)


def test_sums_are_those_of_the_examples_in_a_slice():
    rows = GROUPS == 1
    sums = WHOLE.sums((("group", 1),), "SparseCategoricalAccuracy")
    right = FLOAT.argmax(axis=1) == LABELS
    still = QUANTIZED.argmax(axis=1) == LABELS
    assert sums.examples == rows.sum()
    assert sums.f == right[rows].sum() and sums.q == still[rows].sum()
    assert sums.worse == (right & ~still)[rows].sum()
    assert sums.better == (~right & still)[rows].sum()


@pytest.mark.parametrize("sign", [1, -1])
def test_moments_are_those_of_drop_and_float_value(sign: int):
    loss = METRICS[1].values
    f, q = loss(LABELS, FLOAT), loss(LABELS, QUANTIZED)
    expected = moments_of(sign * (f - q), f)
    found = WHOLE.sums((), "SparseCategoricalCrossentropy").moments(sign)
    assert found.count == ROWS
    for name in ("mean", "second", "third"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-6)


@pytest.mark.parametrize("parts", [1, 7])
def test_moments_keep_their_digits_where_the_mean_is_large_beside_the_spread(parts: int):
    generator = np.random.default_rng(5)
    labels = np.zeros(ROWS)
    before = 1e6 + generator.normal(size=(ROWS, 1))
    after = before + generator.normal(scale=0.1, size=(ROWS, 1))
    metric = batched_metric(ConfiguredMetric("MeanAbsoluteError", "MeanAbsoluteError", {}), (1,))
    combine = CompareOutputs([metric], [()], None, origins={"MeanAbsoluteError": 999_999.0})
    accumulators = []
    for rows in np.array_split(np.arange(ROWS), parts):
        batch = ComparedBatch(record_batch(rows), labels[rows], before[rows], after[rows])
        accumulators.append(combine.add_input(combine.create_accumulator(), batch))
    found = combine.extract_output(combine.merge_accumulators(accumulators))
    moments = found.sums((), "MeanAbsoluteError").moments(-1)
    f, q = np.abs(before[:, 0]), np.abs(after[:, 0])
    expected = moments_of(q - f, f)
    for name in ("mean", "second", "third"):
        np.testing.assert_allclose(
            getattr(moments, name), getattr(expected, name), rtol=1e-6, atol=1e-6
        )


def test_output_differences():
    outputs = WHOLE.outputs
    difference = FLOAT - QUANTIZED
    agreement = (FLOAT.argmax(axis=1) == QUANTIZED.argmax(axis=1)).mean()
    assert outputs.agreement == pytest.approx(agreement)
    assert outputs.absolute / outputs.values == pytest.approx(np.abs(difference).mean())
    assert outputs.largest == pytest.approx(np.abs(difference).max())
    assert outputs.sqnr_db == pytest.approx(
        10 * np.log10(np.square(FLOAT).sum() / np.square(difference).sum())
    )
    assert outputs.distributions > 0 and outputs.divergence > 0


def test_the_worst_examples_are_named_by_digest():
    furthest = np.abs(FLOAT - QUANTIZED).max(axis=1)
    names = compared_batch(np.arange(ROWS)).names
    largest = np.argsort(-furthest)[:10]
    assert WHOLE.outputs.worst == [(furthest[row], names[row].hex()) for row in largest]
    assert names[3] == example_digest(b"example 3")


@pytest.mark.parametrize("count", [1, 5, 40])
def test_of_equally_bad_examples_those_with_the_lowest_digests_are_named(count: int):
    names = compared_batch(np.arange(ROWS)).names
    same = np.full((ROWS, CLASSES), 0.25)
    combine = CompareOutputs([], [()], None)
    accumulators = []
    # Each is there twice, and named once.
    rows = np.random.default_rng(count).permutation(np.repeat(np.arange(ROWS), 2))
    for part in np.array_split(rows, count):
        batch = ComparedBatch(record_batch(part), None, same[part], same[part] / 2)
        accumulators.append(combine.add_input(combine.create_accumulator(), batch))
    worst = combine.extract_output(combine.merge_accumulators(accumulators)).outputs.worst
    assert worst == [(0.125, name.hex()) for name in sorted(names)[:10]]


def test_identical_outputs_have_no_noise():
    combine = CompareOutputs([], [()], None)
    rows = np.arange(10)
    batch = ComparedBatch(record_batch(rows), None, FLOAT[rows], FLOAT[rows])
    accumulator = combine.add_input(combine.create_accumulator(), batch)
    outputs = combine.extract_output(accumulator).outputs
    assert outputs.sqnr_db is None and outputs.largest == 0 and outputs.agreement is None


def test_survives_json():
    again = JSON.validate_python(json.loads(as_json(WHOLE)))
    assert again.outputs == WHOLE.outputs
    for key, sums in WHOLE.slices.items():
        np.testing.assert_array_equal(again.slices[key], sums)


def slices(specs: list, **features: list) -> dict[str, list[int]]:
    batch = pa.RecordBatch.from_arrays([pa.array(v) for v in features.values()], list(features))
    return {slice_name(key): rows.tolist() for key, rows in slice_rows(batch, specs)}


def test_nan_is_one_slice_however_the_examples_are_divided():
    keys = set()
    for values in ([math.nan, 1.0], [math.nan, math.nan]):
        batch = pa.RecordBatch.from_arrays([pa.array([[value] for value in values])], ["a"])
        keys |= {key for key, _ in slice_rows(batch, [("a",)])}
    assert keys == {(("a", "nan"),), (("a", 1.0),)}


def test_the_overall_slice_has_all_examples():
    assert slices([()], a=[[1], [2]]) == {"overall": [0, 1]}


def test_no_two_slices_have_one_name():
    cross = (("g", "x"), ("label", 1))
    value = (("g", "x, label:1"),)
    assert slice_name(cross) == "g:x, label:1"
    assert slice_name(value) == "g:x\\, label\\:1"


def test_an_example_belongs_to_the_slice_of_each_of_its_values():
    assert slices([("tag",)], tag=[[b"x", b"y"], [b"y"], None, [b"x", b"x"]]) == {
        "tag:x": [0, 3],
        "tag:y": [0, 1],
    }


def test_a_cross_has_the_examples_of_both_features():
    found = slices([("b", "a")], a=[[1], [1], [2]], b=[[b"p"], [b"q"], [b"p"]])
    assert found == {"a:1, b:p": [0], "a:1, b:q": [1], "a:2, b:p": [2]}


def test_a_feature_that_is_not_there_has_no_slices():
    assert slices([("none",)], a=[[1]]) == {}


@pytest.mark.parametrize(
    ("class_name", "config"),
    [
        ("Recall", {"top_k": 2}),
        ("Recall", {"thresholds": [0.2, 0.8]}),
        ("RecallAtPrecision", {}),
        ("MeanLabel", {}),
        ("SetMatchPrecision", {}),
        ("BinaryAccuracy", {"nonsense": 1}),
    ],
)
def test_what_is_not_batched_is_left_to_tfma(class_name: str, config: dict):
    assert batched_metric(ConfiguredMetric("m", class_name, config), (10,)) is None


def test_answers_of_the_model_itself_are_counted_whatever_numbers_they_are():
    before, after = np.array([-5, 10**12, 7, 7]), np.array([-5, 10**12, 7, -5])
    combine = CompareOutputs([], [()], Decision(is_output=True))
    batch = ComparedBatch(record_batch(np.arange(4)), np.zeros((4, 1)), before, after)
    outputs = combine.add_input(combine.create_accumulator(), batch).comparison.outputs
    assert outputs.agreement == 0.75
    assert outputs.transitions == {(-5, -5): 1, (10**12, 10**12): 1, (7, 7): 1, (7, -5): 1}


@pytest.mark.parametrize("count", [2, 7, 60])
def test_weighted_sums_and_their_bounds_are_the_same_to_the_last_bit_in_any_order(count: int):
    generator = np.random.default_rng(1)
    weights = generator.exponential(size=ROWS)
    combine = CompareOutputs(METRICS, [(), ("group",)], None, is_weighted=True)

    def weighted(parts: list[np.ndarray]):
        accumulators = []
        for rows in parts:
            batch = compared_batch(rows, weights=weights[rows])
            accumulators.append(combine.add_input(combine.create_accumulator(), batch))
        return combine.extract_output(combine.merge_accumulators(accumulators))

    whole = weighted([np.arange(ROWS)])
    parts = weighted(np.array_split(generator.permutation(ROWS), count))
    assert as_json(parts) == as_json(whole)
    name = METRICS[1].name
    found, expected = (
        mean_interval(comparison.sums((), name).moments(-1), 0.0, 0.9)
        for comparison in (parts, whole)
    )
    assert found == expected
