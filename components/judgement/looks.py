"""How sure a verdict must be, by how often was asked before.

A test at 95 % confidence errs in one of twenty cases each time that it is asked. Whoever asks again
until the answer is yes therefore pushes bad models far more often: 29 % of those at the bound after
eight looks that each add as many examples as were advised. So each judgement of the same model by
the same rule, a *look*, is judged at a smaller level than the one before (`spending.look_level`).

A model is the same if its float model is, or its quantized one. It does not matter whether the
examples are others: another draw is another chance. Only two things are no further look: what was
judged already, asked again of the same examples; and the model that was blessed last, because it
has been pushed, so that no further chance is in it.

With a budget, many models share one probability of a wrong push. Each has a part of it for all of
its looks (`spending.night_level`). A part is handed on once a model is blessed, so another
quantized model of the same float model does not have it as well: it comes next in the budget.

Nothing here needs NumPy: the Pusher goes by it, too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from tfx_tflite.components.destinations.ledger import JudgedModel, JudgedRule, Night
from tfx_tflite.components.documents import Part
from tfx_tflite.components.judgement.gate import Budget, MetricRule
from tfx_tflite.components.judgement.statistics.spending import look_level, night_level


@dataclass(frozen=True)
class Look:
    """One judgement of a model by a rule.

    Attributes:
        level: The largest probability of a wrong blessing, one-sided.
        following: That of the next judgement.
        number: Which look it is, from 1; None if looks are not counted.
    """

    level: float
    following: float
    number: int | None = None

    @classmethod
    def only(cls, rule: MetricRule) -> "Look":
        """Returns the look of a rule whose looks are not counted."""
        return cls(rule.alpha, rule.alpha)

    @property
    def confidence(self) -> float:
        """How sure a bound is at that level."""
        return 1 - self.level


class RuleTest(Part):
    """What the test of a rule with a confidence found, on all of its slices and targets.

    Attributes:
        rule: The rule's `MetricRule.identity`.
        alpha: One minus its confidence.
        p_value: The largest p-value of "the drop is the bound or more".
    """

    rule: str
    alpha: float
    p_value: float


@dataclass(frozen=True)
class Question:
    """Which model is judged, and on which examples.

    Attributes:
        float_model: The digest of the float model.
        quantized_model: The digest of the quantized model.
        examples: The digest of the examples.
    """

    float_model: str
    quantized_model: str
    examples: str

    def is_of_model(self, judged: JudgedModel) -> bool:
        """Returns whether a judgement was of the same model, on whatever examples."""
        return (
            judged.float_model == self.float_model or judged.quantized_model == self.quantized_model
        )

    def is_same(self, judged: JudgedModel) -> bool:
        """Returns whether a judgement was of the same quantized model on the same examples."""
        return (judged.quantized_model, judged.examples) == (self.quantized_model, self.examples)


@dataclass(frozen=True)
class Looks:
    """The looks at one model.

    Attributes:
        question: What is judged now.
        past: All judgements that were made at the destination, the oldest first.
        budget: What models share; None if each has a probability of a wrong push of its own.
    """

    question: Question
    past: tuple[JudgedModel, ...] = ()
    budget: Budget | None = None

    @cached_property
    def _of_model(self) -> list[JudgedModel]:
        return [judged for judged in self.past if self.question.is_of_model(judged)]

    def at(self, rule: MetricRule) -> Look:
        """Returns the look of a rule with a confidence."""
        return self.look(rule.identity, rule.alpha)

    def look(self, rule: str, alpha: float) -> Look:
        """Returns the look of a rule.

        Args:
            rule: Its `MetricRule.identity`.
            alpha: One minus its confidence.
        """
        number = self._number(rule)
        share = alpha if self.night is None else min(alpha, self.night.level)
        return Look(look_level(share, number), look_level(share, number + 1), number)

    def _number(self, rule: str) -> int:
        seen: set[tuple[str, str]] = set()
        quantized = self.question.quantized_model
        last = next((each for each in reversed(self.past) if each.blessed), None)
        is_current = last is not None and last.quantized_model == quantized
        for judged in self._of_model:
            known = next((each for each in judged.rules if each.rule == rule), None)
            is_pushed = is_current and judged.blessed and judged.quantized_model == quantized
            if known is not None and (is_pushed or self.question.is_same(judged)):
                return known.look
            # By whichever rule: with a bound that is a little different all would begin again.
            seen.add((judged.quantized_model, judged.examples))
        return len(seen) + 1

    @cached_property
    def night(self) -> Night | None:
        """The model's place in the budget; None if there is none."""
        if self.budget is None:
            return None
        terms = (self.budget.false_pushes, self.budget.over)
        quantized = self.question.quantized_model
        counted = [(judged, judged.night) for judged in self.past if judged.night is not None]
        # What was blessed may have handed its level on, which nobody else may use a second time.
        blessed = {
            _place(night): judged.quantized_model for judged, night in counted if judged.blessed
        }
        for judged, night in counted:
            is_its_own = blessed.get(_place(night), quantized) == quantized
            is_of_terms = (night.false_pushes, night.over) == terms
            if is_its_own and is_of_terms and self.question.is_of_model(judged):
                return night
        block, number, previous, was_blessed = 1, 1, 0.0, False
        if counted:
            last = max((night for _, night in counted), key=_place)
            block = last.block
            if (last.false_pushes, last.over) == terms and last.number < last.over:
                number, previous = last.number + 1, last.level
                was_blessed = any(
                    judged.blessed for judged, night in counted if _place(night) == _place(last)
                )
            else:
                block += 1
        return Night(
            false_pushes=terms[0],
            over=terms[1],
            block=block,
            number=number,
            level=night_level(*terms, previous, was_blessed),
        )


def _place(night: Night) -> tuple[int, int]:
    return night.block, night.number


def record(looks: Looks, tests: Sequence[RuleTest], blessed: bool) -> JudgedModel | None:
    """Returns what the ledger is told of a judgement; None if no rule with a confidence decided.

    Args:
        looks: The looks at the model.
        tests: What each rule with a confidence said.
        blessed: Whether the whole gate held.
    """
    if not tests:
        return None
    rules = tuple(
        JudgedRule(
            rule=test.rule,
            alpha=test.alpha,
            look=look.number or 1,
            level=look.level,
            p_value=test.p_value,
        )
        for test in tests
        for look in [looks.look(test.rule, test.alpha)]
    )
    return JudgedModel(
        float_model=looks.question.float_model,
        quantized_model=looks.question.quantized_model,
        examples=looks.question.examples,
        rules=rules,
        night=looks.night,
        blessed=blessed,
    )


def judged_again(judged: JudgedModel, past: Iterable[JudgedModel]) -> JudgedModel:
    """Returns a judgement with the levels that it has beside those that were made meanwhile.

    Its p-values stay as they are, so that nothing has to be evaluated again.

    Args:
        judged: The judgement.
        past: Those at the destination, the oldest first.
    """
    night = judged.night
    budget = None if night is None else Budget(false_pushes=night.false_pushes, over=night.over)
    question = Question(judged.float_model, judged.quantized_model, judged.examples)
    looks = Looks(question, tuple(past), budget)
    rules = []
    for rule in judged.rules:
        look = looks.look(rule.rule, rule.alpha)
        rules.append(rule.model_copy(update={"look": look.number, "level": look.level}))
    holds = judged.blessed and all(rule.p_value < rule.level for rule in rules)
    return judged.model_copy(update={"rules": tuple(rules), "night": looks.night, "blessed": holds})


def merged(tests: Iterable[RuleTest]) -> tuple[RuleTest, ...]:
    """Returns one test a rule, with the largest p-value: each rule must hold on each target."""
    found: dict[str, RuleTest] = {}
    for test in tests:
        known = found.setdefault(test.rule, test)
        if test.p_value > known.p_value:
            found[test.rule] = test
    return tuple(found.values())
