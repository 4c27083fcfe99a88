"""What a model loses its accuracy by in int8, as documents have it; `diagnosis.py` finds it.

Importing this loads no NumPy: the command line reads documents.
"""

from typing import Literal

from tfx_tflite.components.documents import Part

Reason = Literal[
    "channel imbalance",
    "outlier",
    "saturating activation",
    "mixed units in one tensor",
    "narrow output",
    "weights of very different size",
    "unknown",
]


class Culprit(Part):
    """A tensor, or a layer's weights, that 8 bits are too few for.

    Attributes:
        key: Of what writes the tensor, or of the layer; see `structure.py`.
        name: The layer's, or an input's in the signature.
        operator: The layer's kind; empty for an input.
        part: What of it.
        reason: Why.
        meaning: The same in a sentence, with figures.
        remedy: What to change in the model or its training.
        output_error: The mean square of what the outputs are off by if nothing else has 8 bits, as
            a multiple of the outputs' variance.
        noisy_channels: The share of the channels of the layer's output that are left with less than
            20 dB.
        worst_channels: Those with the least signal to noise, the worst first.
        sqnr_db: The signal to noise of the layer's output in the quantized model, in dB.
        added_db: What it would be if the layer was fed with exact numbers.
        saturated: The share of the values beyond the range.
        range: What the tensor is rounded for, or the weights' lowest and highest.
        imbalance: How many times as wide as the median channel the widest one is.
        together: The keys of what has one scale with it.
    """

    key: str
    name: str
    operator: str
    part: Literal["activations", "weights"]
    reason: Reason
    meaning: str
    remedy: str
    output_error: float
    noisy_channels: float
    worst_channels: tuple[int, ...] = ()
    sqnr_db: float | None = None
    added_db: float | None = None
    saturated: float | None = None
    range: tuple[float, float]
    imbalance: float | None = None
    together: tuple[str, ...] = ()
