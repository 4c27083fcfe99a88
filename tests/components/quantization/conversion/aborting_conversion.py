"""A child that converts in ways that end the converter's process.

Run as `python aborting_conversion.py WAY SAVED_MODEL PIPE PARENT`.
"""

import sys

import numpy as np
import tensorflow as tf


def from_saved_model(path: str) -> None:
    """Has TensorFlow read the SavedModel, with batch normalization of Keras 3, by itself."""
    tf.lite.TFLiteConverter.from_saved_model(path, signature_keys=["serving_tensors"]).convert()


def with_infinite_example(path: str) -> None:
    """Calibrates with an image of infinite values."""
    loaded = tf.saved_model.load(path)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [loaded.signatures["serving_tensors"]], loaded
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    image = np.full((1, 8, 8, 1), np.inf, np.float32)
    converter.representative_dataset = lambda: iter([{"image": image}])
    converter.convert()


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
