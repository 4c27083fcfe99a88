"""What `converter.py` and its child process say to each other.

Messages are small and go through a pipe; tensors and models lie in a request's directory, so that
no side ever blocks on a pipe that the other does not read.
"""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np

from tfx_tflite.components.examples.tensors import Array, Tensors
from tfx_tflite.components.quantization.recipe import Recipe

# Files of a request's directory.
CALIBRATED = "calibrated.tflite"
RESULT = "result.tflite"


@dataclass(frozen=True)
class ConvertRequest:
    """Convert one signature of a SavedModel by the converter's own means.

    Attributes:
        directory: Where the calibration samples lie, if any, and where the result goes.
        saved_model: The float SavedModel.
        signature: The signature to convert.
        recipe: What to make of it.
    """

    directory: Path
    saved_model: str
    signature: str
    recipe: Recipe


@dataclass(frozen=True)
class QuantizeRequest:
    """Quantize a float flatbuffer whose tensors carry their ranges.

    Attributes:
        directory: Where the calibrated model lies and where the result goes.
        recipe: What to make of it.
    """

    directory: Path
    recipe: Recipe


Request = ConvertRequest | QuantizeRequest


class Step(Enum):
    """What the child process was at when something failed."""

    IMPORT = "import"
    CONVERT = "convert"
    WRITE = "write"


@dataclass(frozen=True)
class Done:
    """The child process is ready for a request, or done with one."""


@dataclass(frozen=True)
class Failed:
    """A Python exception ended what the child process was at.

    Attributes:
        step: What it was at.
        kind: The exception's class.
        message: The exception's text.
    """

    step: Step
    kind: str
    message: str

    @classmethod
    def at(cls, step: Step, error: Exception) -> "Failed":
        """Returns an exception as a message."""
        return cls(step, type(error).__name__, str(error))


Answer = Done | Failed


def write_samples(samples: Tensors, directory: Path) -> None:
    """Writes calibration tensors, each of shape (samples, *example_shape), by input name."""
    for index, (name, values) in enumerate(sorted(samples.items())):
        np.save(directory / f"{index}.npy", values)
        (directory / f"{index}.name").write_text(name, encoding="utf-8")


def read_samples(directory: Path) -> dict[str, Array]:
    """Returns calibration tensors by input name, mapped from disk."""
    return {
        name.read_text(encoding="utf-8"): np.load(name.with_suffix(".npy"), mmap_mode="r")
        for name in directory.glob("*.name")
    }
