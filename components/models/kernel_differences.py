"""How far the kernels that judge a model are from the reference kernels."""

import time
from collections.abc import Iterator
from dataclasses import asdict

from pydantic import JsonValue

from tfx_tflite.components.examples.tensors import Tensors
from tfx_tflite.components.models.golden_samples import Deviation
from tfx_tflite.components.models.runtime import reproducible_kernels
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.versions import Runtime

# Reference kernels are slow, so that a large net is compared on fewer examples.
_AT_ONCE = 20
_SECONDS = 10.0


def compare(
    model: TFLiteModel, inputs: Tensors, outputs: Tensors, most: int
) -> dict[str, JsonValue]:
    """Returns what a report says of the kernels.

    Args:
        model: The model with the kernels that judge it.
        inputs: Some examples by name, the batch dimension first.
        outputs: What the model gives for them.
        most: How many of them are compared, the first ones.

    Returns:
        `runtime`: what judges it; `kernels`: the `reference` it is compared with here, on how many
        `examples`, on how many of them the `answers` differ, and the `largest` difference of an
        output, in its real values.
    """
    quantized = model.quantize(inputs)
    reference = TFLiteModel(
        model.content, reproducible_kernels(model.content, model.one(quantized))
    )
    compared = _comparable(inputs, outputs)
    deviations = list(_deviations(reference, quantized, compared, most))
    return {
        "runtime": Runtime.of(model.kernels).model_dump(mode="json"),
        "kernels": {
            "reference": Runtime.of(reference.kernels).model_dump(mode="json"),
            **asdict(Deviation.of_all(deviations)),
        },
    }


def _deviations(
    reference: TFLiteModel, inputs: Tensors, outputs: Tensors, most: int
) -> Iterator[Deviation]:
    """Yields the deviations of some examples after the others, as long as there is time."""
    end = time.monotonic() + _SECONDS
    rows = min(most, len(next(iter(inputs.values()))))
    for start in range(0, rows, _AT_ONCE):
        part = slice(start, min(start + _AT_ONCE, rows))
        given, found = (
            {name: values[part] for name, values in tensors.items()}
            for tensors in (inputs, outputs)
        )
        others = reference.run(given)
        yield Deviation.between(found, {name: others[name] for name in found})
        if time.monotonic() > end:
            return


def _comparable(inputs: Tensors, outputs: Tensors) -> Tensors:
    """Returns the outputs that are of numbers, one row an example."""
    rows = len(next(iter(inputs.values())))
    return {
        name: values
        for name, values in outputs.items()
        if values.dtype.kind in "biuf" and values.ndim > 0 and len(values) == rows
    }
