"""How far kernels are apart is told of whatever outputs a model has."""

from pathlib import Path

import numpy as np
import pytest

from tfx_tflite.components.models.kernel_differences import compare
from tfx_tflite.components.models.tflite_model import TFLiteModel, default_kernels
from tfx_tflite.components.versions import Kernels

MICRO = Path(__file__).parent / "micro"


def test_the_report_says_which_reference_and_how_far_they_are_apart():
    recorded = np.load(MICRO / "deep_residual.npz")
    content = recorded["model"].tobytes()
    reals = TFLiteModel(content).inputs["x"].reals(recorded["inputs"])
    kernels = default_kernels(content, {"x": reals[:2]})
    model = TFLiteModel(content, kernels)
    found = compare(model, {"x": reals}, model.predict({"x": reals}), len(reals))
    assert found.reference.kernels is Kernels.REFERENCE
    default = TFLiteModel(content).predict({"x": reals})["output"]
    micro = model.outputs["output"].reals(recorded["outputs"])
    assert found.examples == len(reals)
    assert found.answers == (default.argmax(1) != micro.argmax(1)).sum() > 0
    assert found.largest == pytest.approx(np.abs(default - micro).max())


def test_outputs_that_are_not_a_row_of_numbers_an_example_are_left_out():
    import tensorflow as tf

    module = tf.Module()
    spec = tf.TensorSpec([None, 4], tf.float32, name="x")

    def function(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x * 2.0, "total": tf.reduce_sum(x), "column": tf.reduce_sum(x, axis=0)}

    module.function = tf.function(function, input_signature=[spec])
    concrete = module.function.get_concrete_function()
    content = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module).convert()
    inputs = np.arange(12, dtype=np.float32).reshape(3, 4)
    model = TFLiteModel(content)
    found = compare(model, {"x": inputs}, model.predict({"x": inputs}), 2)
    assert (found.examples, found.answers, found.largest) == (2, 0, 0.0)
