"""What a model with float activations promises: float32, float16 and dynamic_range."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from tfx_tflite.components.models.flatbuffer import (
    FlatbufferGraph,
    Operator,
    Violation,
    scales_of,
    short_name,
    tensor_type,
    zero_points_of,
)
from tfx_tflite.components.quantization.audit import specification as spec
from tfx_tflite.components.quantization.audit.integer_promises import channel_scales
from tfx_tflite.components.quantization.schemes import Scheme

# The converter leaves smaller weights as they are in `dynamic_range`.
_SMALLEST_QUANTIZED_WEIGHTS = 1024


def violations(graph: FlatbufferGraph, scheme: Scheme) -> Iterator[Violation]:
    """Finds what breaks the promise of a scheme with float activations."""
    writers = {id(output): operator for operator in graph.operators for output in operator.outputs}
    for operator in graph.operators:
        yield from _weights(graph, operator, scheme, writers)
        yield from _activations(graph, operator, scheme, writers)
        if scheme.traits.weights == "INT8":
            yield from _weight_scales(graph, operator)
        else:
            yield from _quantized_constants(graph, operator)


_Writers = dict[int, Operator]


def _weights(
    graph: FlatbufferGraph, operator: Operator, scheme: Scheme, writers: _Writers
) -> Iterator[Violation]:
    """The weights have the promised type, where they are stored."""
    kind = spec.WEIGHTED.get(operator.name)
    for position in () if kind is None else kind.weights:
        weights = _stored(operator.operand(position), writers)
        if weights is None or not graph.is_constant(weights):
            continue
        found = tensor_type(weights)
        if found in ("INT32", "INT64", "BOOL") and not len(scales_of(weights)):
            # A table of indices.
            continue
        promised: tuple[str, ...] = (scheme.traits.weights,)
        if scheme.traits.weights == "INT8" and _is_small(weights):
            promised = (*promised, "FLOAT32")
        if found not in promised:
            yield Violation(operator.label, f"has {found} weights, not {' or '.join(promised)}")


def _stored(tensor: Any | None, writers: _Writers) -> Any | None:
    """Returns the tensor that a DEQUANTIZE makes an operand of, else the operand itself."""
    writer = None if tensor is None else writers.get(id(tensor))
    return writer.inputs[0] if writer is not None and writer.name == "DEQUANTIZE" else tensor


def _is_small(weights: Any) -> bool:
    shape = () if weights.shape is None else weights.shape
    return int(np.prod(shape)) < _SMALLEST_QUANTIZED_WEIGHTS


def _activations(
    graph: FlatbufferGraph, operator: Operator, scheme: Scheme, writers: _Writers
) -> Iterator[Violation]:
    """What an operator writes is not quantized, and float where it is a float: of 32 bits."""
    for output in operator.outputs:
        if len(scales_of(output)) and not _is_from_a_table(graph, operator, scheme, writers):
            yield Violation(operator.label, f"has quantized {tensor_type(output)} activations")
            return
        if tensor_type(output) in spec.FLOATS - {"FLOAT32"}:
            yield Violation(operator.label, f"has {tensor_type(output)} activations, not FLOAT32")
            return


def _is_from_a_table(
    graph: FlatbufferGraph, operator: Operator, scheme: Scheme, writers: _Writers
) -> bool:
    """Whether an operator hands on rows of a table of quantized weights, to be dequantized."""
    if scheme.traits.weights != "INT8":
        return False
    source = operator
    while source.name in spec.SAME_SCALE:
        table = next((tensor for tensor in source.inputs if len(scales_of(tensor))), None)
        if table is None:
            return False
        if graph.is_constant(table):
            return True
        if id(table) not in writers:
            return False
        source = writers[id(table)]
    return False


def _weight_scales(graph: FlatbufferGraph, operator: Operator) -> Iterator[Violation]:
    """Quantized weights beside float activations are symmetric and have scales."""
    kind = spec.WEIGHTED.get(operator.name)
    for position in () if kind is None else kind.weights:
        weights = operator.operand(position)
        if weights is None or not graph.is_constant(weights) or tensor_type(weights) != "INT8":
            continue
        scales = scales_of(weights)
        if not len(scales) or not np.all(np.isfinite(scales) & (scales > 0)):
            yield Violation(operator.label, "has INT8 weights without a positive scale")
        elif zero_points_of(weights).any():
            yield Violation(operator.label, "has weights with a zero point other than 0")
        elif kind is not None:
            yield from channel_scales(operator, weights, kind)


def _quantized_constants(graph: FlatbufferGraph, operator: Operator) -> Iterator[Violation]:
    """No operator reads a quantized constant; the weights themselves are named already."""
    kind = spec.WEIGHTED.get(operator.name)
    named = () if kind is None else kind.weights
    for position, tensor in enumerate(operator.operands):
        if tensor is None or position in named or not len(scales_of(tensor)):
            continue
        if graph.is_constant(tensor):
            yield Violation(
                operator.label, f"reads the quantized {tensor_type(tensor)} {short_name(tensor)}"
            )
