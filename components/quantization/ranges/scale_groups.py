"""Operators that need one scale for all they touch and get several from the quantizer.

Kernels that move numbers copy the integers as they are, so operands and outputs must have one scale
and zero point; kernels that fill up with the integer 0 need the zero point 0 as well. The quantizer
knows that of most such operators. Of the others it makes a model that runs and is wrong. Therefore
the ranges that it is given for them are made equal, and their constants are stored anew afterwards.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from tensorflow.lite.tools import flatbuffer_utils

from tfx_tflite.components.models.flatbuffer import items, quantization_of, tensor_type, text
from tfx_tflite.components.quantization.audit import specification as spec
from tfx_tflite.components.quantization.ranges.ranges import TensorRange
from tfx_tflite.components.quantization.schemes import Scheme

_schema = flatbuffer_utils.schema_fb
_FLOAT32 = _schema.TensorType.FLOAT32

# The operators that the quantizer gives several scales, by what it quantizes to.
_SEVERAL_SCALES = frozenset({"SPARSE_TO_DENSE", "MATRIX_SET_DIAG"})
# To 16 bits it gives a sum the scale of its operands, in which the sum has no room.
_SEVERAL_SCALES_OF_16_BITS = frozenset({"SUM"})
# The constants beside the output that are copied to it.
_COPIED_CONSTANTS = {"ONE_HOT": (2, 3), "SPARSE_TO_DENSE": (2, 3), "PADV2": (2,)}
# The lowest and the highest number of 8 bits: a range of this shape has zero point 0.
_LOWEST, _HIGHEST = -128, 127


def harmonized(
    model: Any, ranges: Sequence[TensorRange], scheme: Scheme
) -> tuple[TensorRange, ...]:
    """Returns ranges that are equal where an operator needs one scale and would get several.

    Args:
        model: The float model's object tree.
        ranges: The range of each activation of its main graph.
        scheme: What the model is to be quantized to.
    """
    needed = _SEVERAL_SCALES | spec.ZERO_FILLED
    if scheme.traits.activations == "INT16":
        needed |= _SEVERAL_SCALES_OF_16_BITS
    groups = _Groups()
    demanding: list[tuple[int, bool]] = []
    for name, tensors in _same_scale_operators(model, needed):
        groups.join(tensors)
        if name in needed and tensors:
            demanding.append((tensors[0], name in spec.ZERO_FILLED))
    roots = {groups.root(tensor) for tensor, _ in demanding}
    centred = {groups.root(tensor) for tensor, needs_zero in demanding if needs_zero}
    hulls = {root: _hull(ranges, groups, root, root in centred) for root in roots}
    return tuple(
        _within_group(found, hulls.get(groups.root(found.tensor.index))) for found in ranges
    )


def _same_scale_operators(model: Any, needed: frozenset[str]) -> Iterator[tuple[str, list[int]]]:
    """Yields what moves numbers, with the float tensors that are to have one scale."""
    graph = model.subgraphs[0]
    for operator in graph.operators:
        name = flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex)
        if name in spec.SAME_SCALE or name in needed:
            indices = [int(i) for i in (*items(operator.inputs), *items(operator.outputs))]
            yield name, [i for i in indices if i >= 0 and graph.tensors[i].type == _FLOAT32]


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


def _within_group(found: TensorRange, hull: tuple[float, float] | None) -> TensorRange:
    return found if hull is None else TensorRange(found.tensor, *hull)


def with_copied_constants(content: bytes) -> bytes:
    """Returns a quantized model whose operators' copied constants have the scale of their output.

    A constant keeps its value; one for which the output's scale has no number stays as it is, and
    the audit names it.

    Args:
        content: The quantized flatbuffer.
    """
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    graph = model.subgraphs[0]
    changed = False
    for operator in graph.operators:
        name = flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex)
        output = graph.tensors[operator.outputs[0]] if len(items(operator.outputs)) else None
        for position in _COPIED_CONSTANTS.get(name, ()):
            stored = _requantized(model, graph.tensors[operator.inputs[position]], output)
            if stored is not None:
                shape = graph.tensors[operator.inputs[position]].shape
                operator.inputs[position] = _appended(model, graph, output, stored, shape)
                changed = True
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model)) if changed else content


def _requantized(model: Any, constant: Any, output: Any) -> np.ndarray | None:
    """Returns a constant's integers at its output's scale, None if they are right or impossible."""
    data = model.buffers[constant.buffer].data
    (old, old_zero), (new, new_zero) = quantization_of(constant), quantization_of(output)
    kind = tensor_type(output)
    if data is None or tensor_type(constant) != kind:
        return None
    if old is None or new is None or old_zero is None or new_zero is None:
        return None
    if (old, old_zero) == (new, new_zero):
        return None
    dtype = np.dtype(kind.lower())
    values = np.asarray(data, np.uint8).view(dtype).astype(np.float64)
    integers = np.rint((values - old_zero) * old / new) + new_zero
    limits = np.iinfo(dtype)
    if integers.min() < limits.min or integers.max() > limits.max:
        return None
    return integers.astype(dtype)


def _appended(model: Any, graph: Any, output: Any, values: np.ndarray, shape: Any) -> int:
    """Stores a constant with the output's type and scale and returns its index in the graph."""
    buffer = _schema.BufferT()
    buffer.data = values.view(np.uint8)
    model.buffers.append(buffer)
    tensor = _schema.TensorT()
    tensor.name = f"{text(output.name)}/constant{len(graph.tensors)}"
    tensor.shape = shape
    tensor.type, tensor.quantization = output.type, output.quantization
    tensor.buffer = len(model.buffers) - 1
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1
