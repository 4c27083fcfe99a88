"""Operators without an integer form stay float where that is allowed, and nothing else does."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.observation import collect_ranges
from tests.components.quantization import seeding
from tfx_tflite.components.errors import ConversionError
from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.quantization.audit.audit import audit, check
from tfx_tflite.components.quantization.conversion.backends import ConvertedModels
from tfx_tflite.components.quantization.conversion.from_ranges import quantize, write_ranges
from tfx_tflite.components.quantization.multiply_adds import multiply_adds
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.quantization.settings import QuantizerSettings
from tfx_tflite.components.quantization.summary import summarize

pytestmark = pytest.mark.slow

REFUSED = Recipe(Scheme.INT8_FLOAT_IO)
ALLOWED = replace(REFUSED, float_fallback="allow")
SETTINGS = QuantizerSettings(scheme="int8_float_io", float_fallback="allow")
GENERATOR = np.random.default_rng(0)
VOLUME_KERNEL = GENERATOR.normal(size=(2, 2, 2, 1, 3)).astype(np.float32)
KERNEL = GENERATOR.normal(size=(3, 3, 8, 5)).astype(np.float32)
MATRIX = GENERATOR.normal(size=(80, 7)).astype(np.float32)


def mixed(x: tf.Tensor) -> tf.Tensor:
    """A convolution and a product of matrices, with a cosine and a sine between."""
    y = tf.nn.relu(tf.nn.conv2d(x, KERNEL, 1, "SAME"))
    y = tf.sin(tf.cos(y)) + y
    return tf.matmul(tf.reshape(y, [1, 80]), MATRIX)


def with_volume(x: tf.Tensor) -> tf.Tensor:
    """A convolution in three dimensions, which computes most and stays float."""
    y = tf.nn.conv3d(x[..., None], VOLUME_KERNEL, [1] * 5, "SAME")
    return tf.nn.relu(tf.reduce_mean(y, axis=[3])) * 0.5


@pytest.fixture(scope="module")
def converted(float_tflite) -> Callable[[Callable], ConvertedModels]:
    """Gives a function of one tensor as float and as integer model."""

    def convert(function: Callable) -> ConvertedModels:
        content = float_tflite(function, x=((1, 4, 4, 8), tf.float32))
        examples = np.random.default_rng(0).normal(size=(8, 4, 4, 8)).astype(np.float32)
        calibrated = write_ranges(content, collect_ranges(content, [{"x": examples}]), MINMAX)
        return ConvertedModels(content, quantize(calibrated, REFUSED))

    return convert


MINMAX = RangePolicy("minmax")


@pytest.mark.parametrize("function", [mixed, with_volume, tf.sin, lambda x: tf.cumsum(x, 1)])
def test_what_has_no_integer_form_may_stay_float_where_that_is_allowed(converted, function):
    models = converted(function)
    assert audit(models.quantized, ALLOWED) == []
    assert audit(models.quantized, REFUSED)


def test_an_operator_that_has_an_integer_form_may_not(converted):
    """As if the quantizer had left the convolution in float too."""
    models = converted(mixed)
    found = audit(models.float32, ALLOWED)
    assert {each.layer.split()[0] for each in found} >= {"CONV_2D", "FULLY_CONNECTED", "ADD"}
    assert all("though it has an integer form" in each.reason for each in found)


@pytest.mark.parametrize("kind", ["CONV_2D", "FULLY_CONNECTED", "ADD"])
def test_one_such_operator_is_named(converted, kind: str):
    change = seeding.set_type(kind, "outputs", 0, seeding.TYPES.FLOAT32)
    found = audit(seeding.seeded(converted(mixed).quantized, change), ALLOWED)
    assert any(each.layer.startswith(f"{kind} #") for each in found)


def test_a_conversion_that_no_such_operator_needs_is_named(converted):
    """A tensor that is made float and integer again for nothing."""

    def to_no_purpose(model: object, graph: object) -> None:
        for operator in graph.operators:
            name = seeding.flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex)
            if name == "COS":
                operator.opcodeIndex = seeding.first(model, graph, "QUANTIZE").opcodeIndex
                operator.builtinOptions, operator.builtinOptionsType = None, 0

    found = audit(seeding.seeded(converted(lambda x: tf.cos(tf.nn.relu(x)) * 2).quantized,
                                 to_no_purpose), ALLOWED)  # fmt: skip
    assert found


def test_the_refusal_names_the_operators_and_the_remedies(converted):
    with pytest.raises(ConversionError) as caught:
        check(converted(mixed).quantized, REFUSED)
    message = str(caught.value)
    assert "no integer form of COS, SIN" in message
    for remedy in ("float_fallback: allow", "int8_float_io", "replace it in the model",
                   "dynamic_range"):  # fmt: skip
        assert remedy in message


def test_the_report_lists_them_with_their_share_of_the_work(converted):
    document = summarize(converted(mixed), SETTINGS, "sha256:0", None)
    kinds = [(found.operator, found.share) for found in document.float_operators]
    assert kinds == [("COS", 0.0), ("SIN", 0.0)]
    assert document.warnings == (
        "2 of the model's operators compute in float, with 0.0% of its multiply-adds: 1 COS, 1 SIN",
    )


def test_a_convolution_that_stays_float_has_its_share(converted):
    document = summarize(converted(with_volume), SETTINGS, "sha256:0", None)
    [volume] = document.float_operators
    # 4 x 4 x 8 places, 3 channels, a kernel of 2 x 2 x 2 with one channel.
    assert volume.multiply_adds == 4 * 4 * 8 * 3 * 8
    assert volume.share == 1.0 and volume.reason == "no integer form of CONV_3D"


def test_without_the_permission_nothing_is_listed(converted):
    settings = QuantizerSettings(scheme="int8_float_io")
    document = summarize(converted(tf.nn.relu), settings, "sha256:0", None)
    assert document.float_operators == () and document.float_fallback == "refuse"


TRANSPOSED = GENERATOR.normal(size=(3, 3, 5, 8)).astype(np.float32)
DEPTHWISE = GENERATOR.normal(size=(3, 3, 8, 2)).astype(np.float32)
WORK = [
    (mixed, "CONV_2D", 4 * 4 * 5 * 3 * 3 * 8),
    (mixed, "FULLY_CONNECTED", 80 * 7),
    (lambda x: tf.nn.depthwise_conv2d(x, DEPTHWISE, [1] * 4, "SAME"), "DEPTHWISE_CONV_2D",
     4 * 4 * 16 * 9),
    (lambda x: tf.nn.conv2d_transpose(x, TRANSPOSED, [1, 8, 8, 5], 2), "TRANSPOSE_CONV",
     4 * 4 * 8 * 9 * 5),
    (lambda x: tf.matmul(x, x, transpose_b=True), "BATCH_MATMUL", 4 * 4 * 4 * 8),
    (tf.nn.relu, "RELU", 0),
]  # fmt: skip


@pytest.mark.parametrize(("function", "kind", "expected"), WORK)
def test_counts_the_multiply_adds(float_tflite, function, kind: str, expected: int):
    graph = Graph(float_tflite(function, x=((1, 4, 4, 8), tf.float32)))
    [operator] = [each for each in graph.operators if each.name == kind]
    assert multiply_adds(operator) == expected
