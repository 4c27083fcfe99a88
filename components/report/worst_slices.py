"""On which slices the quantized model loses most."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tfx_tflite.components.judgement.metrics.catalog import direction_of
from tfx_tflite.components.report.checks import is_limit
from tfx_tflite.components.verdict import OVERALL, MetricValues, RuleResult

MAX_SLICES_PER_METRIC = 5
MAX_METRICS_OF_SLICES = 8


@dataclass(frozen=True)
class SliceDrop:
    """How much worse the quantized model is on one slice.

    Attributes:
        value: The metric on the slice.
        drop: How much worse the quantized model is, in the metric's unit.
        share: The drop as a share of the largest one of the metric, 0 to 1.
    """

    value: MetricValues
    drop: float
    share: float


@dataclass(frozen=True)
class SliceGroup:
    """The slices of one metric on which the quantized model is worst.

    Attributes:
        metric: The metric's name.
        overall: The drop over all examples, or None if there is no figure.
        slices: The worst first; empty if the quantized model is worse on none.
        total: The number of slices with a figure.
    """

    metric: str
    overall: float | None
    slices: tuple[SliceDrop, ...]
    total: int


def worst_slices(metrics: Sequence[MetricValues], rules: Sequence[RuleResult]) -> list[SliceGroup]:
    """Returns the worst slices of each metric, the metrics that a rule names first.

    A metric is left out if neither a rule nor its name tells which way it is better: metrics come
    without a drop.

    Args:
        metrics: Each metric on each slice.
        rules: Each rule on each of its slices.
    """
    signs = _signs(rules)
    drops: dict[str, dict[str, tuple[float, MetricValues]]] = {}
    for value in (*rules, *metrics):
        drop = _drop(value, signs)
        if not math.isnan(drop) and not is_limit(value.metric):
            drops.setdefault(value.title, {}).setdefault(value.slice, (drop, value))
    groups = [_slice_group(metric, by_slice) for metric, by_slice in drops.items()]
    return [group for group in groups if group.total][:MAX_METRICS_OF_SLICES]


def _drop(value: MetricValues, signs: Mapping[str, int]) -> float:
    if isinstance(value, RuleResult):
        return value.drop
    by_name = {"higher_is_better": 1, "lower_is_better": -1, None: math.nan}
    sign = signs.get(value.title, by_name[direction_of(value.metric)])
    return sign * (value.float_value - value.quantized_value)


def _signs(rules: Sequence[RuleResult]) -> dict[str, int]:
    """Returns 1 for the metrics that rules say are better higher, -1 for those better lower."""
    signs: dict[str, int] = {}
    for rule in rules:
        change = rule.float_value - rule.quantized_value
        if rule.drop * change:
            signs.setdefault(rule.title, 1 if rule.drop * change > 0 else -1)
    return signs


def _slice_group(metric: str, by_slice: Mapping[str, tuple[float, MetricValues]]) -> SliceGroup:
    sliced = {name: found for name, found in by_slice.items() if name != OVERALL}
    worse = sorted(
        (found for found in sliced.values() if found[0] > 0), key=lambda found: -found[0]
    )
    return SliceGroup(
        metric=metric,
        overall=by_slice[OVERALL][0] if OVERALL in by_slice else None,
        slices=tuple(
            SliceDrop(value, drop, share=round(drop / worse[0][0], 3))
            for drop, value in worse[:MAX_SLICES_PER_METRIC]
        ),
        total=len(sliced),
    )
