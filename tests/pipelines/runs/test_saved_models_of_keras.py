"""SavedModels as Keras writes them, in each of the ways that people use: each is run whole."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipelines.runs.bare_loop import accuracy_of, accuracy_of_file
from tests.pipelines.runs.kinds import KindOfModel
from tfx_tflite.components.errors import ModelError

pytestmark = pytest.mark.slow

FED = "is fed by feature 'image', the only one of its shape and type"


@pytest.fixture(scope="module")
def unnamed_net(keras_digits):
    """The digits' net with an input that nobody named, as Keras 3 calls it: `keras_tensor`."""
    import keras

    given = keras.Input((8, 8, 1))
    return keras.Model(given, keras_digits(given))


@pytest.fixture(scope="module")
def exported(unnamed_net, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The net as `model.export` writes it."""
    path = tmp_path_factory.mktemp("exported") / "model"
    unnamed_net.export(str(path), verbose=False)
    return path


@pytest.fixture
def kind(tmp_path: Path, digits_data: Path) -> Callable[..., KindOfModel]:
    """Makes a kind of model on the digits, from the section `model` of its config."""
    return lambda model, **sections: KindOfModel(tmp_path, digits_data, model, **sections)


def test_an_export_of_keras_3_is_fed_by_the_only_feature_that_fits(
    kind, exported: Path, unnamed_net, digits_arrays
):
    model = kind({"saved_model": str(exported)}, quantization={"scheme": "int8_float_io"})
    result = model.run()
    assert result.status == "pushed"
    [note] = result.notes
    assert FED in note
    [rule] = result.rules
    images, labels = digits_arrays["eval"]
    assert rule.float_value == accuracy_of(unnamed_net.predict, images, labels)
    assert rule.quantized_value == accuracy_of_file(model.pushed_file, images, labels)


def test_the_config_feeds_the_input_and_nothing_is_noted(kind, exported: Path, unnamed_net):
    inputs = {unnamed_net.inputs[0].name: "image"}
    model = kind(
        {"saved_model": str(exported), "inputs": inputs}, quantization={"scheme": "dynamic_range"}
    )
    result = model.run("gate.rules.0.against=pushed")
    assert result.status == "pushed"
    assert not result.notes
    again = model.run("gate.rules.0.against=pushed", "quantization.scheme=int8")
    assert again.status == "pushed"
    assert again.rules[0].against == "pushed"


def test_a_signature_that_an_export_lacks_is_told_with_those_it_has(kind, exported: Path):
    model = kind({"saved_model": str(exported), "signature": "serving_tensors"})
    with pytest.raises(ModelError, match="it has: serve, serving_default"):
        model.run()


def test_a_saved_model_of_a_keras_3_model(kind, unnamed_net, tmp_path: Path, digits_arrays):
    import tensorflow as tf

    tf.saved_model.save(unnamed_net, str(tmp_path / "saved"))
    model = kind({"saved_model": str(tmp_path / "saved")}, quantization={"scheme": "int8_float_io"})
    result = model.run()
    assert result.status == "pushed"
    assert FED in result.notes[0]
    images, labels = digits_arrays["eval"]
    assert result.rules[0].quantized_value == accuracy_of_file(model.pushed_file, images, labels)


def test_a_saved_model_of_tf_keras(kind, tmp_path: Path, digits_arrays):
    tf_keras = pytest.importorskip("tf_keras", reason="the package tf_keras is not installed")
    images, labels = digits_arrays["train"]
    tf_keras.utils.set_random_seed(1)
    layers = tf_keras.layers
    net = tf_keras.Sequential(
        [
            layers.Conv2D(8, 3, padding="same", input_shape=(8, 8, 1)),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    net.compile("adam", loss="sparse_categorical_crossentropy")
    net.fit(images, labels, epochs=3, verbose=0)
    net.save(str(tmp_path / "saved"), save_format="tf")
    model = kind({"saved_model": str(tmp_path / "saved")}, quantization={"scheme": "int8_float_io"})
    result = model.run()
    assert result.status == "pushed"
    images, labels = digits_arrays["eval"]
    assert result.rules[0].float_value == accuracy_of(net.predict, images, labels)
    assert result.rules[0].quantized_value == accuracy_of_file(model.pushed_file, images, labels)
