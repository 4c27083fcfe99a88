"""How much an operator computes: its multiplications with an addition each, by its shapes."""

import math

from tfx_tflite.components.models.flatbuffer import Operator, Tensor
from tfx_tflite.components.quantization.audit import specification as spec


def multiply_adds(operator: Operator) -> int:
    """Returns the multiply-adds of one inference, with a batch of 1 if the batch is dynamic.

    Args:
        operator: Of any kind; what has no weights and is no product of matrices has none.
    """
    kind = spec.weighted(operator.name)
    if not kind.weights or operator.name in ("GATHER", "EMBEDDING_LOOKUP"):
        return 0
    if operator.name == "BATCH_MATMUL":
        return _of_matrices(operator)
    if kind.bias is None:
        return _of_recurrence(operator, kind)
    weights = _shape(operator.operand(kind.weights[0]))
    channels = weights[kind.channels or 0]
    # Each output is a sum over the weights of its channel; a transposed convolution spreads each
    # input instead, and a depthwise one has no weights but those of its channels.
    is_transposed = operator.name in ("TRANSPOSE_CONV", "CONV_3D_TRANSPOSE")
    spread = operator.operand(kind.activation) if is_transposed else operator.outputs[0]
    return math.prod(_shape(spread)) * _per_number(operator.name, weights, channels)


def _per_number(name: str, weights: tuple[int, ...], channels: int) -> int:
    # The last axis of both kinds of transposed weights is that of the inputs, which are counted.
    if name in ("TRANSPOSE_CONV", "CONV_3D_TRANSPOSE"):
        return math.prod(weights[:-1])
    return math.prod(weights) // channels


def _of_matrices(operator: Operator) -> int:
    left, output = _shape(operator.operands[0]), _shape(operator.outputs[0])
    # The axis that is summed over is the one that the output does not have.
    summed = left[-1] if left[-2] == output[-2] else left[-2]
    return math.prod(output) * summed


def _of_recurrence(operator: Operator, kind: spec.WeightedOperator) -> int:
    tensors = [operator.operand(position) for position in kind.weights]
    weights = sum(math.prod(_shape(tensor)) for tensor in tensors if tensor is not None)
    given = _shape(operator.operands[0])
    return weights * math.prod(given[:-1])


def _shape(tensor: Tensor | None) -> tuple[int, ...]:
    return () if tensor is None else tensor.shape
