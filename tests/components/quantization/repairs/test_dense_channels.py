"""Dense layers get a scale for each output, and compute what an independent sum says they do."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.observation import collect_ranges
from tfx_tflite.components.models.flatbuffer import Graph, Operator
from tfx_tflite.components.models.runtime import open_model
from tfx_tflite.components.quantization.audit.audit import audit
from tfx_tflite.components.quantization.conversion.from_ranges import quantize, write_ranges
from tfx_tflite.components.quantization.conversion.tensorflow_lite import DENSE_PER_CHANNEL
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.repairs.dense_channels import with_dense_channels
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.versions import Kernels

pytestmark = [pytest.mark.slow, pytest.mark.generations]

RANDOM = np.random.default_rng(0)
EXAMPLES = RANDOM.normal(size=(100, 20)).astype(np.float32)
# What the outputs of a layer are multiplied with: three orders of magnitude, and nothing.
SPREAD = np.array([1e-2, 0, 1, 10, 0.1, 1, 3, 0.3], np.float32)
WEIGHTS = RANDOM.normal(size=(20, 8)).astype(np.float32) * SPREAD
BIAS = RANDOM.normal(size=8).astype(np.float32) * SPREAD
RECIPES = [Recipe(Scheme.INT8), Recipe(Scheme.INT16X8, "int16")]


def converted(net: Callable[[tf.Tensor], tf.Tensor]) -> bytes:
    inputs = tf.TensorSpec([1, 20], name="x")
    function = tf.function(lambda x: {"output": net(x)}).get_concrete_function(inputs)
    return tf.lite.TFLiteConverter.from_concrete_functions([function], tf.Module()).convert()


def quantized(float32: bytes, recipe: Recipe) -> bytes:
    ranges = collect_ranges(float32, [{"x": EXAMPLES}])
    calibrated = write_ranges(float32, ranges, RangePolicy("minmax"), recipe.scheme)
    return quantize(calibrated, recipe)


def dense(content: bytes) -> list[Operator]:
    return [each for each in Graph(content).operators if each.name == "FULLY_CONNECTED"]


def integer_inputs(content: bytes) -> np.ndarray:
    [tensor] = Graph(content).main.inputs
    scale, zero_point = tensor.quantization
    limits = np.iinfo(tensor.type.lower())
    integers = np.clip(np.rint(EXAMPLES / scale) + zero_point, limits.min, limits.max)
    return integers.astype(tensor.type.lower())


def outputs(content: bytes, kernels: Kernels) -> np.ndarray:
    model = open_model(content, kernels)
    given = integer_inputs(content)
    return np.concatenate([model.run({"x": x[None]})["output"].copy() for x in given])


def computed(content: bytes) -> np.ndarray:
    """The one dense layer of a model in real arithmetic on what is stored, rounded at the end."""
    [layer] = dense(content)
    source, weights, bias = layer.operands
    scale, zero_point = source.quantization
    output_scale, output_point = layer.outputs[0].quantization
    sums = (integer_inputs(content).astype(np.int64) - zero_point) @ weights.integers.reshape(
        weights.shape
    ).T.astype(np.int64)
    sums += bias.integers.astype(np.int64)
    exact = sums * scale * weights.scales / output_scale + output_point
    limits = np.iinfo(layer.outputs[0].type.lower())
    return np.clip(exact, limits.min, limits.max)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.scheme.value)
def test_every_runtime_computes_what_an_independent_sum_gives(recipe: Recipe):
    float32 = converted(lambda x: tf.matmul(x, WEIGHTS) + BIAS)
    content = with_dense_channels(quantized(float32, recipe), float32)
    assert audit(content, recipe) == []
    [layer] = dense(content)
    largest = np.abs(WEIGHTS).max(axis=0) / 127
    scales = layer.operands[1].scales
    np.testing.assert_allclose(scales[largest > 0], largest[largest > 0], rtol=1e-6)
    found = {each: outputs(content, each) for each in Kernels}
    for values in found.values():
        assert np.abs(values - computed(content)).max() < 1.01
    difference = np.abs(found[Kernels.MICRO].astype(int) - found[Kernels.REFERENCE]).max()
    # TensorFlow's reference kernel rounds otherwise since then.
    assert difference <= (1 if DENSE_PER_CHANNEL else 0)


def test_small_outputs_are_as_exact_as_large_ones():
    """One scale for all leaves the weights of those of a thousandth nothing but zeros."""
    float32 = converted(lambda x: tf.matmul(x, WEIGHTS) + BIAS)
    plain = quantized(float32, Recipe(Scheme.INT16X8, "int16"))
    expected = EXAMPLES @ WEIGHTS + BIAS

    def smallest_noise(content: bytes) -> float:
        scale, _ = Graph(content).main.outputs[0].quantization
        errors = outputs(content, Kernels.REFERENCE) * scale - expected
        return float(np.square(errors[:, 0]).mean() / np.square(expected[:, 0]).mean())

    found = with_dense_channels(plain, float32)
    assert smallest_noise(found) < 1e-3
    if DENSE_PER_CHANNEL:
        assert found is plain
    else:
        assert smallest_noise(plain) > 0.1


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.scheme.value)
def test_what_has_a_scale_for_each_output_keeps_its_bytes(recipe: Recipe):
    float32 = converted(lambda x: tf.matmul(x, WEIGHTS))
    content = with_dense_channels(quantized(float32, recipe), float32)
    assert [len(layer.operands[1].scales) for layer in dense(content)] == [8]
    assert with_dense_channels(content, float32) is content


def test_only_the_layers_that_are_named_are_changed():
    second = RANDOM.normal(size=(8, 6)).astype(np.float32)
    float32 = converted(lambda x: tf.matmul(tf.nn.relu(tf.matmul(x, WEIGHTS)), second))
    plain = quantized(float32, Recipe(Scheme.INT8))
    found = with_dense_channels(plain, float32, {"FULLY_CONNECTED:1"})
    assert scales(found) == ([8, 6] if DENSE_PER_CHANNEL else [1, 6])
    assert with_dense_channels(plain, float32, {"FULLY_CONNECTED:7"}) is plain


def test_weights_that_layers_share_are_copied():
    """Their biases and the scales of their inputs are other ones."""
    square = RANDOM.normal(size=(20, 20)).astype(np.float32) * np.resize(SPREAD[2:], 20)
    float32 = converted(lambda x: tf.matmul(tf.nn.relu(tf.matmul(x, square) + 2.0), square) - 1.0)
    recipe = Recipe(Scheme.INT8)
    content = with_dense_channels(quantized(float32, recipe), float32)
    assert scales(content) == [20, 20]
    assert audit(content, recipe) == []


def test_a_model_of_other_weights_changes_nothing():
    float32, other = (converted(lambda x, w=w: tf.matmul(x, w)) for w in (WEIGHTS, WEIGHTS + 0.5))
    plain = quantized(float32, Recipe(Scheme.INT8))
    assert with_dense_channels(plain, other) is plain


def test_a_bias_is_never_too_large_for_its_type():
    """Where weights are tiny beside it, their scale is larger than they need."""
    weights = WEIGHTS * np.float32([1, 1, 1, 1, 1, 1e-9, 1, 1])
    float32 = converted(lambda x: tf.matmul(x, weights) + BIAS)
    recipe = Recipe(Scheme.INT8)
    content = with_dense_channels(quantized(float32, recipe), float32)
    assert audit(content, recipe) == []
    [layer] = dense(content)
    assert 2**29 < np.abs(layer.operands[2].integers).max() <= 2**30 + 2**8
    for kernels in Kernels:
        assert np.abs(outputs(content, kernels) - computed(content)).max() < 1.01


def scales(content: bytes) -> Sequence[int]:
    return [len(layer.operands[1].scales) for layer in dense(content)]
