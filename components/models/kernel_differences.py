"""How far the kernels that judge a model are from the reference kernels."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict

import numpy as np

from tfx_tflite.components.destinations.manifest import KernelComparison
from tfx_tflite.components.models.golden_samples import Deviation
from tfx_tflite.components.models.runtime import reproducible_kernels
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.versions import Runtime

# Reference kernels are slow, so that a large net is compared on fewer examples.
_AT_ONCE = 20
_SECONDS = 10.0


def compare(model: TFLiteModel, inputs: Mapping[str, np.ndarray]) -> KernelComparison:
    """Returns how far a model's kernels are from the reference kernels.

    Args:
        model: The model with the kernels that judge it.
        inputs: Some examples by name, the batch dimension first.

    Returns:
        What it is compared with here, on how many examples, on how many of them the answers differ,
        and the largest difference of an output, in its real values.
    """
    quantized = model.quantize(inputs)
    reference = TFLiteModel(
        model.content, reproducible_kernels(model.content, model.one(quantized))
    )
    deviations = list(_deviations(model, reference, quantized))
    return KernelComparison(
        reference=Runtime.of(reference.kernels), **asdict(Deviation.of_all(deviations))
    )


def _deviations(
    model: TFLiteModel, reference: TFLiteModel, inputs: Mapping[str, np.ndarray]
) -> Iterator[Deviation]:
    """Yields the deviations of some examples after the others, as long as there is time."""
    end = time.monotonic() + _SECONDS
    for start in range(0, len(next(iter(inputs.values()))), _AT_ONCE):
        part = {name: values[start : start + _AT_ONCE] for name, values in inputs.items()}
        rows = len(next(iter(part.values())))
        found, others = (
            {name: values for name, values in each.run(part).items() if _is_compared(values, rows)}
            for each in (model, reference)
        )
        yield Deviation.between(found, others)
        if time.monotonic() > end:
            return


def _is_compared(values: np.ndarray, rows: int) -> bool:
    """Returns whether an output is of numbers, one row an example."""
    return values.dtype.kind in "biuf" and values.ndim > 0 and len(values) == rows
