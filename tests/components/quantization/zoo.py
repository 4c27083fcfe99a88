"""Small real models of every kind that people quantize, each as a function that builds it."""

import importlib.util
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

keras = tf.keras
layers = tf.keras.layers

IMAGE = (16, 16, 3)

_IS_2_21 = tuple(map(int, tf.__version__.split(".")[:2])) >= (2, 21)
# TensorFlow 2.16's quantizer leaves square roots in float.
HAS_INTEGER_SQRT = _IS_2_21
# 2.16's converter never ends.
CONVERTS_FUSED_LSTM_TO_FLOAT16 = _IS_2_21
# 2.16's ends the process on a Keras 3 model with batch normalization, in `from_saved_model`.
CONVERTS_FROM_SAVED_MODEL = _IS_2_21


def convolutions() -> keras.Model:
    x = inputs = keras.Input(IMAGE, name="image")
    for filters in (8, 16):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU(6.0)(x)
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(layers.Flatten()(x)))


def depthwise() -> keras.Model:
    inputs = keras.Input(IMAGE, name="image")
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu6")(inputs)
    x = layers.SeparableConv2D(8, 3)(x)
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x))


def residual() -> keras.Model:
    inputs = keras.Input(IMAGE, name="image")
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    y = layers.Conv2D(8, 3, padding="same")(x)
    x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.AveragePooling2D(2)(layers.MaxPooling2D()(x))
    return keras.Model(inputs, layers.Dense(4)(layers.Flatten()(x)))


def swish() -> keras.Model:
    inputs = keras.Input(IMAGE, name="image")
    x = layers.Conv2D(8, 3, activation="swish")(inputs)
    x = layers.Conv2D(8, 3, activation="hard_swish")(x)
    x = layers.LeakyReLU(0.1)(x)
    x = layers.PReLU(shared_axes=[1, 2])(x)
    return keras.Model(inputs, layers.GlobalMaxPooling2D()(x))


def concatenation() -> keras.Model:
    inputs = keras.Input(IMAGE, name="image")
    x = layers.Conv2D(4, 1, activation="relu")(inputs)
    y = layers.Conv2D(4, 3, padding="same", activation="tanh")(inputs)
    x = layers.Concatenate()([x, y, inputs])
    return keras.Model(inputs, layers.Conv2D(2, 1, activation="sigmoid")(x))


def upsampling() -> keras.Model:
    inputs = keras.Input(IMAGE, name="image")
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(inputs)
    x = layers.UpSampling2D(interpolation="bilinear")(x)
    x = layers.UpSampling2D(interpolation="nearest")(x)
    return keras.Model(inputs, layers.Conv2D(3, 1)(x))


def transposed_convolution() -> keras.Model:
    inputs = keras.Input(IMAGE, batch_size=1, name="image")
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(inputs)
    x = layers.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu")(x)
    return keras.Model(inputs, layers.Conv2DTranspose(3, 2, use_bias=False)(x))


def convolutions_of_other_ranks() -> keras.Model:
    inputs = keras.Input((8, 8, 8, 2), name="volume")
    x = layers.Conv3D(8, 3, activation="relu")(inputs)
    x = layers.Reshape((36, 48))(x)
    x = layers.Conv1D(8, 3, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling1D()(x)))


def lstm() -> keras.Model:
    inputs = keras.Input((8, 6), batch_size=1, name="sequence")
    x = layers.LSTM(12, return_sequences=True)(inputs)
    return keras.Model(inputs, layers.Dense(3)(layers.LSTM(8)(x)))


def unrolled_lstm() -> keras.Model:
    inputs = keras.Input((4, 6), name="sequence")
    return keras.Model(inputs, layers.Dense(3)(layers.LSTM(12, unroll=True)(inputs)))


def unrolled_gru() -> keras.Model:
    inputs = keras.Input((4, 6), name="sequence")
    return keras.Model(inputs, layers.Dense(3)(layers.GRU(12, unroll=True)(inputs)))


def attention() -> keras.Model:
    inputs = keras.Input((8, 16), name="sequence")
    x = layers.MultiHeadAttention(2, 8)(inputs, inputs)
    x = layers.LayerNormalization()(layers.Add()([x, inputs]))
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(x[:, 0]))


def embedding() -> keras.Model:
    inputs = keras.Input((8,), dtype="int32", name="tokens")
    x = layers.Embedding(100, 16)(inputs)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(x))


def dense_heads() -> keras.Model:
    inputs = keras.Input((32,), name="row")
    x = layers.Dense(64, activation="relu")(inputs)
    heads = {
        name: layers.Dense(3, activation=name, name=name)(x)
        for name in ("softmax", "sigmoid", "tanh")
    }
    return keras.Model(inputs, heads)


def several_inputs() -> keras.Model:
    image, row = keras.Input(IMAGE, name="image"), keras.Input((8,), name="row")
    x = layers.Flatten()(layers.Conv2D(4, 3, strides=4, activation="relu")(image))
    x = layers.Concatenate()([x, layers.Dense(8, activation="relu")(row)])
    return keras.Model([image, row], {"a": layers.Dense(2)(x), "b": layers.Dense(3)(x)})


def mobilenet() -> keras.Model:
    return keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, weights=None, classes=10)


def fused_lstm() -> keras.Model:
    """Keras 2, which marks its LSTM for TensorFlow Lite to fuse."""
    keras_2 = importlib.import_module("tf_keras")
    inputs = keras_2.Input((8, 6), batch_size=1, name="sequence")
    return keras_2.Model(inputs, keras_2.layers.Dense(3)(keras_2.layers.LSTM(64)(inputs)))


def pieces(x: tf.Tensor) -> dict[str, tf.Tensor]:
    left, right = tf.split(x, 2, axis=-1)
    padded = tf.pad(left, [[0, 0], [1, 1], [1, 1], [0, 0]])
    return {"a": padded[:, 1:, :-1], "b": tf.transpose(right, [0, 2, 1, 3])}


def rearranged(x: tf.Tensor) -> dict[str, tf.Tensor]:
    a = tf.nn.space_to_depth(x, 2)
    b = tf.unstack(tf.reshape(a, [-1, 8, 8, 16])[..., :2], axis=-1)
    return {"a": tf.stack(b, axis=1), "b": tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT")}


def best_class(x: tf.Tensor) -> dict[str, tf.Tensor]:
    scores = tf.reduce_mean(tf.nn.relu(x), axis=[1, 2])
    return {"label": tf.argmax(scores, axis=-1), "score": tf.reduce_max(scores, axis=-1)}


def arithmetic(x: tf.Tensor) -> dict[str, tf.Tensor]:
    y = tf.maximum(x * 0.5 - 1.0, tf.minimum(x, 0.3))
    return {"a": tf.abs(y) / 3.0, "b": tf.reduce_sum(y, axis=-1), "c": tf.where(x > 0.1, x, y)}


def normalised(x: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"a": tf.math.l2_normalize(tf.reduce_mean(x, axis=[1, 2]), axis=-1)}


def batch_matmul(x: tf.Tensor) -> dict[str, tf.Tensor]:
    weights = np.random.default_rng(0).normal(size=(1, 16, 4, 64)).astype(np.float32)
    return {"a": tf.matmul(x, tf.constant(weights)), "b": tf.matmul(x, x, transpose_b=True)}


def roots(x: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"a": tf.math.rsqrt(tf.abs(x) + 1.0) + tf.exp(-tf.abs(x)), "b": tf.sqrt(tf.abs(x))}


def sines(x: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"a": tf.sin(x) + tf.cos(x), "b": tf.math.floormod(x, 3.0)}


KERAS: Mapping[str, Callable[[], keras.Model]] = {
    build.__name__: build
    for build in (
        convolutions,
        depthwise,
        residual,
        swish,
        concatenation,
        upsampling,
        transposed_convolution,
        convolutions_of_other_ranks,
        lstm,
        unrolled_lstm,
        unrolled_gru,
        attention,
        embedding,
        dense_heads,
        several_inputs,
        mobilenet,
        *([fused_lstm] if importlib.util.find_spec("tf_keras") else []),
    )
}
# Functions of one image.
FUNCTIONS: Mapping[str, Callable[[tf.Tensor], dict[str, tf.Tensor]]] = {
    function.__name__: function
    for function in (
        pieces,
        rearranged,
        best_class,
        arithmetic,
        normalised,
        batch_matmul,
        roots,
        sines,
    )
}


def export(name: str, path: str) -> None:
    """Saves a model of the zoo with the signature `serving_tensors`."""
    module = tf.Module()
    if name in KERAS:
        module.model = model = KERAS[name]()
        specs = [
            tf.TensorSpec(tensor.shape, tensor.dtype, name=tensor.name.split(":")[0])
            for tensor in model.inputs
        ]

        def function(*x: tf.Tensor) -> object:
            found = model(x[0] if len(x) == 1 else list(x))
            return found if isinstance(found, dict) else {"output": found}
    else:
        specs = [tf.TensorSpec([None, *IMAGE[:2], 4], tf.float32, name="x")]
        function = FUNCTIONS[name]
    module.function = tf.function(function, input_signature=specs)
    tf.saved_model.save(module, path, signatures={"serving_tensors": module.function})
