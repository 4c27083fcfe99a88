"""Records what TensorFlow Lite Micro gives for some int8 nets.

Run it as `python -m tests.components.models.micro.record [NET …]`.

It needs `tflite-micro` beside this project's environment. The nets are untrained: what is compared
is the arithmetic of kernels, and how far it drifts apart in deep nets. Each file holds a
flatbuffer, inputs in its own type, and Micro's outputs.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tensorflow as tf

DIRECTORY = Path(__file__).parent
_EXAMPLES = 50
_IMAGE = (8, 8, 3)
layers = tf.keras.layers


def deep_residual() -> tf.keras.Model:
    inputs = tf.keras.Input(_IMAGE)
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    for _ in range(24):
        y = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
        x = layers.ReLU()(layers.Add()([x, layers.Conv2D(8, 3, padding="same")(y)]))
    return tf.keras.Model(inputs, layers.Dense(10, activation="softmax")(layers.Flatten()(x)))


def depthwise() -> tf.keras.Model:
    inputs = tf.keras.Input(_IMAGE)
    x = layers.Conv2D(12, 3, padding="same", activation="relu6")(inputs)
    for _ in range(30):
        y = layers.DepthwiseConv2D(3, padding="same", activation="relu6")(x)
        x = layers.Add()([x, layers.Conv2D(12, 1)(y)])
    return tf.keras.Model(inputs, layers.Dense(10, activation="softmax")(layers.Flatten()(x)))


def dense() -> tf.keras.Model:
    x = inputs = tf.keras.Input((32,))
    for _ in range(6):
        x = layers.Dense(32, activation="relu")(x)
    return tf.keras.Model(inputs, layers.Dense(32)(x))


def hard_swish() -> tf.keras.Model:
    inputs = tf.keras.Input(_IMAGE)
    x = layers.Conv2D(8, 3, padding="same", activation="hard_swish")(inputs)
    for _ in range(24):
        y = layers.Conv2D(8, 3, padding="same", activation="hard_swish")(x)
        x = layers.Add()([x, layers.Conv2D(8, 3, padding="same")(y)])
    return tf.keras.Model(inputs, layers.Dense(10, activation="softmax")(layers.Flatten()(x)))


def streaming() -> tf.keras.Model:
    """A window of the last 16 frames of sound, as nets for keywords see it; nothing is padded."""
    x = inputs = tf.keras.Input((16, 1, 10))
    for channels in (16, 16, 12):
        x = layers.DepthwiseConv2D((3, 1), activation="relu")(x)
        x = layers.Conv2D(channels, 1, activation="relu")(x)
    x = layers.AveragePooling2D((10, 1))(x)
    return tf.keras.Model(inputs, layers.Dense(4, activation="softmax")(layers.Flatten()(x)))


NETS: tuple[Callable[[], tf.keras.Model], ...] = (
    deep_residual,
    depthwise,
    dense,
    hard_swish,
    streaming,
)


def quantized(model: tf.keras.Model, inputs: np.ndarray) -> bytes:
    """Returns a net in int8, with a batch of 1 built in, as Micro wants it."""
    signature = tf.function(lambda x: {"output": model(x, training=False)}).get_concrete_function(
        tf.TensorSpec([1, *inputs.shape[1:]], tf.float32, name="x")
    )
    with tempfile.TemporaryDirectory() as directory:
        tf.saved_model.save(model, directory, signatures={"serving_tensors": signature})
        loaded = tf.saved_model.load(directory)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [loaded.signatures["serving_tensors"]], loaded
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ({"x": row[None]} for row in inputs)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def run_on_micro(content: bytes, rows: np.ndarray) -> np.ndarray:
    """Returns TensorFlow Lite Micro's outputs for rows in the model's own type."""
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(content, arena_size=1_000_000)
    found = []
    for row in rows:
        interpreter.set_input(row[None], 0)
        interpreter.invoke()
        found.append(interpreter.get_output(0).copy())
    return np.concatenate(found)


def main(names: Sequence[str]) -> None:
    """Writes a file for each net, or for those of some names."""
    for number, build in enumerate(NETS):
        if names and build.__name__ not in names:
            continue
        tf.keras.utils.set_random_seed(number)
        model = build()
        reals = np.random.default_rng(0).normal(size=(100, *model.input_shape[1:]))
        content = quantized(model, reals.astype(np.float32))
        detail = tf.lite.Interpreter(model_content=content).get_input_details()[0]
        scale, zero_point = detail["quantization"]
        steps = np.round(reals[:_EXAMPLES] / scale) + zero_point
        rows = np.clip(steps, -128, 127).astype(np.int8)
        np.savez_compressed(
            DIRECTORY / f"{build.__name__}.npz",
            model=np.frombuffer(content, np.uint8),
            inputs=rows,
            outputs=run_on_micro(content, rows),
            version=version("tflite-micro"),
        )


if __name__ == "__main__":
    main(sys.argv[1:])
