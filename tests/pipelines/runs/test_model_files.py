"""Models that are files, a float TensorFlow Lite file or a Keras file, each run whole."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.pipelines.runs.bare_loop import accuracy_of, accuracy_of_file
from tests.pipelines.runs.kinds import KindOfModel
from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.models.flatbuffer import read_graph
from tfx_tflite.pipelines.config.file import load_config
from tfx_tflite.pipelines.config.preflight import inspect
from tfx_tflite.pipelines.runs.new_data import named_files

pytestmark = pytest.mark.slow

# See make.py beside it.
TORCH = ROOT / "tests" / "components" / "models" / "converted" / "torch_digits.tflite"
SCHEMES = ("float32", "float16", "dynamic_range", "int8_float_io", "int8", "int16x8")
HEAVY = {"TFLiteQuantizer", "QuantizationEvaluator", "CalibrationSampler", "ImportExampleGen"}


@pytest.fixture
def kind(tmp_path: Path, digits_data: Path) -> Callable[..., KindOfModel]:
    """Makes a kind of model on the digits, from the section `model` of its config."""
    return lambda model, **sections: KindOfModel(tmp_path, digits_data, model, **sections)


@pytest.fixture
def keras_file(keras_digits, tmp_path: Path) -> Path:
    keras_digits.save(str(tmp_path / "m.keras"))
    return tmp_path / "m.keras"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_file_of_pytorch_is_quantized_to_every_scheme(kind, digits_arrays, scheme: str):
    model = kind({"tflite": str(TORCH)}, quantization={"scheme": scheme})
    result = model.run()
    assert result.status == "pushed"
    assert "input 'args_0' is fed by feature 'image'" in result.notes[0]
    [rule] = result.rules
    images, labels = digits_arrays["eval"]
    assert rule.float_value == accuracy_of_file(TORCH, images, labels)
    assert rule.quantized_value == accuracy_of_file(model.pushed_file, images, labels)


def test_a_file_without_a_signature_is_compared_with_what_was_pushed(kind, tmp_path: Path):
    draft = read_graph(TORCH.read_bytes()).draft()
    draft.tree.signatureDefs = None
    (tmp_path / "bare.tflite").write_bytes(draft.content())
    name = read_graph(TORCH.read_bytes()).main.inputs[0].name
    source = {"tflite": str(tmp_path / "bare.tflite"), "inputs": {name: "image"}}
    model = kind(source, quantization={"scheme": "int8_float_io"})
    assert model.run().status == "pushed"
    again = model.run("gate.rules.0.against=pushed", "quantization.scheme=float16")
    assert again.status == "pushed"
    assert again.rules[0].against == "pushed" and not again.notes


def test_a_second_run_is_from_the_cache_and_other_bytes_are_another_model(kind, tmp_path: Path):
    file = tmp_path / "m.tflite"
    file.write_bytes(TORCH.read_bytes())
    model = kind({"tflite": str(file)}, quantization={"scheme": "int8"})
    model.run()
    before = dict(named_files(load_config(model.config)))
    model.run()
    assert model.from_cache >= HEAVY
    draft = read_graph(file.read_bytes()).draft()
    draft.tree.description = "another"
    file.write_bytes(draft.content())
    assert dict(named_files(load_config(model.config))) != before
    model.run()
    assert not model.from_cache & {"TFLiteQuantizer", "QuantizationEvaluator"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x1c\0\0\0TFL3" + b"\xff" * 40, "m.tflite is not a valid|damaged"),
        (b"x" * 50, "m.tflite is"),
    ],
)
def test_a_damaged_file_ends_the_run_in_a_line(kind, tmp_path: Path, content: bytes, expected: str):
    (tmp_path / "m.tflite").write_bytes(content)
    with pytest.raises(ModelError, match=expected) as caught:
        kind({"tflite": str(tmp_path / "m.tflite")}).run()
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "pushed").exists()


def test_a_keras_file_is_exported_once_for_each_content(
    kind, keras_file: Path, keras_digits, digits_arrays
):
    model = kind({"keras": str(keras_file)}, quantization={"scheme": "int8_float_io"})
    result = model.run()
    assert result.status == "pushed"
    images, labels = digits_arrays["eval"]
    assert result.rules[0].float_value == accuracy_of(keras_digits.predict, images, labels)
    assert result.rules[0].quantized_value == accuracy_of_file(model.pushed_file, images, labels)
    exports = sorted((model.directory / "root" / "models").iterdir())
    model.run()
    assert model.from_cache >= HEAVY
    assert sorted((model.directory / "root" / "models").iterdir()) == exports


def test_a_lambda_layer_is_run_only_if_it_is_trusted(kind, tmp_path: Path):
    import keras

    given = keras.Input((8, 8, 1), name="image")
    shifted = keras.layers.Lambda(lambda values: values * 2.0, output_shape=(8, 8, 1))(given)
    net = keras.Model(given, keras.layers.Dense(10)(keras.layers.Flatten()(shifted)))
    net.save(str(tmp_path / "m.keras"))
    model = kind(
        {"keras": str(tmp_path / "m.keras")},
        quantization={"scheme": "float32"},
        gate={"rules": [{"metric": "SparseCategoricalAccuracy", "max_drop": 1}]},
    )
    expected = r"m\.keras holds a layer that is Python code.*model\.trust"
    with pytest.raises(ModelError, match=expected):
        model.run()
    assert model.run("model.trust=true").status == "pushed"


def test_what_is_no_keras_file_is_told_in_a_line(kind, tmp_path: Path):
    (tmp_path / "m.keras").write_bytes(b"PK\x03\x04 nothing of the kind")
    with pytest.raises(ModelError, match=r"m\.keras cannot be exported: .*model\.saved_model"):
        kind({"keras": str(tmp_path / "m.keras")}).run()


@pytest.mark.parametrize("key", ["keras", "tflite"])
def test_a_file_that_is_not_there_is_told_with_its_key(kind, tmp_path: Path, key: str):
    model = kind({key: str(tmp_path / f"m.{key}")})
    with pytest.raises(Exception, match=rf"model\.{key}: there is no file"):
        inspect(load_config(model.config))


def test_several_outputs_of_a_file_are_judged(kind, keras_digits, tmp_path: Path, digits_arrays):
    import tensorflow as tf

    given = tf.keras.Input((8, 8, 1))
    scores = keras_digits(given)
    net = tf.keras.Model(given, {"scores": scores, "doubled": scores * 2.0})
    net.export(str(tmp_path / "two"), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "two"))
    function = loaded.signatures["serving_default"]
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], loaded)
    (tmp_path / "two.tflite").write_bytes(converter.convert())
    accuracy = "SparseCategoricalAccuracy"
    outputs = [
        {"output": name, "label": "label", "metrics": [accuracy]} for name in ("scores", "doubled")
    ]
    model = kind(
        {"tflite": str(tmp_path / "two.tflite")},
        quantization={"scheme": "int8_float_io"},
        evaluation={"outputs": outputs},
        gate={
            "rules": [
                {"output": name, "metric": accuracy, "max_drop": 0.05}
                for name in ("scores", "doubled")
            ]
        },
    )
    result = model.run()
    assert result.status == "pushed"
    images, labels = digits_arrays["eval"]
    expected = accuracy_of(keras_digits.predict, images, labels)
    assert np.allclose([rule.float_value for rule in result.rules], expected)
