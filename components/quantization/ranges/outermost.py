"""The outermost values of each tensor over many examples, and which examples gave them."""

from dataclasses import dataclass

import numpy as np

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.quantization.ranges.policy import KEPT


@dataclass(frozen=True, eq=False)
class Lowest:
    """The lowest values of each tensor, one from an example; of equal ones those of the first.

    Attributes:
        values: float32 of shape (kept, tensors), in no order.
        examples: The positions of the examples that they are from, int64 of the same shape.
    """

    values: Array
    examples: Array

    @classmethod
    def of(cls, values: Array, first: int) -> "Lowest":
        """Returns the values of some examples in a row.

        Args:
            values: float32 of shape (examples, tensors).
            first: The position of the first example.
        """
        positions = np.arange(first, first + len(values), dtype=np.int64)
        return cls(values, np.broadcast_to(positions[:, None], values.shape))

    def with_others(self, other: "Lowest | None") -> "Lowest":
        """Returns the lowest of both, pruned only when twice as many piled up as are kept."""
        if other is None:
            return self
        joined = Lowest(
            np.concatenate([self.values, other.values]),
            np.concatenate([self.examples, other.examples]),
        )
        return joined if len(joined.values) <= 2 * KEPT else joined.ascending()

    def ascending(self) -> "Lowest":
        """Returns the KEPT lowest in ascending order, of equal ones the first example's first."""
        order = np.lexsort((self.examples, self.values), axis=0)[:KEPT]
        return Lowest(
            np.take_along_axis(self.values, order, axis=0),
            np.take_along_axis(self.examples, order, axis=0),
        )
