"""Which slices a report lists if there are very many: those on which the model is worst."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeVar

from tfx_tflite.components.documents import Part
from tfx_tflite.components.judgement.metrics.catalog import direction_of
from tfx_tflite.components.verdict import OVERALL, MetricValues, RuleResult, Verdict

# Of each rule, and of each metric.
MOST_SLICES = 1000
MOST_REASONS = 1000
_SEVERITY = (Verdict.REFUSED, Verdict.UNDECIDED, Verdict.BLESSED, Verdict.NOT_JUDGED)

_Value = TypeVar("_Value", bound=MetricValues)


class SlicesLeftOut(Part):
    """The slices of a rule that a report does not list.

    Attributes:
        rule: What tables call the rule.
        target: On which target it was judged, if the config names any.
        verdicts: How many of the slices have which verdict.
    """

    rule: str
    target: str | None = None
    verdicts: dict[str, int]

    @property
    def in_words(self) -> str:
        """What is left out, as a sentence."""
        on = f" on {self.target}" if self.target else ""
        parts = [
            f"{self.verdicts[verdict]:,} {verdict.replace('_', ' ')}"
            for verdict in (each.value for each in _SEVERITY)
            if verdict in self.verdicts
        ]
        return (
            f"of the slices of {self.rule}{on} the {MOST_SLICES:,} worst are listed, and "
            f"{sum(self.verdicts.values()):,} are left out: {', '.join(parts)}"
        )


def kept_rules(
    rules: Sequence[RuleResult],
) -> tuple[tuple[RuleResult, ...], tuple[SlicesLeftOut, ...]]:
    """Returns the results that a report lists, in their order, and what it leaves out.

    Args:
        rules: Each rule on each of its slices.
    """
    # Places in the sequence, by what tells rules apart.
    places: dict[tuple[object, ...], list[int]] = {}
    for place, rule in enumerate(rules):
        if rule.slice != OVERALL:
            key = (rule.title, rule.target, rule.limit, rule.side, rule.confidence)
            places.setdefault(key, []).append(place)
    gone: set[int] = set()
    left_out = []
    for of_rule in places.values():
        others = sorted(of_rule, key=lambda place: _how_bad(rules[place]))[MOST_SLICES:]
        if others:
            counts = Counter(rules[place].verdict.value for place in others)
            first = rules[of_rule[0]]
            left_out.append(
                SlicesLeftOut(rule=first.title, target=first.target, verdicts=dict(counts))
            )
            gone.update(others)
    kept = tuple(rule for place, rule in enumerate(rules) if place not in gone)
    return kept, tuple(left_out)


def _how_bad(rule: RuleResult) -> tuple[int, float]:
    beyond = rule.drop - rule.bound
    return _SEVERITY.index(rule.verdict), math.inf if math.isnan(beyond) else -beyond


def kept_values(values: Sequence[_Value], rules: Iterable[RuleResult]) -> tuple[_Value, ...]:
    """Returns the metrics that a report lists, in their order.

    Args:
        values: Each metric on each slice.
        rules: The results that the report lists, whose slices it lists of all metrics.
    """
    listed = {rule.slice for rule in rules} | {OVERALL}
    places: dict[tuple[str, str | None], list[int]] = {}
    for place, value in enumerate(values):
        if value.slice not in listed:
            places.setdefault((value.metric, value.output), []).append(place)
    kept: set[int] = set()
    for of_metric in places.values():
        worst = sorted(of_metric, key=lambda place: _loss(values[place]), reverse=True)
        kept.update(worst[:MOST_SLICES])
    return tuple(
        value for place, value in enumerate(values) if place in kept or value.slice in listed
    )


def _loss(value: MetricValues) -> float:
    """Returns how much worse the quantized model is; how different, if no side is known."""
    change = value.float_value - value.quantized_value
    direction = direction_of(value.metric)
    if math.isnan(change):
        return -math.inf
    if direction is None:
        return abs(change)
    return change if direction == "higher_is_better" else -change


def kept_reasons(reasons: Sequence[str]) -> tuple[str, ...]:
    """Returns the reasons that a report lists: the first ones, and how many more there are."""
    if len(reasons) <= MOST_REASONS:
        return tuple(reasons)
    more = f"there are {len(reasons) - MOST_REASONS:,} more reasons, which are left out"
    return (*reasons[:MOST_REASONS], more)
