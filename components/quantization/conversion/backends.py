"""The ways to make a quantized model of a float one; the table of schemes says which is whose."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tfx_tflite.components.errors import ConversionError
from tfx_tflite.components.examples.tensors import Tensors
from tfx_tflite.components.models import float_tflite
from tfx_tflite.components.models.loops_and_state import check_no_loops, check_stateless
from tfx_tflite.components.quantization.conversion import weights
from tfx_tflite.components.quantization.conversion.converter import Converter
from tfx_tflite.components.quantization.conversion.from_ranges import write_ranges
from tfx_tflite.components.quantization.conversion.rewrites import rewritten
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.ranges.ranges import TensorRanges
from tfx_tflite.components.quantization.schemes import Making, Recipe


@dataclass(frozen=True)
class ConvertedModels:
    """What a conversion gives.

    Attributes:
        float32: The graph as a float32 TFLite flatbuffer.
        quantized: The same graph, quantized.
        ranges: What the activations of the float32 model took, if we measured it.
    """

    float32: bytes
    quantized: bytes
    ranges: TensorRanges | None = None


class Calibration(Protocol):
    """The calibration examples, as far as a backend asks for them."""

    def tensors(self) -> Tensors:
        """Returns all of them by input name, each of shape (samples, *example_shape)."""

    def ranges(self, float32: bytes) -> TensorRanges:
        """Returns what the activations of a float32 TFLite model take over them."""


@dataclass(frozen=True)
class Conversion:
    """A model to be converted.

    Attributes:
        converter: What converts.
        saved_model: The float SavedModel, or what a float TensorFlow Lite file is in.
        signature: The signature to convert; its inputs are tensors.
        recipe: What to make of it.
        policy: How ranges follow from what was observed; None leaves them to the converter's own
            calibrator.
        calibration: The calibration examples, if the recipe's scheme needs some.
    """

    converter: Converter
    saved_model: Path
    signature: str
    recipe: Recipe
    policy: RangePolicy | None = None
    calibration: Calibration | None = None

    @property
    def making(self) -> Making:
        """How the model is made."""
        making = self.recipe.scheme.traits.making
        if making is Making.FROM_RANGES and self.policy is None:
            return Making.BY_THE_CONVERTER
        return making

    def models(self) -> ConvertedModels:
        """Returns the model as float32 TFLite model and as the recipe has it.

        Raises:
            ModelError: The model keeps state between calls, or has a loop that cannot be
                calibrated.
            DataError: The calibration examples do not fit the signature.
            ConversionError: The converter refused the model.
        """
        tflite = float_tflite.file_in(self.saved_model)
        if tflite is not None:
            float32 = float_tflite.read(tflite)
            _check_batch_size(float32, self.recipe)
            check_stateless(float32)
            return OF_A_FLATBUFFER[self.making](self, float32)
        float32 = self.converter.float32(self.saved_model, self.signature, self.recipe.batch_size)
        check_stateless(float32)
        return BACKENDS[self.making](self, float32)


def as_it_is(conversion: Conversion, float32: bytes) -> ConvertedModels:
    """Returns the float32 model twice."""
    return ConvertedModels(float32, float32)


def by_the_converter(conversion: Conversion, float32: bytes) -> ConvertedModels:
    """Leaves everything to the TensorFlow Lite converter, calibration as well."""
    samples = None
    if conversion.calibration is not None:
        # The stock calibrator crashes on loops.
        check_no_loops(float32)
        samples = conversion.calibration.tensors()
    quantized = conversion.converter.convert(
        conversion.saved_model, conversion.signature, conversion.recipe, samples
    )
    return ConvertedModels(float32, quantized)


def from_ranges(conversion: Conversion, float32: bytes) -> ConvertedModels:
    """Measures the ranges of activations on the float model, and quantizes with them."""
    assert conversion.calibration is not None and conversion.policy is not None
    float32 = rewritten(float32)
    found = conversion.calibration.ranges(float32)
    calibrated = write_ranges(float32, found, conversion.policy, conversion.recipe.scheme)
    quantized = conversion.converter.quantize(calibrated, conversion.recipe)
    return ConvertedModels(float32, quantized, found)


def from_weights(conversion: Conversion, float32: bytes) -> ConvertedModels:
    """Stores the weights of a flatbuffer otherwise, as the converter would have done."""
    scheme = conversion.recipe.scheme
    if scheme.needs_calibration:
        raise ConversionError(
            "calibration.ranges: stock is the converter's own calibrator, which takes a SavedModel "
            "and no TensorFlow Lite file; leave it out"
        )
    return ConvertedModels(float32, weights.quantized(float32, scheme))


def _check_batch_size(float32: bytes, recipe: Recipe) -> None:
    sizes = {spec.shape[:1] for spec in float_tflite.specs_of(float32)}
    if recipe.batch_size is not None and sizes != {(recipe.batch_size,)}:
        raise ConversionError(
            f"quantization.batch_size is {recipe.batch_size}, but the shapes of a TensorFlow Lite "
            "file cannot be changed; leave it out, or convert the model again with that batch size"
        )


# Given a conversion and its float32 flatbuffer.
BACKENDS: Mapping[Making, Callable[[Conversion, bytes], ConvertedModels]] = {
    Making.AS_IT_IS: as_it_is,
    Making.BY_THE_CONVERTER: by_the_converter,
    Making.FROM_RANGES: from_ranges,
}
# The same of a model that is a float TensorFlow Lite file, of which no other form is there.
OF_A_FLATBUFFER: Mapping[Making, Callable[[Conversion, bytes], ConvertedModels]] = {
    **BACKENDS,
    Making.BY_THE_CONVERTER: from_weights,
}
