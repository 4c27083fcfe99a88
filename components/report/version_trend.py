"""How size and judged figures went over the versions that were pushed last, beside this model's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfx_tflite.components.destinations.last_versions import (
    PastVersion,
    last_versions,
    overall_figures,
)
from tfx_tflite.components.errors import DestinationError, NotKnownError
from tfx_tflite.components.report.document import Report
from tfx_tflite.components.report.wording import clip, counted, number, size

if TYPE_CHECKING:  # The page is rendered without any store.
    from tfx_tflite.components.destinations.destination import Destination

MAX_TRENDS = 8


class TrendScale:
    """The units of a trend."""

    WIDTH = 220.0
    HEIGHT = 56.0
    MARGIN = 6.0


@dataclass(frozen=True)
class Trend:
    """A figure over the versions.

    Attributes:
        title: What it is.
        points: The (x, y) of each version that has the figure, in the units of `TrendScale`.
        path: The line through them.
        lowest: The lowest figure, as text.
        highest: The highest one.
        newest: This model's.
        label: The trend in words.
    """

    title: str
    points: tuple[tuple[float, float], ...]
    path: str
    lowest: str
    highest: str
    newest: str
    label: str


@dataclass(frozen=True)
class VersionTrend:
    """The versions that were pushed last, and then this model if it is not among them.

    Attributes:
        names: What they are called.
        versions: What is known of each.
        trends: Size, and each figure that a rule is on.
    """

    names: tuple[str, ...]
    versions: tuple[PastVersion, ...]
    trends: tuple[Trend, ...]

    @property
    def titles(self) -> tuple[str, ...]:
        """The figures that rules are on."""
        return tuple(trend.title for trend in self.trends[1:])


def with_history(report: Report, destination: "Destination") -> Report:
    """Returns a report with the versions that were pushed last.

    The verdict does not go by them, so a destination that cannot be read is said, and no failure.

    Args:
        report: The report.
        destination: Where the model is, or is to be, pushed to.
    """
    try:
        return report.model_copy(update={"history": last_versions(destination)})
    except (NotKnownError, DestinationError, OSError) as error:
        return report.model_copy(update={"history_problem": str(error)})


def version_trend(report: Report) -> VersionTrend | None:
    """Returns how the figures went; None if there are fewer than two models to compare."""
    versions = report.history
    names = [f"version {past.version}" for past in versions]
    if report.pushed is None or report.pushed.version not in {past.version for past in versions}:
        today = _today(report)
        versions = (*versions, today) if today else versions
        names += ["this model"] * (today is not None)
    if not report.history or len(versions) < 2:
        return None
    sizes = _trend("Model file", [past.size_bytes for past in versions], size)
    titles = overall_figures(report.rules)
    others = [
        _trend(title, [past.figures.get(title) for past in versions], number) for title in titles
    ]
    trends = [trend for trend in [sizes, *others] if trend is not None][:MAX_TRENDS]
    return VersionTrend(tuple(names), tuple(versions), tuple(trends))


def _today(report: Report) -> PastVersion | None:
    """Returns this model as if it were a version; None if its size is not known."""
    if report.size_bytes.quantized is None:
        return None
    return PastVersion(
        version=0,
        pushed_at=report.evaluated_at or "",
        scheme=report.scheme,
        size_bytes=report.size_bytes.quantized,
        figures=overall_figures(report.rules),
    )


def _trend(
    title: str, figures: Sequence[float | None], shown: Callable[[float], str]
) -> Trend | None:
    known = [(place, figure) for place, figure in enumerate(figures) if figure is not None]
    if len(known) < 2:
        return None
    lowest, highest = (find(figure for _, figure in known) for find in (min, max))
    points = tuple(
        (_across(place, len(figures)), _upwards(figure, lowest, highest)) for place, figure in known
    )
    newest = shown(known[-1][1])
    return Trend(
        title=title,
        points=points,
        path="M" + "L".join(f"{x} {y}" for x, y in points),
        lowest=shown(lowest),
        highest=shown(highest),
        newest=newest,
        label=f"{clip(title)} of {counted(len(known), 'model', 'models')}, from "
        f"{shown(known[0][1])} to {newest} now; lowest {shown(lowest)}, highest {shown(highest)}.",
    )


def _across(place: int, places: int) -> float:
    room = TrendScale.WIDTH - 2 * TrendScale.MARGIN
    return round(TrendScale.MARGIN + room * place / (places - 1), 1)


def _upwards(figure: float, lowest: float, highest: float) -> float:
    room = TrendScale.HEIGHT - 2 * TrendScale.MARGIN
    share = (figure - lowest) / (highest - lowest) if highest > lowest else 0.5
    return round(TrendScale.HEIGHT - TrendScale.MARGIN - room * share, 1)
