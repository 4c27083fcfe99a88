"""Figures by the plainest means: an interpreter, one example at a time, and NumPy."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

_RESOLVERS = {
    "builtin": tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "xnnpack": tf.lite.experimental.OpResolverType.AUTO,
}


def accuracy_of_file(
    path: Path, images: np.ndarray, labels: np.ndarray, kernels: str = "builtin"
) -> float:
    """Returns the accuracy of a TFLite file with one input and one output.

    Args:
        path: The file.
        images: Of shape (n, …); they are reshaped to what the file takes, and quantized if need be.
        labels: The classes, of shape (n,).
        kernels: Those that run it: `builtin` ones, or `xnnpack`, the default delegate's.
    """
    interpreter = tf.lite.Interpreter(
        model_path=str(path), experimental_op_resolver_type=_RESOLVERS[kernels]
    )
    interpreter.allocate_tensors()
    [taken], [given] = interpreter.get_input_details(), interpreter.get_output_details()
    right = 0
    for image, label in zip(images, labels, strict=True):
        interpreter.set_tensor(taken["index"], _as_taken(image, taken))
        interpreter.invoke()
        right += int(np.argmax(interpreter.get_tensor(given["index"])[0]) == label)
    return right / len(labels)


def accuracy_of(predict: Callable[[np.ndarray], np.ndarray], images, labels) -> float:
    """Returns the accuracy of a function from images to scores."""
    return float(np.mean(np.argmax(predict(images), axis=1) == labels))


def _as_taken(image: np.ndarray, taken: dict) -> np.ndarray:
    values = image.reshape(taken["shape"])
    scale, zero_point = taken["quantization"]
    if taken["dtype"] == np.float32:
        return values.astype(np.float32)
    limits = np.iinfo(taken["dtype"])
    numbers = np.round(values / np.float32(scale)) + zero_point
    return np.clip(numbers, limits.min, limits.max).astype(taken["dtype"])
