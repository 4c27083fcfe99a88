"""A net with two outputs: which digit an image shows, and the digit as a number."""

import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

FEATURES = {
    "image": tf.io.FixedLenFeature((8, 8, 1), tf.float32),
    "label": tf.io.FixedLenFeature([], tf.int64),
}


def run_fn(fn_args: FnArgs) -> None:
    """Trains on the train files and exports the model to `fn_args.serving_model_dir`."""
    tf.keras.utils.set_random_seed(1)
    files = tf.io.gfile.glob(fn_args.train_files)
    records = sorted(tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator())
    features = tf.io.parse_example(records, FEATURES)
    model = two_heads()
    model.fit(features["image"], (features["label"], features["label"]), epochs=5, verbose=2)

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 1], tf.float32, name="image")])
    def serving_tensors(image: tf.Tensor) -> dict[str, tf.Tensor]:
        digit, value = model(image, training=False)
        return {"digit": digit, "value": value}

    signatures = {"serving_tensors": serving_tensors}
    tf.saved_model.save(model, fn_args.serving_model_dir, signatures=signatures)


def two_heads() -> tf.keras.Model:
    """Returns the compiled net."""
    layers = tf.keras.layers
    image = tf.keras.Input((8, 8, 1), name="image")
    hidden = layers.Dense(32, activation="relu")(layers.Flatten()(image))
    outputs = [layers.Dense(10, activation="softmax")(hidden), layers.Dense(1)(hidden)]
    model = tf.keras.Model(image, outputs)
    model.compile("adam", loss=["sparse_categorical_crossentropy", "mse"])
    return model
