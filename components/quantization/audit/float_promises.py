"""What a model with float activations promises: float32, float16 and dynamic_range."""

import math
from collections.abc import Iterator

import numpy as np

from tfx_tflite.components.models.flatbuffer import Graph, Operator, Tensor, Violation
from tfx_tflite.components.quantization.audit import specification as spec
from tfx_tflite.components.quantization.audit.integer_promises import channel_scales, holds_weights
from tfx_tflite.components.quantization.schemes import Scheme

# The converter leaves smaller weights as they are in `dynamic_range`.
_SMALLEST_QUANTIZED_WEIGHTS = 1024


def violations(graph: Graph, scheme: Scheme) -> Iterator[Violation]:
    """Finds what breaks the promise of a scheme with float activations."""
    for operator in graph.operators:
        yield from _weights(graph, operator, scheme)
        yield from _activations(graph, operator, scheme)
        if scheme.traits.weights == "INT8":
            yield from _weight_scales(operator)
        else:
            yield from _quantized_constants(operator)


def _weights(graph: Graph, operator: Operator, scheme: Scheme) -> Iterator[Violation]:
    """The weights have the promised type, if they are stored."""
    for position in spec.weighted(operator.name).weights:
        weights = _stored(graph, operator.operand(position))
        if weights is None or not holds_weights(weights):
            continue
        found = weights.type
        promised: tuple[str, ...] = (scheme.traits.weights,)
        is_small = math.prod(weights.shape) < _SMALLEST_QUANTIZED_WEIGHTS
        if scheme.traits.weights == "INT8" and is_small:
            promised = (*promised, "FLOAT32")
        if found not in promised:
            yield Violation(operator.label, f"has {found} weights, not {' or '.join(promised)}")


def _stored(graph: Graph, tensor: Tensor | None) -> Tensor | None:
    """Returns the tensor that a DEQUANTIZE makes an operand of, else the operand itself."""
    writer = None if tensor is None else graph.writers.get(tensor)
    return writer.inputs[0] if writer is not None and writer.name == "DEQUANTIZE" else tensor


def _activations(graph: Graph, operator: Operator, scheme: Scheme) -> Iterator[Violation]:
    """What an operator writes is not quantized, and float if it is a float: of 32 bits."""
    for output in operator.outputs:
        if output.is_quantized and not _is_from_a_table(graph, operator, scheme):
            yield Violation(operator.label, f"has quantized {output.type} activations")
            return
        if output.type in spec.FLOATS - {"FLOAT32"}:
            yield Violation(operator.label, f"has {output.type} activations, not FLOAT32")
            return


def _is_from_a_table(graph: Graph, operator: Operator, scheme: Scheme) -> bool:
    """Whether an operator hands on rows of a table of quantized weights, to be dequantized."""
    if scheme.traits.weights != "INT8":
        return False
    source = operator
    while source.name in spec.SAME_SCALE:
        table = next((tensor for tensor in source.inputs if tensor.is_quantized), None)
        if table is None:
            return False
        if table.is_constant:
            return True
        if table not in graph.writers:
            return False
        source = graph.writers[table]
    return False


def _weight_scales(operator: Operator) -> Iterator[Violation]:
    """Quantized weights beside float activations are symmetric and have scales."""
    kind = spec.weighted(operator.name)
    for weights in map(operator.operand, kind.weights):
        if weights is None or not weights.is_constant or weights.type != "INT8":
            continue
        scales = weights.scales
        if not len(scales) or not np.all(np.isfinite(scales) & (scales > 0)):
            yield Violation(operator.label, "has INT8 weights without a positive scale")
        elif weights.zero_points.any():
            yield Violation(operator.label, "has weights with a zero point other than 0")
        else:
            yield from channel_scales(operator, weights, kind)


def _quantized_constants(operator: Operator) -> Iterator[Violation]:
    """No operator reads a quantized constant; the weights themselves are named already."""
    named = spec.weighted(operator.name).weights
    for position, tensor in enumerate(operator.operands):
        if tensor is None or position in named or not tensor.is_quantized:
            continue
        if tensor.is_constant:
            yield Violation(
                operator.label, f"reads the quantized {tensor.type} {tensor.short_name}"
            )
