"""The calibrated model, a float flatbuffer whose tensors have ranges, and what is made from it.

The float flatbuffer is what `TFLiteConverter.convert()` gives with no optimizations, representative
dataset or target set. The converter calibrates the same graph for int8 and int16x8, but for one
thing that int8's quantizer does itself: a bias that several operators share is copied for each.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from tensorflow.lite.python import conversion_metadata_schema_py_generated as metadata_schema
from tensorflow.lite.python import util
from tensorflow.python.framework import dtypes

from tfx_tflite.components.digests import bytes_digest
from tfx_tflite.components.errors import ConversionError, listed, telling_line
from tfx_tflite.components.models.flatbuffer import Graph, read_graph
from tfx_tflite.components.models.input_normalization import (
    METADATA,
    normalizations_of,
    with_normalizations,
)
from tfx_tflite.components.models.object_tree import range_tree
from tfx_tflite.components.quantization.conversion.integer_kernels import with_integer_kernels
from tfx_tflite.components.quantization.conversion.tensorflow_lite import (
    ConverterError,
    deduplicated,
    to_int8,
    to_int16x8,
)
from tfx_tflite.components.quantization.conversion.weights import with_halved_floats
from tfx_tflite.components.quantization.conversion.zero_scales import with_positive_scales
from tfx_tflite.components.quantization.float_parts import with_float_parts
from tfx_tflite.components.quantization.ranges.masks import without_mask_values
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.ranges.scale_groups import harmonized, with_copied_constants
from tfx_tflite.components.quantization.ranges.tensor_range import TensorRange
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.quantization.structure import tensors_by_key

if TYPE_CHECKING:
    # It imports Beam, which the converter's process does without.
    from tfx_tflite.components.quantization.ranges.ranges import TensorRanges

# What the quantizer for int16x8 says of a tensor that is an integer already.
_UNCALIBRATED = "should be recorded during calibration"


def write_ranges(
    float_tflite: bytes,
    ranges: "TensorRanges",
    policy: RangePolicy,
    scheme: Scheme = Scheme.INT8,
    of_tensors: Mapping[str, RangePolicy] = MappingProxyType({}),
) -> bytes:
    """Returns the float model with a range at every activation: the calibrated model.

    Args:
        float_tflite: The flatbuffer that the ranges were collected from.
        ranges: The ranges.
        policy: How a tensor's range follows from the extremes of the examples.
        scheme: What the model is to be quantized to.
        of_tensors: Policies of single tensors, by their keys.

    Raises:
        ConversionError: The ranges belong to another model, or a key is of none of its tensors.
        ConfigError: The policy leaves out more extremes than are kept.
    """
    digest = bytes_digest(float_tflite)
    if digest != ranges.model_digest:
        raise ConversionError(
            f"the ranges were collected from model {ranges.model_digest[:15]}…, not from "
            f"{digest[:15]}…; calibrate this model anew"
        )
    graph = read_graph(float_tflite)
    draft = graph.draft()
    tensors = draft.main.tensors
    resolved = _resolved(graph, ranges, policy, of_tensors)
    masked = without_mask_values(graph, resolved)
    for index, values in masked.constants.items():
        draft.store(tensors[index], values)
    for found in harmonized(graph, masked.ranges, scheme):
        # The range that an input has by its integer type stays.
        if graph.main.tensors[found.tensor.index].range is not None:
            continue
        # Of a tensor that was always zero nothing is known, and a scale of zero, which the 16-bit
        # quantizer would make of that, is none.
        maximum = found.maximum if (found.minimum, found.maximum) != (0, 0) else 1.0
        tensors[found.tensor.index].quantization = range_tree(found.minimum, maximum)
    return draft.content()


def _resolved(
    graph: Graph,
    ranges: "TensorRanges",
    policy: RangePolicy,
    of_tensors: Mapping[str, RangePolicy],
) -> tuple[TensorRange, ...]:
    """Returns the range of each tensor, single ones by policies of their own."""
    found = ranges.resolve(policy)
    if not of_tensors:
        return found
    tensors = tensors_by_key(graph)
    if missing := sorted(of_tensors.keys() - tensors.keys()):
        raise ConversionError(
            f"the recipe has a range for {listed(missing)}, which the model does not have; it is "
            "of another model, so search anew"
        )
    own = {
        tensors[key].index: {each.tensor.index: each for each in ranges.resolve(own_policy)}
        for key, own_policy in of_tensors.items()
    }
    return tuple(own.get(each.tensor.index, {}).get(each.tensor.index, each) for each in found)


def quantize(calibrated: bytes, recipe: Recipe) -> bytes:
    """Returns the quantized model, as the stock converter would make it from these ranges.

    It takes what the stock converter takes after its calibration: the MLIR quantizer for int8, and
    for int16x8, which that one does not know, the older quantizer of the calibrator's library.
    Either can end the process on a model that it does not like, so call this in a child process.

    Args:
        calibrated: The calibrated model.
        recipe: What to make of it; the scheme is one that calibrates.

    Raises:
        ConversionError: The quantizer refuses the model, or the recipe is of another one.
    """
    quantizer = _QUANTIZERS[recipe.scheme.traits.activations]
    metadata = util.get_conversion_metadata(calibrated)
    normalizations = normalizations_of(calibrated)
    calibrated, float_layers = with_float_parts(_without_metadata(calibrated), recipe)
    try:
        quantized = quantizer.run(
            calibrated, dtypes.as_dtype(recipe.resolved_io_type), float_layers
        )
    except (RuntimeError, ValueError, ConverterError) as error:
        said = telling_line(str(error)).rstrip(".")
        cause = "it takes floats alone, as inputs and inside; " if _UNCALIBRATED in said else ""
        raise ConversionError(
            f"the TensorFlow Lite quantizer refused the model: {said}; {cause}choose another "
            "quantization.scheme"
        ) from error
    # The public converter ends with the same two steps.
    mended = with_positive_scales(with_integer_kernels(with_copied_constants(quantized)))
    if recipe.float_edges:
        mended = with_halved_floats(mended)
    described = _with_metadata(deduplicated(mended), metadata, quantizer.mode)
    return with_normalizations(described, normalizations)


@dataclass(frozen=True)
class _Quantizer:
    """One of TensorFlow Lite's quantizers.

    Attributes:
        run: Quantizes a calibrated model, given the type of inputs and outputs, and which
            operators stay float.
        mode: What the converter's record in the model calls it, a ModelOptimizationMode.
    """

    run: Callable[[bytes, dtypes.DType, Collection[str]], bytes]
    mode: int


# By the type of activations that they make.
_QUANTIZERS = {
    "INT8": _Quantizer(to_int8, metadata_schema.ModelOptimizationMode.PTQ_FULL_INTEGER),
    "INT16": _Quantizer(to_int16x8, metadata_schema.ModelOptimizationMode.PTQ_INT16),
}


def _without_metadata(content: bytes) -> bytes:
    """Returns a model without what it says of itself, which one quantizer would keep."""
    draft = read_graph(content).draft()
    draft.drop_metadata(METADATA)
    draft.drop_metadata(util.CONVERSION_METADATA_FIELD_NAME)
    return draft.content()


def _with_metadata(
    content: bytes, metadata: metadata_schema.ConversionMetadataT | None, mode: int
) -> bytes:
    """Returns a model with the converter's record of itself, naming how it was quantized."""
    if metadata is None:
        return bytes(content)
    metadata.options.modelOptimizationModes = [mode]
    draft = read_graph(content).draft()
    util.populate_conversion_metadata(draft.tree, metadata)
    return draft.content()
