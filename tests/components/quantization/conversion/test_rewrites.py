"""Rewrites change no result, and make integer models of what was refused before."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.observation import collect_ranges
from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization.audit.audit import audit
from tfx_tflite.components.quantization.conversion.from_ranges import quantize, write_ranges
from tfx_tflite.components.quantization.conversion.rewrites import rewritten
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme

pytestmark = pytest.mark.slow

GONE = {"NEG", "SQUARE", "CAST", "SPLIT", "SPLIT_V", "UNPACK"}
FLOATS = ((1, 4, 6), tf.float32)
IMAGE = ((1, 8, 8, 3), tf.uint8)
KERNEL = np.random.default_rng(1).normal(size=(3, 3, 3, 4)).astype(np.float32)


def normalised(x: tf.Tensor) -> tf.Tensor:
    """Layer normalisation as it is written out, with NEG and SQUARE."""
    mean = tf.reduce_mean(x, -1, keepdims=True)
    variance = tf.reduce_mean(tf.square(x + tf.negative(mean)), -1, keepdims=True)
    return tf.negative(x - mean) * tf.math.rsqrt(variance + 1e-3)


def classified(image: tf.Tensor) -> tf.Tensor:
    """A convolution of an image whose bytes are made reals first."""
    return tf.nn.relu(tf.nn.conv2d(tf.cast(image, tf.float32) / 127.5 - 1.0, KERNEL, 1, "VALID"))


def examples_of(shape: tuple, dtype: tf.DType, count: int = 12) -> np.ndarray:
    generator = np.random.default_rng(0)
    if dtype.is_floating:
        return generator.normal(0, 2, (count, *shape[1:])).astype(dtype.as_numpy_dtype)
    highest = 2 if dtype == tf.bool else 100
    return generator.integers(0, highest, (count, *shape[1:])).astype(dtype.as_numpy_dtype)


def integer_model(content: bytes, examples: np.ndarray, io_type: str | None = None) -> bytes:
    ranges = collect_ranges(content, [{"x": examples}])
    calibrated = write_ranges(content, ranges, RangePolicy("minmax"))
    return quantize(calibrated, Recipe(Scheme.INT8, io_type))


def outputs(content: bytes, examples: np.ndarray) -> np.ndarray:
    model = TFLiteModel(content)
    return np.concatenate([model.predict({"x": x[None]})["output"] for x in examples])


@pytest.mark.parametrize(
    ("function", "spec"),
    [
        (tf.negative, FLOATS),
        (tf.square, FLOATS),
        (normalised, FLOATS),
        (classified, IMAGE),
        (lambda x: tf.cast(x, tf.float32) * 0.5, ((1, 5), tf.int64)),
        (lambda x: tf.cast(x, tf.float32) * 3.0, ((1, 5), tf.bool)),
        (lambda x: tf.unstack(x, axis=1)[2], FLOATS),
        (lambda x: tf.unstack(x, axis=-1)[0] * tf.unstack(x, axis=-1)[5], FLOATS),
        (lambda x: tf.split(x, 2, -1)[1], FLOATS),
        (lambda x: tf.split(x, 3, 2)[0] + tf.split(x, 3, 2)[2], FLOATS),
        (lambda x: tf.split(x, [1, 2, 3], -1)[1], FLOATS),
    ],
)
def test_the_float_results_are_the_same_to_the_last_bit(
    float_tflite: Callable[..., bytes], function: Callable, spec: tuple
):
    content = float_tflite(function, x=spec)
    examples = examples_of(*spec)
    again = rewritten(content)
    assert again != content
    assert not GONE & Graph(again).operator_counts().keys()
    assert Graph(again).idle_tensors == ()
    np.testing.assert_array_equal(outputs(again, examples), outputs(content, examples))


@pytest.mark.parametrize(("function", "spec"), [(normalised, FLOATS), (classified, IMAGE)])
def test_what_was_refused_is_an_integer_model_that_is_right(
    float_tflite: Callable[..., bytes], function: Callable, spec: tuple
):
    content = float_tflite(function, x=spec)
    examples = examples_of(*spec)
    before = audit(integer_model(content, examples), Recipe(Scheme.INT8))
    integer = integer_model(rewritten(content), examples)
    assert before and audit(integer, Recipe(Scheme.INT8)) == []
    expected = outputs(content, examples)
    noise = np.square(outputs(integer, examples) - expected).sum()
    assert 10 * np.log10(np.square(expected).sum() / noise) > 25


@pytest.mark.parametrize(("io_type", "zero_point"), [("int8", -128), ("uint8", 0)])
def test_an_images_bytes_are_the_models_numbers(
    float_tflite: Callable[..., bytes], io_type: str, zero_point: int
):
    """None is lost, whatever the calibration examples held."""
    content = rewritten(float_tflite(classified, x=IMAGE))
    integer = integer_model(content, examples_of(*IMAGE), io_type)
    [tensor] = Graph(integer).main.inputs
    assert tensor.quantization == (1.0, zero_point)
    assert tensor.type == io_type.upper()


def test_an_integer_input_that_is_cast_has_the_range_of_its_values(
    float_tflite: Callable[..., bytes],
):
    spec = ((1, 5), tf.int64)
    content = rewritten(float_tflite(lambda x: tf.cast(x, tf.float32) * 0.5, x=spec))
    examples = examples_of(*spec)
    integer = integer_model(content, examples)
    [tensor] = Graph(integer).main.inputs
    assert tensor.quantization[0] == pytest.approx(examples.max() / 255, rel=1e-3)
    np.testing.assert_allclose(outputs(integer, examples), examples * 0.5, atol=0.3)


@pytest.mark.parametrize(
    "function",
    [
        tf.nn.relu,
        lambda x: tf.concat(tf.split(x, 5, -1)[::-1], 0),
        lambda x: tf.stack(tf.unstack(x, axis=1)[::-1]),
        lambda x: tf.one_hot(tf.cast(x, tf.int32), 3),
        lambda x: tf.cast(tf.cast(x, tf.int32), tf.float32),
    ],
)
def test_a_model_with_nothing_to_rewrite_keeps_its_bytes(
    float_tflite: Callable[..., bytes], function: Callable
):
    content = float_tflite(function, x=((1, 5), tf.float32))
    assert rewritten(content) == content


def test_an_integer_input_that_is_used_otherwise_stays_as_it_is(
    float_tflite: Callable[..., bytes],
):
    content = float_tflite(
        lambda x: tf.cast(x, tf.float32) + tf.one_hot(x, 4)[..., 0], x=((1, 5), tf.int32)
    )
    assert rewritten(content) == content


@pytest.mark.parametrize("seed", range(4))
def test_an_operator_of_which_a_part_is_read_never_stays_float(float_tflite, seed: int):
    content = rewritten(
        float_tflite(lambda x: tf.unstack(x, axis=1)[2] * tf.split(x, 4, 1)[1][:, 0], x=FLOATS)
    )
    examples = np.random.default_rng(seed).normal(size=(8, 4, 6)).astype(np.float32)
    assert audit(integer_model(content, examples), Recipe(Scheme.INT8)) == []


def test_a_dynamic_batch_is_sliced_as_a_whole(float_tflite: Callable[..., bytes]):
    spec = ((None, 4, 6), tf.float32)
    content = float_tflite(lambda x: tf.unstack(x, axis=1)[2] + tf.split(x, 6, -1)[1][:, 0], x=spec)
    examples = examples_of((1, 4, 6), tf.float32)
    expected, found = (
        TFLiteModel(m).predict({"x": examples}) for m in (content, rewritten(content))
    )
    np.testing.assert_array_equal(found["output"], expected["output"])


def test_integers_are_negated_as_integers(float_tflite: Callable[..., bytes]):
    content = float_tflite(lambda x: tf.one_hot(tf.negative(x), 4), x=((1, 5), tf.int32))
    assert rewritten(content) == content


def test_16_bits_take_a_model_whose_negation_was_rewritten(float_tflite):
    """The quantizer for them refuses a model that lists NEG, even if nothing negates any more."""
    content = float_tflite(lambda x: tf.nn.relu(-x) * 2.0 + x, x=([1, 8], tf.float32))
    float32 = rewritten(content)
    given = {"x": np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)}
    ranges = collect_ranges(float32, [given])
    calibrated = write_ranges(float32, ranges, RangePolicy("minmax"), Scheme.INT16X8)
    quantization = Recipe(Scheme.INT16X8)
    content = quantize(calibrated, quantization)
    assert audit(content, quantization) == []
    found = TFLiteModel(content).predict({"x": given["x"][:1]})["output"]
    expected = np.maximum(-given["x"][:1], 0) * 2 + given["x"][:1]
    np.testing.assert_allclose(found, expected, atol=1e-3)
