"""How much of the eval split lies outside the ranges that a model was calibrated for.

Only NumPy and pydantic are imported here, because workers import this module.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from pydantic import PlainSerializer, PlainValidator

from tfx_tflite.components.examples.tensors import Array, Tensors
from tfx_tflite.components.judgement.metrics.slices import SumsBySlice

# From here on the report warns: of the share of values outside the range (the range of 200 examples
# leaves out some 1 % of others of the same kind), and of an extent that is so many times larger or
# smaller than the range, which a heavy tail alone seldom makes it.
_MUCH_OUTSIDE = 0.05
_FAR = 5.0


@dataclass(frozen=True)
class InputRange:
    """The real values that a quantized input has numbers for.

    Attributes:
        name: The input.
        lowest: The lowest of them; what is below becomes it.
        highest: The highest.
    """

    name: str
    lowest: float
    highest: float


@dataclass(frozen=True)
class InputsSeen:
    """The inputs of a batch beside their ranges, all by example, as TFMA splits what it is given.

    Attributes:
        outside: The share of an example's values outside the range, shape (n, inputs).
        lowest: The lowest value of each input, shape (n, inputs).
        highest: The highest, of the same shape.
    """

    outside: Array
    lowest: Array
    highest: Array

    @classmethod
    def of(cls, inputs: Tensors, ranges: Sequence[InputRange]) -> "InputsSeen":
        """Returns what a batch says of the inputs that have ranges.

        Args:
            inputs: By name, each of shape (n, *example_shape).
            ranges: The ranges.
        """
        rows = [inputs[known.name].reshape(len(inputs[known.name]), -1) for known in ranges]
        outside = [
            ((values < known.lowest) | (values > known.highest)).mean(axis=1)
            for values, known in zip(rows, ranges, strict=True)
        ]
        return cls(
            np.stack(outside, axis=1),
            np.stack([values.min(axis=1) for values in rows], axis=1).astype(np.float64),
            np.stack([values.max(axis=1) for values in rows], axis=1).astype(np.float64),
        )


# JSON has no arrays.
_Extremes = Annotated[
    Array, PlainValidator(np.array), PlainSerializer(lambda extremes: extremes.tolist())
]


@dataclass
class Saturation:
    """What is known of the inputs of some examples.

    Attributes:
        outside: For each slice the sum of the examples' shares outside, shape (inputs,).
        lowest: The lowest value of each input, shape (inputs,); None before the first example.
        highest: The highest.
    """

    outside: SumsBySlice = field(default_factory=dict)
    lowest: _Extremes | None = None
    highest: _Extremes | None = None

    def merge(self, other: "Saturation") -> None:
        """Adds what another part of the data gave."""
        for key, sums in other.outside.items():
            self.outside[key] = self.outside[key] + sums if key in self.outside else sums
        if self.lowest is None or self.highest is None:
            self.lowest, self.highest = other.lowest, other.highest
        elif other.lowest is not None and other.highest is not None:
            self.lowest = np.minimum(self.lowest, other.lowest)
            self.highest = np.maximum(self.highest, other.highest)


@dataclass(frozen=True)
class InputAdequacy:
    """Whether the range of an input fits the eval split.

    Attributes:
        range: The range.
        lowest: The lowest value in the split.
        highest: The highest.
        outside: The share of values outside the range.
    """

    range: InputRange
    lowest: float
    highest: float
    outside: float

    def warning(self) -> str:
        """Returns what is wrong with the calibration, empty if nothing is."""
        calibrated = max(abs(self.range.lowest), abs(self.range.highest))
        found = max(abs(self.lowest), abs(self.highest))
        seen = f"the eval split's values go from {self.lowest:.4g} to {self.highest:.4g}"
        asked = f"was calibrated for {self.range.lowest:.4g} to {self.range.highest:.4g}"
        if self.outside > _MUCH_OUTSIDE:
            return (
                f"input {self.range.name!r} {asked}, but {self.outside:.2%} of the eval split's "
                "values are outside; calibrate on examples like those"
            )
        if found > _FAR * calibrated or calibrated > _FAR * found > 0:
            return f"input {self.range.name!r} {asked}, but {seen}; are the scales the same?"
        return ""


def adequacy(
    saturation: Saturation, ranges: Sequence[InputRange], examples: int
) -> tuple[InputAdequacy, ...]:
    """Returns whether each input's range fits the split.

    Args:
        saturation: What was seen.
        ranges: The ranges, in the order of the inputs seen.
        examples: How many examples were seen.
    """
    if saturation.lowest is None or saturation.highest is None:
        return ()
    overall = saturation.outside[()] / examples
    return tuple(
        InputAdequacy(known, float(lowest), float(highest), float(share))
        for known, lowest, highest, share in zip(
            ranges, saturation.lowest, saturation.highest, overall, strict=True
        )
    )
