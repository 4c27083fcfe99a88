"""Attention with masks of -1e9 and the like is right in 8 bits."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.observation import collect_ranges
from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization.audit.audit import audit
from tfx_tflite.components.quantization.conversion.from_ranges import quantize, write_ranges
from tfx_tflite.components.quantization.ranges.masks import without_mask_values
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme

pytestmark = pytest.mark.slow

INT8 = Recipe(Scheme.INT8)
SPEC = ((1, 8, 8), tf.float32)
FUTURE = np.triu(np.ones((8, 8), np.float32), 1)
EXAMPLES = np.random.default_rng(0).normal(0, 2, (40, 8, 8)).astype(np.float32)


def compared(content: bytes, examples: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the outputs of a float model and of the integer model made from it."""
    calibrated = write_ranges(content, collect_ranges(content, [examples]), RangePolicy())
    integer = quantize(calibrated, INT8)
    assert audit(integer, INT8) == []
    models = [TFLiteModel(each) for each in (content, integer)]
    rows = [{name: values[i : i + 1] for name, values in examples.items()} for i in range(40)]
    before, after = ([model.predict(row)["output"] for row in rows] for model in models)
    return np.concatenate(before), np.concatenate(after)


@pytest.mark.parametrize("value", [-1e4, -1e9, -3e38])
def test_a_constant_mask_leaves_the_scores_their_bits(float_tflite, value: float):
    content = float_tflite(lambda x: tf.nn.softmax(x * 2.0 + FUTURE * value), x=SPEC)
    before, after = compared(content, {"x": EXAMPLES})
    assert np.abs(before - after).max() < 0.1
    assert (after[:, FUTURE > 0] == 0).all()


def test_a_mask_that_is_computed_saturates(float_tflite):
    def function(x: tf.Tensor, there: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(x * 2.0 + (there * -1.0 + 1.0) * -1e9)

    content = float_tflite(function, x=SPEC, there=((1, 1, 8), tf.float32))
    there = (np.arange(8) < np.random.default_rng(1).integers(3, 8, (40, 1, 1))).astype(np.float32)
    before, after = compared(content, {"x": EXAMPLES, "there": there})
    assert np.abs(before - after).max() < 0.1
    assert after[np.broadcast_to(there == 0, after.shape)].max() == 0


@pytest.mark.parametrize("value", [-3.0, -100.0])
def test_what_is_no_mask_keeps_its_values(float_tflite, value: float):
    content = float_tflite(lambda x: tf.nn.softmax(x * 2.0 + FUTURE * value), x=SPEC)
    ranges = collect_ranges(content, [{"x": EXAMPLES}])
    resolved = ranges.resolve(RangePolicy())
    found = without_mask_values(Graph(content), resolved)
    assert found.ranges == resolved and not found.constants
    before, after = compared(content, {"x": EXAMPLES})
    assert np.abs(before - after).max() < 0.2


def both(scores: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Two heads with one mask, of which the second has scores three times as wide."""
    return tf.stack([tf.nn.softmax(scores + mask), tf.nn.softmax(scores * 3.0 + mask)], axis=1)


def test_a_constant_mask_of_two_additions_is_as_low_as_the_wider_scores_need(float_tflite):
    content = float_tflite(lambda x: both(x, FUTURE * -1e9), x=SPEC)
    graph = Graph(content)
    ranges = collect_ranges(content, [{"x": EXAMPLES}]).resolve(RangePolicy())
    found = without_mask_values(graph, ranges)
    [stored] = found.constants.values()
    spread = float(EXAMPLES.max() - EXAMPLES.min())
    assert stored.min() == pytest.approx(-3 * spread - 16)
    assert min(each.minimum for each in found.ranges) > -8 * spread
    before, after = compared(content, {"x": EXAMPLES})
    assert np.abs(before - after).max() < 0.2
    assert (after[:, :, FUTURE > 0] == 0).all()


def test_a_computed_mask_of_two_additions_saturates_for_both(float_tflite):
    def function(x: tf.Tensor, there: tf.Tensor) -> tf.Tensor:
        return both(x, (there * -1.0 + 1.0) * -1e9)

    content = float_tflite(function, x=SPEC, there=((1, 1, 8), tf.float32))
    there = (np.arange(8) < np.random.default_rng(1).integers(3, 8, (40, 1, 1))).astype(np.float32)
    before, after = compared(content, {"x": EXAMPLES, "there": there})
    assert np.abs(before - after).max() < 0.2
    assert after[np.broadcast_to(there[:, None] == 0, after.shape)].max() == 0
