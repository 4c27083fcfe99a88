"""What of TensorFlow Lite's converter is used that is not its public interface: all of it is here.

`tests/components/quantization/conversion/test_tensorflow_lite.py` looks at upstream for each, and
fails if a name, a signature or the behaviour is another one. The private names of interpreters are
in `models/runtime.py`.
"""

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import convert, lite
from tensorflow.lite.python.optimize.calibrator import Calibrator

ConverterError = convert.ConverterError


def to_int8(calibrated: bytes, io_type: tf.DType) -> bytes:
    """Returns a model whose tensors have ranges, as the MLIR quantizer makes it int8.

    The public converter calls it after its own calibration alone.

    Args:
        calibrated: The float flatbuffer, with ranges.
        io_type: The type of inputs and outputs.

    Raises:
        ConverterError: The quantizer refuses the model.
    """
    return bytes(
        convert.mlir_quantize(calibrated, input_data_type=io_type, output_data_type=io_type)
    )


def to_int16x8(calibrated: bytes, io_type: tf.DType) -> bytes:
    """Returns a model whose tensors have ranges, as the older quantizer makes it int16x8.

    It belongs to the calibrator, whose public methods feed examples first. Where none were fed, it
    takes the ranges in the model.

    Args:
        calibrated: The float flatbuffer, with ranges.
        io_type: The type of inputs and outputs.

    Raises:
        RuntimeError, ValueError: The quantizer refuses the model.
    """

    def number(dtype: tf.DType) -> int:
        return np.dtype(dtype.as_numpy_dtype).num

    quantizer = Calibrator(calibrated)._calibrator
    return bytes(
        quantizer.QuantizeModel(
            number(io_type), number(io_type), False, number(tf.int16), number(tf.int64), False
        )
    )


def deduplicated(model: bytes) -> bytes:
    """Returns a model in which equal constants share a buffer, with which the converter ends."""
    return bytes(lite._deduplicate_readonly_buffers(model))
