"""A batch with two models' predictions of one output, which is what comparisons are made of.

Only NumPy and Arrow are imported here, because workers import this module.
"""

from dataclasses import dataclass

import pyarrow as pa

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.judgement.saturation import InputsSeen


@dataclass(frozen=True)
class ComparedBatch:
    """A batch with both models' predictions of one output.

    Attributes:
        batch: The examples.
        labels: Shape (n, values); None where no batched metric needs them.
        float_output: The float model's output, shape (n, …).
        quantized_output: The quantized model's, of the same shape.
        inputs: What the inputs are like beside their ranges; None where they have none.
        weights: How much each example counts, shape (n,); None where all count the same.
    """

    batch: pa.RecordBatch
    labels: Array | None
    float_output: Array
    quantized_output: Array
    inputs: InputsSeen | None = None
    weights: Array | None = None
