"""Whether a model can be int8 at all: strict int8 begins with inputs of 8 bits.

What they lose no repair brings back. So one evaluation of the float model with nothing but its
inputs rounded says whether there is any strict int8 that is good enough. Most often there is none
because features of very different size share one tensor: a proline of 1680 and a hue of 1 leave the
hue one of 256 steps.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tfx_tflite.components.documents import Part
from tfx_tflite.components.errors import listed
from tfx_tflite.components.examples.tensors import Array, Tensors
from tfx_tflite.components.models.flatbuffer import read_graph
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.ranges.ranges import TensorRanges
from tfx_tflite.components.quantization.rounding import Rounding, with_rounded

# With fewer of 256 steps a feature has lost more than four of its eight bits.
FEWEST_STEPS = 16
_SHOWN = 3


class InputSteps(Part):
    """How the 256 steps of an input are shared by its features.

    Attributes:
        name: The input's name in the signature.
        range: The lowest and the highest real that it is rounded for.
        steps: How many of the 256 lie between the lowest and the highest value of each feature, of
            shape (features,): the last axis, or one if there is none. A feature that is constant
            has 0, as it says nothing.
        features: The features' names, where they are known; as many or none.
    """

    name: str
    range: tuple[float, float]
    steps: tuple[int, ...]
    features: tuple[str, ...] = ()

    @property
    def poor(self) -> tuple[int, ...]:
        """The features that vary and have too few steps, the poorest first."""
        found = [place for place, steps in enumerate(self.steps) if 0 < steps < FEWEST_STEPS]
        return tuple(sorted(found, key=lambda place: self.steps[place]))

    @property
    def share_of_poor(self) -> float:
        """The share of the features that vary which have too few steps."""
        return len(self.poor) / max(sum(steps > 0 for steps in self.steps), 1)

    def feature(self, place: int) -> str:
        """Returns what messages call a feature."""
        return self.features[place] if self.features else f"feature {place}"

    def sentence(self) -> str:
        """Returns how the steps are shared, in words."""
        widest = int(np.argmax(self.steps))
        if not self.poor:
            return f"input {self.name!r}: every feature has at least {FEWEST_STEPS} of 256 steps"
        rest = len(self.poor) - _SHOWN
        poor = listed(f"{self.feature(place)} has {self.steps[place]}" for place in self.poor[:3])
        return (
            f"input {self.name!r} has one scale for features of very different size: of its 256 "
            f"steps {poor}{f' (and {rest} more have few)' if rest > 0 else ''}, but "
            f"{self.feature(widest)} has {self.steps[widest]}"
        )


def float_input_ranges(ranges: TensorRanges, policy: RangePolicy) -> dict[str, tuple[float, float]]:
    """Returns the range of each float input by its name in the signature.

    Args:
        ranges: Of the float model's activations.
        policy: How a range follows from the extremes of the examples.
    """
    return {
        found.tensor.name: (found.minimum, found.maximum)
        for found in ranges.resolve(policy)
        if found.tensor.is_input
    }


def with_rounded_inputs(float32: bytes, ranges: Mapping[str, tuple[float, float]]) -> bytes:
    """Returns the float model with nothing but its float inputs rounded to 8 bits.

    Args:
        float32: The float flatbuffer, of one signature.
        ranges: The range of each float input by its name in the signature.

    Returns:
        The very bytes if no input is float.
    """
    inputs = read_graph(float32).signatures[0].inputs
    return with_rounded(
        float32,
        {
            inputs[name].index: Rounding.of_range(*limits)
            for name, limits in ranges.items()
            if inputs[name].type == "FLOAT32"
        },
    )


def input_steps(
    samples: Sequence[Tensors],
    ranges: Mapping[str, tuple[float, float]],
    features: Mapping[str, Sequence[str]] | None = None,
) -> tuple[InputSteps, ...]:
    """Returns how the steps of each input are shared by its features, the worst input first.

    Args:
        samples: Examples by input name, each of shape (examples, *example_shape).
        ranges: As in `with_rounded_inputs`.
        features: The names of an input's features, where they are known.
    """
    named = features or {}
    found = [
        InputSteps(
            name=name,
            range=limits,
            steps=tuple(_steps([group[name] for group in samples], Rounding.of_range(*limits))),
            features=tuple(named.get(name, ())),
        )
        for name, limits in ranges.items()
    ]
    return tuple(sorted(found, key=lambda each: each.share_of_poor, reverse=True))


def _steps(groups: Iterable[Array], rounding: Rounding) -> list[int]:
    """Returns how many steps lie between the extremes of each feature."""
    rows = [
        values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
        for values in groups
    ]  # fmt: skip
    if len({values.shape[1] for values in rows}) > 1:  # A free axis that comes last.
        rows = [values.reshape(-1, 1) for values in rows]
    lowest = np.min([values.min(axis=0) for values in rows], axis=0)
    highest = np.max([values.max(axis=0) for values in rows], axis=0)
    between = np.ceil((highest.astype(np.float64) - lowest) / rounding.scale)
    counts: list[int] = np.minimum(between, 256).astype(int).tolist()
    return counts
