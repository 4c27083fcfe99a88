"""Conversion through the real converter, in its child process."""

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.components.quantization import zoo
from tfx_tflite.components.errors import ConversionError
from tfx_tflite.components.examples.tensors import Tensors
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization.audit import audit
from tfx_tflite.components.quantization.conversion import early_start
from tfx_tflite.components.quantization.conversion.converter import Converter
from tfx_tflite.components.quantization.conversion.limits import Limits
from tfx_tflite.components.quantization.document import QuantizationReport
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.quantization.settings import QuantizerSettings
from tfx_tflite.components.quantization.summary import summarize

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("converters_by_command")]

SCHEMES = [
    ("float32", {}, np.float32),
    ("dynamic_range", {}, np.float32),
    ("float16", {}, np.float32),
    ("int8_float_io", {}, np.float32),
    ("int8", {}, np.int8),
    ("int8", {"io_type": "uint8"}, np.uint8),
    ("int16x8", {}, np.float32),
    ("int16x8", {"io_type": "int16"}, np.int16),
]


@pytest.mark.parametrize(("scheme", "settings", "io_type"), SCHEMES)
def test_a_keras_3_model_with_batch_norm_converts_and_keeps_its_promise(
    convert_digits, scheme: str, settings: dict, io_type: type
):
    content = convert_digits(scheme, **settings).quantized
    model = TFLiteModel(content)
    assert model.inputs["image"].dtype == io_type
    assert model.outputs["probabilities"].dtype == io_type
    assert audit.audit(content, Recipe(Scheme(scheme), **settings)) == []


@pytest.mark.parametrize(("scheme", "settings", "io_type"), SCHEMES)
def test_a_quantized_model_classifies_as_the_float_model_does(
    convert_digits, keras_digits, digits_arrays, scheme: str, settings: dict, io_type: type
):
    images, _ = digits_arrays["eval"]
    expected = keras_digits.predict(images, verbose=0).argmax(axis=1)
    model = TFLiteModel(convert_digits(scheme, **settings).quantized)
    predicted = model.predict({"image": images})["probabilities"].argmax(axis=1)
    assert (predicted == expected).mean() > 0.98


@pytest.mark.parametrize(("scheme", "settings", "io_type"), SCHEMES)
def test_the_report_describes_every_layer(
    convert_digits, scheme: str, settings: dict, io_type: type
):
    models = convert_digits(scheme, **settings)
    wanted = QuantizerSettings(
        signature="serving_tensors", scheme=scheme, ranges="stock", **settings
    )
    summary = summarize(models, wanted, "sha256:float", None)
    assert QuantizationReport.parse(summary.to_json(), "what is written") == summary
    assert sum(summary.operators.values()) == len(summary.layers)
    convolution = next(layer for layer in summary.layers if layer.operator == "CONV_2D")
    assert convolution.output_shape[1:] == (8, 8, 16)
    assert sum(dict(summary.size_parts).values()) == len(models.quantized)
    assert ("image" in summary.input_ranges) == Scheme(scheme).needs_calibration
    assert summary.inputs == (np.dtype(io_type).name.upper(),)


def test_integer_models_are_less_than_half_the_size(convert_digits):
    models = convert_digits("int8")
    assert len(models.quantized) < 0.5 * len(models.float32)


def converted(saved_model: Path, scheme: Scheme, samples: Tensors | None, directory: Path) -> bytes:
    """Returns a model that a converter of its own has made."""
    with Converter(directory) as converter:
        return converter.convert(saved_model, "serving_tensors", Recipe(scheme), samples)


def test_the_same_request_gives_the_same_bytes(
    convert_digits, digits_model: Path, digits_arrays, tmp_path: Path
):
    samples = {"image": digits_arrays["train"][0][:100]}
    again = converted(digits_model, Scheme.INT8, samples, tmp_path)
    assert again == convert_digits("int8").quantized


def test_a_fixed_batch_size_is_built_in_and_evaluated_all_the_same(convert_digits, digits_arrays):
    fixed = TFLiteModel(convert_digits("int8", batch_size=4).quantized)
    dynamic = TFLiteModel(convert_digits("int8").quantized)
    assert fixed.inputs["image"].signature_shape == (4, 8, 8, 1)
    images = {"image": digits_arrays["eval"][0][:10]}
    np.testing.assert_allclose(
        fixed.predict(images)["probabilities"],
        dynamic.predict(images)["probabilities"],
        atol=1 / 128,
    )


def test_inputs_are_calibrated_by_name(save_function, random_samples, tmp_path: Path):
    saved = save_function(lambda z_wide, y_narrow: z_wide * 2.0 + y_narrow, [None, 4], [None, 4])
    samples = random_samples(x=(50, 4), y=(50, 4))
    samples["y"] *= 1000
    inputs = TFLiteModel(converted(saved, Scheme.INT8, samples, tmp_path)).inputs
    for name in ("x", "y"):
        spread = float(np.ptp(samples[name]))
        assert inputs[name].scale == pytest.approx(spread / 255, rel=0.01)


def test_names_the_operators_that_only_flex_has(save_function, random_samples, tmp_path: Path):
    import tensorflow as tf

    saved = save_function(lambda x: tf.linalg.inv(tf.reshape(x, [-1, 2, 2])), [None, 4])
    with pytest.raises(ConversionError, match=r"no builtin for: MatrixInverse; replace"):
        converted(saved, Scheme.FLOAT32, None, tmp_path)


def test_names_the_float_operators_that_the_converter_leaves_in_an_integer_model(
    save_function, random_samples, tmp_path: Path
):
    import tensorflow as tf

    saved = save_function(lambda x: tf.math.floormod(x, 3.0) * 2.0, [None, 4])
    samples = random_samples(x=(20, 4))
    content = converted(saved, Scheme.INT8, samples, tmp_path)
    with pytest.raises(
        ConversionError, match=r"not int8: FLOOR_MOD #1 \(FloorMod\): computes in FLOAT32\. "
    ):
        audit.check(content, Recipe(Scheme.INT8))


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        pytest.param(
            "from_saved_model",
            r"crashed \(SIGABRT\) .*LLVM ERROR",
            marks=pytest.mark.skipif(
                zoo.CONVERTS_FROM_SAVED_MODEL, reason="this TensorFlow's converter survives it"
            ),
        ),
        # As TensorFlow 2.16 says it, or 2.21.
        (
            "with_infinite_example",
            r"crashed \(SIGSEGV\) .*(illegal scale: INF|scale out of expressed type range)",
        ),
    ],
)
def test_an_abort_of_the_converter_is_an_error_with_its_last_message(
    digits_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, expected: str
):
    child = Path(__file__).with_name("aborting_conversion.py")
    command = (sys.executable, str(child), way, str(digits_model))
    monkeypatch.setattr(early_start, "COMMAND", command)
    working = tmp_path / "work"
    working.mkdir()
    with pytest.raises(ConversionError, match=expected):
        converted(digits_model, Scheme.FLOAT32, None, working)


def test_a_converter_that_hangs_is_stopped(
    digits_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(early_start, "COMMAND", ("/bin/sh", "-c", "exec sleep 60"))
    with (
        Converter(tmp_path, Limits(time=1)) as converter,
        pytest.raises(ConversionError, match="stopped after 1 s"),
    ):
        converter.float32(digits_model, "serving_tensors")


def test_refuses_to_calibrate_with_nothing(digits_model: Path, tmp_path: Path):
    empty = {"image": np.zeros((0, 8, 8, 1), np.float32)}
    with pytest.raises(ConversionError, match="no calibration examples"):
        converted(digits_model, Scheme.INT8, empty, tmp_path)
