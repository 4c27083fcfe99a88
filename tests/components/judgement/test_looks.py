import dataclasses
import itertools

import pytest

from tfx_tflite.components.destinations.ledger import JudgedModel
from tfx_tflite.components.judgement.gate import Budget, Gate, MetricRule
from tfx_tflite.components.judgement.looks import (
    Look,
    Looks,
    Question,
    RuleTest,
    judged_again,
    merged,
    record,
)

RULE = MetricRule(metric="accuracy", max_drop=0.01, confidence=0.95)
OTHER = MetricRule(metric="auc", max_drop=0.01, confidence=0.9)
QUESTION = Question("float", "quantized", "examples")


class History:
    """The judgements at a destination, made one after the other."""

    def __init__(self, budget: Budget | None = None):
        self.budget = budget
        self.past: list[JudgedModel] = []

    def looks(self, float_model="float", quantized="quantized", examples="examples") -> Looks:
        return Looks(Question(float_model, quantized, examples), tuple(self.past), self.budget)

    def judge(self, *model: str, blessed: bool = False, rules=(RULE,)) -> JudgedModel:
        tests = [RuleTest(rule=r.identity, alpha=r.alpha, p_value=0.5) for r in rules]
        judged = record(self.looks(*model), tests, blessed)
        assert judged is not None
        self.past.append(judged)
        return judged


def test_the_first_look_has_half_of_what_the_rule_may_err():
    assert Looks(QUESTION).at(RULE) == Look(level=0.025, following=0.05 / 6, number=1)


def test_a_rule_whose_looks_are_not_counted_has_all_of_it():
    assert Look.only(RULE) == Look(level=0.05, following=0.05)


def test_each_judgement_of_more_examples_is_another_look():
    history = History()
    numbers = [history.judge("float", "quantized", str(k)).rules[0].look for k in range(4)]
    assert numbers == [1, 2, 3, 4]
    assert history.past[3].rules[0].level == pytest.approx(0.05 / 20)


@pytest.mark.parametrize(
    ("model", "look"),
    [
        (("float", "quantized", "examples"), 1),
        (("float", "quantized", "more examples"), 2),
        (("float", "quantized again", "examples"), 2),
        (("float again", "quantized", "more examples"), 2),
        (("other float", "other quantized", "examples"), 1),
    ],
    ids=[
        "the same again",
        "more examples",
        "another candidate of the float model",
        "the same candidate of another float model",
        "another model",
    ],
)
def test_what_counts_as_a_look_at_the_same_model(model, look):
    history = History()
    history.judge("float", "quantized", "examples")
    assert history.looks(*model).at(RULE).number == look


def test_a_look_that_was_made_is_not_made_again_however_many_came_after_it():
    history = History()
    for examples in ("first", "second", "third"):
        history.judge("float", "quantized", examples)
    assert history.looks(examples="second").at(RULE).number == 2


def test_a_model_that_was_blessed_is_judged_as_it_was_then():
    history = History()
    history.judge("float", "quantized", "first")
    history.judge("float", "quantized", "second", blessed=True)
    assert history.looks(examples="third").at(RULE).number == 2


def test_a_model_that_was_replaced_since_it_was_blessed_is_judged_anew():
    history = History()
    history.judge("float", "quantized", "first", blessed=True)
    history.judge("next float", "next quantized", "first", blessed=True)
    assert history.looks(examples="second").at(RULE).number == 2


def test_another_candidate_of_a_float_model_that_was_blessed_is_another_look():
    history = History()
    history.judge("float", "quantized", "first", blessed=True)
    assert history.looks(quantized="another").at(RULE).number == 2


def test_a_rule_that_is_a_little_different_does_not_begin_again():
    history = History()
    history.judge("float", "quantized", "first")
    looks = history.looks(examples="second")
    assert (looks.at(RULE).number, looks.at(OTHER).number) == (2, 2)


def test_a_rule_that_is_added_is_another_look_at_what_was_judged_before():
    history = History()
    history.judge("float", "quantized", "first")
    looks = history.looks(examples="first")
    assert (looks.at(RULE).number, looks.at(OTHER).number) == (1, 2)


@pytest.mark.parametrize(
    "change",
    [{"confidence": 0.99}, {"against": "float"}],
    ids=["another confidence", "what is the default"],
)
def test_a_rule_is_the_same_with(change):
    assert RULE.model_copy(update=change).identity == RULE.identity


@pytest.mark.parametrize(
    "change",
    [
        {"metric": "auc"},
        {"max_drop": 0.02},
        {"slices": "each"},
        {"output": "risk"},
        {"against": "pushed"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_rule_is_another_one_with_another(change):
    assert RULE.model_copy(update=change).identity != RULE.identity


# --- Nights ---------------------------------------------------------------------------------------

YEAR = Budget(false_pushes=0.05, over=100)


def nights(history: History, verdicts: list[bool]) -> list[float]:
    return [
        history.judge(
            f"float {night}", f"quantized {night}", "examples", blessed=blessed
        ).night.level
        for night, blessed in enumerate(verdicts)
    ]


def test_each_model_has_an_equal_share_of_the_budget():
    assert nights(History(YEAR), [False] * 3) == pytest.approx([0.0005] * 3)


def test_a_blessed_model_hands_its_share_on_to_the_next():
    found = nights(History(YEAR), [True, True, False, True])
    assert found == pytest.approx([0.0005, 0.001, 0.0015, 0.0005])


def test_a_night_is_judged_at_its_share_or_at_that_of_the_rule_if_it_is_smaller():
    strict = RULE.model_copy(update={"confidence": 0.9999})
    looks = History(YEAR).looks()
    assert looks.at(RULE).level == pytest.approx(0.00025)
    assert looks.at(strict).level == pytest.approx(0.00005)


def test_looks_at_one_model_share_its_night():
    history = History(YEAR)
    first = history.judge("float", "quantized", "first")
    history.judge("next float", "next quantized", "examples")
    again = history.judge("float", "quantized", "second")
    assert again.night == first.night
    assert [each.rules[0].look for each in (first, again)] == [1, 2]


def test_what_a_blessed_model_handed_on_is_not_there_for_another_candidate_as_well():
    history = History(YEAR)
    first = history.judge("float", "quantized", "examples", blessed=True)
    other = history.judge("float", "other", "examples")
    again = history.judge("float", "other", "more examples")
    assert [each.night.number for each in (first, other, again)] == [1, 2, 2]
    assert history.looks("float", "quantized", "more examples").night == first.night


def test_candidates_of_one_float_model_share_its_night_until_one_is_blessed():
    history = History(YEAR)
    found = [
        history.judge("float", name, "examples", blessed=name == "third")
        for name in ("first", "second", "third", "fourth", "first")
    ]
    assert [each.night.number for each in found] == [1, 1, 1, 2, 2]


def test_refused_models_count():
    history = History(YEAR)
    nights(history, [False] * 5)
    assert history.looks("next float", "next").night.number == 6


def test_after_so_many_models_another_budget_begins():
    history = History(Budget(false_pushes=0.05, over=3))
    nights(history, [True] * 3)
    night = history.looks("next float", "next").night
    assert (night.block, night.number, night.level) == (2, 1, pytest.approx(0.05 / 3))


def test_another_budget_begins_anew():
    history = History(YEAR)
    nights(history, [True] * 3)
    history.budget = Budget(false_pushes=0.01, over=10)
    night = history.looks("next float", "next").night
    assert (night.block, night.number, night.level) == (2, 1, pytest.approx(0.001))


@pytest.mark.parametrize("verdicts", itertools.product([False, True], repeat=4))
def test_what_is_at_risk_at_once_is_never_more_than_the_budget(verdicts):
    """Of bad models the first that is blessed decides, and no level before it was handed on twice.

    So for every choice of which models are bad, their levels up to there add up to the budget at
    most, if good models are blessed as in `verdicts`.
    """
    budget = Budget(false_pushes=0.04, over=4)
    for bad in itertools.product([False, True], repeat=4):
        history = History(budget)
        # Until the first false push no bad model is blessed.
        found = nights(history, [v and not b for v, b in zip(verdicts, bad, strict=True)])
        at_risk = sum(level for level, is_bad in zip(found, bad, strict=True) if is_bad)
        assert at_risk <= 0.04 + 1e-12


# --- What is recorded -----------------------------------------------------------------------------


def test_a_judgement_is_taken_up_with_the_levels_of_those_that_came_between():
    history = History()
    judged = record(
        history.looks(examples="mine"),
        [RuleTest(rule=RULE.identity, alpha=0.05, p_value=0.01)],
        True,
    )
    assert judged_again(judged, []) == judged
    history.judge("float", "quantized", "between")
    again = judged_again(judged, history.past)
    assert (again.rules[0].look, again.blessed) == (2, False)


def test_a_judgement_that_is_sure_enough_still_holds_after_others():
    history = History()
    test = RuleTest(rule=RULE.identity, alpha=0.05, p_value=0.001)
    judged = record(history.looks(examples="mine"), [test], True)
    history.judge("float", "quantized", "between")
    assert judged_again(judged, history.past).blessed


def test_what_was_refused_is_not_blessed_by_what_came_between():
    judged = History().judge("float", "quantized", "examples", blessed=False)
    assert not judged_again(judged, []).blessed


def test_of_several_targets_the_least_sure_one_is_recorded():
    tests = [RuleTest(rule="a", alpha=0.05, p_value=p) for p in (0.01, 0.04, 0.02)]
    assert [test.p_value for test in merged(tests)] == [0.04]


def test_nothing_is_recorded_if_no_rule_was_tested():
    assert record(Looks(QUESTION), [], True) is None


def test_a_judgement_repeats_one_of_the_same_model_and_examples():
    judged = History().judge("float", "quantized", "examples")
    assert judged.repeats(judged)
    for change in ("float_model", "quantized_model", "examples"):
        assert not judged.model_copy(update={change: "other"}).repeats(judged)
    assert not judged.model_copy(update={"blessed": True}).repeats(judged)
    in_a_budget = History(YEAR).judge("float", "quantized", "examples")
    assert not in_a_budget.repeats(judged)
    assert in_a_budget.repeats(in_a_budget)
    more = judged.rules[0].model_copy(update={"rule": "other"})
    assert not judged.model_copy(update={"rules": (*judged.rules, more)}).repeats(judged)


# --- The gate -------------------------------------------------------------------------------------


def test_looks_are_counted_if_a_rule_has_a_confidence():
    assert Gate(rules=(RULE,)).is_counted
    assert not Gate(rules=(RULE,), looks="not_counted").is_counted
    assert not Gate(rules=({"metric": "accuracy", "max_drop": 0.01},)).is_counted


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"rules": (RULE.model_copy(update={"confidence": None}),)}, "a rule with a confidence"),
        ({"rules": (RULE,), "looks": "not_counted"}, "needs gate.looks: counted"),
    ],
)
def test_a_budget_needs_judgements_that_can_be_counted(keys, problem):
    with pytest.raises(ValueError, match=problem):
        Gate(budget=YEAR, **keys)


def test_a_look_knows_how_sure_its_bounds_are():
    assert dataclasses.replace(Look.only(RULE), level=0.025).confidence == 0.975


def test_a_rule_that_is_all_but_certain_still_has_a_level():
    assert History().looks().at(RULE.model_copy(update={"confidence": 1 - 1e-14})).level > 0
