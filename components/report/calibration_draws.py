"""Several draws of calibration examples as the page, the terminal and the suggestions show them."""

import math
from dataclasses import dataclass

from tfx_tflite.components.quantization.draws import Draw, DrawsReport
from tfx_tflite.components.report.wording import clip, counted, number, percent


@dataclass(frozen=True)
class DrawRow:
    """A draw in the table.

    Attributes:
        number: Which draw, from 0, as recipes name it.
        draw: What it came to.
        is_chosen: Whether the model was made with it.
    """

    number: int
    draw: Draw
    is_chosen: bool

    @property
    def drop(self) -> float | None:
        """The drop; None if there is none."""
        return self.draw.drop if math.isfinite(self.draw.drop) else None

    @property
    def verdict(self) -> tuple[str, str]:
        """The name of a chip and what it says."""
        if self.draw.problem:
            return "refused", "not possible"
        return ("blessed", "holds") if self.draw.holds else ("refused", "failed")


@dataclass(frozen=True)
class DrawsShown:
    """What the page shows of several draws.

    Attributes:
        sentences: What they came to.
        rows: Each of them.
    """

    sentences: tuple[str, ...]
    rows: tuple[DrawRow, ...]


def draws_shown(draws: DrawsReport | None) -> DrawsShown | None:
    """Returns what is shown of several draws; None if there was one."""
    if draws is None:
        return None
    return DrawsShown(
        tuple(_sentences(draws)),
        tuple(
            DrawRow(place, draw, is_chosen=place == draws.chosen)
            for place, draw in enumerate(draws.draws)
        ),
    )


def _sentences(draws: DrawsReport) -> list[str]:
    found = [
        f"{draws.verdict[:1].upper()}{draws.verdict[1:]}.",
        f"Draw {draws.chosen} was taken, the one in the middle: {figures_in_brief(draws)}.",
        f"Each of {counted(len(draws.draws), 'draw', 'draws')} has "
        f"{counted(draws.size, 'calibration example', 'calibration examples')}. The model was made "
        f"with each and judged on {counted(draws.examples, 'example', 'examples')} of the split "
        f"{clip(draws.split)}, which the gate does not judge on.",
    ]
    if draws.shared:
        found.append(
            f"{percent(draws.shared)} of the calibration examples are in several draws, because "
            "there are too few for so many: the draws differ less than they would otherwise."
        )
    return found


def figures_in_brief(draws: DrawsReport) -> str:
    """Returns from what to what the drops go, and how much is allowed, as a phrase."""
    if not draws.drops:
        return "no rule is on a metric that draws could be ranked by, so their noise decided"
    lowest, highest = draws.drops[0], draws.drops[-1]
    if lowest == highest:
        return (
            f"{clip(draws.rule)} drops by {number(lowest)} with each, and {number(draws.bound)} is "
            "allowed"
        )
    return (
        f"{clip(draws.rule)} drops by {number(lowest)} to {number(highest)}, a spread of "
        f"{number(draws.spread)}, and {number(draws.bound)} is allowed"
    )


def advice(draws: DrawsReport, ranges: str | None) -> str:
    """Returns what to do about a verdict that depends on the draw.

    Args:
        draws: What they came to.
        ranges: How ranges follow from the examples; None if that is not known.
    """
    robust = "" if ranges in (None, "robust") else "set calibration.ranges: robust, or "
    return (
        f"The verdict depends on the draw of calibration examples, as {draws.holding} of "
        f"{counted(len(draws.draws), 'draw', 'draws')} hold the rules on the tuning examples: "
        f"{robust}take more than {counted(draws.size, 'example', 'examples')} a draw "
        "(calibration.samples)."
    )
