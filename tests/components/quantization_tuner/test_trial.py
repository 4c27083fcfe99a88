"""What the rules say of a candidate, against figures that are computed here."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest

from tests.components.quantization_tuner.bed.cases import CASES, OUTPUT
from tests.components.quantization_tuner.bed.data import Array
from tests.components.quantization_tuner.bed.quantized import plain
from tests.components.quantization_tuner.searching import eval_config, task
from tfx_tflite.components.judgement.case import Case
from tfx_tflite.components.judgement.gate import Gate
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization_tuner.search import _ground
from tfx_tflite.components.quantization_tuner.trial import (
    Judged,
    RememberedModel,
    TrialGround,
    judged_here,
)

ACCURACY = "SparseCategoricalAccuracy"
NET = CASES["outlier_weights"]
ROWS = len(NET.splits().tuning.labels)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> TrialGround:
    found = task(NET, tmp_path_factory.mktemp("net"))
    return _ground(dataclasses.replace(found, eval_config=named(eval_config({None: ACCURACY}))))


def named(config):
    from tfx_tflite.components.judgement.eval_config import two_model_config

    return two_model_config(config)


@pytest.fixture(scope="module")
def int8() -> bytes:
    return plain(NET.float_tflite, NET.calibration.inputs)


def right(content: bytes) -> Array:
    examples = NET.splits().tuning
    answers = TFLiteModel(content).predict(examples.inputs)[OUTPUT].argmax(axis=1)
    return answers == examples.labels


def judged(ground: TrialGround, content: bytes, *rules: Mapping[str, object]) -> Judged:
    gate = Gate.model_validate({"rules": rules})
    return dataclasses.replace(ground, gate=gate).judge(content, len(NET.float_tflite))


def interval(content: bytes) -> tuple[float, float]:
    """Returns the drop in accuracy and its standard error, of pairs of answers."""
    drops = right(NET.float_tflite).astype(float) - right(content)
    return drops.mean(), drops.std(ddof=1) / np.sqrt(len(drops))


@pytest.mark.parametrize("share", [0.5, 0.9, 1.1, 2.0])
def test_holds_where_the_drop_is_no_larger_than_allowed(ground, int8: bytes, share: float):
    drop, _ = interval(int8)
    bound = float(drop * share)
    found = judged(ground, int8, {"metric": ACCURACY, "max_drop": bound})
    assert found.holds == (share > 1)
    assert found.excess == pytest.approx(1 / share - 1, rel=1e-6)
    assert found.examples == ROWS


def test_is_sure_where_the_drop_is_below_the_bound_with_90_percent(ground, int8: bytes):
    drop, error = interval(int8)
    # One-sided: 90 % are below 1.28 standard errors.
    for errors, is_sure in ((0.8, False), (1.8, True)):
        bound = float(drop + errors * error)
        found = judged(ground, int8, {"metric": ACCURACY, "max_drop": bound})
        assert found.holds and found.is_sure == is_sure, errors


def test_a_rules_own_confidence_goes_before(ground, int8: bytes):
    drop, error = interval(int8)
    rule = {"metric": ACCURACY, "max_drop": float(drop + 2.0 * error)}
    assert judged(ground, int8, {**rule, "confidence": 0.9}).is_sure
    found = judged(ground, int8, {**rule, "confidence": 0.999})
    assert found.holds and not found.is_sure


def test_the_worst_rule_says_how_far_it_is(ground, int8: bytes):
    ratio = len(int8) / len(NET.float_tflite)
    rules = [{"metric": ACCURACY, "max_drop": 0.5}, {"max_size_ratio": ratio / 2}]
    found = judged(ground, int8, *rules)
    assert not found.holds and not found.is_sure
    # A ratio is a drop from that of the float model, which is 1.
    assert found.excess == pytest.approx(ratio / 2 / (1 - ratio / 2))
    assert [rule.metric for rule in found.rules] == [ACCURACY, "size_ratio"]


def test_the_distance_is_the_share_of_noise_in_the_outputs(ground, int8: bytes):
    examples = NET.splits().tuning.inputs
    before, after = (
        TFLiteModel(content).predict(examples)[OUTPUT].astype(np.float64)
        for content in (NET.float_tflite, int8)
    )
    found = judged(ground, int8, {"metric": ACCURACY, "max_drop": 0.5})
    assert found.distance == pytest.approx(
        np.square(after - before).sum() / np.square(before).sum(), rel=1e-6
    )


def test_the_float_model_itself_is_no_worse(ground):
    found = judged(ground, NET.float_tflite, {"metric": ACCURACY, "max_drop": 0.005})
    assert found.holds and found.is_sure and found.excess == -1 and found.distance == 0


def test_rules_that_examples_and_file_cannot_decide_are_left_to_the_gate():
    rules = [
        {"metric": ACCURACY, "max_drop": 0.01},
        {"metric": ACCURACY, "max_drop": 0.01, "against": "pushed"},
        {"max_latency_ratio": 1.0},
        {"max_arena_bytes": 1000},
        {"max_size_ratio": 0.5},
        {"min_agreement": 0.9},
    ]
    gate = judged_here(Gate.model_validate({"min_examples": 500, "rules": rules}))
    assert gate.rules == Gate.model_validate({"rules": [rules[0], *rules[4:]]}).rules
    assert gate.min_examples == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "rule"),
    [
        (ACCURACY, {"max_drop": 0.05, "confidence": 0.9, "slices": "each"}),
        ("SparseCategoricalCrossentropy", {"max_relative_drop": 0.05}),
    ],
)
def test_is_judged_here_as_through_beam_and_tfma(
    ground, int8: bytes, monkeypatch: pytest.MonkeyPatch, metric: str, rule: dict
):
    config = named(eval_config({None: metric}, slices=["label"]))
    given = dataclasses.replace(ground, eval_config=config)
    here = judged(given, int8, {"metric": metric, **rule})
    monkeypatch.setattr(Case, "is_batched", False)
    assert judged(given, int8, {"metric": metric, **rule}) == here
    assert here.examples == ROWS


class Counting:
    """A model that counts how often it is asked."""

    asked = 0

    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.asked += 1
        return {"y": inputs["x"] * 2}


def test_what_a_model_gave_is_remembered_for_the_very_same_inputs():
    counting = Counting()
    model = RememberedModel(counting)
    x = np.arange(4, dtype=np.float32)
    for given, asked in ((x, 1), (x.copy(), 1), (x + 1, 2), (x[::2], 3), (x.reshape(2, 2), 4)):
        np.testing.assert_array_equal(model.predict({"x": given})["y"], given * 2)
        assert counting.asked == asked


def test_outputs_that_are_too_large_to_be_kept_are_computed_again():
    counting = Counting()
    model = RememberedModel(counting, limit=20)
    for _ in range(2):
        for start in (0, 4):
            model.predict({"x": np.arange(start, start + 4, dtype=np.float32)})
    assert counting.asked == 3


def test_rules_on_size_can_be_judged_by_another_size_than_the_files(ground):
    rules = ({"metric": ACCURACY, "max_drop": 0.01}, {"max_size_bytes": 1000})
    limited = dataclasses.replace(ground, gate=Gate.model_validate({"rules": rules}))
    content = NET.float_tflite
    assert not limited.judge(content, len(content)).holds
    # What stands for an int8 model of any size.
    assert limited.judge(content, len(content), size=0).holds
