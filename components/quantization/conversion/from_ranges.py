"""The calibrated model, a float flatbuffer whose tensors have ranges, and what is made from it.

The float flatbuffer is what `TFLiteConverter.convert()` gives with no optimizations, representative
dataset or target set. The converter calibrates the same graph for int8 and int16x8, but for one
thing that int8's quantizer does itself: a bias that several operators share is copied for each.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import conversion_metadata_schema_py_generated as metadata_schema
from tensorflow.lite.python import util
from tensorflow.lite.tools import flatbuffer_utils

from tfx_tflite.components.errors import ConversionError, telling_line
from tfx_tflite.components.quantization.conversion.integer_kernels import with_integer_kernels
from tfx_tflite.components.quantization.conversion.rewrites import fixed_range
from tfx_tflite.components.quantization.conversion.tensorflow_lite import (
    ConverterError,
    deduplicated,
    to_int8,
    to_int16x8,
)
from tfx_tflite.components.quantization.ranges.collection import model_digest
from tfx_tflite.components.quantization.ranges.masks import without_mask_values
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.ranges.ranges import TensorRanges
from tfx_tflite.components.quantization.ranges.scale_groups import harmonized, with_copied_constants
from tfx_tflite.components.quantization.schemes import Quantization, Scheme

_schema = flatbuffer_utils.schema_fb

# What the quantizer for int16x8 says of a tensor that is an integer already.
_UNCALIBRATED = "should be recorded during calibration"


def write_ranges(
    float_tflite: bytes,
    ranges: TensorRanges,
    policy: RangePolicy,
    scheme: Scheme = Scheme.INT8,
) -> bytes:
    """Returns the float model with a range at every activation: the calibrated model.

    Args:
        float_tflite: The flatbuffer that the ranges were collected from.
        ranges: The ranges.
        policy: How a tensor's range follows from the extremes of the examples.
        scheme: What the model is to be quantized to.

    Raises:
        ConversionError: The ranges belong to another model.
        ConfigError: The policy leaves out more extremes than are kept.
    """
    digest = model_digest(float_tflite)
    if digest != ranges.model_digest:
        raise ConversionError(
            f"the ranges were collected from model {ranges.model_digest[:15]}…, not from "
            f"{digest[:15]}…; calibrate this model anew"
        )
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(float_tflite))
    resolved = without_mask_values(model, ranges.resolve(policy))
    for found in harmonized(model, resolved, scheme):
        if fixed_range(model.subgraphs[0].tensors[found.tensor.index]) is not None:
            continue
        # Of a tensor that was always zero nothing is known, and a scale of zero, which the 16-bit
        # quantizer would make of that, is none.
        maximum = found.maximum if (found.minimum, found.maximum) != (0, 0) else 1.0
        quantization = _schema.QuantizationParametersT()
        quantization.min = np.array([found.minimum], np.float32)
        quantization.max = np.array([maximum], np.float32)
        model.subgraphs[0].tensors[found.tensor.index].quantization = quantization
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def quantize(calibrated: bytes, quantization: Quantization) -> bytes:
    """Returns the quantized model, as the stock converter would make it from these ranges.

    It takes what the stock converter takes after its calibration: the MLIR quantizer for int8, and
    for int16x8, which that one does not know, the older quantizer of the calibrator's library.
    Either can end the process on a model that it does not like, so call this in a child process.

    Args:
        calibrated: The calibrated model.
        quantization: What to quantize to; the scheme is one that calibrates.

    Raises:
        ConversionError: The quantizer refuses the model.
    """
    run = to_int16x8 if quantization.scheme is Scheme.INT16X8 else to_int8
    metadata = util.get_conversion_metadata(calibrated)
    try:
        quantized = run(_without_metadata(calibrated), tf.as_dtype(quantization.resolved_io_type))
    except (RuntimeError, ValueError, ConverterError) as error:
        said = telling_line(str(error)).rstrip(".")
        cause = "it takes floats alone, as inputs and inside; " if _UNCALIBRATED in said else ""
        raise ConversionError(
            f"the TensorFlow Lite quantizer refused the model: {said}; {cause}choose another "
            "quantization.scheme"
        ) from error
    # The public converter ends with the same two steps.
    mended = with_integer_kernels(with_copied_constants(quantized))
    return _with_metadata(deduplicated(mended), metadata, quantization.scheme)


def _without_metadata(content: bytes) -> bytes:
    """Returns a model without the converter's record of itself, which one quantizer would keep."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    name = util.CONVERSION_METADATA_FIELD_NAME.encode()
    records = [entry for entry in model.metadata or () if entry.name == name]
    model.metadata = [entry for entry in model.metadata or () if entry.name != name]
    # The converter appends the record, so no index of another buffer changes.
    if records and records[0].buffer == len(model.buffers) - 1:
        model.buffers.pop()
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _with_metadata(content: bytes, metadata: Any, scheme: Scheme) -> bytes:
    """Returns a model with the converter's record of itself, naming the scheme."""
    if metadata is None:
        return bytes(content)
    modes = metadata_schema.ModelOptimizationMode
    metadata.options.modelOptimizationModes = [
        modes.PTQ_INT16 if scheme is Scheme.INT16X8 else modes.PTQ_FULL_INTEGER
    ]
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    util.populate_conversion_metadata(model, metadata)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
