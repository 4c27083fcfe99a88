"""The rules of a report, each on each of its slices, as rows and plots of the page."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tfx_tflite.components.judgement.gate import LIMITS
from tfx_tflite.components.report.wording import count, number
from tfx_tflite.components.verdict import OVERALL, RuleResult, Verdict

Side = Literal["at most", "at least"]

# Rules that limit the quantized model's figure itself. The gate judges them as a drop from the
# float model's figure; the page shows the limit as the config has it.
_SIDES: dict[str, Side] = {limit.figure: limit.side for limit in LIMITS}

# Slices beyond these fold.
MAX_SLICES_SHOWN = 10
# In the order of the table: what keeps the model from being pushed comes first.
_SEVERITY = (Verdict.REFUSED, Verdict.UNDECIDED, Verdict.BLESSED, Verdict.NOT_JUDGED)


def is_limit(metric: str) -> bool:
    """Returns whether a figure is one of the model as a whole, which rules limit."""
    return metric in _SIDES


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
    """

    rule: RuleResult

    @property
    def side(self) -> Side | None:
        """Which way the bound limits the figure itself, or None if it limits the drop."""
        return _SIDES.get(self.rule.metric)

    @property
    def bound(self) -> float | None:
        """The largest drop that the rule allows, or the limit that it sets to the figure."""
        return self.rule.limit if self.side else self.rule.bound

    @property
    def interval(self) -> tuple[float, float] | None:
        """The lower and the upper bound of the drop."""
        lower, upper = self.rule.lower, self.rule.upper
        return None if lower is None or upper is None else (lower, upper)

    @property
    def note(self) -> str:
        """What the verdict needs said; empty if it speaks for itself."""
        rule = self.rule
        if rule.verdict is Verdict.UNDECIDED and rule.more_examples is not None:
            return f"some {count(rule.more_examples)} more examples would settle it"
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
        interval = None if self.side else self.interval
        unit = abs(bound) or max(map(abs, (drop, *(interval or ())))) or 1.0
        at = PlotScale.position
        return IntervalPlot(
            zero=None if self.side else at(0),
            bound=at(bound / unit),
            point=at(drop / unit),
            beyond=(drop / unit > PlotScale.LAST) - (drop / unit < PlotScale.FIRST),
            bar=(at(interval[0] / unit), at(interval[1] / unit)) if interval else None,
            label=self._plot_label(),
        )

    def _drop_and_bound(self) -> tuple[float, float]:
        """Returns what a plot shows and its bound; a higher figure is always a worse one."""
        if self.side == "at most" and self.rule.limit is not None:
            return self.rule.quantized_value, self.rule.limit
        return self.rule.drop, self.rule.bound

    def _plot_label(self) -> str:
        rule, bound = self.rule, number(self.bound)
        if self.side:
            return f"{number(rule.quantized_value)}, where {self.side} {bound} is allowed"
        ends = self.interval
        within = f", interval {number(ends[0])} to {number(ends[1])}" if ends else ""
        return f"Drop {number(rule.drop)}{within}, largest drop allowed {bound}"


def checks_of(rules: Iterable[RuleResult]) -> list[Check]:
    """Returns the rows of the table of rules: what refuses first, and of these what is overall."""
    return sorted(
        map(Check, rules),
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
            metrics = found.setdefault((rule.method, rule.confidence), [])
            metrics += [rule.title] * (rule.title not in metrics)
    return found
