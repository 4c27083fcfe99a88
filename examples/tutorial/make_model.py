"""Writes what the tutorial begins with: a trained SavedModel, and the examples to judge it on.

    python make_model.py DIRECTORY

leaves `DIRECTORY/model`, a SavedModel as Keras exports it, and TFRecords of tf.Example in
`DIRECTORY/data/train` and `DIRECTORY/data/eval`. The data are the handwritten digits that
scikit-learn carries: images of 8 x 8 pixels from 0 to 1, and the digit that each shows.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SHAPE = (8, 8, 1)


def main(directory: Path) -> None:
    """Trains the model and writes it and its data."""
    digits = load_digits()
    images = (digits.data / 16).astype(np.float32).reshape(-1, *SHAPE)
    parts = train_test_split(images, digits.target, test_size=0.25, random_state=0)
    train_images, eval_images, train_labels, eval_labels = parts
    model = trained(train_images, train_labels)
    model.export(str(directory / "model"), verbose=False)
    write(directory / "data" / "train", train_images, train_labels)
    write(directory / "data" / "eval", eval_images, eval_labels)
    _, accuracy = model.evaluate(eval_images, eval_labels, verbose=0)
    print(f"a model that is right on {accuracy:.1%} of {len(eval_labels)} images")


def trained(images: np.ndarray, labels: np.ndarray) -> tf.keras.Model:
    """Returns a small convolutional net that was trained on the images."""
    tf.keras.utils.set_random_seed(1)
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            # The name of the input is the name of the feature that it is filled from.
            tf.keras.Input(SHAPE, name="image"),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(images, labels, batch_size=32, epochs=10, verbose=0)
    return model


def write(directory: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Writes examples with the features `image` and `label` to one TFRecord file."""
    directory.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(directory / "examples.tfrecord")) as writer:
        for image, label in zip(images, labels, strict=True):
            features = {
                "image": tf.train.Feature(float_list=tf.train.FloatList(value=image.ravel())),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
