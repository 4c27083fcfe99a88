"""Single tensors of a float model rounded as the quantizer would round them."""

import numpy as np
import pytest
import tensorflow as tf

from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization.conversion.from_ranges import quantize, write_ranges
from tfx_tflite.components.quantization.ranges.collection import activation_tensors
from tfx_tflite.components.quantization.ranges.policy import MINMAX, RangePolicy
from tfx_tflite.components.quantization.ranges.ranges import TensorRanges
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.rounding import Rounding, with_rounded
from tfx_tflite.components.quantization.schemes import Scheme

pytestmark = pytest.mark.slow

LIMITS = [(-1.0, 1.0), (0.0, 6.0), (-0.3, 100.0), (-7.1, -2.0), (3.0, 1680.0), (-1e-4, 3e-4)]
VALUES = np.random.default_rng(0).uniform(-4, 4, (97, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def doubled(float_tflite) -> bytes:
    """A model of one product, y = 2 x."""
    return float_tflite(lambda x: x * 2.0, x=([None, 1], "float32"))


@pytest.mark.parametrize("limits", LIMITS)
def test_scale_and_zero_point_are_those_that_the_quantizer_chooses(doubled: bytes, limits):
    extremes = np.array([limits, [2 * limit for limit in limits]], np.float32)
    ranges = TensorRanges(
        Graph(doubled).digest, activation_tensors(doubled), 1, extremes[:, :1], extremes[:, 1:]
    )
    content = quantize(write_ranges(doubled, ranges, RangePolicy(MINMAX)), Recipe(Scheme.INT8))
    for tensor, extreme in zip(
        (*Graph(content).main.inputs, *Graph(content).main.outputs), extremes, strict=True
    ):
        found = Rounding.of_range(*extreme)
        assert tensor.quantization == (pytest.approx(found.scale, rel=1e-6), found.zero_point)


def test_a_range_without_extent_has_a_scale_all_the_same():
    assert Rounding.of_range(0, 0) == Rounding(1.0, 0)


def test_the_scale_that_a_kernel_assumes_goes_before_the_range(float_tflite):
    graph = Graph(float_tflite(tf.nn.softmax, x=([None, 3], "float32")))
    [softmax] = graph.main.operators
    assert Rounding.of_output(softmax, 0, 0.5) == Rounding(1 / 256, -128)
    assert Rounding.of_output(None, 0, 0.5) == Rounding.of_range(0, 0.5)


@pytest.mark.parametrize("place", ["input", "output"])
def test_only_the_tensor_is_rounded(doubled: bytes, place: str):
    graph, rounding = Graph(doubled), Rounding.of_range(-2.0, 3.0)
    [tensor] = graph.main.inputs if place == "input" else graph.main.outputs
    content = with_rounded(doubled, {tensor.index: rounding})
    [found] = TFLiteModel(content).predict({"x": VALUES}).values()
    expected = 2 * rounding(VALUES) if place == "input" else rounding(2 * VALUES)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_nothing_to_round_gives_the_very_model(doubled: bytes):
    assert with_rounded(doubled, {}) is doubled
