"""Masks before a softmax: -1e9 is added to what is to have no weight, and takes all 8 bits.

Between -1e9 and the scores no scale of 256 steps has room for both. All that the mask must do is to
bring a score so far below the others that its weight rounds to nothing. If scores go from L to H,
-(H - L) - 16 does: a masked score is at most L - 16 then, and its weight at most exp(-16), 1e-7,
beside 1/256, the step of an 8-bit softmax. The ranges are set for that: an activation saturates
there, and a constant is stored anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.models.flatbuffer import Graph, Operator, Tensor
from tfx_tflite.components.quantization.ranges.tensor_range import TensorRange

# Scores are not so low, masks are (-1e4 in 16-bit training, -1e9 in Keras, -3e38 elsewhere).
MASK = -9e3
_BELOW = 16.0


@dataclass(frozen=True)
class MaskedRanges:
    """Ranges in which masks before a softmax go no lower than they must.

    Attributes:
        ranges: The range of each activation of the main graph.
        constants: What is to be stored anew, float32 and flat, by the tensor's index.
    """

    ranges: tuple[TensorRange, ...]
    constants: Mapping[int, Array]


def without_mask_values(graph: Graph, ranges: Sequence[TensorRange]) -> MaskedRanges:
    """Returns ranges without the values that masks have and need not have.

    Args:
        graph: The float model.
        ranges: The range of each activation of its main graph.
    """
    search = _Search(graph, ranges)
    for operator in graph.main.operators:
        for scores, mask in search.masked(operator):
            search.lift(operator.outputs[0], scores, mask)
    return MaskedRanges(
        tuple(search.ranges[each.tensor.index] for each in ranges), search.constants
    )


class _Search:
    """The additions of masks to scores that a softmax reads.

    A mask is a constant, or 0 to 1 times one.
    """

    def __init__(self, graph: Graph, ranges: Sequence[TensorRange]):
        self._graph = graph
        self._read_by_softmax = {
            operator.inputs[0] for operator in graph.main.operators if operator.name == "SOFTMAX"
        }
        self._given = {each.tensor.index: each for each in ranges}
        self.ranges = dict(self._given)
        # The lowest value that a mask, or the constant that makes it, must have.
        self._needed: dict[Tensor, float] = {}

    @property
    def constants(self) -> dict[int, Array]:
        """What is to be stored anew, float32 and flat, by the tensor's index."""
        return {
            tensor.index: np.maximum(tensor.floats, np.float32(lowest))
            for tensor, lowest in self._needed.items()
            if tensor.is_constant
        }

    def masked(self, operator: Operator) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields the scores and the mask that an operator adds, if it does."""
        if operator.name != "ADD" or operator.outputs[0] not in self._read_by_softmax:
            return
        first, second = operator.inputs
        for scores, mask in ((first, second), (second, first)):
            is_mask = _lowest(mask, self._given) < MASK < _lowest(scores, self.ranges)
            if is_mask and scores.index in self.ranges and self._constant_of(mask) is not None:
                yield scores, mask

    def lift(self, total: Tensor, scores: Tensor, mask: Tensor) -> None:
        """Makes a mask as low as it must be, and what it is added to.

        A mask that several additions have in common is as low as the widest of the scores need it.
        """
        seen = self.ranges[scores.index]
        lowest = -(seen.maximum - seen.minimum) - _BELOW
        constant = self._constant_of(mask)
        assert constant is not None
        for tensor in (constant, mask):
            self._needed[tensor] = min(lowest, self._needed.get(tensor, lowest))
        if mask.index in self.ranges:
            known = self.ranges[mask.index]
            highest = max(known.maximum, 0.0)
            self.ranges[mask.index] = TensorRange(known.tensor, self._needed[mask], highest)
        known = self.ranges[total.index]
        self.ranges[total.index] = TensorRange(known.tensor, seen.minimum + lowest, known.maximum)

    def _constant_of(self, mask: Tensor) -> Tensor | None:
        """Returns which constant makes a mask; None if it is made in another way."""
        if mask.index not in self.ranges:
            return mask
        product = self._graph.writers.get(mask)
        if product is None or product.name != "MUL":
            return None
        constants = [tensor for tensor in product.inputs if tensor.index not in self.ranges]
        known = [self.ranges.get(tensor.index) for tensor in product.inputs]
        # Nothing but 0 to 1 keeps the mask as low as the constant.
        are_shares = all(each is None or 0 <= each.minimum <= each.maximum <= 1 for each in known)
        return constants[0] if constants and are_shares else None


def _lowest(tensor: Tensor, ranges: Mapping[int, TensorRange]) -> float:
    """Returns a tensor's lowest value: that of its range, or of what is stored."""
    if tensor.index in ranges:
        return ranges[tensor.index].minimum
    return float(tensor.floats.min(initial=0.0))
