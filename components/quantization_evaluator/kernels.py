"""How far the kernels that judge a model are from the reference kernels."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from tfx_tflite.components.golden_samples import Deviation
from tfx_tflite.components.runtime import Runtime, reproducible_kernels
from tfx_tflite.components.tflite_model import TFLiteModel


def compare(model: TFLiteModel, inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Returns what a report says of the kernels.

    Args:
        model: The model with the kernels that judge it.
        inputs: Some examples by name, the batch dimension first.

    Returns:
        `runtime`: what judges it; `kernels`: the `reference` it is compared with here, on how many
        `examples`, on how many of them the `answers` differ, and the `largest` difference of an
        output, in its real values.
    """
    quantized = model.quantize(inputs)
    found = model.run(quantized)
    reference = TFLiteModel(model.content, reproducible_kernels(model.content))
    deviation = Deviation.between(found, reference.run(quantized))
    return {
        "runtime": Runtime.of(model.kernels).model_dump(mode="json"),
        "kernels": {
            "reference": Runtime.of(reference.kernels).model_dump(mode="json"),
            **asdict(deviation),
        },
    }
