import numpy as np
import pytest

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.tflite_model import dequantize, quantize

INT8 = {"quantization": (0.1, 0), "dtype": np.int8}
FLOAT = {"quantization": (0.0, 0), "dtype": np.float32}


def test_quantizing_saturates_and_never_wraps_around():
    np.testing.assert_array_equal(
        quantize(np.array([12.8, 100.0, -100.0, np.inf, -np.inf], np.float32), INT8, "x"),
        [127, 127, -128, 127, -128],
    )


def test_quantizing_rounds_and_never_truncates():
    np.testing.assert_array_equal(
        quantize(np.array([0.19, -0.19, 0.14, -0.14], np.float32), INT8, "x"), [2, -2, 1, -1]
    )


def test_quantizing_rounds_ties_to_even():
    detail = {"quantization": (0.5, 0), "dtype": np.int8}
    values = np.array([0.25, 0.75, 1.25, -0.25, -0.75], np.float32)
    np.testing.assert_array_equal(quantize(values, detail, "x"), [0, 2, 2, 0, -2])


def test_quantizing_adds_the_zero_point_before_saturating():
    detail = {"quantization": (0.1, 100), "dtype": np.uint8}
    values = np.array([0.0, 15.5, 20.0, -20.0], np.float32)
    np.testing.assert_array_equal(quantize(values, detail, "x"), [100, 255, 255, 0])


def test_quantizing_refuses_nan():
    with pytest.raises(DataError, match="input 'x' holds NaN"):
        quantize(np.array([np.nan], np.float32), INT8, "x")


def test_tensors_that_are_not_quantized_stay_as_they_are():
    values = np.array([12.8], np.float32)
    assert quantize(values, FLOAT, "x") is values
    assert dequantize(values, FLOAT) is values


def test_dequantizing_gives_float32_reals():
    detail = {"quantization": (0.5, -10), "dtype": np.int8}
    real = dequantize(np.array([-128, 0, 127], np.int8), detail)
    assert real.dtype == np.float32
    np.testing.assert_array_equal(real, [-59.0, 5.0, 68.5])
