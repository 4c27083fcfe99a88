"""Golden samples: inputs of a model and what it gave for them, to try it with elsewhere.

They are recorded with the reference kernels, which are the same on every processor, and whoever
replays them with these gets the same bits; other kernels round differently, without a bound.

A file holds one tensor of all samples: little-endian values in C order, nothing else, so that a
device can read it with no library. The description of the files is in the manifest of a push.
Nothing here needs TensorFlow but an interpreter of its.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfx_tflite.components.artifact_layout import GOLDEN_DIRECTORY
from tfx_tflite.components.destinations.manifest import Golden, GoldenTensor, KernelsDeviate
from tfx_tflite.components.errors import EvaluationError
from tfx_tflite.components.examples.tensors import Array, Tensors, first_non_finite
from tfx_tflite.components.models.runtime import (
    RunnableModel,
    open_model,
    reproducible_kernels,
)
from tfx_tflite.components.models.tensor_info import batch_size_of
from tfx_tflite.components.versions import Kernels, Runtime


@dataclass(frozen=True)
class GoldenSamples:
    """Inputs and outputs by name, the samples first, in the model's own types.

    Attributes:
        inputs: What the model takes; of shape (samples, …).
        outputs: What it gave; of shape (samples, …).
        batch_size: How many samples were run at once.
        runtime: What it was run with.
    """

    inputs: Tensors
    outputs: Tensors
    batch_size: int
    runtime: Runtime

    @classmethod
    def record(
        cls, content: bytes, inputs: Tensors, kernels: Kernels | None = None
    ) -> "GoldenSamples":
        """Runs a model on some inputs.

        Args:
            content: The flatbuffer.
            kernels: Those of the target. If others cannot be compared with them, or if they are
                None, these are `runtime.reproducible_kernels`.
            inputs: Of the model's own types and of one shape. For a model of a fixed batch size
                their number need not be a multiple of it: samples are left out, or repeated if
                there are too few.

        Raises:
            EvaluationError: An output is NaN or infinite.
        """
        batch_size = batch_size_of(open_model(content)) or 1
        samples = max(1, len(next(iter(inputs.values()))) // batch_size) * batch_size
        rows = {
            name: np.resize(values, (samples, *values.shape[1:])) for name, values in inputs.items()
        }
        if kernels is None or not kernels.are_reproducible:
            one = {name: values[:batch_size] for name, values in rows.items()}
            kernels = reproducible_kernels(content, one)
        outputs = run(open_model(content, kernels), rows, batch_size)
        for name, values in outputs.items():
            if (bad := first_non_finite(values)) is not None:
                raise EvaluationError(
                    f"golden sample {bad}: the quantized model gives {name!r} as NaN or infinity "
                    f"with {Runtime.of(kernels)}"
                )
        return cls(rows, outputs, batch_size, Runtime.of(kernels))

    def write(
        self, directory: Path, place: str = GOLDEN_DIRECTORY, examples: Sequence[str] = ()
    ) -> Golden:
        """Writes the files and returns their description.

        Args:
            directory: Of all that is shipped.
            place: The folder in it; the files' names in the description begin with it.
            examples: The digests of the examples that the samples are.
        """
        (directory / place).mkdir(parents=True, exist_ok=True)
        return Golden(
            samples=len(next(iter(self.inputs.values()))),
            batch_size=self.batch_size,
            runtime=self.runtime,
            inputs=_written(directory, f"{place}/input", self.inputs),
            outputs=_written(directory, f"{place}/output", self.outputs),
            examples=tuple(examples[: len(next(iter(self.inputs.values())))]) or None,
        )


def _written(directory: Path, kind: str, tensors: Tensors) -> tuple[GoldenTensor, ...]:
    found = []
    # A tensor's name may be anything, a file's may not.
    for index, (name, values) in enumerate(sorted(tensors.items())):
        file = f"{kind}_{index}.bin"
        (directory / file).write_bytes(little_endian(values))
        found.append(
            GoldenTensor(
                name=name,
                file=file,
                dtype=values.dtype.name,
                shape=values.shape,
            )
        )
    return tuple(found)


def run(model: RunnableModel, inputs: Tensors, batch_size: int) -> dict[str, Array]:
    """Returns a model's outputs for samples, run in batches of one size.

    Outputs of strings, and those whose shape varies with the input, are left out.

    Args:
        model: The model.
        inputs: By name, the samples first; their number is a multiple of the batch size.
        batch_size: How many are run at once.
    """
    samples = len(next(iter(inputs.values())))
    found: dict[str, list[Array]] = {}
    for start in range(0, samples, batch_size):
        batch = {name: values[start : start + batch_size] for name, values in inputs.items()}
        for name, values in model.run(batch).items():
            found.setdefault(name, []).append(np.atleast_1d(values))
    return {name: np.concatenate(parts) for name, parts in found.items() if _can_be_kept(parts)}


def _can_be_kept(parts: list[Array]) -> bool:
    """Returns whether an output is of numbers, and of one shape whatever the input."""
    return parts[0].dtype.kind in "biuf" and len({part.shape[1:] for part in parts}) == 1


def read(directory: Path, tensors: Sequence[GoldenTensor]) -> dict[str, Array]:
    """Returns tensors of golden samples by name.

    Args:
        directory: Of the version.
        tensors: Their description.

    Raises:
        OSError: A file cannot be read.
        ValueError: It does not hold what the description says.
    """
    return {tensor.name: _read(directory, tensor) for tensor in tensors}


def _read(directory: Path, tensor: GoldenTensor) -> Array:
    dtype = np.dtype(tensor.dtype).newbyteorder("<")
    values = np.fromfile(directory / tensor.file, dtype)
    return values.reshape(tensor.shape).astype(dtype.newbyteorder("="), copy=False)


def is_same(found: Array, recorded: Array) -> bool:
    """Returns whether two tensors are equal to the last bit."""
    return (
        found.shape == recorded.shape
        and found.dtype == recorded.dtype
        and found.tobytes() == recorded.tobytes()
    )


def deviation(found: Tensors, others: Tensors) -> KernelsDeviate:
    """Returns how far a model's outputs with some kernels are from those with others.

    Args:
        found: Finite outputs, by name and of shape (examples, …).
        others: Those with the other kernels, of the same shapes; these outputs are compared.
    """
    pairs = [(found[name], values) for name, values in others.items()]
    if not pairs:
        return KernelsDeviate(examples=0, answers=None, largest=0.0)
    different = np.zeros(len(pairs[0][0]), bool)
    for before, after in pairs:
        if _has_answer(before):
            moved = before.argmax(axis=-1) != after.argmax(axis=-1)
            different |= moved.reshape(len(different), -1).any(axis=1)
    return KernelsDeviate(
        examples=len(different),
        answers=int(different.sum()) if any(_has_answer(before) for before, _ in pairs) else None,
        largest=max(
            float(np.abs(before.astype(np.float64) - after.astype(np.float64)).max(initial=0.0))
            for before, after in pairs
        ),
    )


def _has_answer(values: Array) -> bool:
    return values.ndim > 1 and values.shape[-1] > 1


def little_endian(values: Array) -> bytes:
    """Returns the bytes of a tensor as files of golden samples have them."""
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
