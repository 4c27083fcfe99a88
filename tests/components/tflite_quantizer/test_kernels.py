"""Converted models and the kernels that run them."""

import pytest

from tfx_tflite.components.runtime import (
    Kernels,
    allocate,
    open_interpreter,
    reproducible_kernels,
)


@pytest.mark.slow
def test_an_operator_without_a_reference_kernel_is_run_with_the_builtin_ones(convert_zoo):
    content = convert_zoo("upsampling", "int8")
    assert reproducible_kernels(content) is Kernels.BUILTIN


def test_free_axes_take_the_sizes_of_an_example(float_tflite):
    import tensorflow as tf

    content = float_tflite(lambda x: tf.nn.relu(x), x=([None, None, 3], tf.float32))
    interpreter = open_interpreter(content)
    allocate(interpreter, {"x": (1, 7, 3)})
    assert interpreter.get_input_details()[0]["shape"].tolist() == [1, 7, 3]
