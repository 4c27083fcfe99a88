"""What several draws of calibration examples came to: draws.json, beside the recipe.

Which examples a model is calibrated with is chance. With `calibration.seeds: n` it is made with n
draws, each is judged on the tuning examples, and the one in the middle is taken: the best of
several on the same examples is the luckiest, too.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

from tfx_tflite.components.documents import Document, Figure, Part

FORMAT = 1


class Draw(Part):
    """A model that was made with one draw of the calibration examples.

    Attributes:
        digest: Of the model's bytes; empty if it could not be made.
        problem: Why it could not be made, or does not run; empty if it does.
        drop: What the gate's first rule on a metric says of the tuning examples, in the metric's
            unit; NaN (null) if there is no such rule, or no figure.
        distance: The sum of squares of the differences of all outputs from the float model's, as a
            share of the sum of squares of the float outputs.
        holds: Whether all rules that were judged hold, their figures compared as they are.
    """

    digest: str = ""
    problem: str = ""
    drop: Figure = math.nan
    distance: Figure = math.nan
    holds: bool = False


class DrawsReport(Document):
    """What several draws of calibration examples came to.

    Attributes:
        split: The split whose examples the draws were judged on.
        examples: How many of them.
        examples_digest: Of their records in order.
        size: How many calibration examples a draw has.
        shared: The share of the draws' examples that several draws have, because there are too few.
        rule: The rule that the drops are of, as tables call it; empty if there is none.
        bound: The largest drop that it allows, in the metric's unit; NaN (null) without a rule.
        draws: What each came to, in their order.
        chosen: Which draw was taken.
    """

    kind: ClassVar[str] = "a report of draws"

    format: int = FORMAT
    split: str
    examples: int
    examples_digest: str = ""
    size: int
    shared: float = 0.0
    rule: str = ""
    bound: Figure = math.nan
    draws: tuple[Draw, ...]
    chosen: int

    @property
    def drops(self) -> tuple[float, ...]:
        """The drops that are known, in ascending order."""
        return tuple(sorted(draw.drop for draw in self.draws if math.isfinite(draw.drop)))

    @property
    def spread(self) -> float | None:
        """The largest drop minus the smallest one, in the metric's unit; None without drops."""
        return self.drops[-1] - self.drops[0] if self.drops else None

    @property
    def holding(self) -> int:
        """How many draws the rules hold for."""
        return sum(draw.holds for draw in self.draws)

    @property
    def is_decisive(self) -> bool:
        """Whether the rules hold for some draws and not for others."""
        return 0 < self.holding < len(self.draws)

    @property
    def verdict(self) -> str:
        """What the draws say of the rules, as a clause."""
        every = len(self.draws)
        if self.is_decisive:
            return (
                f"the verdict depends on the draw: {self.holding} of {every} draws hold the rules"
            )
        return f"all {every} draws hold the rules" if self.holding else "no draw holds the rules"


def middle(draws: Sequence[Draw]) -> int:
    """Returns which draw has the median drop; of an even number the lower of the two in the middle.

    Draws of equal drops, as without a rule on a metric, are in the order of their distances. Those
    that could not be made come last.

    Args:
        draws: At least one.
    """

    def order(place: int) -> tuple[bool, float, float, int]:
        draw = draws[place]
        # NaN has no place in an order.
        drop, distance = (
            figure if math.isfinite(figure) else math.inf for figure in (draw.drop, draw.distance)
        )
        return bool(draw.problem), drop, distance, place

    return sorted(range(len(draws)), key=order)[(len(draws) - 1) // 2]
