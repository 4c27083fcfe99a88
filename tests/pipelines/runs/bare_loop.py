"""Figures by the plainest means: LiteRT's interpreter as it is by default, and NumPy."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def outputs_of_file(path: Path, examples: np.ndarray) -> dict[str, np.ndarray]:
    """Returns what a TFLite file with one input gives for examples, by the outputs' tensor names.

    Args:
        path: The file.
        examples: Of shape (n, …); they are given together if the file takes any batch size, else
            one by one, reshaped to what it takes, and quantized if need be.
    """
    interpreter = Interpreter(model_path=str(path))
    [taken] = interpreter.get_input_details()
    rows = len(examples) if taken["shape_signature"][0] == -1 else 1
    if rows > 1:
        interpreter.resize_tensor_input(taken["index"], [rows, *taken["shape"][1:]])
    interpreter.allocate_tensors()
    found: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(examples), rows):
        batch = examples[start : start + rows].reshape([rows, *taken["shape"][1:]])
        interpreter.set_tensor(taken["index"], _as_taken(batch, taken))
        interpreter.invoke()
        for given in interpreter.get_output_details():
            values = interpreter.get_tensor(given["index"]).copy()
            found.setdefault(given["name"], []).append(values)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def accuracy_of_file(path: Path, examples: np.ndarray, labels: np.ndarray) -> float:
    """Returns the accuracy of a TFLite file with one input and one output of scores."""
    [scores] = outputs_of_file(path, examples).values()
    return float(np.mean(np.argmax(scores, axis=1) == labels))


def accuracy_of(predict: Callable[[np.ndarray], np.ndarray], images, labels) -> float:
    """Returns the accuracy of a function from images to scores."""
    return float(np.mean(np.argmax(predict(images), axis=1) == labels))


def _as_taken(values: np.ndarray, taken: dict) -> np.ndarray:
    scale, zero_point = taken["quantization"]
    if taken["dtype"] == np.float32:
        return values.astype(np.float32)
    limits = np.iinfo(taken["dtype"])
    # As the runtime does on x86: times the reciprocal, half to even.
    numbers = np.round(values * (np.float32(1) / np.float32(scale))) + zero_point
    return np.clip(numbers, limits.min, limits.max).astype(taken["dtype"])
