"""How the range of a tensor follows from what it was seen to hold.

Nothing here needs TensorFlow, Beam or NumPy: a policy is parsed from a config.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from tfx_tflite.components.errors import ConfigError

PolicyKind = Literal["robust", "minmax", "percentile"]
ROBUST: Literal["robust"] = "robust"
MINMAX: Literal["minmax"] = "minmax"
PERCENTILE: Literal["percentile"] = "percentile"

# The outermost extremes of a tensor that are kept at either end. They make the percentile 99.9
# exact up to 255,001 examples, 99 up to 25,501 and 95 up to 5,101.
KEPT = 256
# Below so many examples each one is too large a share of the data to be left out.
FEWEST_TO_LEAVE_OUT = 50


@dataclass(frozen=True)
class RangePolicy:
    """How the range of a tensor follows from the extremes that it takes in each example.

    `minmax` takes the outermost. `robust` takes the outermost but for outliers, see `outliers.py`;
    on data without any it is `minmax`. `percentile` takes the percentile of the examples' maxima,
    and the 100 minus it of their minima, by the rank rule that NumPy calls `lower` (`higher`):
    of n examples ceil((n - 1) * (1 - percentile / 100)) are left out at either end, so at least one
    and never less than the percentile says: 1 of 201 and 5 of 5,000 at 99.9. With fewer than 50
    examples none is. There is no interpolation, by which an outlier would still count in part:
    halfway between two extremes, an outlier of 20 times the rest makes a range 10 times too wide.

    Attributes:
        kind: `robust`, `minmax` or `percentile`.
        percentile: From 50 to below 100, which `RangeSettings` checks.
    """

    kind: PolicyKind = ROBUST
    percentile: float = 99.9

    def left_out(self, examples: int) -> int:
        """Returns how many examples' extremes a range leaves out at either end of every tensor.

        Args:
            examples: How many were observed.

        Raises:
            ConfigError: That is more than are kept.
        """
        if self.kind != PERCENTILE or examples < FEWEST_TO_LEAVE_OUT:
            return 0
        # As a fraction of decimal digits, because 1 - 99.9 / 100 is not 0.001 in binary.
        share = 1 - Fraction(str(self.percentile)) / 100
        # Not past the middle, where the lower end would be above the upper one.
        count = min(math.ceil((examples - 1) * share), (examples - 1) // 2)
        if count >= KEPT:
            most = math.floor((KEPT - 1) / share) + 1
            raise ConfigError(
                f"calibration.percentile {self.percentile} leaves out {count} of {examples} "
                f"examples, more than the {KEPT - 1} that can be; take at most {most} samples or a "
                "higher percentile"
            )
        return count
