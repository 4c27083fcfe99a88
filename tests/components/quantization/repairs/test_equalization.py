"""Equalization changes no float result, and gives channels of unlike size one scale that fits."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from tests.components.quantization_tuner.bed.cases import CASES
from tests.components.quantization_tuner.bed.quantized import plain, score
from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.models.runtime import open_model, open_observable
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization.audit.audit import audit
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.repairs import equalization
from tfx_tflite.components.quantization.repairs.dense_channels import with_dense_channels
from tfx_tflite.components.quantization.repairs.equalization import equalized
from tfx_tflite.components.quantization.schemes import Scheme

pytestmark = pytest.mark.slow

RANDOM = np.random.default_rng(0)
IMAGE = tf.TensorSpec([None, 6, 6, 3], name="x")
EXAMPLES = RANDOM.normal(size=(20, 6, 6, 3)).astype(np.float32)
# Three orders of magnitude, between the channels of what each layer writes.
SPREAD = np.float32(10.0) ** np.array([-1.5, 0, 1.5, 0.3], np.float32)


def weights(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def conv(x: tf.Tensor, padding: str = "VALID") -> tf.Tensor:
    kernel = weights(3, 3, x.shape[-1], 4) * SPREAD
    return tf.nn.conv2d(x, kernel, 1, padding) + weights(4) * SPREAD


def depthwise(x: tf.Tensor) -> tf.Tensor:
    kernel = weights(3, 3, x.shape[-1], 1)
    return tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "SAME") + weights(x.shape[-1])


def dense(x: tf.Tensor) -> tf.Tensor:
    length = int(np.prod(x.shape[1:]))
    flat = tf.reshape(x, [-1, length])
    return tf.matmul(flat, weights(length, 4) * SPREAD) + weights(4)


def relu(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.relu(conv(x))


def padded(x: tf.Tensor) -> tf.Tensor:
    return tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])


def residual(x: tf.Tensor) -> tf.Tensor:
    x = tf.nn.relu(conv(x, "SAME"))
    return tf.nn.relu(x + conv(x, "SAME"))


def gated(x: tf.Tensor) -> tf.Tensor:
    gates = tf.sigmoid(tf.matmul(tf.reduce_mean(x, [1, 2]), weights(4, 4) / SPREAD[:, None]))
    return x * gates[:, None, None, :]


# The nets whose channels can be scaled.
NETS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "convolutions": lambda x: dense(relu(relu(x))),
    "nothing in between": lambda x: dense(conv(x)),
    "depthwise": lambda x: dense(tf.nn.relu(depthwise(relu(x)))),
    "dense": lambda x: dense(tf.nn.relu(dense(x))),
    "explicit padding": lambda x: dense(conv(padded(relu(x)))),
    "maximum": lambda x: dense(tf.nn.max_pool2d(relu(x), 2, 2, "SAME")),
    "average": lambda x: dense(tf.nn.avg_pool2d(relu(x), 2, 2, "SAME")),
    "average of all places": lambda x: dense(tf.reduce_mean(relu(x), [1, 2])),
    "leaky": lambda x: dense(tf.nn.leaky_relu(conv(x))),
    "a constant that is added": lambda x: dense(tf.nn.relu(relu(x) + weights(4))),
    "a constant that is a factor": lambda x: dense(
        tf.nn.max_pool2d(conv(x) * weights(4), 2, 2, "SAME")
    ),
    "residual": lambda x: dense(residual(x)),
    "several readers": lambda x: (lambda y: dense(y) + dense(tf.reduce_max(y, [1, 2])))(relu(x)),
    "gates": lambda x: dense(gated(relu(x))),
}
KEPT: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "clamped": lambda x: dense(tf.nn.relu6(conv(x))),
    "swish": lambda x: dense(tf.nn.silu(conv(x))),
    "an output": relu,
    "a sum with what is no layer's": lambda x: dense(conv(x[..., :2], "SAME") + x[..., :1]),
    "a sum with another place": lambda x: dense(relu(x) + relu(x)[:, ::-1]),
    "a square": lambda x: dense(tf.square(relu(x))),
    "a softmax": lambda x: dense(tf.nn.softmax(conv(x))),
    "a mean of channels": lambda x: dense(tf.reduce_mean(relu(x), -1)),
}


def converted(net: Callable[[tf.Tensor], tf.Tensor]) -> bytes:
    function = tf.function(lambda x: {"output": net(x)}).get_concrete_function(IMAGE)
    return tf.lite.TFLiteConverter.from_concrete_functions([function], tf.Module()).convert()


def outputs(content: bytes) -> np.ndarray:
    return TFLiteModel(content).predict({"x": EXAMPLES})["output"]


def first_channels(content: bytes) -> np.ndarray:
    """The largest absolute value of each channel of what the first layer writes."""
    graph = Graph(content)
    written = next(each for each in graph.main.operators if "RESHAPE" not in each.name).outputs[0]
    model = open_observable(graph.with_outputs([written]))
    model.run({"x": EXAMPLES})
    return np.abs(model.activation(written.index)).reshape(-1, 4).max(axis=0)


def spread(sizes: np.ndarray) -> float:
    return float(sizes.max() / sizes.min())


@pytest.mark.parametrize("net", NETS)
def test_no_result_changes_and_channels_are_alike(net: str):
    content = converted(NETS[net])
    found = equalized(content, [{"x": EXAMPLES}])
    expected = outputs(content)
    np.testing.assert_allclose(outputs(found), expected, atol=1e-5 * np.abs(expected).max())
    assert len(found) < len(content) + 200
    assert Graph(found).operator_counts() == Graph(content).operator_counts()
    before, after = (spread(first_channels(each)) for each in (content, found))
    assert after < before / 3


def test_channels_for_depthwise_layers_are_of_one_size():
    found = equalized(converted(NETS["depthwise"]), [{"x": EXAMPLES}])
    assert spread(first_channels(found)) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("net", KEPT)
def test_what_does_not_scale_with_its_channels_keeps_its_bytes(net: str):
    content = converted(KEPT[net])
    assert equalized(content, [{"x": EXAMPLES}]) is content


def cancelling(x: tf.Tensor) -> tf.Tensor:
    """A channel of large weights and small numbers, as its first two inputs are the same."""
    kernel = weights(1, 1, 3, 4)
    kernel[..., 0] = [1e3, -1e3, 1e-3]
    return dense(depthwise(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "VALID") + 0.1)))


def test_every_model_loads(monkeypatch: pytest.MonkeyPatch):
    """The audit finds nothing wrong with a scale that XNNPACK does not take."""
    same = EXAMPLES.copy()
    same[..., 1] = same[..., 0]
    content = converted(cancelling)
    found = plain(equalized(content, [{"x": same}]), {"x": same})
    run(found)
    monkeypatch.setattr(equalization, "_LARGEST_FACTOR", np.inf)
    refused = plain(equalized(content, [{"x": same}]), {"x": same})
    assert audit(refused, Recipe(Scheme.INT8)) == []
    with pytest.raises(RuntimeError):
        run(refused)


def run(content: bytes) -> None:
    open_model(content).run({"x": np.zeros((1, 6, 6, 3), np.int8)})


def faint(x: tf.Tensor) -> tf.Tensor:
    """A channel of small numbers and small weights beside a large bias."""
    kernel = np.ones((1, 1, 4, 1), np.float32) * np.float32([1e-2, 1, 1, 1])[:, None]
    first = tf.nn.relu(
        tf.nn.conv2d(x, weights(1, 1, 3, 4) * np.float32([1e-4, 1, 1, 1]), 1, "VALID")
    )
    return dense(tf.nn.depthwise_conv2d(first, kernel, [1, 1, 1, 1], "VALID") + 1e2)


def test_no_weights_are_lost_beside_a_bias(monkeypatch: pytest.MonkeyPatch):
    """The quantizer enlarges their scale for a bias that would not fit into its type."""

    def lowest_weight() -> int:
        quantized = plain(equalized(content, [{"x": EXAMPLES}]), {"x": EXAMPLES})
        layers = [each for each in Graph(quantized).operators if "DEPTHWISE" in each.name]
        return int(np.abs(layers[0].operands[1].integers).min())

    content = converted(faint)
    assert lowest_weight() == 127
    monkeypatch.setattr(equalization, "_LARGEST_BIAS", np.inf)
    assert lowest_weight() < 127


@pytest.mark.parametrize(("size", "factor"), [(0.0, 1), (1e-9, 1), (1e-5, 1000)])
def test_dead_channels_stay_and_faint_ones_are_scaled_within_bounds(size: float, factor: float):
    kernel, scales = weights(1, 1, 3, 4), np.float32([size, 1, 1, 1])

    def net(x: tf.Tensor) -> tf.Tensor:
        return dense(
            tf.nn.relu(depthwise(tf.nn.relu(tf.nn.conv2d(x, kernel * scales, 1, "VALID"))))
        )

    content = converted(net)
    found = equalized(content, [{"x": EXAMPLES}])
    before, after = first_channels(content)[0], first_channels(found)[0]
    assert after == pytest.approx(before * factor, rel=1e-4)
    np.testing.assert_allclose(outputs(found), outputs(content), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "net", ["rescaled_mobile_net", "rescaled_residual", "imbalanced_depthwise", "autoencoder"]
)
def test_int8_is_as_good_as_float_again(net: str):
    case = CASES[net]
    examples, calibration = case.splits().eval, case.calibration.inputs
    expected = score(case, case.float_tflite, examples)
    assert score(case, plain(case.float_tflite, calibration), examples) < expected - 0.2
    float32 = equalized(case.float_tflite, [calibration])
    found = with_dense_channels(plain(float32, calibration), float32)
    assert score(case, found, examples) > expected - 0.005
    assert audit(found, Recipe(Scheme.INT8)) == []
