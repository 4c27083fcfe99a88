"""Weights of a float flatbuffer stored as float16 or int8, activations staying float.

TensorFlow's converter does this only to what it converts itself, so a float TensorFlow Lite file
gets here what the converter would have given it:

- float16: all float constants are stored in 16 bits, and a DEQUANTIZE makes floats of each.
- dynamic_range: weights of at least 1024 numbers are stored in 8 bits, symmetrically. Convolutions
  (with a scale for each channel) and fully connected operators (with one scale, or from TensorFlow
  2.19 on one for each output, and their inputs quantized asymmetrically while the model runs) take
  them as they are; for any other operator a DEQUANTIZE makes floats of them.

`test_weights.py` holds the results against the installed converter's own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tfx_tflite.components.errors import ConversionError
from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.models import object_tree
from tfx_tflite.components.models.draft import Draft
from tfx_tflite.components.models.flatbuffer import Operator, Tensor, read_graph
from tfx_tflite.components.models.object_tree import (
    OperatorTree,
    SubgraphTree,
    TensorTree,
    numbers,
)
from tfx_tflite.components.quantization.audit import specification as spec
from tfx_tflite.components.quantization.conversion.tensorflow_lite import DENSE_PER_CHANNEL
from tfx_tflite.components.quantization.schemes import Scheme

# The converter leaves smaller weights as they are: their kernels would gain nothing.
_SMALLEST_WEIGHTS = 1024
_LARGEST_INT8 = 127
# A DEQUANTIZE and its tensor take some 200 bytes of the file, and two are saved a number.
_SMALLEST_HALVES = 256
# Operators with kernels for int8 weights beside float activations, and the version of the schema's
# operator that has them: of fully connected ones 12 with a scale for each output, 9 with one scale.
_HYBRID = {
    "CONV_2D": 5,
    "DEPTHWISE_CONV_2D": 6,
    "FULLY_CONNECTED": 12 if DENSE_PER_CHANNEL else 9,
}
# Versions of DEQUANTIZE that take float16, and one scale a channel.
_FROM_FLOAT16, _FROM_CHANNELS = 3, 5


def quantized(float32: bytes, scheme: Scheme) -> bytes:
    """Returns a float flatbuffer with its weights stored as a scheme says.

    Args:
        float32: The flatbuffer.
        scheme: `FLOAT16` or `DYNAMIC_RANGE`.

    Raises:
        ConversionError: A constant is too large for float16.
    """
    store = {Scheme.FLOAT16: _store_halves, Scheme.DYNAMIC_RANGE: _store_integers}[scheme]
    graph = read_graph(float32)
    draft = graph.draft()
    for subgraph, tree in zip(graph.subgraphs, draft.tree.subgraphs, strict=True):
        front = _Front(draft, tree)
        for operator, operator_tree in zip(subgraph.operators, tree.operators, strict=True):
            store(front, operator, operator_tree)
        tree.operators[:0] = front.operators
    draft.drop_unused_tensors()
    draft.drop_unused_codes()
    draft.drop_unused_buffers()
    return draft.content()


def with_halved_floats(content: bytes) -> bytes:
    """Returns a model whose larger float constants are stored as float16.

    Of a model with few float operators that is less than half of their weights, at no cost of
    accuracy; what float16 cannot hold stays as it is.

    Args:
        content: The flatbuffer; the very bytes are returned if it has no such constant.
    """
    graph = read_graph(content)
    if not any(_is_halved(each) for operator in graph.operators for each in operator.inputs):
        return content
    draft = graph.draft()
    for subgraph, tree in zip(graph.subgraphs, draft.tree.subgraphs, strict=True):
        front = _Front(draft, tree)
        for operator, operator_tree in zip(subgraph.operators, tree.operators, strict=True):
            for position, tensor in enumerate(operator.operands):
                if tensor is not None and _is_halved(tensor):
                    made = front.once(tensor.index, "half", _half_of(front, tensor))
                    _replace(operator_tree, position, made)
        tree.operators[:0] = front.operators
    draft.drop_unused_tensors()
    draft.drop_unused_buffers()
    return draft.content()


def _is_halved(tensor: Tensor) -> bool:
    """Returns whether a constant is stored as float16 beside integers."""
    is_large = _is_stored(tensor) and math.prod(tensor.shape) >= _SMALLEST_HALVES
    return is_large and bool(np.abs(tensor.floats).max() <= np.finfo(np.float16).max)


@dataclass
class _Front:
    """What stands before the operators of a graph: a DEQUANTIZE for each constant that needs one.

    Attributes:
        draft: The model.
        graph: The graph.
        operators: The new operators.
        made: The numbers of the new tensors, by the number of the constant and how it is stored.
    """

    draft: Draft
    graph: SubgraphTree
    operators: list[OperatorTree] = field(default_factory=list)
    made: dict[tuple[int, str], int] = field(default_factory=dict)

    def once(self, number: int, how: str, make: Callable[[], int]) -> int:
        """Returns the number of the tensor that stands for a constant, which is made once."""
        if (number, how) not in self.made:
            self.made[number, how] = make()
        return self.made[number, how]

    def stored(self, tensor: Tensor, kind: str, values: Array) -> TensorTree:
        """Returns a new constant with a tensor's name and shape, appended to the graph."""
        tree = object_tree.tensor_tree(tensor.name, kind, tensor.shape)
        self.draft.store(tree, values)
        self.graph.tensors.append(tree)
        return tree

    def dequantized(self, tensor: Tensor, version: int) -> int:
        """Returns the number of a new float tensor, made of the constant that was appended last."""
        source = len(self.graph.tensors) - 1
        name = f"{tensor.name}/dequantized"
        self.graph.tensors.append(object_tree.tensor_tree(name, "FLOAT32", tensor.shape))
        code = self.draft.code_of_version("DEQUANTIZE", version)
        self.operators.append(object_tree.operator_tree(code, [source], [source + 1]))
        return source + 1


def _store_halves(front: _Front, operator: Operator, tree: OperatorTree) -> None:
    """Has an operator read float16 constants through a DEQUANTIZE."""
    for position, tensor in enumerate(operator.operands):
        if tensor is not None and _is_stored(tensor):
            _replace(tree, position, front.once(tensor.index, "half", _half_of(front, tensor)))


def _half_of(front: _Front, tensor: Tensor) -> Callable[[], int]:
    def make() -> int:
        with np.errstate(over="ignore"):
            halves = tensor.floats.astype(np.float16)
        if not np.array_equal(np.isfinite(halves), np.isfinite(tensor.floats)):
            raise ConversionError(
                f"constant {tensor.short_name} holds {np.abs(tensor.floats).max():g}, which "
                "float16 cannot hold (its largest number is 65504); choose another "
                "quantization.scheme"
            )
        front.stored(tensor, "FLOAT16", halves)
        return front.dequantized(tensor, _FROM_FLOAT16)

    return make


def _store_integers(front: _Front, operator: Operator, tree: OperatorTree) -> None:
    """Has an operator read its larger weights as int8."""
    kind = spec.weighted(operator.name)
    for position in kind.weights:
        tensor = operator.operand(position)
        if tensor is None or not _is_stored(tensor):
            continue
        if math.prod(tensor.shape) < _SMALLEST_WEIGHTS:
            continue
        axis = kind.channels if _has_scales(operator, kind) else None
        is_hybrid = operator.name in _HYBRID
        how = f"{'int8' if is_hybrid else 'dequantized'} along {axis}"
        _replace(
            tree, position, front.once(tensor.index, how, _integers(front, tensor, axis, is_hybrid))
        )
        if is_hybrid:
            version = _HYBRID[operator.name]
            tree.opcodeIndex = front.draft.code_of_version(operator.name, version)
        if operator.name == "FULLY_CONNECTED":
            object_tree.change_options(tree, asymmetricQuantizeInputs=True)


def _has_scales(operator: Operator, kind: spec.WeightedOperator) -> bool:
    """Returns whether the converter gives each channel of an operator's weights a scale."""
    return kind.per_channel or (DENSE_PER_CHANNEL and operator.name == "FULLY_CONNECTED")


def _integers(
    front: _Front, tensor: Tensor, axis: int | None, is_hybrid: bool
) -> Callable[[], int]:
    def make() -> int:
        values, scales = symmetric(tensor.floats.reshape(tensor.shape), axis)
        stored = front.stored(tensor, "INT8", values)
        stored.quantization = object_tree.scales_tree(scales, axis or 0)
        if is_hybrid:
            return len(front.graph.tensors) - 1
        return front.dequantized(tensor, _FROM_CHANNELS)

    return make


def symmetric(weights: Array, axis: int | None) -> tuple[Array, Array]:
    """Returns weights as int8 with zero point 0, and their scales.

    Args:
        weights: float32.
        axis: The axis of the channels, each of which has a scale of its own; None for one scale.

    Returns:
        int8 of the same shape, and float32 of shape (scales,); the scale of zeros is 1.
    """
    others = None if axis is None else tuple(i for i in range(weights.ndim) if i != axis)
    largest = np.abs(weights).max(axis=others, keepdims=True).astype(np.float64)
    scales = np.where(largest > 0, largest / _LARGEST_INT8, 1.0)
    steps = weights.astype(np.float64) / scales
    # Half away from zero, as the converter rounds.
    rounded = np.trunc(steps + np.copysign(0.5, steps))
    limited = np.clip(rounded, -_LARGEST_INT8, _LARGEST_INT8)
    return limited.astype(np.int8), scales.reshape(-1).astype(np.float32)


def _is_stored(tensor: Tensor) -> bool:
    return tensor.type == "FLOAT32" and tensor.data is not None and not tensor.is_variable


def _replace(operator: OperatorTree, position: int, number: int) -> None:
    inputs = numbers(operator.inputs)
    inputs[position] = number
    operator.inputs = inputs
