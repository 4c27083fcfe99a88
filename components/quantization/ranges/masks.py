"""Masks before a softmax: -1e9 is added to what is to have no weight, and takes all 8 bits.

Between -1e9 and the scores no scale of 256 steps has room for both. All that the mask must do is to
bring a score so far below the others that its weight rounds to nothing. If scores go from L to H,
-(H - L) - 16 does: a masked score is at most L - 16 then, and its weight at most exp(-16), 1e-7,
beside 1/256, the step of an 8-bit softmax. The ranges are set for that: an activation saturates
there, and a constant is stored anew.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tensorflow.lite.tools import flatbuffer_utils

from tfx_tflite.components.quantization.ranges.ranges import TensorRange

# Scores are not so low, masks are (-1e4 in 16-bit training, -1e9 in Keras, -3e38 elsewhere).
MASK = -9e3
_BELOW = 16.0


@dataclass(frozen=True)
class _Masked:
    """An addition of a mask to scores that a softmax reads, as tensors of the main graph.

    The mask is a constant, or 0 to 1 times one.
    """

    scores: int
    mask: int
    constant: int
    total: int


def without_mask_values(model: Any, ranges: Sequence[TensorRange]) -> tuple[TensorRange, ...]:
    """Returns ranges in which masks before a softmax go no lower than they must.

    Args:
        model: The float model's object tree; constants that are masks are stored anew in it.
        ranges: The range of each activation of its main graph.
    """
    found = {each.tensor.index: each for each in ranges}
    for masked in _masked(model, found):
        scores = found[masked.scores]
        lowest = -(scores.maximum - scores.minimum) - _BELOW
        _store_no_lower(model, masked.constant, lowest)
        if masked.mask in found:
            mask = found[masked.mask]
            found[masked.mask] = TensorRange(mask.tensor, lowest, max(mask.maximum, 0.0))
        total = found[masked.total]
        found[masked.total] = TensorRange(total.tensor, scores.minimum + lowest, total.maximum)
    return tuple(found[each.tensor.index] for each in ranges)


def _masked(model: Any, ranges: dict[int, TensorRange]) -> Iterator[_Masked]:
    graph = model.subgraphs[0]
    read_by_softmax = {
        int(operator.inputs[0])
        for operator in graph.operators
        if flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex) == "SOFTMAX"
    }
    for operator in graph.operators:
        name = flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex)
        if name != "ADD" or int(operator.outputs[0]) not in read_by_softmax:
            continue
        operands = [int(index) for index in operator.inputs]
        lowest = [_lowest(model, index, ranges) for index in operands]
        for scores, mask in ((0, 1), (1, 0)):
            constant = _constant_of(model, operands[mask], ranges)
            is_mask = lowest[mask] < MASK < lowest[scores] and operands[scores] in ranges
            if is_mask and constant is not None:
                yield _Masked(operands[scores], operands[mask], constant, int(operator.outputs[0]))


def _constant_of(model: Any, mask: int, ranges: dict[int, TensorRange]) -> int | None:
    """Returns which constant makes a mask; None if it is made in another way."""
    if mask not in ranges:
        return mask
    for operator in model.subgraphs[0].operators:
        name = flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex)
        if name == "MUL" and int(operator.outputs[0]) == mask:
            operands = [int(index) for index in operator.inputs]
            constants = [index for index in operands if index not in ranges]
            factors = [ranges[index] for index in operands if index in ranges]
            # Nothing but 0 to 1 keeps the mask as low as the constant.
            if constants and all(each.minimum >= 0 and each.maximum <= 1 for each in factors):
                return constants[0]
    return None


def _lowest(model: Any, index: int, ranges: dict[int, TensorRange]) -> float:
    if index in ranges:
        return ranges[index].minimum
    values = _stored(model, index)
    return float(values.min()) if values.size else 0.0


def _stored(model: Any, index: int) -> np.ndarray:
    data = model.buffers[model.subgraphs[0].tensors[index].buffer].data
    return np.asarray([] if data is None else data, np.uint8).view(np.float32)


def _store_no_lower(model: Any, index: int, lowest: float) -> None:
    """Stores a constant anew; in a buffer of its own, because tensors share those."""
    buffer = type(model.buffers[0])()
    buffer.data = np.maximum(_stored(model, index), np.float32(lowest)).view(np.uint8)
    model.buffers.append(buffer)
    model.subgraphs[0].tensors[index].buffer = len(model.buffers) - 1
