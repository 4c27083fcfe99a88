import math
from dataclasses import dataclass, field, replace

import pytest

from tfx_tflite.components.judgement.gate import (
    LIMITS,
    AgreementLimit,
    Gate,
    GateRule,
    MetricRule,
    RuntimeLimit,
    rule_of,
)
from tfx_tflite.components.judgement.judging import GroupsSeen, Measured, judge
from tfx_tflite.components.judgement.statistics.paired_tests import DropInterval, binary_interval
from tfx_tflite.components.judgement.statistics.value_tests import share_interval
from tfx_tflite.components.verdict import MetricValues, Verdict


@dataclass
class Counted:
    """Evidence for metrics that are right or wrong: how often one model alone is right."""

    worse: int = 0
    better: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    output_keys: tuple[str | None, ...] = (None,)

    def has_no_figure(self, value):
        return math.isnan(value.float_value) and math.isnan(value.quantized_value)

    def figure(self, name, output):
        return self.figures.get(name if output is None else f"{output}.{name}")

    def interval(self, rule, value, sign):
        return binary_interval(
            value.examples,
            self.worse,
            self.better,
            rule.allowed_drop(value.float_value),
            rule.confidence,
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


def verdict(rule: GateRule, *observed: MetricValues, examples: int = 1000, evidence=None, **gate):
    gate = Gate(rules=(rule,), **gate)
    return judge(gate, observed, examples, DIRECTIONS, evidence or Counted())


def test_blesses_a_drop_below_the_bound():
    result = verdict(MetricRule(metric="accuracy", max_drop=0.01), values("accuracy", 0.95, 0.945))
    assert result.blessed
    [rule] = result.rules
    assert (rule.drop, rule.bound) == (pytest.approx(0.005), 0.01)
    assert result.reasons == ()


def test_refuses_a_drop_above_the_bound_and_says_why():
    result = verdict(MetricRule(metric="accuracy", max_drop=0.01), values("accuracy", 0.95, 0.9))
    assert result.verdict is Verdict.REFUSED
    assert result.reasons == ("accuracy (overall) is worse by 0.05, more than 0.01",)


def test_blesses_a_drop_of_exactly_the_bound():
    # 0.97 - 0.96 is 0.010000000000000009 in binary.
    result = verdict(MetricRule(metric="accuracy", max_drop=0.01), values("accuracy", 0.97, 0.96))
    assert result.blessed


def test_a_rise_of_an_error_is_a_drop():
    rule = MetricRule(metric="error", max_drop=0.1)
    assert not verdict(rule, values("error", 1.0, 1.2)).blessed
    assert verdict(rule, values("error", 1.2, 1.0)).blessed


def test_a_relative_drop_is_a_share_of_the_float_models_value():
    rule = MetricRule(metric="error", max_relative_drop=0.05)
    result = verdict(rule, values("error", 40.0, 41.9))
    assert result.blessed and result.rules[0].bound == pytest.approx(2.0)
    assert not verdict(rule, values("error", 40.0, 42.1)).blessed


@pytest.mark.parametrize("confidence", [None, 0.95])
@pytest.mark.parametrize(
    ("before", "after", "model"),
    [(0.9, math.nan, "quantized"), (math.nan, 0.9, "float"), (math.inf, math.inf, "float")],
)
def test_a_figure_that_is_no_finite_number_is_refused_and_the_model_named(
    confidence, before: float, after: float, model: str
):
    rule = MetricRule(metric="accuracy", max_drop=1, confidence=confidence)
    value = MetricValues(
        metric="accuracy", slice="overall", examples=1000, float_value=before, quantized_value=after
    )
    result = judge(Gate(rules=(rule,)), [value], 1000, {"accuracy": "higher_is_better"}, None)
    assert result.verdict is Verdict.REFUSED
    assert f"of the {model} model is not a finite number" in result.reasons[0]


def test_refuses_to_judge_on_too_few_examples():
    rule = MetricRule(metric="accuracy", max_drop=0.01)
    result = verdict(rule, values("accuracy", 1.0, 1.0), examples=3, min_examples=100)
    assert not result.blessed
    assert result.reasons == ("3 examples are too few to judge; gate.min_examples is 100",)


def test_a_rule_on_each_slice_refuses_where_one_slice_fails():
    rule = MetricRule(metric="accuracy", max_drop=0.05, slices="each")
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
    rule = MetricRule(metric="accuracy", max_drop=0, slices="each")
    observed = [
        values("accuracy", 0.9, 0.1, "label:1", 3),
        values("accuracy", 0.9, 0.9, "label:2"),
    ]
    result = verdict(rule, *observed, min_slice_examples=10)
    assert result.blessed
    assert result.rules[0].verdict is Verdict.NOT_JUDGED
    assert result.rules[0].drop == pytest.approx(0.8)


def test_refuses_where_a_rule_has_no_figure():
    result = verdict(MetricRule(metric="accuracy", max_drop=0.5), values("error", 1.0, 1.0))
    assert not result.blessed
    assert result.reasons == ("accuracy: there is no figure to judge overall",)


def test_refuses_where_a_rule_on_slices_has_no_slice():
    rule = MetricRule(metric="accuracy", max_drop=0.5, slices="each")
    result = verdict(rule, values("accuracy", 1.0, 1.0))
    assert not result.blessed


def test_refuses_where_every_slice_is_too_small_to_judge():
    rule = MetricRule(metric="accuracy", max_drop=0.5, slices="each")
    result = verdict(rule, values("accuracy", 1.0, 1.0, "label:1", 1), min_slice_examples=10)
    assert not result.blessed


@pytest.mark.parametrize(
    "pair", [(math.nan, 0.9), (0.9, math.nan), (math.inf, 0.9), (-math.inf, 0.9), (0.9, math.inf)]
)
def test_refuses_a_figure_that_is_not_a_number(pair: tuple[float, float]):
    result = verdict(MetricRule(metric="accuracy", max_drop=1), values("accuracy", *pair))
    assert not result.blessed
    assert "not a finite number" in result.reasons[0]


SURE = MetricRule(metric="accuracy", max_drop=0.01, confidence=0.95)


def test_with_confidence_no_change_on_many_examples_is_blessed():
    result = verdict(SURE, values("accuracy", 0.95, 0.95), evidence=Counted())
    [rule] = result.rules
    assert result.blessed and rule.upper < 0.01 and rule.confidence == 0.95
    assert rule.method.startswith("score")


def test_with_confidence_no_change_on_few_examples_is_undecided_and_says_how_many_more():
    result = verdict(SURE, values("accuracy", 0.95, 0.95, examples=200), evidence=Counted())
    [rule] = result.rules
    assert not result.blessed
    assert rule.verdict is Verdict.UNDECIDED
    assert 100 < rule.more_examples < 300
    assert "200 examples are too few, some " in result.reasons[0]
    settled = values("accuracy", 0.95, 0.95, examples=200 + rule.more_examples)
    assert verdict(SURE, settled, evidence=Counted()).blessed


def test_with_confidence_a_drop_that_is_surely_above_the_margin_is_refused():
    evidence = Counted(worse=60, better=5)
    result = verdict(SURE, values("accuracy", 0.95, 0.895), evidence=evidence)
    [rule] = result.rules
    assert rule.verdict is Verdict.REFUSED and rule.lower > 0.01
    assert result.reasons == (
        "accuracy (overall) is worse by 0.055, more than 0.01 at 95% confidence",
    )


def test_with_confidence_a_small_drop_that_may_be_a_large_one_is_undecided():
    evidence = Counted(worse=12, better=5)
    result = verdict(SURE, values("accuracy", 0.95, 0.943), evidence=evidence)
    assert result.rules[0].verdict is Verdict.UNDECIDED
    without = SURE.model_copy(update={"confidence": None})
    assert verdict(without, values("accuracy", 0.95, 0.943), evidence=evidence).blessed


@dataclass
class OfTwoClasses(Counted):
    """Evidence for a metric that compares two classes, of one of which there are few examples."""

    rarer: tuple[int, float] = (1, 12)
    unit: str = "examples"

    def interval(self, rule, value, sign):
        return replace(super().interval(rule, value, sign), rarer=self.rarer, unit=self.unit)


@pytest.mark.parametrize(("worse", "after"), [(0, 0.95), (300, 0.65)])
def test_few_examples_of_a_class_leave_it_undecided_however_it_looks(worse: int, after: float):
    result = verdict(SURE, values("accuracy", 0.95, after), evidence=OfTwoClasses(worse=worse))
    assert result.rules[0].verdict is Verdict.UNDECIDED
    assert result.reasons == (
        "accuracy (overall) is undecided: 12 examples are of class 1, fewer than "
        "gate.min_class_examples, which is 40; some 2,334 more examples would do",
    )
    assert result.rules[0].more_examples == 2334


def test_enough_examples_of_the_rarer_class_are_judged():
    observed = values("accuracy", 0.95, 0.95)
    assert verdict(SURE, observed, evidence=OfTwoClasses(rarer=(0, 40))).blessed
    assert verdict(SURE, observed, evidence=OfTwoClasses(), min_class_examples=12).blessed
    assert not verdict(SURE, observed, evidence=OfTwoClasses(), min_class_examples=13).blessed


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 groups are of class 1"), (1, "1 group is of class 1")]
)
def test_a_class_may_have_hardly_any_groups(count: int, said: str):
    evidence = OfTwoClasses(rarer=(1, count), unit="groups")
    result = verdict(SURE, values("accuracy", 0.95, 0.95), evidence=evidence)
    assert said in result.reasons[0] and result.reasons[0].endswith("more groups would do")


@dataclass
class Carried(Counted):
    """Evidence for a drop that so many examples carry."""

    by: float = 6.0

    def interval(self, rule, value, sign):
        return replace(super().interval(rule, value, sign), carried_by=self.by)


@pytest.mark.parametrize(("by", "found"), [(6.0, 6.0), (19.9, 19.9), (20.0, None)])
def test_a_drop_that_few_examples_carry_is_marked(by: float, found: float | None):
    result = verdict(SURE, values("accuracy", 0.95, 0.945), evidence=Carried(by=by))
    [rule] = result.rules
    assert rule.carried_by == found
    assert ("carried_by" in rule.model_dump(by_alias=True)) == (found is not None)


def test_of_many_slices_one_is_not_accused_of_what_chance_explains():
    rule = MetricRule(metric="accuracy", max_drop=0.01, confidence=0.95, slices="each")
    one = values("accuracy", 0.95, 0.916, "label:1", examples=500)
    evidence = Counted(worse=20, better=3)
    [alone] = verdict(rule, one, evidence=evidence).rules
    assert alone.verdict is Verdict.REFUSED
    many = [one.model_copy(update={"slice": f"label:{n}"}) for n in range(50)]
    among_many = verdict(rule, *many, evidence=evidence)
    assert {result.verdict for result in among_many.rules} == {Verdict.UNDECIDED}
    assert not among_many.blessed


@pytest.mark.parametrize(
    ("key", "limit", "found", "blessed"),
    [
        ("max_size_ratio", 0.5, 0.4, True),
        ("max_size_ratio", 0.5, 0.5, True),
        ("max_size_ratio", 0.5, 0.51, False),
        ("max_latency_ratio", 1.0, 0.9, True),
        ("max_latency_ratio", 1.0, 1.5, False),
        ("max_arena_ratio", 0.3, 0.25, True),
        ("max_arena_ratio", 0.3, 0.5, False),
        ("min_agreement", 0.99, 0.999, True),
        ("min_agreement", 0.99, 0.98, False),
        ("max_kl_divergence", 0.01, 0.001, True),
        ("max_kl_divergence", 0.01, 0.1, False),
        ("max_mean_absolute_difference", 0.01, 0.0, True),
        ("max_mean_absolute_difference", 0.01, 0.02, False),
        ("min_sqnr_db", 20.0, 33.0, True),
        ("min_sqnr_db", 20.0, math.inf, True),
        ("min_sqnr_db", 20.0, 12.0, False),
    ],
)
def test_a_rule_may_limit_any_figure_of_the_model_as_a_whole(key, limit, found, blessed):
    figure = key.partition("_")[2]
    result = verdict(rule_of({key: limit}), evidence=Counted(figures={figure: found}))
    assert result.blessed is blessed
    [rule] = result.rules
    assert (rule.metric, rule.quantized_value, rule.limit) == (figure, found, limit)
    assert (rule.drop <= rule.bound) is blessed


@pytest.mark.parametrize("limit", [{"max_arena_bytes": 500}, {"min_accelerated": 1.0}])
def test_no_difference_from_a_limit_on_the_figure_itself_is_zero_without_a_sign(limit: dict):
    [(key, value)] = limit.items()
    found = verdict(rule_of(limit), evidence=Counted(figures={key.partition("_")[2]: value}))
    [rule] = found.rules
    assert (repr(rule.drop), repr(rule.bound)) == ("0.0", "0.0")


def test_a_model_that_needs_a_newer_runtime_than_devices_have_is_refused_in_words():
    rule = rule_of({"max_runtime_version": "2.14"})
    result = verdict(rule, evidence=Counted(figures={"runtime_version": 2_017_000}))
    assert result.reasons == (
        "the model needs TensorFlow Lite 2.17.0 or later, and devices have 2.14.0: it has an "
        "operator of a version that older runtimes lack",
    )
    [found] = result.rules
    assert (found.quantized_release, found.limit_release) == ("2.17.0", "2.14.0")


@pytest.mark.parametrize("needed", [2_014_000, 2_009_000, 1_015_000])
def test_a_model_that_devices_can_run_passes_the_rule_on_the_runtime(needed: int):
    rule = rule_of({"max_runtime_version": "2.14.0"})
    assert verdict(rule, evidence=Counted(figures={"runtime_version": needed})).blessed


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.key)
def test_a_figure_that_is_not_known_refuses(limit):
    value = "2.14.0" if limit is RuntimeLimit else 500 if limit.key.endswith("_bytes") else 0.9
    result = verdict(rule_of({limit.key: value}))
    assert result.reasons == (f"{limit.figure} is not known, so it cannot be judged",)


@pytest.mark.parametrize("confidence", [None, 0.95])
def test_a_slice_without_a_figure_for_either_model_is_not_judged(confidence):
    rule = MetricRule(metric="accuracy", max_drop=0.1, slices="each", confidence=confidence)
    undefined = values("accuracy", math.nan, math.nan, "label:0")
    result = verdict(rule, undefined, values("accuracy", 0.9, 0.9, "label:1"))
    assert result.blessed
    assert [found.verdict for found in result.rules] == [Verdict.NOT_JUDGED, Verdict.BLESSED]
    assert "of a class that accuracy needs" in result.rules[0].reason
    assert not verdict(rule, undefined).blessed


# --- Several outputs ---


def of_output(output: str, before: float, after: float) -> MetricValues:
    return values("accuracy", before, after).model_copy(update={"output": output})


def test_a_rule_that_names_an_output_judges_that_one_alone():
    rule = MetricRule(metric="accuracy", output="kind", max_drop=0.01)
    result = verdict(rule, of_output("kind", 0.9, 0.9), of_output("colour", 0.9, 0.1))
    assert result.blessed and [found.output for found in result.rules] == ["kind"]


def test_a_refusal_names_the_output():
    rule = MetricRule(metric="accuracy", output="kind", max_drop=0.01)
    result = verdict(rule, of_output("kind", 0.9, 0.8))
    assert result.reasons == ("accuracy of kind (overall) is worse by 0.1, more than 0.01",)


def test_a_limit_that_names_no_output_must_hold_for_all():
    evidence = Counted(
        figures={"kind.agreement": 0.99, "price.agreement": 0.5}, output_keys=("kind", "price")
    )
    result = verdict(AgreementLimit(min_agreement=0.9), evidence=evidence)
    assert [(rule.output, rule.verdict.value) for rule in result.rules] == [
        ("kind", "blessed"),
        ("price", "refused"),
    ]
    assert result.reasons[0].startswith("output price: both models decide alike in 50.00%")


def test_a_limit_that_names_an_output_is_of_that_one():
    evidence = Counted(
        figures={"kind.agreement": 0.99, "price.agreement": 0.5}, output_keys=("kind", "price")
    )
    assert verdict(AgreementLimit(min_agreement=0.9, output="kind"), evidence=evidence).blessed


def test_whether_there_are_enough_examples_is_said_once_against_the_float_model():
    rule = MetricRule(metric="accuracy", max_drop=0.01, against="pushed")
    observed = [values("accuracy", 1.0, 1.0)]
    gate = Gate(rules=(rule,), min_examples=100)
    assert not judge(gate, observed, 3, DIRECTIONS, Counted()).blessed
    assert judge(gate, observed, 3, DIRECTIONS, Counted(), "pushed").blessed


# --- Rules on the value of a metric ---


@dataclass
class OwnShare(Counted):
    """Evidence for values that are shares of examples."""

    def interval(self, rule, value, sign):
        counted = round(value.quantized_value * value.examples)
        found = share_interval(value.examples, counted, sign, rule.limit, rule.confidence)
        return found.less(-sign * rule.reference(value.float_value))


FLOOR = MetricRule(metric="accuracy", min_value=0.9)
CEILING = MetricRule(metric="error", max_value=3.5)


@pytest.mark.parametrize(
    ("rule", "after", "blessed"),
    [
        (FLOOR, 0.91, True),
        (FLOOR, 0.9, True),
        (FLOOR, 0.89, False),
        (CEILING, 3.4, True),
        (CEILING, 3.5, True),
        (CEILING, 3.6, False),
    ],
)
@pytest.mark.parametrize("before", [0.5, 0.9, 3.5, 4.0, math.nan, math.inf])
def test_a_value_is_judged_whatever_the_float_model_s_is(
    rule: MetricRule, after: float, blessed: bool, before: float
):
    result = verdict(rule, values(rule.metric, before, after))
    [found] = result.rules
    assert result.blessed is blessed
    assert (found.limit, found.side) == (rule.limit, rule.side)
    assert found.float_value == before or math.isnan(before)


@pytest.mark.parametrize(
    ("rule", "before", "after", "drop", "bound"),
    [
        (FLOOR, 0.95, 0.92, 0.03, 0.05),
        (FLOOR, 0.85, 0.84, 0.01, -0.05),
        (CEILING, 3.0, 3.2, 0.2, 0.5),
        (CEILING, 4.0, 4.1, 0.1, -0.5),
        # Without a float figure they count from the limit.
        (FLOOR, math.nan, 0.92, -0.02, 0.0),
        (CEILING, math.inf, 3.7, 0.2, 0.0),
    ],
)
def test_the_drop_of_a_limited_value_counts_from_the_float_model_s(
    rule: MetricRule, before: float, after: float, drop: float, bound: float
):
    [found] = verdict(rule, values(rule.metric, before, after)).rules
    assert (found.drop, found.bound) == pytest.approx((drop, bound))
    assert (found.drop <= found.bound + 1e-12) == (found.verdict is Verdict.BLESSED)


def test_a_value_that_does_not_hold_is_said_beside_its_limit():
    assert verdict(FLOOR, values("accuracy", 0.95, 0.84)).reasons == (
        "accuracy (overall) is 0.84, less than 0.9",
    )
    assert verdict(CEILING, values("error", 3.0, 4.0)).reasons == (
        "error (overall) is 4, more than 3.5",
    )


def test_a_value_just_below_its_limit_is_not_rounded_to_it():
    result = verdict(FLOOR, values("accuracy", 0.95, 0.899996))
    assert result.reasons == ("accuracy (overall) is 0.899996, less than 0.9",)


def test_a_value_that_is_no_number_is_refused():
    result = verdict(FLOOR, values("accuracy", 0.95, math.nan))
    assert result.reasons == (
        "accuracy (overall) of the quantized model is not a finite number, so it cannot be judged",
    )


def test_values_are_judged_on_each_slice():
    rule = FLOOR.model_copy(update={"slices": "each"})
    result = verdict(
        rule,
        values("accuracy", 0.9, 0.95, "label:1"),
        values("accuracy", 0.9, 0.85, "label:2"),
        values("accuracy", 0.9, 0.1, "label:3", 5),
    )
    assert [found.verdict.value for found in result.rules] == ["blessed", "refused", "not_judged"]


def test_a_value_of_an_output_is_judged_on_that_one():
    rule = FLOOR.model_copy(update={"output": "kind"})
    assert verdict(rule, of_output("kind", 0.9, 0.95), of_output("colour", 0.9, 0.1)).blessed


SURE_FLOOR = FLOOR.model_copy(update={"confidence": 0.95})


@pytest.mark.parametrize(
    ("after", "examples", "said"),
    [(0.95, 200, "blessed"), (0.92, 200, "undecided"), (0.84, 200, "refused")],
)
def test_a_value_with_confidence_is_blessed_or_refused_if_its_bound_is(
    after: float, examples: int, said: str
):
    observed = values("accuracy", 0.97, after, examples=examples)
    [found] = verdict(SURE_FLOOR, observed, evidence=OwnShare()).rules
    assert found.verdict.value == said
    assert found.drop == pytest.approx(0.97 - after) and found.bound == pytest.approx(0.07)
    assert (found.upper < found.bound) == (said == "blessed")
    assert (found.lower > found.bound) == (said == "refused")
    assert found.method.startswith("exact binomial")


def test_an_undecided_value_says_its_bound_and_how_many_more_examples_would_settle_it():
    observed = values("accuracy", 0.97, 0.92, examples=200)
    result = verdict(SURE_FLOOR, observed, evidence=OwnShare())
    [found] = result.rules
    assert result.reasons == (
        "accuracy (overall) is undecided: it is 0.92, at least 0.881 at 95% confidence, and at "
        f"least 0.9 is asked for; 200 examples are too few, some {found.more_examples} more would "
        "settle it",
    )
    more = values("accuracy", 0.97, 0.92, examples=4 * (200 + found.more_examples))
    assert verdict(SURE_FLOOR, more, evidence=OwnShare()).blessed


def test_of_many_slices_none_is_accused_of_a_value_that_chance_explains():
    rule = SURE_FLOOR.model_copy(update={"slices": "each"})
    one = values("accuracy", 0.9, 0.86, "label:1", examples=200)
    [alone] = verdict(rule, one, evidence=OwnShare()).rules
    assert alone.verdict is Verdict.REFUSED
    many = [one.model_copy(update={"slice": f"label:{n}"}) for n in range(50)]
    found = verdict(rule, *many, evidence=OwnShare()).rules
    assert {result.verdict for result in found} == {Verdict.UNDECIDED}


# --- What was measured ---


def measured(lower: float, value: float, upper: float) -> Counted:
    return Counted(figures={"latency_ratio": Measured(value, lower, upper, 0.95, "order")})


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((0.7, 0.8, 0.9), "blessed"),
        ((0.7, 0.8, 1.0), "blessed"),
        ((0.9, 0.99, 1.1), "undecided"),
        ((0.9, 1.01, 1.1), "undecided"),
        ((1.1, 1.2, 1.3), "refused"),
    ],
)
def test_what_was_measured_is_judged_by_both_ends_of_its_interval(ends, said: str):
    [found] = verdict(rule_of({"max_latency_ratio": 1.0}), evidence=measured(*ends)).rules
    assert found.verdict.value == said
    assert (found.lower, found.upper) == pytest.approx((ends[0] - 1, ends[2] - 1))
    assert (found.drop, found.confidence, found.method) == (
        pytest.approx(ends[1] - 1),
        0.95,
        "order",
    )


def test_a_ratio_that_may_be_on_either_side_does_not_refuse_by_luck_and_says_what_to_do():
    result = verdict(rule_of({"max_latency_ratio": 1.0}), evidence=measured(0.95, 1.02, 1.08))
    assert result.reasons == (
        "latency_ratio is undecided: it is 1.02, from 0.95 to 1.08 at 95% confidence, and at most "
        "1 is allowed; measure again on a quiet machine, or allow more",
    )


# --- Examples in groups ---------------------------------------------------------------------------


def grouped(groups: int, slice_name: str = "overall") -> MetricValues:
    value = values("accuracy", 0.9, 0.9, slice_name, examples=5000)
    return value.model_copy(update={"groups": groups})


def test_groups_count_where_examples_would_and_messages_say_so():
    rule = MetricRule(metric="accuracy", max_drop=0.05)
    seen = GroupsSeen("clip_id", 41)
    gate = Gate(rules=(rule,), min_examples=100)
    result = judge(gate, [grouped(41)], 5000, DIRECTIONS, Counted(), groups=seen)
    assert result.reasons == (
        "41 groups of clip_id are too few to judge; gate.min_examples is 100",
    )
    enough = gate.model_copy(update={"min_examples": 41})
    assert judge(enough, [grouped(41)], 5000, DIRECTIONS, Counted(), groups=seen).blessed


def test_a_slice_of_few_groups_is_not_judged_however_many_examples_it_has():
    rule = MetricRule(metric="accuracy", max_drop=0, slices="each")
    observed = [grouped(3, "label:1"), grouped(30, "label:2")]
    gate = Gate(rules=(rule,), min_examples=1, min_slice_examples=10)
    result = judge(gate, observed, 5000, DIRECTIONS, Counted(), groups=GroupsSeen("clip_id", 33))
    assert [rule.verdict.value for rule in result.rules] == ["not_judged", "blessed"]
    assert result.rules[0].reason == "3 groups of clip_id, fewer than gate.min_slice_examples"


def test_one_group_alone_has_no_bound_and_no_advice():
    @dataclass
    class OneGroup(Counted):
        def interval(self, rule, value, sign):
            return DropInterval(0.0, -math.inf, math.inf, 1.0, 1.0, 1, 0.2, "any", unit="groups")

    rule = MetricRule(metric="accuracy", max_drop=0.05, confidence=0.95)
    seen = GroupsSeen("clip_id", 1)
    gate = Gate(rules=(rule,), min_examples=2)
    few, undecided = judge(gate, [grouped(1)], 5000, DIRECTIONS, OneGroup(), groups=seen).reasons
    assert few == "1 group of clip_id is too few to judge; gate.min_examples is 2"
    assert "without any bound at 95% confidence, and 0.05 is allowed" in undecided
    assert undecided.endswith("1 group of clip_id is too few")


def test_an_undecided_rule_says_how_many_more_groups_would_settle_it():
    @dataclass
    class ByGroup(Counted):
        def interval(self, rule, value, sign):
            return binary_interval(value.groups, 2, 0, rule.max_drop, rule.confidence)

    rule = MetricRule(metric="accuracy", max_drop=0.05, confidence=0.95)
    gate = Gate(rules=(rule,), min_examples=1)
    result = judge(
        gate, [grouped(60)], 5000, DIRECTIONS, ByGroup(), groups=GroupsSeen("clip_id", 60)
    )
    more = result.rules[0].more_examples
    assert (
        f"60 groups of clip_id are too few, some {more} more would settle it" in result.reasons[0]
    )
    assert result.rules[0].model_dump(mode="json")["groups"] == 60


def test_a_rule_on_examples_in_no_groups_has_no_such_key():
    result = verdict(MetricRule(metric="accuracy", max_drop=0.01), values("accuracy", 0.95, 0.945))
    assert "groups" not in result.rules[0].model_dump(mode="json")
