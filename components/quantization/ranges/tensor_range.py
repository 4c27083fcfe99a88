"""A tensor that is quantized by its range, and that range.

Importing this loads no library: the converter's process needs ranges, but not Beam, which collects
them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ActivationTensor:
    """A float32 tensor of the main graph that is an input or computed from the inputs.

    Attributes:
        index: Its place among the main graph's tensors.
        name: Its name in the flatbuffer, or in the signature where it is an input.
        is_input: Whether it is an input of the model.
    """

    index: int
    name: str
    is_input: bool = False

    def __str__(self) -> str:
        # The converter joins the names of what it fuses by `;`; the last one says most.
        return f"{'input' if self.is_input else 'tensor'} {self.name.split(';')[-1]!r}"


@dataclass(frozen=True)
class TensorRange:
    """The range of real values that a tensor is to be quantized for."""

    tensor: ActivationTensor
    minimum: float
    maximum: float
