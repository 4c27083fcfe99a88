"""A channel that training or pruning left nothing of is no reason to refuse a model of 16 bits."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.observation import collect_ranges
from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization.audit.audit import audit
from tfx_tflite.components.quantization.conversion.from_ranges import quantize, write_ranges
from tfx_tflite.components.quantization.conversion.zero_scales import with_positive_scales
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme

pytestmark = [pytest.mark.slow, pytest.mark.generations]

RANDOM = np.random.default_rng(0)
LIVE = np.float32([1, 0, 2])
EXAMPLES = RANDOM.normal(size=(20, 2, 2, 3)).astype(np.float32)
KERNEL = RANDOM.normal(size=(1, 1, 3, 3)).astype(np.float32) * LIVE
WEIGHTS = RANDOM.normal(size=(12, 3)).astype(np.float32) * LIVE
LAYERS = {
    "convolution": lambda x: tf.nn.conv2d(x, KERNEL, 1, "VALID") + LIVE,
    "depthwise": lambda x: (
        tf.nn.depthwise_conv2d(x, KERNEL[:, :, :1].reshape(1, 1, 3, 1), [1] * 4, "VALID") + LIVE
    ),
    "dense": lambda x: tf.matmul(tf.reshape(x, [1, 12]), WEIGHTS) + LIVE,
}


@pytest.mark.parametrize("scheme", [Scheme.INT8, Scheme.INT16X8], ids=lambda scheme: scheme.value)
@pytest.mark.parametrize("layer", LAYERS)
def test_channels_of_zeros_have_a_scale(layer: str, scheme: Scheme):
    inputs = tf.TensorSpec([1, 2, 2, 3], name="x")
    function = tf.function(lambda x: {"output": LAYERS[layer](x)}).get_concrete_function(inputs)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], tf.Module())
    float32, recipe = converter.convert(), Recipe(scheme)
    ranges = collect_ranges(float32, [{"x": EXAMPLES}])
    calibrated = write_ranges(float32, ranges, RangePolicy("minmax"), scheme)
    content = quantize(calibrated, recipe)
    assert audit(content, recipe) == []
    assert all((tensor.scales > 0).all() for tensor in Graph(content).main.tensors)
    assert with_positive_scales(content) is content
    expected, found = (
        TFLiteModel(each).predict({"x": EXAMPLES[:1]})["output"] for each in (float32, content)
    )
    np.testing.assert_allclose(found, expected, atol=0.1)
