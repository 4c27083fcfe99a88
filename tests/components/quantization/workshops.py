"""Workshops without a converter's process, for models that are TensorFlow Lite files."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from tests.components.quantization_tuner.bed import quantized
from tests.components.quantization_tuner.bed.data import Array
from tfx_tflite.components.quantization.conversion.backends import Workshop
from tfx_tflite.components.quantization.conversion.from_ranges import quantize
from tfx_tflite.components.quantization.conversion.stock import convert
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.ranges.ranges import TensorRanges
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme


class InThisProcess(AbstractContextManager["InThisProcess"]):
    """The quantizer, as the converter's process calls it."""

    def __exit__(self, *error: object) -> None:
        """Nothing is to be ended."""

    def quantize(self, calibrated: bytes, recipe: Recipe) -> bytes:
        """Returns a float flatbuffer whose tensors carry their ranges, quantized."""
        return quantize(calibrated, recipe)

    def float32(self, saved_model: Path, signature: str, batch_size: int | None = None) -> bytes:
        """Returns one signature of a SavedModel as a flatbuffer, nothing quantized."""
        return convert(str(saved_model), signature, Recipe(Scheme.FLOAT32, None, batch_size), {})


@dataclass(frozen=True)
class Sample:
    """Calibration examples that are in memory, in groups of one shape.

    Attributes:
        parts: Those of the first draw.
        others: Those of the second draw and of all that follow.
        passes: Which draws were measured in each pass over several.
    """

    parts: Sequence[Mapping[str, Array]]
    others: Sequence[Sequence[Mapping[str, Array]]] = ()
    passes: list[tuple[int, ...]] = field(default_factory=list)

    def of_draw(self, draw: int) -> "Sample":
        """Returns one draw."""
        return Sample([self.parts, *self.others][draw], passes=self.passes)

    def ranges_of_draws(self, float32: bytes, draws: Sequence[int]) -> Sequence[TensorRanges]:
        """Returns what the activations of a model take over each of several draws."""
        self.passes.append(tuple(draws))
        return [self.of_draw(draw).ranges(float32) for draw in draws]

    def tensors(self) -> Mapping[str, Array]:
        """Returns all of them, by input name."""
        [part] = self.parts
        return part

    def groups(self) -> Sequence[Mapping[str, Array]]:
        """Returns them in groups of one shape."""
        return self.parts

    def ranges(self, float32: bytes) -> TensorRanges:
        """Returns what the activations of a float32 TensorFlow Lite model take over them."""
        return quantized.ranges(float32, *self.parts)


def workshop(directory: Path, content: bytes, inputs: Mapping[str, Array]) -> Workshop:
    """Returns a workshop for a float TensorFlow Lite model.

    Args:
        directory: Where the model is written.
        content: The model.
        inputs: Calibration examples by input name.
    """
    (directory / "float.tflite").write_bytes(content)
    return Workshop(
        InThisProcess(),
        directory,
        "serving_default",
        policy=RangePolicy("robust"),
        calibration=Sample([inputs]),
    )
