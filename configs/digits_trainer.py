"""A small convolutional net for 8x8 digits, exported with a signature whose inputs are tensors.

TFX calls `run_fn`; point `model.trainer.module_file` of a config at a file like this one.
"""

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
    model = build_model()
    model.fit(
        dataset(fn_args.train_files).repeat(),
        steps_per_epoch=fn_args.train_steps,
        validation_data=dataset(fn_args.eval_files),
        verbose=2,
    )
    export(model, fn_args.serving_model_dir)


def dataset(file_patterns: list[str]) -> tf.data.Dataset:
    """Returns shuffled batches of (images, labels)."""
    files = tf.io.gfile.glob(file_patterns)
    # Sorted, because ExampleGen shuffles anew in every run.
    examples = sorted(tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator())
    shuffled = tf.data.Dataset.from_tensor_slices(examples).shuffle(len(examples), seed=1)
    return shuffled.batch(BATCH).map(images_and_labels)


def images_and_labels(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns what the net is trained with from a batch of serialized tf.Examples."""
    features = tf.io.parse_example(serialized, FEATURES)
    return features[IMAGE], features[LABEL]


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


def export(model: tf.keras.Model, path: str) -> None:
    """Saves the model with the signature that is quantized and one for TensorFlow Serving."""

    @tf.function(input_signature=[tf.TensorSpec([None, *SHAPE], tf.float32, name=IMAGE)])
    def serving_tensors(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": model(image, training=False)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serving_default(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        image = tf.io.parse_example(examples, {IMAGE: FEATURES[IMAGE]})[IMAGE]
        return {"probabilities": model(image, training=False)}

    signatures = {"serving_default": serving_default, "serving_tensors": serving_tensors}
    tf.saved_model.save(model, path, signatures=signatures)
