"""Inputs of raw units are normalized by the model or by its caller, and results stay the same."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.observation import collect_ranges
from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.models.input_normalization import normalizations_of
from tfx_tflite.components.models.runtime import open_model
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization.audit.audit import audit
from tfx_tflite.components.quantization.conversion.from_ranges import quantize, write_ranges
from tfx_tflite.components.quantization.layer_noise import measure
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.repairs.bias_correction import corrected
from tfx_tflite.components.quantization.repairs.normalization import (
    moved_to_caller,
    with_explicit_normalization,
)
from tfx_tflite.components.quantization.schemes import Scheme

pytestmark = pytest.mark.slow

INT8, INT16X8 = Recipe(Scheme.INT8), Recipe(Scheme.INT16X8, "int16")
# A length, an angle, a temperature, a price: the units of one input.
MEANS, DEVIATIONS = np.array([5, 0, 200, 900]), np.array([0.5, 1, 10, 300])
VECTOR, IMAGE = ((None, 4), tf.float32), ((None, 5, 5, 4), tf.float32)


def examples(*shape: int) -> np.ndarray:
    generator = np.random.default_rng(shape)
    return generator.normal(MEANS, DEVIATIONS, (60, *shape, 4)).astype(np.float32)


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


def dense(x: tf.Tensor, bias: bool = True, outputs: int = 6) -> tf.Tensor:
    """Returns a dense layer that was trained on raw units: all of them matter the same."""
    units = np.resize(DEVIATIONS, x.shape[-1])[:, None]
    kernel = (weights(x.shape[-1], outputs) / units).astype(np.float32)
    shift = -np.resize(MEANS, x.shape[-1]) @ kernel
    return tf.matmul(x, kernel) + (shift.astype(np.float32) if bias else 0)


def net(x: tf.Tensor) -> tf.Tensor:
    return tf.matmul(tf.nn.relu(dense(x)), weights(6, 3))


def normalizing(x: tf.Tensor) -> tf.Tensor:
    x = (x - MEANS.astype(np.float32)) / DEVIATIONS.astype(np.float32)
    return tf.matmul(tf.nn.relu(tf.matmul(x, weights(4, 6))), weights(6, 3))


def flat(x: tf.Tensor) -> tf.Tensor:
    return dense(tf.reshape(x, [-1, 100]))


def two_readers(x: tf.Tensor) -> tf.Tensor:
    return tf.concat([tf.nn.relu(dense(x, bias=False)), dense(x)], 1)


def beside_another(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    return dense(tf.concat([x, tf.tanh(y), x], 1))


def read_by_more(x: tf.Tensor) -> tf.Tensor:
    return tf.concat([dense(x), tf.tanh(x)], 1)


def convolution(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.conv2d(x, weights(3, 3, 4, 2), 1, "SAME")


def normalized_convolution(x: tf.Tensor) -> tf.Tensor:
    return convolution((x - MEANS.astype(np.float32)) * (1 / DEVIATIONS).astype(np.float32))


def integer_model(content: bytes, recipe: Recipe, inputs: dict[str, np.ndarray]) -> bytes:
    ranges = collect_ranges(content, [inputs])
    found = quantize(write_ranges(content, ranges, RangePolicy(), recipe.scheme), recipe)
    assert audit(found, recipe) == []
    return found


def noise(content: bytes, float32: bytes, inputs: dict[str, np.ndarray]) -> float:
    """Returns the ratio of the outputs' noise to the signal."""
    before, after = (TFLiteModel(each).predict(inputs)["output"] for each in (float32, content))
    return float(np.square(after - before).sum() / np.square(before).sum())


@pytest.mark.parametrize(
    ("function", "specs"),
    [
        *((net, [VECTOR]), (normalizing, [VECTOR]), (two_readers, [VECTOR])),
        *((flat, [IMAGE]), (beside_another, [VECTOR, VECTOR])),
    ],
)
@pytest.mark.parametrize("moves", [False, True], ids=["explicit", "moved"])
def test_the_function_of_real_values_stays(
    float_tflite, function: Callable, specs: list, moves: bool
):
    content = float_tflite(function, **dict(zip("xy", specs, strict=False)))
    inputs = {name: examples(*shape[1:-1]) for name, (shape, _) in zip("xy", specs, strict=False)}
    # What goes through a tanh is no raw unit that a dense layer reads.
    inputs = {name: values if name == "x" else values % 1 for name, values in inputs.items()}
    found = (
        moved_to_caller(content, [inputs]).content
        if moves
        else with_explicit_normalization(content, [inputs])
    )
    assert found is not content
    assert noise(found, content, inputs) < 1e-8
    if moves:
        [moved] = normalizations_of(found)
        given = normalizations_of(found)[moved](inputs[moved])
        assert moved == "x"
        assert np.allclose(given.mean(axis=0), 0, atol=1e-3) and np.allclose(given.std(axis=0), 1)


@pytest.mark.parametrize("function", [net, normalizing])
def test_sixteen_bits_are_enough_with_the_normalization_made_explicit(float_tflite, function):
    content, inputs = float_tflite(function, x=VECTOR), {"x": examples()}
    explicit = with_explicit_normalization(content, [inputs])
    before, after = (
        noise(integer_model(each, INT16X8, inputs), content, inputs) for each in (content, explicit)
    )
    assert after < 1e-3 and after < before / 2


def test_eight_bits_are_enough_with_the_normalization_moved(float_tflite):
    content, inputs = float_tflite(net, x=VECTOR), {"x": examples()}
    moved = moved_to_caller(content, [inputs])
    found = integer_model(moved.content, INT8, inputs)
    assert noise(integer_model(content, INT8, inputs), content, inputs) > 0.1
    assert noise(found, content, inputs) < 0.01
    # Whatever is made of the model, the constants are in its file.
    kept = normalizations_of(corrected(found, moved.content, [inputs]))["x"]
    assert np.array_equal(kept.mean, moved.constants["x"].mean)
    assert np.array_equal(kept.factor, moved.constants["x"].factor)
    layers = measure(content, found, [{"x": inputs["x"][:8]}])
    assert all(layer.sqnr_db > 15 for layer in layers.values())


def test_a_normalization_before_a_convolution_moves_as_it_is(float_tflite):
    content, inputs = float_tflite(normalized_convolution, x=IMAGE), {"x": examples(5, 5)}
    moved = moved_to_caller(content, [inputs])
    assert noise(moved.content, content, inputs) < 1e-8
    assert [operator.name for operator in Graph(moved.content).operators] == ["CONV_2D"]
    given = {"x": (inputs["x"] - MEANS) / DEVIATIONS}
    expected = TFLiteModel(content).predict(inputs)["output"]
    raw = open_model(moved.content).run({"x": given["x"].astype(np.float32)})["output"]
    assert np.allclose(raw, expected, atol=1e-3)
    assert with_explicit_normalization(content, [inputs]) is content


def test_what_else_reads_an_input_has_it_as_it_is(float_tflite):
    content, inputs = float_tflite(read_by_more, x=VECTOR), {"x": examples()}
    found = with_explicit_normalization(content, [inputs])
    assert found is not content and noise(found, content, inputs) < 1e-8
    assert moved_to_caller(content, [inputs]).content is content


@pytest.mark.parametrize("function", [flat, convolution])
def test_inputs_of_one_unit_stay_the_very_same(float_tflite, function: Callable):
    content = float_tflite(function, x=IMAGE)
    inputs = {"x": np.random.default_rng(0).uniform(size=(60, 5, 5, 4)).astype(np.float32)}
    assert with_explicit_normalization(content, [inputs]) is content
    moved = moved_to_caller(content, [inputs])
    assert moved.content is content and not moved.constants


def test_a_feature_that_never_changes_does_no_harm(float_tflite):
    content, inputs = float_tflite(net, x=VECTOR), {"x": examples()}
    inputs["x"][:, 1] = 3
    for found in (
        with_explicit_normalization(content, [inputs]),
        moved_to_caller(content, [inputs]).content,
    ):
        assert noise(found, content, inputs) < 1e-8


def test_what_was_moved_once_is_not_moved_again(float_tflite):
    content, inputs = float_tflite(net, x=VECTOR), {"x": examples()}
    moved = moved_to_caller(content, [inputs])
    again = moved_to_caller(moved.content, [inputs])
    assert again.content is moved.content and again.constants == {}
