"""Converted models and the kernels that run them."""

import numpy as np
import pytest

from tfx_tflite.components.models.runtime import open_model, reproducible_kernels
from tfx_tflite.components.versions import Kernels


@pytest.mark.slow
def test_an_operator_without_a_reference_kernel_is_run_with_the_builtin_ones(convert_zoo):
    content = convert_zoo("upsampling", "int8")
    [name] = open_model(content).inputs
    inputs = {name: np.zeros((1, 16, 16, 3), np.int8)}
    assert reproducible_kernels(content, inputs) is Kernels.BUILTIN


@pytest.mark.slow
def test_reference_kernels_that_end_the_process_on_a_model_are_not_taken(float_tflite):
    """The reference softmax asserts that its scale is not very small."""
    import tensorflow as tf
    from tensorflow.lite.tools import flatbuffer_utils

    content = float_tflite(lambda x: tf.nn.softmax(x * 1.0), x=([1, 4], tf.float32))
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    schema = flatbuffer_utils.schema_fb
    [softmax] = model.subgraphs[0].operators[-1:]
    ends = [model.subgraphs[0].tensors[i] for i in (*softmax.inputs, *softmax.outputs)]
    for tensor, (scale, zero) in zip(ends, [(1e-9, 0), (1 / 256, -128)], strict=True):
        tensor.type = schema.TensorType.INT8
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero]
    content = bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    inputs = {"x": np.zeros((1, 4), np.int8)}
    assert reproducible_kernels(content, inputs) is Kernels.BUILTIN
