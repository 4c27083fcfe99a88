"""A small convolutional net for 8x8 digits, exported with a signature whose inputs are tensors.

TFX calls `run_fn`; point `model.trainer.module_file` of a config at a file like this one. With
`custom_config: {net: unbalanced}` it trains another net, which int8 takes badly; see `unbalance`.
"""

import itertools

import numpy as np
import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

IMAGE, LABEL = "image", "label"
SHAPE = (8, 8, 1)
CLASSES = 10
BATCH = 64
FEATURES = {
    IMAGE: tf.io.FixedLenFeature(SHAPE, tf.float32),
    LABEL: tf.io.FixedLenFeature([], tf.int64),
}


def run_fn(fn_args: FnArgs) -> None:
    """Trains on the train files and exports the model to `fn_args.serving_model_dir`."""
    tf.keras.utils.set_random_seed(1)
    is_unbalanced = (fn_args.custom_config or {}).get("net") == "unbalanced"
    model = build_separable_model() if is_unbalanced else build_model()
    model.fit(
        dataset(fn_args.train_files).repeat(),
        steps_per_epoch=fn_args.train_steps,
        validation_data=dataset(fn_args.eval_files),
        verbose=2,
    )
    if is_unbalanced:
        unbalance(model)
    export(model, fn_args.serving_model_dir)


def dataset(file_patterns: list[str]) -> tf.data.Dataset:
    """Returns shuffled batches of (images, labels)."""
    files = tf.io.gfile.glob(file_patterns)
    # Sorted, because with `data.shuffle` ExampleGen gives another order in every run.
    examples = sorted(tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator())
    features = tf.io.parse_example(examples, FEATURES)
    images_and_labels = tf.data.Dataset.from_tensor_slices((features[IMAGE], features[LABEL]))
    return images_and_labels.shuffle(len(examples), seed=1).batch(BATCH)


def build_model() -> tf.keras.Model:
    """Returns the compiled net."""
    layers = tf.keras.layers
    model = tf.keras.Sequential([tf.keras.Input(SHAPE, name=IMAGE)])
    for filters in (16, 32):
        model.add(layers.Conv2D(filters, 3, padding="same", use_bias=False))
        model.add(layers.BatchNormalization(momentum=0.9))
        model.add(layers.ReLU())
    model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dense(CLASSES, activation="softmax", name="probabilities"))
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def build_separable_model() -> tf.keras.Model:
    """Returns a compiled net with swish, each activation of which is normalized."""
    layers = tf.keras.layers
    model = tf.keras.Sequential([tf.keras.Input(SHAPE, name=IMAGE)])
    model.add(layers.Conv2D(16, 3, padding="same", activation="swish"))
    model.add(layers.BatchNormalization(momentum=0.9))
    for filters in (32, 32):
        model.add(layers.DepthwiseConv2D(3, padding="same", activation="swish"))
        model.add(layers.BatchNormalization(momentum=0.9))
        model.add(layers.Conv2D(filters, 1, activation="swish"))
        model.add(layers.BatchNormalization(momentum=0.9))
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(CLASSES, activation="softmax", name="probabilities"))
    optimizer = tf.keras.optimizers.Adam(0.01)
    model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def unbalance(model: tf.keras.Model) -> None:
    """Makes channels up to 2^4 times as large or small, and the next layer undo it.

    The net computes the same. Large nets become like that in training; 8 bits, which all channels
    of a tensor share, are then too few for most of them.
    """
    layers = [layer for layer in model.layers if layer.weights]
    random = np.random.default_rng(0)
    for layer, reader in itertools.pairwise(layers):
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            channels = layer.gamma.shape[0]
            sizes = 2.0 ** random.uniform(-4, 4, channels)
            layer.gamma.assign(layer.gamma * sizes)
            layer.beta.assign(layer.beta * sizes)
            # The axis before the last of any kernel is that of the channels it reads.
            kernel = reader.weights[0]
            kernel.assign(kernel / sizes.reshape(-1, 1))


def export(model: tf.keras.Model, path: str) -> None:
    """Saves the model with the signature that is quantized and one for TensorFlow Serving."""

    @tf.function(input_signature=[tf.TensorSpec([None, *SHAPE], tf.float32, name=IMAGE)])
    def serving_tensors(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": model(image, training=False)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serving_default(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return serving_tensors(tf.io.parse_example(examples, {IMAGE: FEATURES[IMAGE]})[IMAGE])

    signatures = {"serving_default": serving_default, "serving_tensors": serving_tensors}
    tf.saved_model.save(model, path, signatures=signatures)
