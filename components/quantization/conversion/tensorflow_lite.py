"""What of TensorFlow Lite's converter is used that is not its public interface: all of it is here.

`tests/components/quantization/conversion/test_tensorflow_lite.py` looks at upstream for each, and
fails if a name, a signature or the behaviour is another one. The private names of interpreters are
in `models/runtime.py`.
"""

import ctypes
from collections.abc import Collection
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import convert, lite
from tensorflow.lite.python.optimize.calibrator import Calibrator
from tensorflow.python.framework import dtypes, versions

from tfx_tflite.components.models import object_tree

ConverterError = convert.ConverterError
# From TensorFlow 2.19 on the converter gives each output of a dense layer a scale of its own.
DENSE_PER_CHANNEL = tuple(map(int, versions.VERSION.split(".")[:2])) >= (2, 19)
# What the older quantizer is told last: that scales a channel are not disabled; and where dense
# layers have them, a second time, of those.
_PER_CHANNEL = (False,) * (2 if DENSE_PER_CHANNEL else 1)
# What the quantizer for int8 is to leave in float. TensorFlow 2.21's makes DIV of two activations
# integer, in a version that 2.16's runtime takes and then fails to run; its own reference kernel
# stops if a divisor is the integer 0, whatever number that stands for.
_LEFT_IN_FLOAT = {"DIV"}


def to_int8(calibrated: bytes, io_type: dtypes.DType, float_layers: Collection[str] = ()) -> bytes:
    """Returns a model whose tensors have ranges, as the MLIR quantizer makes it int8.

    The public converter calls it after its own calibration alone.

    Args:
        calibrated: The float flatbuffer, with ranges.
        io_type: The type of inputs and outputs.
        float_layers: The operators that are to stay float, by the names of what they write.

    Raises:
        ConverterError: The quantizer refuses the model.
    """
    return bytes(
        convert.mlir_quantize(
            calibrated,
            input_data_type=io_type,
            output_data_type=io_type,
            denylisted_ops=_LEFT_IN_FLOAT,
            denylisted_nodes=set(float_layers) or None,
        )
    )


def to_int16x8(
    calibrated: bytes, io_type: dtypes.DType, float_layers: Collection[str] = ()
) -> bytes:
    """Returns a model whose tensors have ranges, as the older quantizer makes it int16x8.

    It belongs to the calibrator, whose public methods feed examples first. Where none were fed, it
    takes the ranges in the model.

    Args:
        calibrated: The float flatbuffer, with ranges.
        io_type: The type of inputs and outputs.
        float_layers: None; it leaves no operator in float that it knows.

    Raises:
        RuntimeError, ValueError: The quantizer refuses the model.
    """
    assert not float_layers

    def number(dtype: dtypes.DType) -> int:
        return np.dtype(dtype.as_numpy_dtype).num

    quantizer = Calibrator(calibrated)._calibrator
    types = (number(io_type), number(io_type), False, number(dtypes.int16), number(dtypes.int64))
    return bytes(quantizer.QuantizeModel(*types, *_PER_CHANNEL))


def deduplicated(model: bytes) -> bytes:
    """Returns a model in which equal constants share a buffer, with which the converter ends."""
    return bytes(lite._deduplicate_readonly_buffers(model))


def operator_versions(model: bytes) -> list[int]:
    """Returns the version that each kind of operator of a model must have, as it is used there.

    By the version a runtime knows whether it has the kernel. The converter finds it with a function
    in C++ that Python has no name for. The older quantizer does not ask it: it writes the versions
    of int8 operators into a model of int16, which an old runtime then takes and fails to run.

    Args:
        model: The flatbuffer.

    Returns:
        The versions in the order of the model's kinds; 0 for a custom operator.
    """
    tree = object_tree.parse(model)
    for code in tree.operatorCodes:
        # It raises a version that it finds too low, and that is written: 1 would be left out.
        code.version = 0
    content = object_tree.pack(tree)
    buffer = ctypes.create_string_buffer(content, len(content))
    # The package may be deferred; its place is known all the same.
    library = ctypes.CDLL(str(Path(tf.__file__).with_name("libtensorflow_cc.so.2")))
    update = library["_ZN6tflite15UpdateOpVersionEPh"]
    update.argtypes, update.restype = [ctypes.c_void_p], None
    update(ctypes.addressof(buffer))
    kinds = object_tree.parse(buffer.raw).operatorCodes
    return [0 if object_tree.is_custom(code) else max(code.version, 1) for code in kinds]
