"""From a float flatbuffer whose tensors carry min and max to a quantized one."""

import tensorflow as tf
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.toco import types_pb2

from tfx_tflite.components.errors import ConversionError
from tfx_tflite.components.schemes import Quantization, Scheme


def quantize(calibrated: bytes, quantization: Quantization) -> bytes:
    """Returns the quantized flatbuffer.

    Args:
        calibrated: A float flatbuffer whose tensors carry their ranges.
        quantization: What to quantize to.

    Raises:
        ConversionError: The scheme does not quantize activations.
    """
    if not quantization.scheme.needs_calibration:
        raise ConversionError(f"scheme {quantization.scheme.value!r} does not use ranges")
    io_type = tf.as_dtype(quantization.resolved_io_type)
    return mlir_quantize(
        calibrated,
        # With it, inputs and outputs are int8 whatever is asked for.
        fully_quantize=io_type == tf.int8,
        inference_type=types_pb2.QUANTIZED_INT16
        if quantization.scheme is Scheme.INT16X8
        else types_pb2.QUANTIZED_INT8,
        input_data_type=io_type,
        output_data_type=io_type,
    )
