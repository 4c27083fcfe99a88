"""What a report says of looks, of the budget, and of how many examples it takes."""

import re

import pytest

from tests.components.report.reports import REFUSED
from tfx_tflite.components.destinations.ledger import JudgedModel, JudgedRule, Night
from tfx_tflite.components.judgement.statistics.power import power_of_mean, power_of_share
from tfx_tflite.components.report import page
from tfx_tflite.components.report.counted_looks import notes_of, summary_of
from tfx_tflite.components.report.document import Report
from tfx_tflite.components.report.examples_needed import (
    PowerScale,
    circumstances,
    needed,
    planned_rules,
    power_plot,
)
from tfx_tflite.components.verdict import RuleResult, Verdict

NIGHT = Night(false_pushes=0.05, over=365, block=1, number=3, level=0.05 / 365)


def judged(look: int = 1, night: Night | None = None, blessed: bool = False) -> JudgedModel:
    level = 0.05 / (look * (look + 1))
    rule = JudgedRule(rule="accuracy:0123", alpha=0.05, look=look, level=level, p_value=0.2)
    return JudgedModel(
        float_model="float",
        quantized_model="quantized",
        examples="examples",
        rules=(rule,),
        night=night,
        blessed=blessed,
    )


def rule(**told: object) -> RuleResult:
    known = {
        "metric": "accuracy",
        "slice": "overall",
        "examples": 449,
        "float": 0.99,
        "quantized": 0.985,
        "drop": 0.005,
        "bound": 0.01,
        "confidence": 0.95,
        "changed": 0.02,
        "deviation": 0.14,
        "verdict": Verdict.UNDECIDED,
    }
    return RuleResult.model_validate({**known, **told})


def with_rules(*rules: RuleResult, judged: JudgedModel | None = None) -> Report:
    return REFUSED.model_copy(update={"rules": rules, "judged": judged, "counted_at": "/to"})


def test_the_first_look_needs_no_note():
    assert notes_of(judged()) == () == notes_of(None)


def test_a_later_look_is_noted_with_its_level():
    [note] = notes_of(judged(look=2))
    assert note.startswith("this is look 2 at this model, so accuracy was judged at 0.83% instead")


def test_a_place_in_the_budget_is_noted():
    [note] = notes_of(judged(night=NIGHT))
    assert note == (
        "model 3 of 365 that share a probability of 5% for any wrong push; its part is 0.014%"
    )


def test_a_history_says_how_many_judgements_were_counted_and_where_the_budget_is():
    assert summary_of([]) == ""
    said = summary_of([judged(night=NIGHT, blessed=True), judged(look=2, night=NIGHT)])
    assert said.startswith("2 judgements of 1 float model counted, 1 blessed; model 3 of 365 ")


def test_the_page_says_how_a_rule_was_judged():
    text = page.render(with_rules(rule(look=2, level=0.0083), judged=judged(2, NIGHT)))
    assert "look 2 at this model, judged at 0.83% instead of 5%" in text
    assert "This is model 3 of 365 that share" in text


def test_the_page_of_a_report_without_counted_looks_says_nothing_of_them():
    text = page.render(with_rules(rule(confidence=None, changed=None)))
    assert "look" not in text.lower().split('<h2 id="rules">')[1].split("</section>")[0]


@pytest.mark.parametrize(
    ("told", "power"),
    [
        ({}, lambda n, level: power_of_share(n, 0.02, 0.01, level)),
        ({"changed": None}, lambda n, level: power_of_mean(n, 0.14, 0.01, level)),
        (
            # Of a value it counts from what it is now: 0.985 is 0.035 above 0.95.
            {"limit": 0.95, "side": "at least", "bound": 0.04, "changed": None},
            lambda n, level: power_of_mean(n, 0.14, 0.035, level),
        ),
    ],
    ids=["right or wrong", "a mean", "a value"],
)
@pytest.mark.parametrize("level", [0.05, 0.025, 0.0001])
def test_so_many_examples_have_a_power_of_80_per_cent(told, power, level):
    found = needed(rule(**told), level)
    assert power(found, level) >= 0.8 > power(round(0.98 * found), level)


@pytest.mark.parametrize(
    "told",
    [
        {"bound": 0.0},
        {"changed": None, "deviation": None},
        {"changed": None, "deviation": float("inf")},
        {"limit": 0.99, "side": "at least", "bound": 0.0},
    ],
    ids=["no drop is allowed", "nothing is known", "nothing is sure", "a limit that is missed"],
)
def test_no_number_of_examples_is_said_if(told):
    assert needed(rule(**told), 0.05) is None
    assert planned_rules([rule(**told)]) == []
    assert power_plot([rule(**told)], None) is None


def test_each_rule_is_planned_once_and_on_the_slice_that_lacks_most():
    rules = [
        rule(),
        rule(slice="a:1", examples=5000, changed=0.05),
        rule(slice="a:2", examples=40),
        rule(confidence=None),
        rule(slice="a:3", examples=3, verdict=Verdict.NOT_JUDGED),
    ]
    assert [each.slice for each in planned_rules(rules)] == ["overall", "a:2"]


def test_levels_fall_with_looks_and_rise_with_blessed_nights():
    levels = {asked.name: asked.level for asked in circumstances(0.05, NIGHT)}
    assert list(levels) == [
        "one test",
        "look 1",
        "look 2",
        "night 1",
        "night 31",
        "this night",
    ]
    assert levels["night 31"] == pytest.approx(31 * levels["night 1"])


def test_a_night_has_never_more_than_the_rule_itself():
    levels = [asked.level for asked in circumstances(0.0001, NIGHT)]
    assert max(levels) == 0.0001 and levels[3] == 0.00005


def test_the_plot_has_all_curves_within_its_frame():
    plot = power_plot([rule(), rule(slice="a:1", examples=40)], NIGHT)
    assert [curve.name for curve in plot.curves][:2] == ["one test", "look 1"]
    for curve in plot.curves:
        places = [tuple(map(float, point.split())) for point in curve.path[1:].split("L")]
        assert all(PowerScale.LEFT <= x <= PowerScale.LEFT + PowerScale.WIDTH for x, _ in places)
        assert all(-0.1 <= y <= PowerScale.HEIGHT for _, y in places)
        # More examples, more power, but for the ripple of whole counts.
        heights = [y for _, y in places]
        assert heights[0] > heights[-1]
    text = page.render(with_rules(rule(), judged=judged(night=NIGHT)))
    assert len(re.findall(r'class="curve c\d"', text)) == len(plot.curves)
    assert "clipped" not in text and f"{plot.curves[0].needed:,}, one test;" in text
