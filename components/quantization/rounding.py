"""A float model in which some tensors are rounded to 8 bits, and everything else stays float.

QUANTIZE and DEQUANTIZE are put behind a tensor, with the scale and zero point that the quantizer
chooses for its range. So one can see what 8 bits cost there alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.models import object_tree
from tfx_tflite.components.models.draft import Draft
from tfx_tflite.components.models.flatbuffer import Operator, read_graph
from tfx_tflite.components.models.object_tree import OperatorTree, numbers
from tfx_tflite.components.quantization.audit import specification as spec

LOWEST, HIGHEST = -128, 127
# The version of DEQUANTIZE that takes int8.
_FROM_INT8 = 2


@dataclass(frozen=True)
class Rounding:
    """How reals become integers of 8 bits: real = (integer - zero_point) * scale.

    Attributes:
        scale: What a step is worth.
        zero_point: The integer that stands for zero, from -128 to 127.
    """

    scale: float
    zero_point: int

    @classmethod
    def of_range(cls, minimum: float, maximum: float) -> "Rounding":
        """Returns what the quantizer chooses for a range, which it widens to hold zero.

        Of the two zero points that follow from the ends of the range it takes that of the end whose
        numbers are smaller, which is the more exact one
        (tensorflow/compiler/mlir/quantization/common/quantization_lib,
        `fakeQuantAttrsToType`).

        Args:
            minimum: The lowest real.
            maximum: The highest; if both are 0 the scale is 1, as for no range at all.
        """
        lowest, highest = min(float(minimum), 0.0), max(float(maximum), 0.0)
        scale = (highest - lowest) / (HIGHEST - LOWEST)
        if scale == 0:
            return cls(1.0, 0)
        from_lowest, from_highest = LOWEST - lowest / scale, HIGHEST - highest / scale
        error_of_lowest = abs(LOWEST) + abs(lowest / scale)
        error_of_highest = abs(HIGHEST) + abs(highest / scale)
        exact = from_lowest if error_of_lowest < error_of_highest else from_highest
        zero_point = int(np.clip(np.trunc(exact + np.copysign(0.5, exact)), LOWEST, HIGHEST))
        return cls(scale, zero_point)

    @classmethod
    def of_output(cls, operator: Operator | None, minimum: float, maximum: float) -> "Rounding":
        """Returns the same of what an operator writes, whose kernel may assume a scale.

        Args:
            operator: The operator; None for an input.
            minimum: The lowest real of the tensor's range.
            maximum: The highest.
        """
        fixed = spec.FIXED_OUTPUTS.get("" if operator is None else operator.name, {})
        return cls(*fixed["INT8"]) if "INT8" in fixed else cls.of_range(minimum, maximum)

    @property
    def limits(self) -> tuple[float, float]:
        """The lowest and the highest real that there is a number for."""
        return (LOWEST - self.zero_point) * self.scale, (HIGHEST - self.zero_point) * self.scale

    def __call__(self, values: Array) -> Array:
        """Returns reals as they are after rounding, float64 of the same shape."""
        steps = np.rint(values / self.scale) + self.zero_point
        rounded: Array = (np.clip(steps, LOWEST, HIGHEST) - self.zero_point) * self.scale
        return rounded


def with_rounded(float32: bytes, roundings: Mapping[int, Rounding]) -> bytes:
    """Returns a float model with the same results but for some tensors that are rounded.

    Args:
        float32: The float flatbuffer.
        roundings: How, by the tensors' numbers in the main graph; none of them is a constant.

    Returns:
        The very bytes if nothing is to be rounded.
    """
    if not roundings:
        return float32
    draft = read_graph(float32).draft()
    rounded = {number: _Rounded.added(draft, number, how) for number, how in roundings.items()}
    written = {number for operator in draft.main.operators for number in numbers(operator.outputs)}
    operators: list[OperatorTree] = []
    for number in rounded.keys() - written:
        operators += rounded[number].operators
    for operator in draft.main.operators:
        operator.inputs = [_now(rounded, number) for number in numbers(operator.inputs)]
        operators.append(operator)
        for number in numbers(operator.outputs):
            operators += rounded[number].operators if number in rounded else ()
    draft.main.operators = operators
    draft.main.outputs = [_now(rounded, number) for number in numbers(draft.main.outputs)]
    for signature in draft.tree.signatureDefs or ():
        for entry in signature.outputs or () if signature.subgraphIndex == 0 else ():
            entry.tensorIndex = _now(rounded, entry.tensorIndex)
    return draft.content()


@dataclass(frozen=True)
class _Rounded:
    """What stands behind a tensor: the two operators, and the number of what they give."""

    operators: tuple[OperatorTree, OperatorTree]
    number: int

    @classmethod
    def added(cls, draft: Draft, number: int, rounding: Rounding) -> "_Rounded":
        source, graph = draft.main.tensors[number], draft.main
        name, shape = object_tree.text(source.name), numbers(source.shape)
        integer = object_tree.tensor_tree(f"{name}/rounded", "INT8", shape)
        integer.quantization = object_tree.scale_tree(rounding.scale, rounding.zero_point)
        real = object_tree.tensor_tree(f"{name}/reals", "FLOAT32", shape)
        integer.shapeSignature = real.shapeSignature = source.shapeSignature
        places = len(graph.tensors), len(graph.tensors) + 1
        graph.tensors += [integer, real]
        dequantize = draft.code_of_version("DEQUANTIZE", _FROM_INT8)
        return cls(
            (
                draft.operator("QUANTIZE", [number], places[0]),
                object_tree.operator_tree(dequantize, [places[0]], [places[1]]),
            ),
            places[1],
        )


def _now(rounded: Mapping[int, _Rounded], number: int) -> int:
    return rounded[number].number if number in rounded else number
