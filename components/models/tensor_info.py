"""The inputs and outputs of a TensorFlow Lite model, as its runtime describes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tfx_tflite.components.examples.tensors import Array

Shapes = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class TensorInfo:
    """A tensor of a model as its runtime describes it.

    Attributes:
        index: Its place among the tensors of the main graph.
        name: Its name in the flatbuffer.
        dtype: Its type.
        shape: Its shape, with a 1 for each axis that is free.
        signature_shape: Its shape, with a -1 for each axis that is free.
        scale: Of a quantized tensor: what one step of its integers is worth; 0 for others, and if
            there is one a channel.
        zero_point: The integer that stands for zero.
    """

    index: int
    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    signature_shape: tuple[int, ...]
    scale: float = 0.0
    zero_point: int = 0

    @property
    def is_quantized(self) -> bool:
        """Whether its integers stand for reals."""
        return self.scale != 0

    @property
    def batch_size(self) -> int | None:
        """The batch size that is built in; None if the tensor takes any."""
        size = self.signature_shape[0]
        return None if size == -1 else size

    def filled(self, example: Array) -> Array:
        """Returns an example, repeated if a larger batch size is built in.

        Args:
            example: Of shape (1, *example_shape).
        """
        return np.repeat(example, self.batch_size or 1, axis=0)

    def taken(self, values: Array) -> Array:
        """Returns an example as the model takes it: a batch size built in is filled with copies.

        Integers become floats for an input that was rewritten to take them.

        Args:
            values: Of shape (1, *example_shape).
        """
        is_rewritten = self.dtype == np.float32 and values.dtype.kind in "iub"
        return self.filled(values.astype(np.float32) if is_rewritten else values)

    def reals(self, values: Array) -> Array:
        """Returns real float32 values of a quantized tensor; other tensors as they are.

        real = (q - z) * s of the TensorFlow Lite quantization specification. An integer of at most
        17 bits times a float32 rounds once, so that this is the runtime's result to the last bit.

        Args:
            values: What the runtime gave.
        """
        if not self.is_quantized or values.dtype.kind == "f":
            return values
        return (values.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale)


class HasInputs(Protocol):
    """What takes inputs by name."""

    inputs: dict[str, TensorInfo]


def batch_size_of(model: HasInputs) -> int | None:
    """Returns the batch size that a model has built in; None if it takes any."""
    return max((info.batch_size or 0 for info in model.inputs.values()), default=0) or None
