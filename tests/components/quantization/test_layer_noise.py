import numpy as np
import pytest

from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.quantization.layer_noise import measure, rounding_noise
from tfx_tflite.components.quantization.rounding import Rounding

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


def test_the_noise_of_channels_adds_up_to_that_of_the_layer(convert_digits, inputs):
    models = convert_digits("int8")
    [name, *_] = outputs_of(models.quantized, "CONV_2D")
    found = measure(models.float32, models.quantized, [inputs])[name]
    ratio = found.channels.power.sum() / found.channels.noise.sum()
    assert found.sqnr_db == pytest.approx(10 * np.log10(ratio))
    assert found.channels.rounding.sum() < found.channels.noise.sum()


def test_the_noise_of_an_input_is_that_of_rounding_it():
    generator = np.random.default_rng(0)
    rows = (generator.normal(size=(50, 2)) * [1.0, 0.01]).astype(np.float32)
    rounding = Rounding.of_range(float(rows.min()), float(rows.max()))
    halves = [{"x": rows[:20]}, {"x": rows[20:]}]
    found = rounding_noise(halves, {"x": rounding})["x"].channels
    expected = np.square(rows - rounding(rows.astype(np.float64))).mean(axis=0)
    np.testing.assert_allclose(found.noise, expected)
    np.testing.assert_allclose(found.rounding, expected)
    np.testing.assert_allclose(found.variance, rows.var(axis=0), rtol=1e-4)
    assert found.below(20.0, found.rounding) == 0.5


def test_a_channel_that_is_constant_has_nothing_to_lose():
    rows = np.array([[0.1, 5.0], [1.2, 5.0]], np.float32)
    found = rounding_noise([{"x": rows}], {"x": Rounding.of_range(0.0, 5.0)})["x"].channels
    assert found.varies.tolist() == [True, False]
    assert found.below(200.0, found.rounding) == 1.0
