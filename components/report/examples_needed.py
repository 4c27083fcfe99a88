"""How many examples the rules of a report ask for: what `tfx-tflite plan` and the page show.

The question is always the same: with how many examples is a model that loses nothing blessed with a
power of 80 %? How much the models differ on single examples is what an evaluation has seen.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tfx_tflite.components.destinations.ledger import Night
from tfx_tflite.components.judgement import gate
from tfx_tflite.components.judgement.statistics.spending import look_level, night_level
from tfx_tflite.components.report.wording import Clipped, clip, count, number
from tfx_tflite.components.verdict import OVERALL, RuleResult, Verdict

POWER = 0.8
THIS_NIGHT = "this night"
# So many nights in a row are shown on which every model was blessed.
BLESSED_NIGHTS = 30


@dataclass(frozen=True)
class Asked:
    """At which level a rule is judged under some circumstances.

    Attributes:
        name: The circumstances in words.
        level: The largest probability of a wrong blessing.
    """

    name: str
    level: float


def circumstances(alpha: float, night: Night | None = None) -> tuple[Asked, ...]:
    """Returns the levels of a rule, by what is counted.

    Those of later nights are so that every model before was blessed, but for this one's.

    Args:
        alpha: One minus the rule's confidence.
        night: A place in the budget whose terms are meant; None if there is no budget.
    """
    asked = [
        Asked("one test", alpha),
        Asked("look 1", look_level(alpha, 1)),
        Asked("look 2", look_level(alpha, 2)),
    ]
    if night is not None:
        level = night_level(night.false_pushes, night.over, 0.0, False)
        asked.append(Asked("night 1", _first(alpha, level)))
        later = min(BLESSED_NIGHTS + 1, night.over)
        asked.append(Asked(f"night {later}", _first(alpha, level * later)))
        if night.number not in (1, later):
            asked.append(Asked(THIS_NIGHT, _first(alpha, night.level)))
    return tuple(asked)


def _first(alpha: float, share: float) -> float:
    return look_level(min(alpha, share), 1)


def margin_of(rule: RuleResult) -> float:
    """Returns how far the bound is from no drop or, if a value is limited, from what it is now."""
    return rule.bound - rule.drop if rule.side else rule.bound


def needed(rule: RuleResult, level: float, power: float = POWER) -> int | None:
    """Returns how many examples, or groups, bless a model that loses nothing.

    Args:
        rule: A rule with a confidence, as it was judged.
        level: At which it is judged then.
        power: How often the model is to be blessed.

    Returns:
        None if no number does, or if it is not known how much the examples differ.
    """
    from tfx_tflite.components.judgement.statistics.power import (
        examples_for_mean,
        examples_for_share,
    )

    margin = margin_of(rule)
    if not margin > 0:
        return None
    # Groups differ in how many of their examples change, so of them the deviation tells.
    if rule.changed is not None and rule.groups is None:
        return examples_for_share(rule.changed, min(margin, 1.0), level, power)
    if rule.deviation is None or not math.isfinite(rule.deviation):
        return None
    return examples_for_mean(rule.deviation, margin, level, power)


def power_at(rule: RuleResult, examples: int, level: float) -> float:
    """Returns how often so many examples bless a model that loses nothing.

    Args:
        rule: A rule with a confidence for which `needed` gives a number.
        examples: How many.
        level: At which it is judged.
    """
    from tfx_tflite.components.judgement.statistics.power import power_of_mean, power_of_share

    margin = margin_of(rule)
    if rule.changed is not None and rule.groups is None:
        return power_of_share(examples, rule.changed, min(margin, 1.0), level)
    assert rule.deviation is not None
    return power_of_mean(examples, rule.deviation, margin, level)


def planned_rules(rules: Iterable[RuleResult]) -> list[RuleResult]:
    """Returns the rules with a confidence whose examples can be counted, the hardest slice of each.

    Args:
        rules: As they were judged, on all slices.
    """
    hardest: dict[tuple[object, ...], tuple[int, RuleResult]] = {}
    for rule in rules:
        if rule.confidence is None or rule.verdict is Verdict.NOT_JUDGED:
            continue
        asked = needed(rule, alpha_of(rule))
        if asked is None:
            continue
        key = (
            rule.title,
            rule.target,
            rule.confidence,
            rule.side,
            rule.limit,
            rule.slice == OVERALL,
        )
        # A slice that is small beside what it asks for is the one that keeps the rule from holding.
        missing = asked - rule.counted[0]
        if key not in hardest or missing > hardest[key][0]:
            hardest[key] = (missing, rule)
    return [rule for _, rule in hardest.values()]


def alpha_of(rule: RuleResult) -> float:
    """Returns one minus the confidence that a rule asks for."""
    assert rule.confidence is not None
    return gate.alpha_of(rule.confidence)


# --- The plot -------------------------------------------------------------------------------------


class PowerScale:
    """The units of a plot of power over examples."""

    LEFT, WIDTH, HEIGHT, BELOW = 34.0, 260.0, 110.0, 26.0


@dataclass(frozen=True)
class Curve:
    """The power under some circumstances.

    Attributes:
        name: What is counted.
        path: The line, in the units of `PowerScale`.
        needed: How many examples it takes for a power of 80 %.
    """

    name: str
    path: str
    needed: int


@dataclass(frozen=True)
class PowerPlot:
    """How often a model that loses nothing is blessed, over the number of examples.

    Attributes:
        title: Of which rule.
        counted: What counts: `examples` or `groups`.
        curves: One for each of some circumstances.
        today: Where the number of examples of the evaluation is; None if it is outside.
        aim: The height of a power of 80 %.
        ticks: Places on the axis of examples, and what is written there.
        label: The plot in words.
    """

    title: str
    counted: str
    curves: tuple[Curve, ...]
    today: float | None
    aim: float
    ticks: tuple[tuple[float, str], ...]
    label: str


_POINTS = 25


def power_plot(rules: Sequence[RuleResult], night: Night | None) -> PowerPlot | None:
    """Returns the plot of the rule that asks for most examples; None if no rule can be planned.

    Args:
        rules: As they were judged.
        night: The model's place in the budget; None if there is none.
    """
    planned = planned_rules(rules)
    if not planned:
        return None
    rule = max(planned, key=lambda each: needed(each, alpha_of(each)) or 0)
    asked = circumstances(alpha_of(rule), night)
    counts = {each.name: needed(rule, each.level) or 0 for each in asked}
    fewest, most = min(counts.values()) / 4, max(counts.values()) * 1.5
    places = [fewest * (most / fewest) ** (step / (_POINTS - 1)) for step in range(_POINTS)]

    def across(examples: float) -> float:
        share = math.log(examples / fewest) / math.log(most / fewest)
        return round(PowerScale.LEFT + PowerScale.WIDTH * share, 1)

    curves = tuple(
        Curve(each.name, _path(rule, each.level, places, across), counts[each.name])
        for each in asked
    )
    today, one = rule.counted
    is_shown = fewest <= today <= most
    where = "" if rule.slice == OVERALL else f" on {clip(rule.slice)}"
    said = ", ".join(f"{curve.name} {count(curve.needed)}" for curve in curves)
    return PowerPlot(
        title=f"{rule.title}{where}, {number(margin_of(rule))} from the bound",
        counted=f"{one}s",
        curves=curves,
        today=across(today) if is_shown else None,
        aim=_height(POWER),
        ticks=tuple((across(tick), count(tick)) for tick in _round_numbers(fewest, most)),
        label=f"How often a model that loses nothing is blessed, over the number of {one}s; for "
        f"80 % it takes: {said}; this evaluation has {count(today)}.",
    )


def _path(
    rule: RuleResult, level: float, places: Sequence[float], across: Callable[[float], float]
) -> str:
    points = (
        f"{across(place)} {_height(power_at(rule, max(round(place), 1), level))}"
        for place in places
    )
    # Longer than other texts, which are clipped when they are shown.
    return Clipped("M" + "L".join(points))


def _height(power: float) -> float:
    return round(PowerScale.HEIGHT * (1 - power), 1)


def _round_numbers(lowest: float, highest: float) -> list[int]:
    """Returns 1, 2 and 5 times powers of ten between two numbers, at most about five."""
    powers = range(math.floor(math.log10(lowest)), math.ceil(math.log10(highest)) + 1)
    every = [factor * 10**power for power in powers for factor in (1, 2, 5)]
    found = [round(each) for each in every if lowest <= each <= highest and each >= 1]
    return found[:: max(1, math.ceil(len(found) / 4))]
