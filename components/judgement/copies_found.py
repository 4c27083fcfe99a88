"""How many examples of a split are copies of others, and what that does to a test.

Nothing here needs NumPy: reports have it, too.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

from tfx_tflite.components.documents import Part

# From which share of the examples on they are worth a warning, and which error of a test of 5 %.
_SHARE, _ERROR = 0.03, 0.06


class Copies(Part):
    """How many examples are copies of others.

    Attributes:
        near: Whether near copies count, or exact ones alone.
        share: The share of the examples that another one is a copy of.
        most: How often one was seen at most.
        design_effect: How many times as many examples a test needs, if copies are wholly alike: the
            sum of the squares of the multiplicities over their sum (Kish 1965, Survey Sampling).
    """

    near: bool
    share: float
    most: int
    design_effect: float

    def error(self, confidence: float) -> float:
        """Returns how often a test errs that takes copies for draws, if they are wholly alike.

        Args:
            confidence: How sure it takes itself for.
        """
        normal = NormalDist()
        return normal.cdf(-normal.inv_cdf(confidence) / math.sqrt(self.design_effect))

    def warning(self, split: str, confidences: Sequence[float]) -> str:
        """Returns what to know of the copies, empty if they are few.

        Args:
            split: The split.
            confidences: Those of the rules.
        """
        if self.share < _SHARE or self.error(0.95) < _ERROR or not confidences:
            return ""
        surest = max(confidences)
        # Of near copies a part is found.
        least, kind = ("at least ", "nearly copies") if self.near else ("", "copies")
        more = ", or more, as not all near copies are found" if self.near else ""
        return (
            f"{least}{self.share:.0%} of the examples of split {split!r} are {kind} of others (up "
            f"to {self.most} of one): a rule at {surest:.0%} confidence errs in up to "
            f"{self.error(surest):.0%} instead of {1 - surest:.0%}{more}; remove them, or say with "
            "evaluation.group_by which examples belong together"
        )
