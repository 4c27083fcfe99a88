"""Golden samples: inputs of a model and what it gave for them, to try it with elsewhere.

A file holds one tensor of all samples: little-endian values in C order, nothing else, so that a
device can read it with no library. The description of the files is in the manifest of a push.
Nothing here needs TensorFlow; an interpreter is TensorFlow's or LiteRT's, which are alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

DIRECTORY = "golden"
# How far another machine's kernels may be off: this share of an integer type's range, and at least
# a step, or of the span of an output's recorded values; and floats by their own rounding.
_TOLERANCE = 0.01
_ROUNDING = 1e-5


@dataclass(frozen=True)
class GoldenSamples:
    """Inputs and outputs by name, the samples first, in the model's own types.

    Attributes:
        inputs: What the model takes; of shape (samples, …).
        outputs: What it gave; of shape (samples, …).
        batch_size: How many samples were run at once.
    """

    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]
    batch_size: int

    @classmethod
    def record(cls, interpreter: Any, inputs: Mapping[str, np.ndarray]) -> "GoldenSamples":
        """Runs a model on some inputs.

        Args:
            interpreter: An interpreter of the model.
            inputs: Of the model's own types. For a model of a fixed batch size their number need
                not be a multiple of it: samples are left out, or repeated where there are too few.
        """
        details = interpreter.get_signature_runner().get_input_details()
        batch_size = max(1, *(int(detail["shape_signature"][0]) for detail in details.values()))
        samples = max(1, len(next(iter(inputs.values()))) // batch_size) * batch_size
        rows = {
            name: np.resize(values, (samples, *values.shape[1:])) for name, values in inputs.items()
        }
        return cls(rows, run(interpreter, rows, batch_size), batch_size)

    def write(self, directory: Path) -> dict[str, Any]:
        """Writes the files into a directory and returns their description, ready for JSON.

        Args:
            directory: Where to; the files' names in the description begin with `DIRECTORY`.
        """
        directory.mkdir(parents=True, exist_ok=True)

        def written(kind: str, tensors: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
            found = []
            # A tensor's name may be anything, a file's may not.
            for index, (name, values) in enumerate(sorted(tensors.items())):
                file = f"{kind}_{index}.bin"
                (directory / file).write_bytes(_little_endian(values))
                found.append(
                    {
                        "name": name,
                        "file": f"{DIRECTORY}/{file}",
                        "dtype": values.dtype.name,
                        "shape": list(values.shape),
                    }
                )
            return found

        outputs = written("output", self.outputs)
        for entry in outputs:
            entry["tolerance"] = _tolerance(self.outputs[entry["name"]])
        return {
            "samples": len(next(iter(self.inputs.values()))),
            "batch_size": self.batch_size,
            "inputs": written("input", self.inputs),
            "outputs": outputs,
        }


def run(
    interpreter: Any, inputs: Mapping[str, np.ndarray], batch_size: int
) -> dict[str, np.ndarray]:
    """Returns a model's outputs for samples, run in batches of one size.

    Outputs of strings, and those whose shape varies with the input, are left out.

    Args:
        interpreter: An interpreter of the model.
        inputs: By name, the samples first; their number is a multiple of the batch size.
        batch_size: How many are run at once.
    """
    runner = interpreter.get_signature_runner()
    samples = len(next(iter(inputs.values())))
    found: dict[str, list[np.ndarray]] = {}
    for start in range(0, samples, batch_size):
        batch = {name: values[start : start + batch_size] for name, values in inputs.items()}
        for name, values in runner(**batch).items():
            found.setdefault(name, []).append(np.atleast_1d(values).copy())
    return {name: np.concatenate(parts) for name, parts in found.items() if _can_be_kept(parts)}


def _can_be_kept(parts: list[np.ndarray]) -> bool:
    """Returns whether an output is of numbers, and of one shape whatever the input."""
    return parts[0].dtype.kind in "biuf" and len({part.shape[1:] for part in parts}) == 1


def read(directory: Path, entry: Mapping[str, Any]) -> np.ndarray:
    """Returns one tensor of golden samples.

    Args:
        directory: Of the version.
        entry: The tensor's description.

    Raises:
        OSError: The file cannot be read.
        ValueError: It does not hold what the description says.
    """
    dtype = np.dtype(entry["dtype"]).newbyteorder("<")
    values = np.fromfile(directory / entry["file"], dtype)
    return values.reshape(entry["shape"]).astype(dtype.newbyteorder("="), copy=False)


def deviation(found: np.ndarray, recorded: np.ndarray) -> float:
    """Returns the largest absolute difference; infinite where shapes or what is finite differ."""
    if found.shape != recorded.shape:
        return float("inf")
    wide = [values.astype(np.float64) for values in (found, recorded)]
    same = (wide[0] == wide[1]) | (np.isnan(wide[0]) & np.isnan(wide[1]))
    difference = np.where(same, 0.0, np.abs(wide[0] - wide[1]))
    return float(np.nan_to_num(difference, nan=np.inf).max(initial=0.0))


def _little_endian(values: np.ndarray) -> bytes:
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()


def _tolerance(recorded: np.ndarray) -> float:
    if np.issubdtype(recorded.dtype, np.integer):
        limits = np.iinfo(recorded.dtype)
        # Wider integers are not quantized values but counts or classes.
        steps = int(_TOLERANCE * (int(limits.max) - int(limits.min)))
        return float(max(1, steps)) if limits.bits <= 16 else 0.0
    if not np.issubdtype(recorded.dtype, np.floating):
        return 0.0
    finite = recorded[np.isfinite(recorded)].astype(np.float64)
    if not finite.size:
        return 0.0
    return float(_TOLERANCE * np.ptp(finite) + _ROUNDING * np.abs(finite).max() + 1e-6)
