import json
import math

import pytest
from pydantic import ValidationError

from tfx_tflite.components.errors import EvaluationError
from tfx_tflite.components.judgement.gate import (
    LIMITS,
    AgreementLimit,
    Gate,
    MetricInQuestion,
    MetricRule,
    RuntimeLimit,
    SizeLimit,
    rule_directions,
    rule_of,
)
from tfx_tflite.components.judgement.metrics.catalog import direction_of

SURE = MetricRule(metric="accuracy", max_drop=0.01, confidence=0.95)


def directions(metrics: dict[str, str], *rules: MetricRule) -> dict[str, str]:
    """Of metrics by name, each with its class."""
    known = [MetricInQuestion(None, name, class_name) for name, class_name in metrics.items()]
    return rule_directions(Gate(rules=rules), known)


# --- What a rule is ---


def test_a_direction_that_contradicts_what_is_known_is_refused():
    """A larger error would pass for a better one."""
    rule = MetricRule(metric="loss", max_drop=0, direction="higher_is_better")
    with pytest.raises(EvaluationError, match="but of MeanSquaredError lower is better; leave"):
        directions({"loss": "MeanSquaredError"}, rule)


def test_two_rules_on_one_metric_cannot_have_two_directions():
    rules = [
        MetricRule(metric="mine", max_drop=0, direction=direction)
        for direction in ("higher_is_better", "lower_is_better")
    ]
    assert directions({"mine": "Mine"}, rules[0]) == {"mine": "higher_is_better"}
    with pytest.raises(EvaluationError, match=r"rules.1: two rules on mine give it diff"):
        directions({"mine": "Mine"}, *rules)


@pytest.mark.parametrize("limits", [{}, {"max_drop": 0.1, "max_relative_drop": 0.1}])
def test_a_rule_has_exactly_one_limit(limits: dict):
    with pytest.raises(ValidationError, match="exactly one of max_drop, max_relative_drop, min_v"):
        MetricRule(metric="accuracy", **limits)


@pytest.mark.parametrize("limit", [-0.1, math.nan, math.inf])
def test_a_limit_is_a_number_from_zero_up(limit: float):
    with pytest.raises(ValidationError):
        MetricRule(metric="accuracy", max_drop=limit)


def test_a_gate_without_rules_is_refused_because_it_would_bless_anything():
    with pytest.raises(ValidationError):
        Gate(rules=())


def test_knows_which_way_common_metrics_are_better():
    assert direction_of("SparseCategoricalAccuracy") == "higher_is_better"
    assert direction_of("MeanAbsoluteError") == "lower_is_better"
    assert direction_of("MyMetric") is None


def test_a_gate_survives_json():
    rules = (
        MetricRule(metric="error", max_relative_drop=0.1),
        AgreementLimit(min_agreement=0.9),
        SURE,
    )
    gate = Gate(min_examples=5, rules=rules)
    assert Gate.model_validate_json(gate.model_dump_json()) == gate


def test_a_limit_on_the_whole_model_stands_by_itself():
    with pytest.raises(ValueError, match="max_size_ratio needs a rule of its own"):
        rule_of({"max_size_ratio": 0.5, "metric": "accuracy"})


@pytest.mark.parametrize("confidence", [0.5, 1.0, 95])
def test_a_confidence_is_above_one_half_and_below_one(confidence: float):
    with pytest.raises(ValidationError):
        MetricRule(metric="accuracy", max_drop=0.1, confidence=confidence)


def test_a_limit_on_the_whole_model_has_no_output():
    with pytest.raises(ValueError, match="max_size_ratio needs a rule of its own"):
        rule_of({"max_size_ratio": 0.5, "output": "kind"})


@pytest.mark.parametrize("written", ["2.14.0", "2.14"])
def test_the_newest_runtime_that_a_model_may_need_is_a_release(written: str):
    rule = rule_of({"max_runtime_version": written})
    assert rule == RuntimeLimit(max_runtime_version="2.14.0")
    assert Gate.model_validate_json(Gate(rules=(rule,)).model_dump_json()).rules == (rule,)


@pytest.mark.parametrize("number", [2.1, 2.14, 2])
def test_a_release_that_yaml_made_a_number_is_an_error_with_a_hint(number: float):
    """2.10 in a config is the number 2.1."""
    with pytest.raises(ValidationError, match=r"write all three parts .* YAML reads 2.10 as"):
        rule_of({"max_runtime_version": number})


@pytest.mark.parametrize("value", ["latest", "2", "v2.14.0", True, ["2.14.0"]])
def test_what_is_no_release_is_refused_with_an_example(value: object):
    with pytest.raises(ValidationError, match=r"2\.14\.0"):
        rule_of({"max_runtime_version": value})


NUMERIC_LIMITS = [limit for limit in LIMITS if limit is not RuntimeLimit]


@pytest.mark.parametrize("limit", NUMERIC_LIMITS, ids=lambda limit: limit.key)
def test_a_rule_is_of_the_kind_that_its_key_says(limit):
    value = 500 if limit.key.endswith("_bytes") else 0.5
    [rule] = Gate.model_validate({"rules": [{limit.key: value}]}).rules
    assert type(rule) is limit and rule.limit == value


def test_keys_that_are_not_given_may_be_null_or_what_stands_for_them():
    """As in the JSON of a gate that an earlier version wrote."""
    keys = {"max_size_ratio": 0.5, "metric": None, "slices": "overall", "against": "float"}
    assert rule_of(keys) == SizeLimit(max_size_ratio=0.5)


def test_the_json_of_each_rule_has_the_keys_of_all():
    gate = Gate(rules=(SURE, SizeLimit(max_size_ratio=0.5)))
    metric, size = json.loads(gate.model_dump_json())["rules"]
    assert list(metric) == list(size)
    assert (metric["max_size_ratio"], metric["max_drop"]) == (None, 0.01)
    assert (size["max_size_ratio"], size["max_drop"], size["slices"]) == (0.5, None, "overall")


def test_a_rule_on_nothing_is_an_error_with_the_choices():
    with pytest.raises(ValidationError, match="give a metric, or one of max_size_ratio, max_lat"):
        Gate.model_validate({"rules": [{"max_drop": 0.1}]})


def test_an_unknown_key_is_an_error_whatever_kind_of_rule_is_meant():
    with pytest.raises(ValidationError) as raised:
        Gate.model_validate({"rules": [{"max_size": 0.1}]})
    error = raised.value.errors()[0]
    assert (error["type"], error["loc"]) == ("extra_forbidden", ("rules", 0, "max_size"))


# --- Rules on the value ---


@pytest.mark.parametrize("other", ["max_drop", "max_relative_drop", "max_value"])
def test_a_value_is_limited_by_a_rule_of_its_own(other: str):
    with pytest.raises(ValidationError, match="give exactly one of max_drop, max_relative_drop, m"):
        MetricRule.model_validate({"metric": "AUC", "min_value": 0.9, other: 0.1})


def test_a_value_needs_no_model_to_compare_with():
    with pytest.raises(
        ValidationError, match=r"min_value .* compares with no other model; leave a"
    ):
        MetricRule(metric="AUC", min_value=0.9, against="pushed")


@pytest.mark.parametrize(
    ("key", "class_name", "said"),
    [
        ("max_value", "AUC", r"rules.0.max_value: of AUC higher is better, .* write min_value, or"),
        ("min_value", "MeanAbsoluteError", "of MeanAbsoluteError lower is better, .* max_value"),
    ],
)
def test_a_value_limited_on_the_better_side_is_an_error_that_names_the_other_key(
    key: str, class_name: str, said: str
):
    rule = MetricRule.model_validate({"metric": "m", key: 0.9})
    with pytest.raises(EvaluationError, match=said):
        directions({"m": class_name}, rule)


def test_a_value_may_be_limited_on_its_better_side_if_the_direction_is_given():
    """As an accuracy that is too good to be true."""
    rule = MetricRule(metric="m", max_value=0.999, direction="lower_is_better")
    assert directions({"m": "AUC"}, rule, MetricRule(metric="m", max_drop=0.1)) == {
        "m": "higher_is_better"
    }
    assert rule.sign({"m": "higher_is_better"}) == -1


def test_a_direction_that_a_limited_value_does_not_go_with_is_an_error():
    with pytest.raises(ValidationError, match="min_value does not go with direction: lower is be"):
        MetricRule(metric="m", min_value=1, direction="lower_is_better")


def test_a_limited_value_says_which_way_a_metric_is_better_if_nothing_else_does():
    rule = MetricRule(metric="m", max_value=2)
    assert directions({"m": "Mine"}, rule) == {"m": "lower_is_better"}
    with pytest.raises(EvaluationError, match="two rules on m give it different directions"):
        directions({"m": "Mine"}, rule, MetricRule(metric="m", min_value=1))


@pytest.mark.parametrize(
    ("class_name", "limit", "said"),
    [
        ("SparseCategoricalAccuracy", {"min_value": 95}, "is at most 1, .* 95; write 0.95 for 95"),
        ("AUC", {"min_value": 1.5}, "AUC is at most 1, so no model can have 1.5"),
        ("MatthewsCorrelationCoefficient", {"min_value": 2}, "is at most 1"),
        ("MeanAbsoluteError", {"max_value": -0.1}, "MeanAbsoluteError is at least 0, so no model"),
        ("AUC", {"min_value": 1, "confidence": 0.9}, "no number of examples shows that m is 1"),
        ("MeanSquaredError", {"max_value": 0, "confidence": 0.9}, "no number of examples shows"),
    ],
)
def test_a_value_that_no_model_can_have_is_an_error(class_name: str, limit: dict, said: str):
    rule = MetricRule.model_validate({"metric": "m", **limit})
    with pytest.raises(EvaluationError, match=rf"gate.rules.0.m.._value: .*{said}"):
        directions({"m": class_name}, rule)


@pytest.mark.parametrize(
    ("class_name", "limit"),
    [
        ("AUC", {"min_value": 1}),
        ("TruePositives", {"min_value": 50}),
        ("DiagnosticOddsRatio", {"min_value": 20.0}),
        ("Poisson", {"max_value": -1}),
        ("Mine", {"min_value": 50}),
    ],
)
def test_a_value_that_a_model_can_have_is_none(class_name: str, limit: dict):
    directions({"m": class_name}, MetricRule.model_validate({"metric": "m", **limit}))


@pytest.mark.parametrize("value", [math.nan, math.inf, "0.9", True, None])
def test_a_limited_value_is_a_number(value: object):
    with pytest.raises(ValidationError):
        MetricRule.model_validate({"metric": "AUC", "min_value": value})


def test_a_rule_on_a_value_survives_json():
    gate = Gate(rules=(MetricRule(metric="error", max_value=3.5, confidence=0.9),))
    assert Gate.model_validate_json(gate.model_dump_json()) == gate


# --- Which metrics the rules are on ---


TWO = (MetricInQuestion("a", "m", "AUC"), MetricInQuestion("b", "m", "MeanSquaredError"))


def test_one_name_for_metrics_of_two_classes_is_an_error():
    gate = Gate(rules=(MetricRule(metric="m", output="a", max_drop=0),))
    with pytest.raises(EvaluationError, match="'m' is of class AUC, MeanSquaredError on different"):
        rule_directions(gate, TWO)


def test_a_metric_of_several_outputs_wants_one_to_be_named():
    gate = Gate(rules=(MetricRule(metric="m", max_drop=0),))
    with pytest.raises(EvaluationError, match=r"gate.rules.0.output: several outputs .* of: a, b"):
        rule_directions(gate, TWO)


def test_rules_on_one_reference_may_be_none():
    gate = Gate(rules=(SURE, AgreementLimit(min_agreement=0.9)))
    assert gate.against("float") == gate.rules
    assert gate.against("pushed") == ()
