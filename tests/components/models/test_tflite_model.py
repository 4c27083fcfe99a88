import numpy as np
import pytest

from tests.components.models import hostile
from tfx_tflite.components.errors import DataError, ModelError
from tfx_tflite.components.models.tensor_info import TensorInfo
from tfx_tflite.components.models.tflite_model import InputQuantizer, TFLiteModel


def tensor_info(dtype: type, size: int, scale: float = 0.0, zero_point: int = 0) -> TensorInfo:
    return TensorInfo(0, "x", np.dtype(dtype), (1, size), (-1, size), scale, zero_point)


def quantize(values: list, scale: float, zero_point: int = 0, dtype: type = np.int8) -> list:
    array = np.array([values], np.float32)
    info = tensor_info(dtype, len(values), scale, zero_point)
    quantized = InputQuantizer({"x": info})({"x": array})["x"]
    assert quantized.dtype == dtype and quantized.shape == array.shape
    return quantized[0].tolist()


def test_quantizing_saturates_and_never_wraps_around():
    assert quantize([12.8, 100, -100, np.inf, -np.inf], 0.1) == [127, 127, -128, 127, -128]


def test_quantizing_rounds_and_never_truncates():
    assert quantize([0.19, -0.19, 0.14, -0.14], 0.1) == [2, -2, 1, -1]


def test_quantizing_adds_the_zero_point_before_saturating():
    assert quantize([0.0, 15.5, 20.0, -20.0], 0.1, 100, np.uint8) == [100, 255, 255, 0]


def test_quantizes_to_int16():
    assert quantize([1.0, 40000.0], 1.0, 0, np.int16) == [1, 32767]


def test_quantizing_refuses_nan():
    with pytest.raises(DataError, match="input 'x' holds NaN"):
        quantize([0.0, np.nan], 0.1)


def test_each_input_is_quantized_with_its_own_scale_in_batches_of_any_size():
    scales = {"narrow": 0.01, "wide": 100.0}
    quantizer = InputQuantizer(
        {name: tensor_info(np.int8, 1, scale) for name, scale in scales.items()}
    )
    for rows in (3, 1, 20):
        values = np.full((rows, 1), 1.0, np.float32)
        quantized = quantizer({"narrow": values, "wide": values * 1000})
        assert quantized["narrow"].tolist() == [[100]] * rows
        assert quantized["wide"].tolist() == [[10]] * rows


def test_inputs_that_are_not_quantized_stay_as_they_are():
    values = np.array([[7]], np.int64)
    assert InputQuantizer({"x": tensor_info(np.int64, 1)})({"x": values})["x"] is values


def test_dequantizing_gives_float32_reals():
    real = tensor_info(np.int8, 3, 0.5, -10).reals(np.array([-128, 0, 127], np.int8))
    assert real.dtype == np.float32
    np.testing.assert_array_equal(real, [-59.0, 5.0, 68.5])


def test_float_outputs_stay_as_they_are():
    values = np.array([12.8], np.float32)
    assert tensor_info(np.float32, 1).reals(values) is values


def test_inputs_of_other_names_are_told():
    content = hostile.net("dense")
    with pytest.raises(ModelError, match="takes x, but the float model image; it was made from"):
        TFLiteModel(content).predict({"image": np.zeros((1, 32), np.float32)})


def test_an_input_that_is_quantized_to_a_type_that_nothing_quantizes_to_is_told():
    with pytest.raises(ModelError, match=r"does not quantize inputs as .* \('x' int32\)"):
        quantize([1.0], 0.1, dtype=np.int32)
