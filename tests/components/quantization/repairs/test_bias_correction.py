"""Biases take away what the layers of a quantized model are off on the average."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.observation import collect_ranges
from tfx_tflite.components.errors import ConversionError
from tfx_tflite.components.models.flatbuffer import Graph, Operator, read_graph
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization.audit.audit import audit
from tfx_tflite.components.quantization.conversion.from_ranges import quantize, write_ranges
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.repairs.bias_correction import corrected
from tfx_tflite.components.quantization.schemes import Scheme

pytestmark = pytest.mark.slow

INT8, INT16X8 = Recipe(Scheme.INT8), Recipe(Scheme.INT16X8, "int16")
VECTOR, IMAGE = ((None, 8), tf.float32), ((None, 6, 6, 4), tf.float32)


def weights(*shape: int) -> np.ndarray:
    """Returns weights of which one is much larger than the others, which are rounded the more."""
    found = np.random.default_rng(shape).normal(size=shape)
    found.reshape(-1)[0] = 20
    return found.astype(np.float32)


def examples(*shape: int) -> np.ndarray:
    """Returns inputs whose mean is not zero, so that errors of the weights do not cancel out."""
    return np.random.default_rng(shape).normal(2, 1, (60, *shape)).astype(np.float32)


def integer_model(content: bytes, recipe: Recipe, *groups: dict[str, np.ndarray]) -> bytes:
    ranges = collect_ranges(content, groups)
    return quantize(write_ranges(content, ranges, RangePolicy(), recipe.scheme), recipe)


def channels_of(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, values.shape[-1])


def mean_error(content: bytes, float32: bytes, *groups: dict[str, np.ndarray]) -> float:
    """Returns how far the outputs of two models are apart on the average, over all channels."""
    before, after = (
        np.concatenate(
            [channels_of(TFLiteModel(each).predict(inputs)["output"]) for inputs in groups]
        )
        for each in (float32, content)
    )
    channels = after.astype(np.float64) - before
    return float(np.abs(channels.mean(axis=0)).max())


def layers(content: bytes, kind: str) -> list[Operator]:
    return [operator for operator in Graph(content).operators if operator.name == kind]


def dense(x: tf.Tensor, outputs: int = 5) -> tf.Tensor:
    return tf.matmul(x, weights(x.shape[-1], outputs)) + weights(outputs)


def two_dense(x: tf.Tensor) -> tf.Tensor:
    return dense(tf.nn.relu(dense(x)))


def convolution(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.conv2d(x, weights(3, 3, 4, 5), 2, "SAME") + weights(5)


def depthwise(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.depthwise_conv2d(x, weights(3, 3, 4, 2), [1, 1, 1, 1], "SAME") + weights(8)


def transposed(x: tf.Tensor) -> tf.Tensor:
    shape = [tf.shape(x)[0], 12, 12, 5]
    return tf.nn.conv2d_transpose(x, weights(3, 3, 5, 4), shape, 2) + weights(5)


def without_bias(x: tf.Tensor) -> tf.Tensor:
    return tf.matmul(x, weights(8, 5))


def with_one_bias(x: tf.Tensor) -> tf.Tensor:
    bias = weights(8)
    once = tf.nn.relu(tf.matmul(x, weights(8, 8)) + bias)
    return tf.matmul(once, weights(8, 8)) + bias


@pytest.mark.parametrize(
    ("function", "spec", "recipe"),
    [
        *((two_dense, VECTOR, INT8), (without_bias, VECTOR, INT8), (with_one_bias, VECTOR, INT8)),
        *((convolution, IMAGE, INT8), (depthwise, IMAGE, INT8), (transposed, IMAGE, INT8)),
        *((convolution, IMAGE, INT16X8), (with_one_bias, VECTOR, INT16X8)),
    ],
)
def test_the_mean_error_goes(float_tflite, function: Callable, spec: tuple, recipe: Recipe):
    content = float_tflite(function, x=spec)
    inputs = {"x": examples(*spec[0][1:])}
    plain = integer_model(content, recipe, inputs)
    found = corrected(plain, content, [inputs])
    assert audit(found, recipe) == []
    assert mean_error(found, content, inputs) < mean_error(plain, content, inputs) / 2


def hidden(content: bytes, inputs: np.ndarray) -> np.ndarray:
    """Returns what the first dense layer gives before its activation, computed with NumPy alone."""
    reads, weights, bias = layers(content, "FULLY_CONNECTED")[0].inputs
    if reads.type == "FLOAT32":
        return inputs @ weights.floats.reshape(weights.shape).T + bias.floats
    steps = np.clip(np.rint(inputs / reads.scales + reads.zero_points), -128, 127)
    products = (steps - reads.zero_points) @ weights.integers.reshape(weights.shape).T
    return (products + bias.integers) * reads.scales * weights.scales


def test_a_hidden_layer_has_no_mean_error_before_its_activation(float_tflite):
    content = float_tflite(two_dense, x=VECTOR)
    inputs = examples(8)
    plain = integer_model(content, INT8, {"x": inputs})
    found = corrected(plain, content, [{"x": inputs}])
    off_before, off_after = (
        np.abs((hidden(each, inputs) - hidden(content, inputs)).mean(axis=0))
        for each in (plain, found)
    )
    [reads, weights, _] = layers(found, "FULLY_CONNECTED")[0].inputs
    # All but what half a step of the bias is.
    assert (off_after <= 0.6 * reads.scales * weights.scales).all()
    assert off_before.max() > 10 * off_after.max()


def test_examples_of_several_shapes_count_by_their_positions(float_tflite):
    content = float_tflite(convolution, x=((None, None, None, 4), tf.float32))
    groups = [{"x": examples(6, 6, 4)}, {"x": examples(9, 5, 4)[:20]}]
    plain = integer_model(content, INT8, *groups)
    found = corrected(plain, content, groups)
    assert mean_error(found, content, *groups) < mean_error(plain, content, *groups) / 2


def test_an_example_that_the_ranges_leave_out_has_no_say(float_tflite):
    content = float_tflite(two_dense, x=VECTOR)
    inputs = {"x": examples(8)}
    plain = integer_model(content, INT8, inputs)
    with_outlier = {"x": np.concatenate([inputs["x"], inputs["x"][:1] * 20])}
    assert corrected(plain, content, [with_outlier]) == corrected(plain, content, [inputs])
    alone = {"x": inputs["x"][:1] * 20}
    assert corrected(plain, content, [alone]) is plain


def test_a_batch_size_that_is_built_in_is_filled(float_tflite):
    content = float_tflite(two_dense, x=((4, 8), tf.float32))
    inputs = {"x": examples(8)}
    plain = integer_model(content, INT8, inputs)
    found = corrected(plain, content, [inputs])
    assert mean_error(found, content, inputs) < mean_error(plain, content, inputs) / 4


def test_a_layer_that_stayed_float_makes_up_for_those_before_it(float_tflite):
    content = float_tflite(lambda x: dense(tf.nn.relu(dense(x))), x=VECTOR)
    inputs = {"x": examples(8)}
    draft = Graph(write_ranges(content, collect_ranges(content, [inputs]), RangePolicy())).draft()
    draft.main.tensors[read_graph(content).main.outputs[0].index].quantization = None
    recipe = Recipe(Scheme.INT8_FLOAT_IO, float_fallback="allow")
    mixed = quantize(draft.content(), recipe)
    [_, last] = layers(mixed, "FULLY_CONNECTED")
    assert last.operands[0].type == "FLOAT32"
    found = corrected(mixed, content, [inputs])
    assert mean_error(found, content, inputs) < 1e-2 * mean_error(mixed, content, inputs)


def test_a_bias_leaves_the_accumulator_room_for_the_products(float_tflite):
    content = float_tflite(dense, x=VECTOR)
    inputs = {"x": examples(8)}
    plain = integer_model(content, INT8, inputs)
    before = layers(plain, "FULLY_CONNECTED")[0].inputs[2]
    far = {"x": inputs["x"] * np.float32(1e9)}
    after = layers(corrected(plain, content, [far]), "FULLY_CONNECTED")[0].inputs[2]
    assert np.array_equal(after.integers, before.integers)


def test_a_model_without_layers_to_correct_stays_the_very_same(float_tflite):
    content = float_tflite(lambda x: tf.nn.relu(x * 2.0 - 3.0), x=VECTOR)
    inputs = {"x": examples(8)}
    plain = integer_model(content, INT8, inputs)
    assert corrected(plain, content, [inputs]) is plain


def test_examples_that_the_model_does_not_take_are_told(float_tflite):
    content = float_tflite(convolution, x=IMAGE)
    plain = integer_model(content, INT8, {"x": examples(6, 6, 4)})
    with pytest.raises(ConversionError, match="biases cannot be corrected"):
        corrected(plain, content, [{"x": examples(6, 6, 3)}])
