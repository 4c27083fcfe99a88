"""The nets of the bed: trained, then damaged in ways that change no float result.

A channel that is multiplied before a ReLU, and divided by the same in the weights of what reads
it, changes nothing in float. In int8 all channels of a tensor have one scale, and the small ones
are lost.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tests.components.quantization_tuner.bed import data
from tests.components.quantization_tuner.bed.data import Array, Splits

keras = tf.keras
layers = tf.keras.layers
_IMAGE = (10, 10, 1)
_CLASSES = 10


def _fitted(model: keras.Model, splits: Splits, epochs: int) -> keras.Model:
    """Trains a net on a data set's first split and returns it."""
    is_regression = splits.train.labels.dtype.kind == "f"
    loss = "mse" if is_regression else "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(0.003), loss=loss)
    inputs = dict(splits.train.inputs)
    given = inputs if len(inputs) > 1 else inputs["x"]
    model.fit(given, splits.train.labels, batch_size=64, epochs=epochs, verbose=0)
    return model


def _factors(channels: int, octaves: float, seed: int) -> Array:
    """Returns a factor for each channel, up to so many octaves above and below 1."""
    return 2.0 ** np.random.default_rng(seed).uniform(-octaves, octaves, channels)


def _multiply_outputs(layer: layers.Layer, factors: Array) -> None:
    """Multiplies what a layer with weights, or a batch normalization, gives in each channel."""
    if isinstance(layer, layers.BatchNormalization):
        gamma, beta, mean, variance = layer.get_weights()
        layer.set_weights([gamma * factors, beta * factors, mean, variance])
        return
    kernel, *biases = layer.get_weights()
    if isinstance(layer, layers.DepthwiseConv2D):
        kernel = kernel * factors[:, None]
    else:
        kernel = kernel * factors
    layer.set_weights([kernel, *(bias * factors for bias in biases)])


def _divide_inputs(layer: layers.Layer, factors: Array) -> None:
    """Divides the weights that each channel of a layer's input is multiplied by.

    Of a dense layer behind a reshape, the channels are the innermost axis of what it flattened.
    """
    kernel, *biases = layer.get_weights()
    if isinstance(layer, layers.Dense):
        kernel = kernel / np.tile(factors, len(kernel) // len(factors))[:, None]
    else:
        kernel = kernel / factors[:, None]
    layer.set_weights([kernel, *biases])


def _rescale(model: keras.Model, writer: str, reader: str, octaves: float, seed: int) -> None:
    """Rescales the channels between two layers of a net."""
    channels = model.get_layer(reader).input.shape[-1]
    if isinstance(model.get_layer(reader), layers.Dense):
        channels = model.get_layer(writer).output.shape[-1]
    factors = _factors(channels, octaves, seed)
    _multiply_outputs(model.get_layer(writer), factors)
    _divide_inputs(model.get_layer(reader), factors)


def _normalize_inside(model: keras.Model, splits: Splits, first: str) -> None:
    """Has a net's first dense layer, trained on standardised features, take them in their units."""
    mean, spread = data.moments(splits)
    layer = model.get_layer(first)
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel / spread[:, None], bias - (mean / spread) @ kernel])


def _conv_bn_relu(x: tf.Tensor, name: str, conv: layers.Layer) -> tf.Tensor:
    return layers.ReLU()(layers.BatchNormalization(name=f"{name}_bn", momentum=0.9)(conv(x)))


def mobile_net() -> keras.Model:
    """Returns pairs of depthwise and pointwise convolutions, each with batch normalization."""
    inputs = keras.Input(_IMAGE, name="x")
    conv = layers.Conv2D(16, 3, padding="same", use_bias=False, name="stem")
    x = _conv_bn_relu(inputs, "stem", conv)
    for number, (filters, strides) in enumerate([(24, 2), (32, 1), (32, 2)], start=1):
        depthwise = layers.DepthwiseConv2D(
            3, strides, padding="same", use_bias=False, name=f"depthwise{number}"
        )
        x = _conv_bn_relu(x, f"depthwise{number}", depthwise)
        pointwise = layers.Conv2D(filters, 1, use_bias=False, name=f"pointwise{number}")
        x = _conv_bn_relu(x, f"pointwise{number}", pointwise)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(_CLASSES, activation="softmax", name="head")(x))


def rescaled_mobile_net(seed: int = 0) -> keras.Model:
    """The channels that enter and leave the second depthwise convolution are rescaled."""
    model = _fitted(mobile_net(), data.digits(), epochs=10)
    _rescale(model, "pointwise1_bn", "depthwise2", octaves=5, seed=seed)
    _rescale(model, "depthwise2_bn", "pointwise2", octaves=5, seed=seed + 1)
    return model


def outlier_weights(seed: int = 0) -> keras.Model:
    """Three units of a dense layer have a large weight for a pixel that is never lit."""
    inputs = keras.Input(_IMAGE, name="x")
    x = layers.Flatten()(inputs)
    x = layers.Dense(48, activation="relu", name="wide")(x)
    x = layers.Dense(32, activation="relu")(x)
    outputs = layers.Dense(_CLASSES, activation="softmax")(x)
    model = _fitted(keras.Model(inputs, outputs), data.digits(), epochs=30)
    splits = data.digits()
    seen = np.concatenate([each.inputs["x"] for each in (splits.train, splits.tuning, splits.eval)])
    dark = np.flatnonzero(seen.reshape(len(seen), -1).max(axis=0) == 0)
    layer = model.get_layer("wide")
    kernel, bias = layer.get_weights()
    generator = np.random.default_rng(seed)
    for unit in generator.permutation(kernel.shape[1])[:3]:
        kernel[generator.choice(dark), unit] = 25 * np.abs(kernel).max(initial=0, where=kernel < 5)
    layer.set_weights([kernel, bias])
    return model


def raw_units(seed: int = 0) -> keras.Model:
    """Wines by measurements in their own units: proline in hundreds, hue about 1."""
    inputs = keras.Input((13,), name="x")
    x = layers.Dense(64, activation="relu", name="first")(inputs)
    x = layers.Dense(32, activation="relu")(x)
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(x))
    _fitted(model, data.standardised(data.wine()), epochs=10)
    _normalize_inside(model, data.wine(), "first")
    return model


def normalization_layer(seed: int = 0) -> keras.Model:
    """Cells by measurements in their own units, standardised by the net's first layer."""
    mean, spread = data.moments(data.cells())
    inputs = keras.Input((30,), name="x")
    x = layers.Normalization(mean=mean, variance=spread**2)(inputs)
    x = layers.Dense(16, activation="relu")(x)
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(x))
    return _fitted(model, data.cells(), epochs=8)


def _activated(activation: str, padding: str) -> keras.Model:
    """Returns a net with a batch normalization after each of two activations."""
    inputs = keras.Input(_IMAGE, name="x")
    x = layers.Conv2D(16, 3, padding="same", activation=activation)(inputs)
    x = layers.BatchNormalization(name="norm1", momentum=0.9)(x)
    x = layers.Conv2D(24, 3, 2, padding=padding, activation=activation, name="conv2")(x)
    x = layers.BatchNormalization(name="norm2", momentum=0.9)(x)
    x = layers.Conv2D(32, 3, padding=padding, activation=activation, name="conv3")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(_CLASSES, activation="softmax")(x))


def swish(seed: int = 0) -> keras.Model:
    """What comes out of the batch normalizations after swish is rescaled; images are padded."""
    model = _fitted(_activated("swish", "same"), data.digits(), epochs=8)
    _rescale(model, "norm1", "conv2", octaves=4, seed=seed)
    _rescale(model, "norm2", "conv3", octaves=4, seed=seed + 1)
    return model


def hard_swish(seed: int = 0) -> keras.Model:
    """As `swish`, with hard-swish; nothing is padded."""
    model = _fitted(_activated("hard_swish", "valid"), data.digits(), epochs=8)
    _rescale(model, "norm1", "conv2", octaves=4, seed=seed)
    _rescale(model, "norm2", "conv3", octaves=4, seed=seed + 1)
    return model


def autoencoder(seed: int = 0) -> keras.Model:
    """Dense layers whose units are rescaled, so that rows of weights are as unlike as units."""
    inputs = keras.Input((100,), name="x")
    x = layers.Dense(64, activation="relu", name="encoder1")(inputs)
    x = layers.Dense(24, activation="relu", name="encoder2")(x)
    x = layers.Dense(64, activation="relu", name="decoder1")(x)
    model = keras.Model(inputs, layers.Dense(100, name="decoder2")(x))
    _fitted(model, data.reconstruction(), epochs=40)
    _rescale(model, "encoder1", "encoder2", octaves=3, seed=seed)
    _rescale(model, "decoder1", "decoder2", octaves=3, seed=seed + 1)
    return model


def _residual() -> keras.Model:
    inputs = keras.Input(_IMAGE, name="x")
    x = layers.Conv2D(16, 3, 2, padding="same", activation="relu")(inputs)
    for number in (1, 2):
        y = layers.Conv2D(16, 3, padding="same", activation="relu", name=f"inner{number}")(x)
        y = layers.Conv2D(16, 3, padding="same", name=f"outer{number}")(y)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(_CLASSES, activation="softmax")(x))


def residual(seed: int = 0) -> keras.Model:
    """Two residual blocks, as they are."""
    return _fitted(_residual(), data.digits(), epochs=15)


def rescaled_residual(seed: int = 0) -> keras.Model:
    """The channels inside the branches of two residual blocks are rescaled."""
    model = residual()
    _rescale(model, "inner1", "outer1", octaves=5, seed=seed)
    _rescale(model, "inner2", "outer2", octaves=5, seed=seed + 1)
    return model


def _padded_depthwise() -> keras.Model:
    inputs = keras.Input(_IMAGE, name="x")
    x = layers.Conv2D(24, 3, padding="same", activation="relu", name="stem")(inputs)
    x = layers.ZeroPadding2D(1)(x)
    x = layers.DepthwiseConv2D(3, 2, activation="relu", name="depthwise")(x)
    x = layers.Conv2D(16, 1, activation="relu", name="pointwise")(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    return keras.Model(inputs, layers.Dense(_CLASSES, activation="softmax", name="head")(x))


def depthwise(seed: int = 0) -> keras.Model:
    """A depthwise convolution behind explicit padding, as it is."""
    return _fitted(_padded_depthwise(), data.digits(), epochs=25)


def imbalanced_depthwise(seed: int = 0) -> keras.Model:
    """Channels are rescaled that reach their reader through padding, or pooling and a reshape."""
    model = depthwise()
    _rescale(model, "stem", "depthwise", octaves=5, seed=seed)
    _rescale(model, "pointwise", "head", octaves=4, seed=seed + 1)
    return model


def mixed_inputs(seed: int = 0) -> keras.Model:
    """Patients by measurements in their own units, each an input of its own, put together."""
    splits = data.separate_patients()
    inputs = {name: keras.Input((1,), name=name) for name in splits.train.inputs}
    together = layers.Concatenate()(list(inputs.values()))
    taken = keras.Input((len(inputs),))
    hidden = layers.Dense(64, activation="relu", name="first")(taken)
    hidden = layers.Dense(32, activation="relu")(hidden)
    core = keras.Model(taken, layers.Dense(1)(hidden))
    standard = data.standard_patients()
    core.compile(keras.optimizers.Adam(0.003), loss="mse")
    core.fit(standard.train.inputs["x"], standard.train.labels, epochs=5, verbose=0)
    _normalize_inside(core, data.patients(), "first")
    return keras.Model(inputs, core(together))


def convolution(seed: int = 0) -> keras.Model:
    """Two convolutions and pooling."""
    inputs = keras.Input(_IMAGE, name="x")
    x = layers.Conv2D(16, 3, activation="relu")(inputs)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(24, 3, activation="relu")(x)
    outputs = layers.Dense(_CLASSES, activation="softmax")(layers.Flatten()(x))
    return _fitted(keras.Model(inputs, outputs), data.digits(), epochs=25)


def calibration_outliers(seed: int = 0) -> keras.Model:
    """The net `convolution`, whose calibration examples are damaged."""
    return convolution()


def layer_normalization(seed: int = 0) -> keras.Model:
    """Rows of pixels with layer normalization, which takes away what is added to all channels."""
    inputs = keras.Input((10, 10), name="x")
    x = layers.LayerNormalization(name="norm1")(layers.Dense(24, name="embedding")(inputs))
    x = layers.Dense(24, activation="relu")(x)
    x = layers.LayerNormalization(name="norm2")(x)
    outputs = layers.Dense(_CLASSES, activation="softmax")(layers.Flatten()(x))
    model = _fitted(keras.Model(inputs, outputs), data.exposures(), epochs=30)
    layer = model.get_layer("embedding")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, bias + 30])
    return model


def dense(seed: int = 0) -> keras.Model:
    """Cells by standardised measurements."""
    inputs = keras.Input((30,), name="x")
    x = layers.Dense(16, activation="relu")(inputs)
    x = layers.Dense(8, activation="relu")(x)
    outputs = layers.Dense(2, activation="softmax")(x)
    return _fitted(keras.Model(inputs, outputs), data.standard_cells(), epochs=8)


def batch_normalization(seed: int = 0) -> keras.Model:
    """Convolution, batch normalization and ReLU, twice."""
    inputs = keras.Input(_IMAGE, name="x")
    x = inputs
    for number, strides in enumerate((2, 1), start=1):
        conv = layers.Conv2D(24, 3, strides, padding="same", use_bias=False)
        x = _conv_bn_relu(x, f"conv{number}", conv)
    x = layers.GlobalAveragePooling2D()(x)
    outputs = layers.Dense(_CLASSES, activation="softmax")(x)
    return _fitted(keras.Model(inputs, outputs), data.digits(), epochs=25)


def regression(seed: int = 0) -> keras.Model:
    """Patients by standardised measurements."""
    inputs = keras.Input((10,), name="x")
    x = layers.Dense(16, activation="relu")(inputs)
    model = keras.Model(inputs, layers.Dense(1)(x))
    return _fitted(model, data.standard_patients(), epochs=15)


Build = Callable[..., keras.Model]


def trained(build: Build, seed: int = 0) -> keras.Model:
    """Returns a net, trained from a seed and damaged by it."""
    keras.utils.set_random_seed(seed)
    return build(seed)
