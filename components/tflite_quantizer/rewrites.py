"""Rewrites of a float TFLite model that change no result and leave fewer operators in float.

TensorFlow Lite's quantizer leaves NEG, SQUARE and CAST in float, and so the whole model is refused
that computes a layer normalisation, a variance or the reals of an image's bytes. The same numbers
come from operators that it does quantize: -x is x * -1, and x squared is x * x. An integer input
that is only made a float of is itself made a float input, which the quantizer quantizes as any
other. Of an image's bytes the range is that of the type: 0 to 255 become 256 numbers, scale 1.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from tensorflow.lite.tools import flatbuffer_utils

_schema = flatbuffer_utils.schema_fb
_TYPES = _schema.TensorType
_OPERATORS = _schema.BuiltinOperator

# The integers that an input may have, with their range where 8 bits hold them all.
_INTEGERS: dict[int, tuple[float, float] | None] = {
    _TYPES.UINT8: (0.0, 255.0),
    _TYPES.INT8: (-128.0, 127.0),
    _TYPES.BOOL: (0.0, 1.0),
    _TYPES.INT16: None,
    _TYPES.INT32: None,
    _TYPES.INT64: None,
}


def rewritten(content: bytes) -> bytes:
    """Returns a model with the same results and fewer operators that stay float.

    Args:
        content: The float flatbuffer.

    Returns:
        The very bytes if there is nothing to rewrite. An integer input that is only cast to float
        is a float input afterwards, of the same values.
    """
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    changed = [_multiply_instead(model), _take_floats(model)]
    if not any(changed):
        return content
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def fixed_range(tensor: Any) -> tuple[float, float] | None:
    """Returns the range that an input has by its integer type, if `rewritten` noted one.

    Args:
        tensor: A tensor of a float model's object tree.
    """
    found = tensor.quantization
    if found is None or found.min is None or not len(found.min):
        return None
    return float(found.min[0]), float(found.max[0])


def _multiply_instead(model: Any) -> bool:
    """Makes NEG and SQUARE of floats MUL, and returns whether there was any."""
    found = False
    for graph in model.subgraphs:
        for operator in graph.operators or ():
            kind = _kind(model, operator)
            if kind not in (_OPERATORS.NEG, _OPERATORS.SQUARE):
                continue
            [operand] = operator.inputs
            if graph.tensors[operand].type != _TYPES.FLOAT32:
                continue
            factor = operand if kind == _OPERATORS.SQUARE else _minus_one(model, graph)
            operator.inputs = [int(operand), int(factor)]
            operator.opcodeIndex = _code(model, _OPERATORS.MUL)
            operator.builtinOptionsType = _schema.BuiltinOptions.MulOptions
            operator.builtinOptions = _schema.MulOptionsT()
            found = True
    return found


def _kind(model: Any, operator: Any) -> int:
    return int(model.operatorCodes[operator.opcodeIndex].builtinCode)


def _code(model: Any, kind: int) -> int:
    """Returns the index of an operator's code, which is added if need be."""
    for index, code in enumerate(model.operatorCodes):
        if code.builtinCode == kind:
            return index
    code = _schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = kind
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _minus_one(model: Any, graph: Any) -> int:
    """Returns the index of a new constant, -1."""
    buffer = _schema.BufferT()
    buffer.data = np.array([-1], np.float32).view(np.uint8)
    model.buffers.append(buffer)
    tensor = _schema.TensorT()
    tensor.name, tensor.type, tensor.shape = f"minus_one{len(graph.tensors)}", _TYPES.FLOAT32, []
    tensor.buffer = len(model.buffers) - 1
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _take_floats(model: Any) -> bool:
    """Makes inputs float that are only cast to float, and returns whether there was any."""
    graph = model.subgraphs[0]
    found = False
    for index in graph.inputs:
        casts = list(_only_casts(model, graph, int(index)))
        if not casts:
            continue
        tensor = graph.tensors[index]
        _note_range(tensor, _INTEGERS[tensor.type])
        tensor.type = _TYPES.FLOAT32
        replaced = {int(cast.outputs[0]) for cast in casts}
        graph.operators = [operator for operator in graph.operators if operator not in casts]
        for operator in graph.operators:
            operands = () if operator.inputs is None else operator.inputs
            operator.inputs = [int(index) if i in replaced else int(i) for i in operands]
        found = True
    return found


def _only_casts(model: Any, graph: Any, index: int) -> Iterator[Any]:
    """Yields the casts to float that read an integer input, if nothing else does."""
    if graph.tensors[index].type not in _INTEGERS or index in graph.outputs:
        return
    readers = [
        operator
        for operator in graph.operators
        if operator.inputs is not None and index in operator.inputs
    ]
    written = [int(operator.outputs[0]) for operator in readers if len(operator.outputs)]
    if all(_kind(model, operator) == _OPERATORS.CAST for operator in readers) and all(
        graph.tensors[i].type == _TYPES.FLOAT32 and i not in graph.outputs for i in written
    ):
        yield from readers


def _note_range(tensor: Any, limits: tuple[float, float] | None) -> None:
    if limits is None:
        return
    tensor.quantization = _schema.QuantizationParametersT()
    tensor.quantization.min = np.array([limits[0]], np.float32)
    tensor.quantization.max = np.array([limits[1]], np.float32)
