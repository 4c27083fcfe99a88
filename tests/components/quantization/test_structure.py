"""Keys of layers and tensors: what they are called, and that a retrain does not rename them."""

from pathlib import Path

import numpy as np
import pytest

from tfx_tflite.components.errors import ConversionError
from tfx_tflite.components.models.flatbuffer import read_graph
from tfx_tflite.components.quantization.recipe import RangeRule, Recipe
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.quantization.structure import (
    layer_keys,
    structure_digest,
    tensor_keys,
    tensors_by_key,
)


def trained(units: int, seed: int) -> bytes:
    """Returns a small net that was trained, as TensorFlow Lite has it."""
    import tensorflow as tf

    from tests.components.quantization_tuner.bed.record import float_tflite

    tf.keras.utils.set_random_seed(seed)
    model = tf.keras.Sequential(
        [
            tf.keras.Input((6, 6, 1), name="image"),
            tf.keras.layers.Conv2D(4, 3, activation="relu"),
            tf.keras.layers.Conv2D(4, 3, activation="relu"),
            tf.keras.layers.GlobalAveragePooling2D(),
            tf.keras.layers.Dense(units),
        ]
    )
    model.compile("sgd", "mse")
    images = np.random.default_rng(seed).random((16, 6, 6, 1), np.float32)
    model.fit(images, images.sum(axis=(1, 2)), epochs=1, verbose=0)
    return float_tflite(model)


@pytest.fixture(scope="module")
def net() -> bytes:
    return trained(2, seed=1)


@pytest.fixture(scope="module")
def retrained() -> bytes:
    return trained(2, seed=2)


@pytest.fixture(scope="module")
def wider() -> bytes:
    return trained(3, seed=1)


def names(content: bytes) -> list[str]:
    return [tensor.name for op in read_graph(content).main.operators for tensor in op.outputs]


def test_layers_are_called_after_their_kind_and_their_place_among_it(net: bytes):
    graph = read_graph(net)
    keys = layer_keys(graph)
    assert [keys[operator] for operator in graph.main.operators] == [
        "CONV_2D:0",
        "CONV_2D:1",
        "MEAN:0",
        "FULLY_CONNECTED:0",
    ]


def test_tensors_are_called_after_who_writes_them_or_by_their_name_in_the_signature(net: bytes):
    graph = read_graph(net)
    by_key = tensors_by_key(graph)
    assert set(by_key) == {"input:image", *layer_keys(graph).values()}
    assert by_key["CONV_2D:1"] is graph.main.operators[1].outputs[0]
    assert {key: tensor for tensor, key in tensor_keys(graph).items()} == by_key


def test_several_outputs_of_a_layer_are_numbered(float_tflite):
    import tensorflow as tf

    content = float_tflite(lambda x: tf.add_n(tf.split(x, 3, axis=1)), x=([None, 6], tf.float32))
    assert {"SPLIT:0", "SPLIT:0.1", "SPLIT:0.2"} <= set(tensors_by_key(read_graph(content)))


def test_a_retrain_renames_tensors_and_no_key(net: bytes, retrained: bytes):
    assert net != retrained and names(net) != names(retrained)
    one, other = read_graph(net), read_graph(retrained)
    assert list(tensors_by_key(one)) == list(tensors_by_key(other))
    assert structure_digest(one) == structure_digest(other)


def test_another_architecture_is_another_structure(net: bytes, wider: bytes):
    one, other = read_graph(net), read_graph(wider)
    assert list(tensors_by_key(one)) == list(tensors_by_key(other))
    assert structure_digest(one) != structure_digest(other)


def test_a_recipe_of_another_structure_is_refused(net: bytes, wider: bytes, tmp_path: Path):
    from tests.components.quantization.workshops import workshop

    images = np.random.default_rng(0).random((8, 6, 6, 1), np.float32)
    other = structure_digest(read_graph(wider))
    with pytest.raises(ConversionError, match="is of a model of structure sha256:"):
        workshop(tmp_path, net, {"image": images}).make(Recipe(Scheme.INT8, structure=other))
    own = structure_digest(read_graph(net))
    made = workshop(tmp_path, net, {"image": images}).make(Recipe(Scheme.INT8, structure=own))
    plain = workshop(tmp_path, net, {"image": images}).make(Recipe(Scheme.INT8))
    assert made.quantized == plain.quantized


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"weights": {"FULLY_CONNECTED:7": "per_channel"}}, "weights of FULLY_CONNECTED:7"),
        ({"tensor_ranges": {"CONV_2D:9": RangeRule("minmax")}}, "a range for CONV_2D:9"),
    ],
)
def test_a_recipe_that_names_what_is_not_there_is_refused(
    net: bytes, tmp_path: Path, named: dict[str, object], expected: str
):
    from tests.components.quantization.workshops import workshop

    inputs = {"image": np.ones((4, 6, 6, 1), np.float32)}
    with pytest.raises(ConversionError, match=expected):
        workshop(tmp_path, net, inputs).make(Recipe(Scheme.INT8, **named))
