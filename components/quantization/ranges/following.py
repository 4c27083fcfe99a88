"""What is known of a tensor's extremes without looking at all of its values.

Looking takes a third of the time of a calibration, and so does keeping a tensor to be looked at.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from tfx_tflite.components.models.flatbuffer import Graph, Operator

# Operators whose output is their first input's values, in another shape or order.
_SAME_VALUES = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE"})
# Operators, and activations that are fused into others, that give no negative number.
_NOT_NEGATIVE = frozenset({"RELU", "RELU6"})


@dataclass(frozen=True)
class Following:
    """A tensor whose extremes follow from those of another.

    Attributes:
        source: The index of that one among the tensors of the main graph.
        has_zeros: Whether it has zeros beside the values of that one.
    """

    source: int
    has_zeros: bool = False


def following(graph: Graph, activations: Collection[int]) -> dict[int, Following]:
    """Returns what the extremes of tensors follow from, by index, each after its source.

    Args:
        graph: The float model.
        activations: The indices of all tensors whose extremes are wanted; of those that are not
            returned the values must be looked at.
    """
    found: dict[int, Following] = {}
    for operator in graph.main.operators:
        source = operator.operand(0)
        if source is None or source.index not in activations:
            continue
        follows = _following(operator, source.index)
        if follows is not None:
            found[operator.outputs[0].index] = follows
    return found


def _following(operator: Operator, source: int) -> Following | None:
    if operator.name in _SAME_VALUES:
        return Following(source)
    if operator.name != "PAD":
        return None
    widths = operator.operand(1)
    # Only where it is known that there is padding.
    is_padded = widths is not None and widths.data is not None and bool(np.any(widths.data))
    return Following(source, has_zeros=True) if is_padded else None


def not_negative(graph: Graph) -> frozenset[int]:
    """Returns the indices of the tensors without negative numbers: what a ReLU gives.

    Args:
        graph: The float model.
    """
    return frozenset(
        tensor.index
        for operator in graph.main.operators
        if not _NOT_NEGATIVE.isdisjoint((operator.name, operator.activation))
        for tensor in operator.outputs
    )
