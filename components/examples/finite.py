"""NaN and infinity in what is compared are a failure that names the example, never a figure.

A model whose outputs are all NaN predicts class 0 for every example, as its float model would too,
and both look alike.
"""

import numpy as np
import pyarrow as pa

from tfx_tflite.components.errors import DataError, EvaluationError
from tfx_tflite.components.examples.tensors import Tensors, first_wrong, place_of


def check_inputs(batch: pa.RecordBatch, inputs: Tensors) -> None:
    """Checks that inputs are numbers; no integer stands for NaN, and kernels differ in it.

    Args:
        batch: The examples.
        inputs: By name, each of shape (n, …).

    Raises:
        DataError: One is NaN.
    """
    for name, values in inputs.items():
        if values.dtype.kind == "f" and (row := first_wrong(np.isnan(values))) is not None:
            raise DataError(
                f"input {name!r} is NaN in {place_of(batch, row)}, which quantized models cannot "
                "take; remove such examples, or fill the value in before the model"
            )


def check_outputs(
    batch: pa.RecordBatch,
    inputs: Tensors,
    outputs: Tensors,
    model: str,
) -> None:
    """Checks that a model gives finite numbers.

    Args:
        batch: The examples.
        inputs: By name, each of shape (n, …).
        outputs: By name, each of shape (n, …).
        model: Which model, for the message.

    Raises:
        EvaluationError: It gives NaN or infinity.
    """
    for name, values in outputs.items():
        if values.dtype.kind != "f" or values.ndim == 0 or len(values) != batch.num_rows:
            # What is not one row an example is judged by nothing.
            continue
        if (row := first_wrong(~np.isfinite(values))) is not None:
            wrong = values[row][~np.isfinite(values[row])][0] if values.ndim > 1 else values[row]
            raise EvaluationError(
                f"the {model} model gives {wrong} in output {name!r} for {place_of(batch, row)}"
                f"{_cause(inputs, row)}; metrics need finite outputs"
            )


def _cause(inputs: Tensors, row: int) -> str:
    for name, values in inputs.items():
        if values.dtype.kind == "f" and not np.isfinite(values[row]).all():
            return f", whose input {name!r} is not finite"
    return ""
