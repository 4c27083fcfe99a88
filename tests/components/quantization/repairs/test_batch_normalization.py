"""Batch normalization after an activation goes into the layers that read it: nothing changes."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization.repairs.batch_normalization import folded

pytestmark = pytest.mark.slow

RANDOM = np.random.default_rng(0)
IMAGE = tf.TensorSpec([None, 6, 6, 3], name="x")
EXAMPLES = RANDOM.normal(size=(8, 6, 6, 3)).astype(np.float32)


def weights(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def conv(x: tf.Tensor, outputs: int = 4, padding: str = "VALID", size: int = 3) -> tf.Tensor:
    kernel = weights(size, size, x.shape[-1], outputs)
    return tf.nn.conv2d(x, kernel, 1, padding) + weights(outputs)


def depthwise(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.depthwise_conv2d(x, weights(3, 3, x.shape[-1], 2), [1, 1, 1, 1], "VALID")


def flat(x: tf.Tensor) -> tf.Tensor:
    """A dense layer of what is flattened, or of vectors."""
    length = int(np.prod(x.shape[1:]))
    return tf.matmul(tf.reshape(x, [-1, length]), weights(length, 5))


def normalized(x: tf.Tensor, positive: bool = False) -> tf.Tensor:
    factors = RANDOM.uniform(0.5, 2, x.shape[-1]).astype(np.float32)
    signs = 1 if positive else np.resize([-1, 1], x.shape[-1]).astype(np.float32)
    return x * (factors * signs) + weights(x.shape[-1])


def swish(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.silu(conv(x))


def relu(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.relu(conv(x))


def pooled(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.max_pool2d(x, 2, 2, "VALID")


def padded(x: tf.Tensor) -> tf.Tensor:
    return tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])


def branches(x: tf.Tensor) -> tf.Tensor:
    return tf.concat([conv(x), conv(x, 2)], -1)


def residual(x: tf.Tensor) -> tf.Tensor:
    return x + conv(x, padding="SAME")


# What is gone of MUL and ADD, and the net.
NETS = {
    "valid padding": (2, lambda x: conv(normalized(swish(x)))),
    "1x1": (2, lambda x: conv(normalized(swish(x)), padding="SAME", size=1)),
    "same padding": (1, lambda x: conv(normalized(relu(x)), padding="SAME")),
    "explicit padding": (1, lambda x: conv(padded(normalized(swish(x))))),
    "depthwise": (2, lambda x: depthwise(normalized(swish(x)))),
    "flattened": (2, lambda x: flat(normalized(swish(x)))),
    "averaged, flattened": (2, lambda x: flat(tf.nn.avg_pool2d(normalized(relu(x)), 2, 2, "SAME"))),
    "averaged over all places": (2, lambda x: flat(tf.reduce_mean(normalized(relu(x)), [1, 2]))),
    "summed over all places": (1, lambda x: flat(tf.reduce_sum(normalized(relu(x)), [1, 2]))),
    "maximum of factors above zero": (2, lambda x: flat(pooled(normalized(relu(x), True)))),
    "maximum of factors below zero": (1, lambda x: flat(pooled(normalized(relu(x))))),
    "after pooling": (2, lambda x: conv(normalized(pooled(relu(x))), size=2)),
    "several layers": (2, lambda x: branches(normalized(relu(x)))),
    "nearly zero with what is added": (
        1,
        lambda x: conv((relu(x) + weights(4)) * np.float32([1, 1, 1e-3, 1]), padding="SAME"),
    ),
    "before an activation": (1, lambda x: flat(tf.nn.relu(normalized(residual(relu(x)), True)))),
    "one factor": (1, lambda x: flat(swish(x) * 0.5)),
    "a difference": (1, lambda x: conv(swish(x) - weights(4))),
    "a difference, same padding": (
        1,
        lambda x: conv(relu(x) * weights(4) - weights(4), padding="SAME"),
    ),
    "one after the other": (4, lambda x: flat(normalized(tf.nn.silu(flat(normalized(relu(x))))))),
    "a sum that is scaled": (2, lambda x: flat((relu(x) + weights(4)) * weights(4))),
}
KEPT = {
    "an output": lambda x: normalized(swish(x)),
    "a residual": lambda x: conv(residual(normalized(relu(x)))),
    "of inputs": lambda x: conv(normalized(x)),
    "of inputs, flattened": lambda x: flat(normalized(tf.reshape(x, [-1, 108]))),
    "by an activation": lambda x: conv(swish(x) * tf.reduce_mean(swish(x), [1, 2], True)),
    "of numbers across channels": lambda x: flat(tf.transpose(normalized(relu(x)), [0, 3, 1, 2])),
    "factors below zero before an activation": lambda x: flat(
        tf.nn.relu(normalized(residual(relu(x))))
    ),
    "a factor of zero": lambda x: conv(
        relu(x) * np.float32([1, 1, 0, 1]) + weights(4), padding="SAME"
    ),
    "a factor of nearly zero": lambda x: conv(
        relu(x) * np.float32([1, 1, 1e-3, 1]) + weights(4), padding="SAME"
    ),
    "not one for each channel": lambda x: flat(relu(x) * weights(4, 4, 1)),
}


def converted(net: Callable[[tf.Tensor], tf.Tensor]) -> bytes:
    function = tf.function(lambda x: {"output": net(x)}).get_concrete_function(IMAGE)
    return tf.lite.TFLiteConverter.from_concrete_functions([function], tf.Module()).convert()


def outputs(content: bytes) -> np.ndarray:
    return TFLiteModel(content).predict({"x": EXAMPLES})["output"]


def operators(content: bytes) -> int:
    return sum(Graph(content).operator_counts().values())


@pytest.mark.parametrize("net", NETS)
def test_the_results_stay_and_the_file_shrinks(net: str):
    gone, function = NETS[net]
    content = converted(function)
    found = folded(content)
    assert operators(found) == operators(content) - gone
    assert len(found) < len(content)
    assert not Graph(found).idle_tensors
    expected = outputs(content)
    np.testing.assert_allclose(outputs(found), expected, atol=1e-5 * np.abs(expected).max())
    assert folded(found) is found


@pytest.mark.parametrize("net", KEPT)
def test_what_cannot_be_folded_keeps_its_bytes(net: str):
    content = converted(KEPT[net])
    assert {"MUL", "ADD"} & Graph(content).operator_counts().keys()
    assert folded(content) is content


def test_weights_that_layers_share_are_copied():
    kernel = weights(1, 1, 4, 4)

    def net(x: tf.Tensor) -> tf.Tensor:
        first = tf.nn.silu(tf.nn.conv2d(relu(x), kernel, 1, "VALID"))
        return tf.nn.conv2d(normalized(first), kernel, 1, "VALID")

    content = converted(net)
    found = folded(content)
    assert operators(found) == operators(content) - 2
    np.testing.assert_allclose(outputs(found), outputs(content), rtol=1e-4, atol=1e-5)
