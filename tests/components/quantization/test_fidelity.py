"""A model that computes something else is warned of, by layer and figure, and no other is."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.observation import collect_ranges
from tests.components.quantization import seeding
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization import fidelity, layer_noise
from tfx_tflite.components.quantization.conversion.from_ranges import quantize, write_ranges
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme

pytestmark = pytest.mark.slow

INT8 = Recipe(Scheme.INT8_FLOAT_IO)
GENERATOR = np.random.default_rng(0)
HIDDEN = GENERATOR.normal(size=(6, 16)).astype(np.float32)
OUT = GENERATOR.normal(size=(16, 4)).astype(np.float32)
EXAMPLES = GENERATOR.normal(size=(60, 6)).astype(np.float32)


def logits(x: tf.Tensor) -> tf.Tensor:
    return tf.matmul(tf.nn.relu(tf.matmul(x, HIDDEN)), OUT)


HEADS = {
    "softmax": lambda x: tf.nn.softmax(logits(x)),
    "logistic": lambda x: tf.sigmoid(logits(x)),
    "logits": logits,
    "index": lambda x: tf.argmax(logits(x), -1),
    "reals": lambda x: tf.reduce_sum(logits(x), -1, keepdims=True),
    "reshaped": lambda x: tf.reshape(tf.nn.softmax(logits(x)), [-1, 1, 4]),
}


@pytest.fixture(scope="module")
def converted(float_tflite) -> Callable[..., tuple[bytes, bytes]]:
    """Gives a function as float model and as integer model; its calibration may be multiplied."""

    def convert(function: Callable, factor: float = 1.0) -> tuple[bytes, bytes]:
        content = float_tflite(function, x=((None, 6), tf.float32))
        ranges = collect_ranges(content, [{"x": EXAMPLES * factor}])
        calibrated = write_ranges(content, ranges, RangePolicy("minmax"))
        return content, quantize(calibrated, INT8)

    return convert


def warnings_of(float32: bytes, quantized: bytes) -> tuple[str, ...]:
    given = {"x": EXAMPLES}
    noise = layer_noise.measure(float32, quantized, [given])
    return fidelity.warnings(quantized, noise, fidelity.agreements(float32, quantized, [given]))


@pytest.mark.parametrize("head", HEADS)
def test_a_model_that_is_right_raises_no_alarm(converted, head: str):
    assert warnings_of(*converted(HEADS[head])) == ()


@pytest.mark.parametrize("head", ["softmax", "logits", "index", "reshaped"])
def test_a_model_calibrated_on_far_too_large_values_is_warned_of(converted, head: str):
    """Its ranges leave a step or two for everything."""
    layers, answers = warnings_of(*converted(HEADS[head], 200))
    assert layers.startswith("layers of the quantized model are under 10 dB")
    assert "FULLY_CONNECTED" in layers and "dB" in layers
    assert answers.startswith("the answers of output 'output' agree with the float model's on ")


def test_the_share_is_that_of_a_loop_over_both_models(converted):
    float32, quantized = converted(HEADS["softmax"], 30)
    [found] = fidelity.agreements(float32, quantized, [{"x": EXAMPLES[:25]}, {"x": EXAMPLES[25:]}])
    before, after = (
        TFLiteModel(content).predict({"x": EXAMPLES})["output"] for content in (float32, quantized)
    )
    assert found.answers == len(EXAMPLES)
    pairs = zip(before, after, strict=True)
    assert found.share == np.mean([a.argmax() == b.argmax() for a, b in pairs])


def test_a_logistic_is_decided_label_by_label(converted):
    float32, quantized = converted(HEADS["logistic"], 30)
    [found] = fidelity.agreements(float32, quantized, [{"x": EXAMPLES}])
    before, after = (
        TFLiteModel(content).predict({"x": EXAMPLES})["output"] for content in (float32, quantized)
    )
    assert found.answers == before.size
    assert found.share == np.mean((before > 0.5) == (after > 0.5))


def test_a_one_hot_of_other_scales_would_be_seen(float_tflite):
    """What passed an audit once: the kernel copies its constants as they are."""
    content = float_tflite(
        lambda x: tf.nn.softmax(tf.matmul(tf.one_hot(x, 6) * 2.0, HEADS_OF_INDEX)),
        x=((None,), tf.int64),
    )
    indices = np.arange(60) % 6
    ranges = collect_ranges(content, [{"x": indices}])
    right = quantize(write_ranges(content, ranges, RangePolicy("minmax")), INT8)

    def all_off(model: object, graph: object) -> None:
        on = seeding.first(model, graph, "ONE_HOT").inputs[2]
        buffer = model.buffers[graph.tensors[on].buffer]
        buffer.data = np.array([-100], np.int8).view(np.uint8)

    wrong = seeding.seeded(right, all_off)
    given = {"x": indices}
    for model, is_right in ((right, True), (wrong, False)):
        noise = layer_noise.measure(content, model, [given])
        found = fidelity.agreements(content, model, [given])
        warnings = fidelity.warnings(model, noise, found)
        assert (warnings == ()) is is_right
    assert "ONE_HOT" in warnings[0]


HEADS_OF_INDEX = GENERATOR.normal(size=(6, 4)).astype(np.float32)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: tf.nn.relu(tf.matmul(x, HIDDEN) - 1e3) + 0.0 * x[:, :1] + x[:, :1],
        lambda x: (x - x) * 1e-9 + x,
        lambda x: tf.nn.relu(x - 2.8) + x,
        lambda x: tf.cast(tf.argmax(x, -1), tf.float32)[:, None] + x,
    ],
)
def test_constants_zeros_masks_and_integers_raise_no_alarm(converted, function: Callable):
    assert warnings_of(*converted(function)) == ()


def test_random_numbers_are_not_compared(converted):
    function = lambda x: x + tf.random.normal([1, 6])  # noqa: E731
    assert warnings_of(*converted(function)) == ()


def test_a_few_answers_are_no_share(converted):
    float32, quantized = converted(HEADS["softmax"], 200)
    [found] = fidelity.agreements(float32, quantized, [{"x": EXAMPLES[:10]}])
    assert found.share < 0.9 and not found.is_low
