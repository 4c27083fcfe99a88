"""Records nets that an accelerator takes, takes in part, or does not take.

Run it as `python -m tests.components.models.accelerated.record`; it writes all of them into one
file, flatbuffers by name. The nets are untrained and tiny: what is looked at is their operators.
"""

import tempfile
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from tests.components.models.accelerated import FILE

_IMAGE = (8, 8, 3)
_EXAMPLES = 10
layers = tf.keras.layers
_random = np.random.default_rng(0)
Outputs = dict[str, tf.Tensor]


def _values(*shape: int) -> tf.Tensor:
    return tf.constant(_random.normal(size=shape).astype(np.float32))


_KERNEL = _values(3, 3, 3, 8)
_WEIGHTS = _values(512, 5)


def _convolution(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.conv2d(x, _KERNEL, 1, "SAME")


def classifier(x: tf.Tensor) -> Outputs:
    logits = tf.reshape(tf.nn.relu(_convolution(x)), [-1, 512]) @ _WEIGHTS
    return {"y": tf.nn.softmax(logits)}


def two_outputs(x: tf.Tensor) -> Outputs:
    return {"map": tf.nn.relu(_convolution(x)), "mean": tf.reduce_mean(x, axis=[1, 2])}


def resized(x: tf.Tensor) -> Outputs:
    return {"y": tf.image.resize(x, (13, 21))}


def wide_stride(x: tf.Tensor) -> Outputs:
    return {"y": tf.nn.relu(tf.nn.conv2d(x, _KERNEL, [1, 7, 5, 1], "SAME"))}


def upsampled(x: tf.Tensor) -> Outputs:
    kernel = _values(3, 3, 4, 3)
    return {"y": tf.nn.conv2d_transpose(x, kernel, [1, 24, 24, 4], 3, "SAME")}


def large_window(x: tf.Tensor) -> Outputs:
    return {"y": tf.nn.avg_pool2d(x, [9, 9], [4, 4], "SAME")}


def gathered(x: tf.Tensor) -> Outputs:
    return {"y": tf.gather(_convolution(x), [1, 0, 2], axis=2)}


def sine(x: tf.Tensor) -> Outputs:
    return {"y": tf.sin(_convolution(x)) * 2.0}


def best_two(x: tf.Tensor) -> Outputs:
    return {"y": tf.math.top_k(x, 2)[0]}


def volume(x: tf.Tensor) -> Outputs:
    return {"y": tf.nn.conv3d(x, _values(3, 3, 3, 2, 4), [1] * 5, "SAME")}


def channels_first(x: tf.Tensor) -> Outputs:
    return {"y": tf.transpose(x, [0, 3, 1, 2]) * 2.0}


def largest(x: tf.Tensor) -> Outputs:
    return {"y": tf.argmax(_convolution(x), axis=-1)}


def wide(x: tf.Tensor) -> Outputs:
    """Has more columns than the accelerator counts."""
    weights = np.resize(np.float32([0.5, -1.0, 0.25]), (70000, 2))
    return {"y": x @ tf.constant(weights)}


def huge(x: tf.Tensor) -> Outputs:
    return {"y": tf.nn.relu(_convolution(x))}


def loop(x: tf.Tensor) -> Outputs:
    _, y = tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * 1.5), [0, x])
    return {"y": y}


def sequence(x: tf.Tensor) -> Outputs:
    return {"y": tf.nn.relu(tf.nn.conv1d(x, _values(3, 4, 2), 1, "SAME"))}


def flattened() -> tf.keras.Model:
    inputs = tf.keras.Input(_IMAGE)
    x = layers.Flatten()(layers.Conv2D(4, 3, activation="relu")(inputs))
    return tf.keras.Model(inputs, layers.Dense(3, activation="softmax")(x))


def recurrent() -> tf.keras.Model:
    inputs = tf.keras.Input((5, 4))
    return tf.keras.Model(inputs, layers.LSTM(6, unroll=True)(inputs))


Net = Callable[[tf.Tensor], Outputs]
# The function, the shape of an example, and the batch size.
_FUNCTIONS: dict[str, tuple[Net, tuple[int | None, ...], int]] = {
    "batch_of_4": (classifier, _IMAGE, 4),
    "two_outputs": (two_outputs, _IMAGE, 1),
    "resized": (resized, _IMAGE, 1),
    "wide_stride": (wide_stride, (16, 16, 3), 1),
    "upsampled": (upsampled, _IMAGE, 1),
    "large_window": (large_window, (32, 32, 3), 1),
    "gathered": (gathered, _IMAGE, 1),
    "sine": (sine, _IMAGE, 1),
    "best_two": (best_two, (16,), 1),
    "volume": (volume, (8, 8, 8, 2), 1),
    "channels_first": (channels_first, (8, 8, 4), 1),
    "largest": (largest, _IMAGE, 1),
    "wide": (wide, (70000,), 1),
    "huge": (huge, (2048, 2048, 3), 1),
    "loop": (loop, (8,), 1),
    "free_length": (sequence, (None, 4), 1),
}
_KINDS = ("float32", "float16", "dynamic_range", "int8_float_io", "int8", "int16x8", "int16")
# The net, and the batch size; None for a free axis.
_KERAS: dict[str, tuple[Callable[[], tf.keras.Model], int | None]] = {
    "free_batch": (flattened, None),
    "recurrent": (recurrent, 1),
}


def _converted(converter: tf.lite.TFLiteConverter, kind: str, shape: list[int]) -> bytes:
    def examples() -> Iterator[dict[str, np.ndarray]]:
        for _ in range(_EXAMPLES):
            yield {"x": _random.normal(size=shape).astype(np.float32)}

    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind in ("int8_float_io", "int8", "int16x8", "int16"):
        converter.representative_dataset = examples
    if kind == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    if kind == "int16":
        converter.inference_input_type = converter.inference_output_type = tf.int16
    if kind in ("int16x8", "int16"):
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
    return converter.convert()


def _of_function(
    net: Net, example: tuple[int | None, ...], batch: int, kind: str = "int8"
) -> bytes:
    shape: list[int | None] = [batch, *example]
    module = tf.Module()
    module.net = tf.function(net, input_signature=[tf.TensorSpec(shape, tf.float32, name="x")])
    function = module.net.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
    return _converted(converter, kind, [size or 6 for size in shape])


def _of_keras(net: tf.keras.Model, batch: int | None) -> bytes:
    example = net.input_shape[1:]
    signature = tf.function(lambda x: {"y": net(x, training=False)}).get_concrete_function(
        tf.TensorSpec([batch, *example], tf.float32, name="x")
    )
    with tempfile.TemporaryDirectory() as directory:
        tf.saved_model.save(net, directory, signatures={"serving_tensors": signature})
        loaded = tf.saved_model.load(directory)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [loaded.signatures["serving_tensors"]], loaded
    )
    return _converted(converter, "int8", [1, *example])


def main() -> None:
    """Writes the file."""
    tf.keras.utils.set_random_seed(0)
    found = {kind: _of_function(classifier, _IMAGE, 1, kind) for kind in _KINDS}
    found |= {name: _of_function(*described) for name, described in _FUNCTIONS.items()}
    found |= {name: _of_keras(build(), batch) for name, (build, batch) in _KERAS.items()}
    np.savez_compressed(
        FILE, **{name: np.frombuffer(content, np.uint8) for name, content in found.items()}
    )


if __name__ == "__main__":
    main()
