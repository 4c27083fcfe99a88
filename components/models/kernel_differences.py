"""How far the kernels that judge a model are from the reference kernels."""

import time
from collections.abc import Iterable

import numpy as np

from tfx_tflite.components.destinations.manifest import KernelComparison
from tfx_tflite.components.examples.tensors import Array, Tensors
from tfx_tflite.components.models.golden_samples import deviation
from tfx_tflite.components.models.runtime import reproducible_kernels
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.versions import Runtime

# Reference kernels are slow, so that a large net is compared on fewer examples.
_AT_ONCE = 20
_SECONDS = 10.0


def compare(model: TFLiteModel, inputs: Tensors, outputs: Tensors, most: int) -> KernelComparison:
    """Returns how far a model's kernels are from the reference kernels.

    Args:
        model: The model with the kernels that judge it.
        inputs: Some examples by name, the batch dimension first.
        outputs: What the model gives for them.
        most: How many of them are compared, the first ones.

    Returns:
        What it is compared with here, on how many examples, on how many of them the answers differ,
        and the largest difference of an output, in its real values.
    """
    quantized = model.quantize(inputs)
    reference = TFLiteModel(
        model.content, reproducible_kernels(model.content, model.one(quantized))
    )
    found = _comparable(inputs, outputs)
    others = _predicted(reference, quantized, found, most)
    compared = {name: found[name][: len(values)] for name, values in others.items()}
    return KernelComparison(
        reference=Runtime.of(reference.kernels), **deviation(compared, others).model_dump()
    )


def _predicted(
    model: TFLiteModel, inputs: Tensors, names: Iterable[str], most: int
) -> dict[str, Array]:
    """Returns some outputs for as many of the examples as there is time for."""
    end = time.monotonic() + _SECONDS
    parts: dict[str, list[Array]] = {name: [] for name in names}
    rows, done = min(most, len(next(iter(inputs.values())))), 0
    while done < rows and time.monotonic() < end:
        part = slice(done, min(done + _AT_ONCE, rows))
        outputs = model.run({name: values[part] for name, values in inputs.items()})
        for name, values in parts.items():
            values.append(outputs[name])
        done = part.stop
    found = {name: np.concatenate(values) for name, values in parts.items()}
    # What is not of one row an example may have been of as many by chance.
    return {name: values for name, values in found.items() if len(values) == done}


def _comparable(inputs: Tensors, outputs: Tensors) -> Tensors:
    """Returns the outputs that are of numbers, one row an example."""
    rows = len(next(iter(inputs.values())))
    return {
        name: values
        for name, values in outputs.items()
        if values.dtype.kind in "biuf" and values.ndim > 0 and len(values) == rows
    }
