"""The rules of a report, each on each of its slices, as rows and plots of the page."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tfx_tflite.components.judgement.gate import LIMITS
from tfx_tflite.components.report.wording import count, in_unit, number
from tfx_tflite.components.verdict import OVERALL, RuleResult, Side, Verdict, name_targets

# Rules that limit the quantized model's figure itself. The gate judges them as a drop from the
# float model's figure; the page shows the limit as the config has it. Reports of earlier releases
# do not say the side.
_SIDES: dict[str, Side] = {limit.figure: limit.side for limit in LIMITS}

# Slices beyond these fold.
MAX_SLICES_SHOWN = 10
# In the order of the table: what keeps the model from being pushed comes first.
_SEVERITY = (Verdict.REFUSED, Verdict.UNDECIDED, Verdict.BLESSED, Verdict.NOT_JUDGED)


def is_limit(metric: str) -> bool:
    """Returns whether a figure is one of the model as a whole, which rules limit."""
    return metric in _SIDES


def side_of(rule: RuleResult) -> Side | None:
    """Returns which way a rule limits the figure itself; None if it limits the drop."""
    return rule.side or _SIDES.get(rule.metric)


def own_bounds(rule: RuleResult) -> tuple[float, float] | None:
    """Returns the lower and the upper bound of the figure that a rule limits.

    None if the rule limits the drop, or if there are no bounds.
    """
    side = side_of(rule)
    if side is None or rule.lower is None or rule.upper is None:
        return None
    # A drop is how much worse the figure is than a reference.
    if side == "at least":
        reference = rule.quantized_value + rule.drop
        return reference - rule.upper, reference - rule.lower
    reference = rule.quantized_value - rule.drop
    return reference + rule.lower, reference + rule.upper


class PlotScale:
    """Where an interval plot, in its own units, has its marks.

    The horizontal unit is the largest drop allowed, so that "no change" and "largest drop allowed"
    are at the same place in every row, whatever the metric.
    """

    WIDTH = 140.0
    HEIGHT = 20.0
    FIRST, LAST = -1.5, 2.5
    MARGIN = 4.0  # Room for a mark that stands for a figure outside the plot.

    @classmethod
    def position(cls, multiple: float) -> float:
        """Returns where a multiple of the largest drop allowed is, kept within the plot."""
        inside = min(max(multiple, cls.FIRST), cls.LAST)
        span = (inside - cls.FIRST) / (cls.LAST - cls.FIRST)
        return round(cls.MARGIN + span * (cls.WIDTH - 2 * cls.MARGIN), 1)


@dataclass(frozen=True)
class IntervalPlot:
    """A small plot of one check: positions in the units of `PlotScale`, and the same in words.

    Attributes:
        zero: No change; None if the bound limits the figure itself.
        bound: The largest drop allowed.
        point: The drop.
        beyond: Whether the drop is outside the plot: -1 to the left, 1 to the right, 0 not.
        bar: The interval's two ends, or None if there is no interval.
        label: What the plot shows, in words.
    """

    zero: float | None
    bound: float
    point: float
    beyond: int
    bar: tuple[float, float] | None
    label: str


@dataclass(frozen=True)
class Check:
    """A rule on a slice, as a row of the table.

    Attributes:
        rule: The rule's result.
        target: On which target it was judged, if there are several; else empty.
    """

    rule: RuleResult
    target: str = ""

    @property
    def side(self) -> Side | None:
        """Which way the bound limits the figure itself, or None if it limits the drop."""
        return side_of(self.rule)

    @property
    def _is_of_metric(self) -> bool:
        """Whether the value of a metric is limited, which the float model has, too."""
        return self.side is not None and not is_limit(self.rule.metric)

    @property
    def quantized(self) -> str:
        """The quantized model's figure, with its unit."""
        return self.rule.quantized_release or in_unit(self.rule.quantized_value, self.rule.metric)

    @property
    def allowed(self) -> str:
        """The largest drop allowed, or which way the figure is limited, and by what."""
        limit = self.rule.limit_release or in_unit(self.bound, self.rule.metric)
        return f"{self.side} {limit}" if self.side else limit

    @property
    def bound(self) -> float | None:
        """The largest drop that the rule allows, or the limit that it sets to the figure."""
        return self.rule.limit if self.side else self.rule.bound

    @property
    def interval(self) -> tuple[float, float] | None:
        """The lower and the upper bound of the drop or, if the figure is limited, of that."""
        return own_bounds(self.rule) if self.side else self._drop_interval

    @property
    def _drop_interval(self) -> tuple[float, float] | None:
        lower, upper = self.rule.lower, self.rule.upper
        return None if lower is None or upper is None else (lower, upper)

    @property
    def note(self) -> str:
        """What the verdict needs said; empty if it speaks for itself."""
        rule = self.rule
        if rule.verdict is Verdict.UNDECIDED and rule.more_examples is not None:
            return f"some {count(rule.more_examples)} more {rule.counted[1]}s would settle it"
        has_figures = not math.isnan(rule.drop) and not math.isnan(rule.quantized_value)
        if rule.verdict is Verdict.BLESSED or (rule.verdict is Verdict.REFUSED and has_figures):
            return ""
        return rule.reason

    @property
    def plot(self) -> IntervalPlot | None:
        """Where the marks of the plot go, or None if there is nothing to show."""
        drop, bound = self._drop_and_bound()
        is_release = self.rule.limit_release is not None
        if (
            is_release
            or math.isnan(self.rule.quantized_value)
            or not (math.isfinite(drop) and math.isfinite(bound))
        ):
            return None
        # What is limited by itself has no place for "no change", if the float model has no figure.
        has_zero = not self.side or (self._is_of_metric and math.isfinite(self.rule.float_value))
        interval = self._plotted_interval
        unit = abs(bound) or max(map(abs, (drop, *(interval or ())))) or 1.0
        at = PlotScale.position
        return IntervalPlot(
            zero=at(0) if has_zero else None,
            bound=at(bound / unit),
            point=at(drop / unit),
            beyond=(drop / unit > PlotScale.LAST) - (drop / unit < PlotScale.FIRST),
            bar=(at(interval[0] / unit), at(interval[1] / unit)) if interval else None,
            label=self._plot_label(),
        )

    @property
    def _plotted_interval(self) -> tuple[float, float] | None:
        """The interval in the terms of `_drop_and_bound`."""
        return self.interval if self._is_plotted_itself else self._drop_interval

    @property
    def _is_plotted_itself(self) -> bool:
        """Whether the plot shows the figure, and not the drop; it limits the whole model then."""
        return self.side == "at most" and not self._is_of_metric

    def _drop_and_bound(self) -> tuple[float, float]:
        """Returns what a plot shows and its bound; a higher figure is always a worse one."""
        if self._is_plotted_itself and self.rule.limit is not None:
            return self.rule.quantized_value, self.rule.limit
        return self.rule.drop, self.rule.bound

    def _plot_label(self) -> str:
        rule, ends = self.rule, self.interval
        within = f", interval {number(ends[0])} to {number(ends[1])}" if ends else ""
        if self.side:
            return f"{self.quantized}{within}, where {self.allowed} is allowed"
        return f"Drop {number(rule.drop)}{within}, largest drop allowed {self.allowed}"


def checks_of(rules: Sequence[RuleResult]) -> list[Check]:
    """Returns the rows of the table of rules: what refuses first, and of these what is overall."""
    with_target = name_targets(rules)
    return sorted(
        (Check(rule, (rule.target or "") if with_target else "") for rule in rules),
        key=lambda check: (_SEVERITY.index(check.rule.verdict), check.rule.slice != OVERALL),
    )


def folded(checks: Sequence[Check]) -> tuple[list[Check], list[Check]]:
    """Returns the checks that are shown, and those of slices beyond the first ten, which fold."""
    slices = [check for check in checks if check.rule.slice != OVERALL]
    hidden = slices[MAX_SLICES_SHOWN:]
    hidden_ids = set(map(id, hidden))
    return [check for check in checks if id(check) not in hidden_ids], hidden


def interval_methods(rules: Iterable[RuleResult]) -> dict[tuple[str, float | None], list[str]]:
    """Returns the metrics of the intervals that were found by one method at one confidence."""
    found: dict[tuple[str, float | None], list[str]] = {}
    for rule in rules:
        if rule.method:
            sure = rule.confidence if rule.level is None else 1 - rule.level
            metrics = found.setdefault((rule.method, sure), [])
            metrics += [rule.title] * (rule.title not in metrics)
    return found
