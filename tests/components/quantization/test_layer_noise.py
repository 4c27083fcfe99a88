import numpy as np
import pytest

from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.quantization.layer_noise import measure

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def inputs(digits_arrays) -> dict[str, np.ndarray]:
    return {"image": digits_arrays["train"][0][:8]}


def outputs_of(content: bytes, kind: str) -> list[str]:
    graph = Graph(content)
    return [op.outputs[0].name for op in graph.operators if op.name == kind]


def test_the_noise_of_the_last_layer_is_that_of_the_outputs(convert_digits, inputs):
    from tfx_tflite.components.models.tflite_model import TFLiteModel
    from tfx_tflite.components.versions import Kernels

    models = convert_digits("int8")
    before, after = (
        TFLiteModel(content, Kernels.BUILTIN).predict(inputs)["probabilities"].astype(np.float64)
        for content in (models.float32, models.quantized)
    )
    expected = 10 * np.log10(np.square(before).sum() / np.square(before - after).sum())
    found = measure(models.float32, models.quantized, [inputs])
    [softmax] = outputs_of(models.quantized, "SOFTMAX")
    assert found[softmax].sqnr_db == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("scheme", ["int8", "int8_float_io", "int16x8"])
def test_every_convolution_is_found_in_both_models(convert_digits, inputs, scheme: str):
    models = convert_digits(scheme)
    found = measure(models.float32, models.quantized, [inputs])
    names = outputs_of(models.quantized, "CONV_2D")
    assert len(names) == 2 and set(names) <= found.keys()


def test_sixteen_bits_are_less_noise_than_eight(convert_digits, inputs):
    noise = {}
    for scheme in ("int8", "int16x8"):
        models = convert_digits(scheme)
        [name, *_] = outputs_of(models.quantized, "CONV_2D")
        noise[scheme] = measure(models.float32, models.quantized, [inputs])[name].sqnr_db
    # The weights stay at 8 bits, so not by the 48 dB of 8 bits more.
    assert noise["int16x8"] > noise["int8"]


def test_a_model_is_no_noise_beside_itself(convert_digits, inputs):
    content = convert_digits("float32").float32
    found = measure(content, content, [inputs])
    assert found and all(layer.sqnr_db is None for layer in found.values())


def test_values_beyond_the_range_are_saturated(convert_digits, inputs):
    models = convert_digits("int8")
    larger = {"image": 10 * inputs["image"]}
    [name, *_] = outputs_of(models.quantized, "CONV_2D")
    assert measure(models.float32, models.quantized, [inputs])[name].saturated < 0.01
    assert measure(models.float32, models.quantized, [larger])[name].saturated > 0.1


def test_a_model_that_does_not_run_has_no_figures(convert_digits, inputs):
    models = convert_digits("int8")
    assert measure(models.float32, models.quantized, [{"image": inputs["image"][:, :3]}]) == {}
