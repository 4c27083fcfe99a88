"""Tensors that stay float, everything else being integer."""

from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.observation import collect_ranges
from tfx_tflite.components.errors import ConfigError, ConversionError
from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization.audit.audit import audit
from tfx_tflite.components.quantization.conversion.from_ranges import quantize, write_ranges
from tfx_tflite.components.quantization.ranges.policy import MINMAX, RangePolicy
from tfx_tflite.components.quantization.ranges.scale_groups import same_scale_groups
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.quantization.structure import tensor_keys

pytestmark = pytest.mark.slow

GENERATOR = np.random.default_rng(0)
FIRST = GENERATOR.normal(size=(3, 3, 4, 8)).astype(np.float32)
SECOND = GENERATOR.normal(size=(3, 3, 8, 8)).astype(np.float32)
MATRIX = GENERATOR.normal(size=(32, 5)).astype(np.float32)
EXAMPLES = GENERATOR.normal(size=(20, 4, 4, 4)).astype(np.float32)
PLAIN = Recipe(Scheme.INT8_FLOAT_IO)


def net(x: tf.Tensor) -> tf.Tensor:
    """Swish, a residual, pooling, and what moves numbers on the way to the head."""
    y = tf.nn.conv2d(x, FIRST, 1, "SAME")
    y = y * tf.sigmoid(y)
    y = tf.nn.relu(tf.nn.conv2d(y, SECOND, 1, "SAME")) + y
    y = tf.reshape(tf.nn.max_pool2d(y, 2, 2, "VALID"), [-1, 32])
    return tf.nn.softmax(tf.matmul(y, MATRIX))


@pytest.fixture(scope="module")
def float32(float_tflite) -> bytes:
    return float_tflite(net, x=((None, 4, 4, 4), tf.float32))


@pytest.fixture(scope="module")
def calibrated(float32: bytes) -> bytes:
    ranges = collect_ranges(float32, [{"x": EXAMPLES}])
    return write_ranges(float32, ranges, RangePolicy(MINMAX))


def edges_of(content: bytes) -> Iterator[tuple[str, ...]]:
    graph = Graph(content)
    keys = tensor_keys(graph)
    for group in same_scale_groups(graph):
        yield tuple(keys[graph.main.tensors[index]] for index in group)


def computing_in_float(content: bytes) -> set[str]:
    return {
        operator.name
        for operator in Graph(content).operators
        if operator.name not in ("QUANTIZE", "DEQUANTIZE", "SHAPE")
        and any(tensor.type == "FLOAT32" for tensor in operator.tensors)
    }


def test_tensors_that_share_a_scale_are_one_edge(float32: bytes):
    found = list(edges_of(float32))
    assert ("input:x",) in found and ("CONV_2D:0",) in found
    assert ("ADD:0", "MAX_POOL_2D:0", "RESHAPE:0") in found


@pytest.mark.generations
@pytest.mark.parametrize(
    ("edge", "floats"),
    [
        ("input:x", {"CONV_2D"}),
        ("CONV_2D:0", {"CONV_2D", "LOGISTIC", "MUL"}),
        # Its kernel assumes a scale, so that it is integer without a range, too.
        ("LOGISTIC:0", {"LOGISTIC", "MUL"}),
        ("MUL:0", {"MUL", "CONV_2D", "ADD"}),
        # They hand a scale on.
        ("MAX_POOL_2D:0", {"ADD", "MAX_POOL_2D", "RESHAPE", "FULLY_CONNECTED"}),
        ("FULLY_CONNECTED:0", {"FULLY_CONNECTED", "SOFTMAX"}),
        ("SOFTMAX:0", {"SOFTMAX"}),
    ],
)
def test_only_what_writes_and_reads_the_tensor_is_float(calibrated, edge: str, floats: set[str]):
    recipe = Recipe(Scheme.INT8_FLOAT_IO, float_edges=(edge,))
    content = quantize(calibrated, recipe)
    assert computing_in_float(content) == floats
    assert audit(content, recipe) == []
    assert audit(content, PLAIN)


def test_every_edge_at_once_is_the_float_model(calibrated: bytes, float32: bytes):
    edges = tuple(edge for group in edges_of(float32) for edge in group)
    recipe = Recipe(Scheme.INT8_FLOAT_IO, float_edges=edges)
    content = quantize(calibrated, recipe)
    found, expected = (
        TFLiteModel(each).predict({"x": EXAMPLES})["output"] for each in (content, float32)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert audit(content, recipe) == []


def test_a_layer_may_stay_float_by_its_key_or_name(calibrated: bytes, float32: bytes):
    [head] = [each for each in Graph(float32).operators if each.name == "FULLY_CONNECTED"]
    for name in ("FULLY_CONNECTED:0", head.outputs[0].short_name):
        recipe = Recipe(Scheme.INT8_FLOAT_IO, float_layers=(name,))
        content = quantize(calibrated, recipe)
        assert computing_in_float(content) == {"FULLY_CONNECTED"}
        assert audit(content, recipe) == []


def test_what_no_recipe_names_must_be_integer(calibrated: bytes):
    content = quantize(calibrated, Recipe(Scheme.INT8_FLOAT_IO, float_edges=("MUL:0",)))
    found = audit(content, Recipe(Scheme.INT8_FLOAT_IO, float_edges=("SOFTMAX:0",)))
    assert {each.layer.split()[0] for each in found} == {"MUL", "CONV_2D", "ADD"}


def test_an_edge_that_the_model_does_not_have_is_an_error(calibrated: bytes):
    with pytest.raises(ConversionError, match=r"ADD:7 in float.* its layers are: CONV_2D:0"):
        quantize(calibrated, Recipe(Scheme.INT8_FLOAT_IO, float_edges=("ADD:7",)))


def test_strict_schemes_take_no_edges():
    with pytest.raises(ConfigError, match="float_edges"):
        Recipe(Scheme.INT8, float_edges=("input:x",))
