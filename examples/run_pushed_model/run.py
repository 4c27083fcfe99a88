"""Runs the current version of a pushed model on the samples that were pushed with it.

    python run.py DESTINATION

Needed: `pip install ai-edge-litert numpy`. Neither TensorFlow nor tfx-tflite is.
"""

import json
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def main(destination: Path) -> None:
    """Prints what the model answers to each sample, and what it answered when it was pushed."""
    # One line with the number of the current version. A version never changes once it is there.
    version = destination / (destination / "LATEST").read_text().strip()
    manifest = json.loads((version / "manifest.json").read_text())
    model = Interpreter(str(version / "model.tflite")).get_signature_runner()
    golden, signature = manifest["golden"], manifest["signature"]
    given = [
        real(samples(version, told), tensor)
        for told, tensor in zip(golden["inputs"], signature["inputs"], strict=True)
    ]
    for row in range(golden["samples"]):
        answers = model(
            **{
                tensor["name"]: quantized(values[row : row + 1], tensor)
                for values, tensor in zip(given, signature["inputs"], strict=True)
            }
        )
        for told, tensor in zip(golden["outputs"], signature["outputs"], strict=True):
            answer = real(answers[tensor["name"]][0], tensor)
            pushed = real(samples(version, told)[row], tensor)
            print(f"sample {row}: {answer.argmax()} (when it was pushed: {pushed.argmax()})")


def samples(version: Path, told: dict) -> np.ndarray:
    """Returns the values of one tensor for all samples, as the manifest describes their file."""
    values = np.fromfile(version / told["file"], told["dtype"])
    return values.reshape(told["shape"])


def quantized(values: np.ndarray, tensor: dict) -> np.ndarray:
    """Returns real values as the model takes them: real = scale x (integer - zero point)."""
    if not tensor["scale"]:
        return values.astype(tensor["dtype"])
    limits = np.iinfo(tensor["dtype"])
    integers = np.round(values / tensor["scale"]) + tensor["zero_point"]
    return np.clip(integers, limits.min, limits.max).astype(tensor["dtype"])


def real(values: np.ndarray, tensor: dict) -> np.ndarray:
    """Returns the real values that integers of the model stand for."""
    if not tensor["scale"]:
        return values
    return (values.astype(np.float32) - tensor["zero_point"]) * tensor["scale"]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
