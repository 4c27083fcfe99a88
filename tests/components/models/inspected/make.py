"""Makes models of all kinds that the converter writes, for tests of what is said of a file.

Run it as `python -m tests.components.models.inspected.make`. The nets are untrained.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

DIRECTORY = Path(__file__).parent
_IMAGE = (6, 6, 3)
_OPS = tf.lite.OpsSet
layers = tf.keras.layers


class OperatorsThatMicroLacks(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([1, 8], tf.float32, name="x")])
    def serve(self, x):
        largest, places = tf.math.top_k(x, 3)
        return {"angle": tf.math.atan2(largest, largest + 1.0), "places": places, "sum": x + 1.0}


class OperatorsOfTensorFlow(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([1, 8], tf.float32, name="x")])
    def serve(self, x):
        return {"inverse": tf.linalg.inv(tf.linalg.diag(x)), "sum": x + 1.0}


class Loop(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([1, 8], tf.float32, name="x")])
    def serve(self, x):
        def is_small(step, y):
            return tf.reduce_sum(y) < 10.0

        def add(step, y):
            return step + 1, y + 1.0

        return {"y": tf.while_loop(is_small, add, [tf.constant(0), x])[1]}


class TwoSignaturesAndState(tf.Module):
    def __init__(self):
        self.total = tf.Variable(tf.zeros([1, 4]))

    @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32, name="x")])
    def add(self, x):
        self.total.assign_add(x)
        return {"total": self.total.read_value()}

    @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32, name="x")])
    def multiply(self, x):
        return {"product": self.total * x}


def _net() -> tf.keras.Model:
    tf.keras.utils.set_random_seed(0)
    inputs = tf.keras.Input(_IMAGE)
    x = layers.Conv2D(40, 3, activation="relu", name="conv")(inputs)
    return tf.keras.Model(inputs, layers.Dense(4, name="dense")(layers.Flatten()(x)))


def _converter(batch_size: int | None) -> tf.lite.TFLiteConverter:
    net = _net()
    signature = tf.function(lambda x: {"output": net(x, training=False)}).get_concrete_function(
        tf.TensorSpec([batch_size, *_IMAGE], tf.float32, name="x")
    )
    return _of_saved_model(net, {"serving_tensors": signature})


def _of_saved_model(module: tf.Module, signatures: dict) -> tf.lite.TFLiteConverter:
    with tempfile.TemporaryDirectory() as directory:
        tf.saved_model.save(module, directory, signatures=signatures)
        loaded = tf.saved_model.load(directory)
    return tf.lite.TFLiteConverter.from_concrete_functions(list(loaded.signatures.values()), loaded)


def _samples():
    random = np.random.default_rng(0)
    for _ in range(10):
        yield {"x": random.normal(size=(1, *_IMAGE)).astype(np.float32)}


def float32() -> bytes:
    return _converter(1).convert()


def dynamic_range() -> bytes:
    converter = _converter(1)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


def float16() -> bytes:
    converter = _converter(1)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def _integers(operators: _OPS, batch_size: int | None = 1) -> tf.lite.TFLiteConverter:
    converter = _converter(batch_size)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = _samples
    converter.target_spec.supported_ops = [operators]
    return converter


def int16x8() -> bytes:
    return _integers(_OPS.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8).convert()


def free_batch() -> bytes:
    converter = _integers(_OPS.TFLITE_BUILTINS_INT8, None)
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def lacking_on_micro() -> bytes:
    module = OperatorsThatMicroLacks()
    return _of_saved_model(module, {"serve": module.serve}).convert()


def flex() -> bytes:
    module = OperatorsOfTensorFlow()
    converter = _of_saved_model(module, {"serve": module.serve})
    converter.target_spec.supported_ops = [_OPS.TFLITE_BUILTINS, _OPS.SELECT_TF_OPS]
    return converter.convert()


def loop() -> bytes:
    module = Loop()
    return _of_saved_model(module, {"serve": module.serve}).convert()


def two_signatures() -> bytes:
    module = TwoSignaturesAndState()
    with tempfile.TemporaryDirectory() as directory:
        signatures = {"add": module.add, "multiply": module.multiply}
        tf.saved_model.save(module, directory, signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(directory)
        converter.experimental_enable_resource_variables = True
        return converter.convert()


MODELS: tuple[Callable[[], bytes], ...] = (
    float32,
    dynamic_range,
    float16,
    int16x8,
    free_batch,
    lacking_on_micro,
    flex,
    loop,
    two_signatures,
)


def main() -> None:
    """Writes a file for each model."""
    for make in MODELS:
        (DIRECTORY / f"{make.__name__}.tflite").write_bytes(make())


if __name__ == "__main__":
    main()
