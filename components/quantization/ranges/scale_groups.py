"""Operators that need one scale for all they touch and get several from the quantizer.

Kernels that move numbers copy the integers as they are, so operands and outputs must have one scale
and zero point; kernels that fill up with the integer 0 need the zero point 0 as well. The quantizer
knows that of most such operators. Of the others it makes a model that runs and is wrong. Therefore
the ranges that it is given for them are made equal, and their constants are stored anew afterwards.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.models.flatbuffer import Graph, Tensor, read_graph
from tfx_tflite.components.models.object_tree import numbers
from tfx_tflite.components.quantization.audit import specification as spec
from tfx_tflite.components.quantization.ranges.tensor_range import TensorRange
from tfx_tflite.components.quantization.schemes import Scheme

# The operators that the quantizer gives several scales, by what it quantizes to.
_SEVERAL_SCALES = frozenset({"SPARSE_TO_DENSE", "MATRIX_SET_DIAG"})
# To 16 bits it gives a sum the scale of its operands, in which the sum has no room.
_SEVERAL_SCALES_OF_16_BITS = frozenset({"SUM"})
# The constants beside the output that are copied to it.
_COPIED_CONSTANTS = {"ONE_HOT": (2, 3), "SPARSE_TO_DENSE": (2, 3), "PADV2": (2,)}
# The lowest and the highest number of 8 bits: a range of this shape has zero point 0.
_LOWEST, _HIGHEST = -128, 127


def harmonized(
    graph: Graph, ranges: Sequence[TensorRange], scheme: Scheme
) -> tuple[TensorRange, ...]:
    """Returns ranges that are equal where an operator needs one scale and would get several.

    Args:
        graph: The float model.
        ranges: The range of each activation of its main graph.
        scheme: What the model is to be quantized to.
    """
    needed = _SEVERAL_SCALES | spec.ZERO_FILLED
    if scheme.traits.activations == "INT16":
        needed |= _SEVERAL_SCALES_OF_16_BITS
    groups = _Groups()
    demanding: list[tuple[int, bool]] = []
    for name, tensors in _same_scale_operators(graph, needed):
        groups.join(tensors)
        if name in needed and tensors:
            demanding.append((tensors[0], name in spec.ZERO_FILLED))
    roots = {groups.root(tensor) for tensor, _ in demanding}
    centred = {groups.root(tensor) for tensor, needs_zero in demanding if needs_zero}
    hulls = {root: _hull(ranges, groups, root, root in centred) for root in roots}
    return tuple(
        TensorRange(found.tensor, *hulls[root])
        if (root := groups.root(found.tensor.index)) in hulls
        else found
        for found in ranges
    )


def same_scale_groups(graph: Graph) -> tuple[tuple[int, ...], ...]:
    """Returns the activations of the main graph, those together that have one scale.

    Args:
        graph: The float model.

    Returns:
        The numbers of the tensors, in the order in which they are computed, inputs first; a tensor
        that shares its scale with no other is alone.
    """
    computed = [tensor for operator in graph.main.operators for tensor in operator.outputs]
    tensors = (*graph.main.inputs, *computed)
    activations = [tensor.index for tensor in tensors if tensor.type == "FLOAT32"]
    are_activations = frozenset(activations)
    groups = _Groups()
    for _, touched in _same_scale_operators(graph, frozenset()):
        # Of a constant each reader has a copy with a scale of its own.
        groups.join([tensor for tensor in touched if tensor in are_activations])
    found: dict[int, list[int]] = {}
    for place in activations:
        found.setdefault(groups.root(place), []).append(place)
    return tuple(map(tuple, found.values()))


def _same_scale_operators(graph: Graph, needed: frozenset[str]) -> Iterator[tuple[str, list[int]]]:
    """Yields what moves numbers, with the float tensors that are to have one scale."""
    for operator in graph.main.operators:
        if operator.name in spec.SAME_SCALE | needed:
            floats = [tensor.index for tensor in operator.tensors if tensor.type == "FLOAT32"]
            yield operator.name, floats


class _Groups:
    """Tensors that are connected by operators, as a forest (disjoint sets)."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}

    def root(self, tensor: int) -> int:
        """Returns the tensor that stands for the group of another."""
        while (parent := self._parent.get(tensor, tensor)) != tensor:
            tensor = parent
        return tensor

    def join(self, tensors: Sequence[int]) -> None:
        """Makes the groups of some tensors one."""
        for tensor in tensors[1:]:
            self._parent[self.root(tensor)] = self.root(tensors[0])


def _hull(
    ranges: Sequence[TensorRange], groups: _Groups, root: int, is_centred: bool
) -> tuple[float, float]:
    members = [found for found in ranges if groups.root(found.tensor.index) == root]
    lowest = min((found.minimum for found in members), default=0.0)
    highest = max((found.maximum for found in members), default=0.0)
    if not is_centred:
        return lowest, highest
    step = max(lowest / _LOWEST, highest / _HIGHEST)
    return _LOWEST * step, _HIGHEST * step


def with_copied_constants(content: bytes) -> bytes:
    """Returns a quantized model whose operators' copied constants have the scale of their output.

    A constant keeps its value; one for which the output's scale has no number stays as it is, and
    the audit names it.

    Args:
        content: The quantized flatbuffer.
    """
    draft = None
    graph = read_graph(content)
    for place, operator in enumerate(graph.main.operators):
        for position in _COPIED_CONSTANTS.get(operator.name, ()):
            constant, output = operator.operands[position], operator.outputs[0]
            stored = None if constant is None else _requantized(constant, output)
            if constant is None or stored is None:
                continue
            draft = draft or graph.draft()
            inputs = numbers(draft.main.operators[place].inputs)
            copied, like = (draft.main.tensors[each.index] for each in (constant, output))
            inputs[position] = draft.add_constant(draft.main, stored, f"{output.name}/", like)
            draft.main.tensors[-1].shape = copied.shape
            draft.main.operators[place].inputs = inputs
    return content if draft is None else draft.content()


def _requantized(constant: Tensor, output: Tensor) -> Array | None:
    """Returns a constant's integers at its output's scale, None if they are right or impossible."""
    (old, old_zero), (new, new_zero) = constant.quantization, output.quantization
    values = constant.integers
    if values is None or constant.type != output.type:
        return None
    if old is None or new is None or old_zero is None or new_zero is None:
        return None
    if (old, old_zero) == (new, new_zero):
        return None
    integers = np.rint((values.astype(np.float64) - old_zero) * old / new) + new_zero
    limits = np.iinfo(values.dtype)
    if integers.min() < limits.min or integers.max() > limits.max:
        return None
    stored: Array = integers.astype(values.dtype)
    return stored
