"""Weights of a flatbuffer, stored as TensorFlow's own converter stores those of a SavedModel."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfx_tflite.components.errors import ConversionError
from tfx_tflite.components.models.flatbuffer import read_graph
from tfx_tflite.components.models.min_runtime import min_runtime_version
from tfx_tflite.components.models.runtime import example_shapes, open_model
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization.audit import audit
from tfx_tflite.components.quantization.conversion import stock, weights
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.versions import Kernels

pytestmark = pytest.mark.slow

SCHEMES = (Scheme.FLOAT16, Scheme.DYNAMIC_RANGE)
# One of every kind of weights: a scale a channel, a scale in all, a table, large and small ones,
# operators that take no integers.
MODELS = (
    *("depthwise", "transposed_convolution", "embedding", "dense_heads", "several_inputs"),
    *("attention", "batch_matmul", "unrolled_gru"),
)
# The converter has these take int8 weights beside activations that are quantized while the model
# runs; here they compute in float, with the same weights.
IN_FLOAT = {"batch_matmul"}


def outputs(content: bytes) -> dict[str, np.ndarray]:
    """Returns what a model gives for random inputs, with the builtin kernels."""
    model = open_model(content)
    generator = np.random.default_rng(0)
    inputs = {}
    for name, shape in example_shapes(model, {}).items():
        dtype = model.inputs[name].dtype
        if dtype.kind == "f":
            inputs[name] = generator.normal(size=shape).astype(dtype)
        else:
            inputs[name] = generator.integers(0, 5, shape).astype(dtype)
    return TFLiteModel(content, Kernels.BUILTIN).predict(inputs)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.value)
@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_those_of_the_converters_own_model(
    zoo_saved_model: Callable[[str], Path], name: str, scheme: Scheme
):
    path = str(zoo_saved_model(name))
    float32, theirs = (
        stock.convert(path, "serving_tensors", Recipe(each), {})
        for each in (Scheme.FLOAT32, scheme)
    )
    ours = weights.quantized(float32, scheme)
    audit.check(ours, Recipe(scheme))
    expected = outputs(theirs)
    before = outputs(float32)
    for output, values in outputs(ours).items():
        if name in IN_FLOAT and scheme is Scheme.DYNAMIC_RANGE:
            ours_off, theirs_off = (
                np.abs(found - before[output]).mean() for found in (values, expected[output])
            )
            assert ours_off <= theirs_off
        else:
            assert np.array_equal(values, expected[output])


@pytest.mark.parametrize("units", [1, 2])
def test_a_dense_layer_has_the_converters_scales_and_needs_its_runtime(units: int):
    numbers = tf.constant(np.random.default_rng(0).normal(size=(1024, units)), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([1, 1024], tf.float32, name="x")])
    def dense(x):
        return tf.linalg.matmul(x, numbers)

    module = tf.Module()
    module.numbers, module.dense = numbers, dense
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [dense.get_concrete_function()], module
    )
    float32 = bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    ours = read_graph(weights.quantized(float32, Scheme.DYNAMIC_RANGE))
    theirs = read_graph(bytes(converter.convert()))
    assert min_runtime_version(ours) == min_runtime_version(theirs)
    [our_scales], [their_scales] = (
        [operator.inputs[1].scales for operator in graph.operators] for graph in (ours, theirs)
    )
    assert len(our_scales) == len(their_scales)
    assert np.allclose(our_scales, their_scales, rtol=1e-6)


def test_the_file_is_as_small_as_the_converters(digits_model: Path):
    path = str(digits_model)
    for scheme in SCHEMES:
        float32, theirs = (
            stock.convert(path, "serving_tensors", Recipe(each), {})
            for each in (Scheme.FLOAT32, scheme)
        )
        assert len(weights.quantized(float32, scheme)) <= 1.02 * len(theirs)


def test_a_constant_that_float16_cannot_hold_is_told(digits_flatbuffer: bytes):
    draft = read_graph(digits_flatbuffer).draft()
    tensor = next(
        tensor
        for tensor, found in zip(
            draft.main.tensors, read_graph(digits_flatbuffer).main.tensors, strict=True
        )
        if found.is_constant and found.type == "FLOAT32" and found.shape == (10,)
    )
    draft.store(tensor, np.full(10, 1e5, np.float32))
    with pytest.raises(ConversionError, match=r"holds 100000, which float16 cannot hold"):
        weights.quantized(draft.content(), Scheme.FLOAT16)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_integers_are_within_half_a_step_of_the_weights(axis: int | None):
    values = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    values[3] = 0
    integers, scales = weights.symmetric(values, axis)
    wide = scales if axis is None else scales.reshape([-1 if i == axis else 1 for i in range(2)])
    assert np.abs(integers * wide - values).max() <= 0.5001 * scales.max()
    assert np.abs(integers).max() == 127 and len(scales) == (1 if axis is None else (5, 7)[axis])
