import math

import pytest
from pydantic import ValidationError

from tfx_tflite.components.quantization_evaluator.gate import (
    Gate,
    GateRule,
    MetricValues,
    Verdict,
    direction_of,
    judge,
)

DIRECTIONS = {"accuracy": "higher_is_better", "error": "lower_is_better"}


def values(metric: str, before: float, after: float, slice_name: str = "overall", examples=1000):
    return MetricValues(
        metric=metric,
        slice=slice_name,
        examples=examples,
        float_value=before,
        quantized_value=after,
    )


def verdict(rule: GateRule, *observed: MetricValues, examples: int = 1000, **gate):
    return judge(Gate(rules=(rule,), **gate), observed, examples, DIRECTIONS)


def test_blesses_a_drop_below_the_bound():
    result = verdict(GateRule(metric="accuracy", max_drop=0.01), values("accuracy", 0.95, 0.945))
    assert result.blessed
    [rule] = result.rules
    assert (rule.drop, rule.bound) == (pytest.approx(0.005), 0.01)
    assert result.reasons == ()


def test_refuses_a_drop_above_the_bound_and_says_why():
    result = verdict(GateRule(metric="accuracy", max_drop=0.01), values("accuracy", 0.95, 0.9))
    assert result.verdict is Verdict.REFUSED
    assert result.reasons == ("accuracy (overall) is worse by 0.05, more than 0.01",)


def test_blesses_a_drop_of_exactly_the_bound():
    # 0.97 - 0.96 is 0.010000000000000009 in binary.
    result = verdict(GateRule(metric="accuracy", max_drop=0.01), values("accuracy", 0.97, 0.96))
    assert result.blessed


def test_a_rise_of_an_error_is_a_drop():
    rule = GateRule(metric="error", max_drop=0.1)
    assert not verdict(rule, values("error", 1.0, 1.2)).blessed
    assert verdict(rule, values("error", 1.2, 1.0)).blessed


def test_a_relative_drop_is_a_share_of_the_float_models_value():
    rule = GateRule(metric="error", max_relative_drop=0.05)
    result = verdict(rule, values("error", 40.0, 41.9))
    assert result.blessed and result.rules[0].bound == pytest.approx(2.0)
    assert not verdict(rule, values("error", 40.0, 42.1)).blessed


def test_a_rules_direction_goes_before_what_is_known_of_the_metric():
    rule = GateRule(metric="accuracy", max_drop=0, direction="lower_is_better")
    assert not verdict(rule, values("accuracy", 0.5, 0.6)).blessed


def test_refuses_to_judge_on_too_few_examples():
    rule = GateRule(metric="accuracy", max_drop=0.01)
    result = verdict(rule, values("accuracy", 1.0, 1.0), examples=3, min_examples=100)
    assert not result.blessed
    assert result.reasons == ("3 examples are too few to judge; gate.min_examples is 100",)


def test_a_rule_on_each_slice_refuses_where_one_slice_fails():
    rule = GateRule(metric="accuracy", max_drop=0.05, slices="each")
    result = verdict(
        rule,
        values("accuracy", 0.9, 0.9),
        values("accuracy", 0.9, 0.9, "label:1"),
        values("accuracy", 0.9, 0.5, "label:2"),
    )
    assert [(r.slice, r.verdict.value) for r in result.rules] == [
        ("label:1", "blessed"),
        ("label:2", "refused"),
    ]
    assert not result.blessed


def test_a_slice_with_few_examples_is_reported_and_not_judged():
    rule = GateRule(metric="accuracy", max_drop=0, slices="each")
    observed = [
        values("accuracy", 0.9, 0.1, "label:1", 3),
        values("accuracy", 0.9, 0.9, "label:2"),
    ]
    result = verdict(rule, *observed, min_slice_examples=10)
    assert result.blessed
    assert result.rules[0].verdict is Verdict.NOT_JUDGED
    assert result.rules[0].drop == pytest.approx(0.8)


def test_refuses_where_a_rule_has_no_figure():
    result = verdict(GateRule(metric="accuracy", max_drop=0.5), values("error", 1.0, 1.0))
    assert not result.blessed
    assert result.reasons == ("accuracy: there is no figure to judge overall",)


def test_refuses_where_a_rule_on_slices_has_no_slice():
    rule = GateRule(metric="accuracy", max_drop=0.5, slices="each")
    result = verdict(rule, values("accuracy", 1.0, 1.0))
    assert not result.blessed


def test_refuses_where_every_slice_is_too_small_to_judge():
    rule = GateRule(metric="accuracy", max_drop=0.5, slices="each")
    result = verdict(rule, values("accuracy", 1.0, 1.0, "label:1", 1), min_slice_examples=10)
    assert not result.blessed


@pytest.mark.parametrize("pair", [(math.nan, 0.9), (0.9, math.nan)])
def test_refuses_a_figure_that_is_not_a_number(pair: tuple[float, float]):
    result = verdict(GateRule(metric="accuracy", max_drop=1), values("accuracy", *pair))
    assert not result.blessed
    assert "not a number" in result.reasons[0]


@pytest.mark.parametrize("limits", [{}, {"max_drop": 0.1, "max_relative_drop": 0.1}])
def test_a_rule_has_exactly_one_limit(limits: dict):
    with pytest.raises(ValidationError, match="exactly one of max_drop and max_relative_drop"):
        GateRule(metric="accuracy", **limits)


@pytest.mark.parametrize("limit", [-0.1, math.nan, math.inf])
def test_a_limit_is_a_number_from_zero_up(limit: float):
    with pytest.raises(ValidationError):
        GateRule(metric="accuracy", max_drop=limit)


def test_a_gate_without_rules_is_refused_because_it_would_bless_anything():
    with pytest.raises(ValidationError):
        Gate(rules=())


def test_knows_which_way_common_metrics_are_better():
    assert direction_of("SparseCategoricalAccuracy") == "higher_is_better"
    assert direction_of("MeanAbsoluteError") == "lower_is_better"
    assert direction_of("MyMetric") is None


def test_a_gate_survives_json():
    gate = Gate(min_examples=5, rules=(GateRule(metric="error", max_relative_drop=0.1),))
    assert Gate.model_validate_json(gate.model_dump_json()) == gate
