"""Rewrites of a float TFLite model that change no result and leave fewer operators in float.

TensorFlow Lite's quantizer leaves NEG, SQUARE and CAST in float, and so the whole model is refused
that computes a layer normalisation, a variance or the reals of an image's bytes. The same numbers
come from operators that it does quantize: -x is x * -1, and x squared is x * x. An integer input
that is only made a float of is itself made a float input, which the quantizer quantizes as any
other. Of an image's bytes the range is that of the type: 0 to 255 become 256 numbers, scale 1.

Of an operator with several outputs (SPLIT, SPLIT_V, UNPACK) some of which nothing reads, it depends
on addresses in memory whether the quantizer leaves it in float (TensorFlow 2.16; up to one run in
15). Slices of what is read are quantized always.

The converter also keeps what fills the tables of other signatures (CALL_ONCE); a model that has no
table of its own does without.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from tensorflow.lite.tools import flatbuffer_utils

from tfx_tflite.components.models.flatbuffer import items
from tfx_tflite.components.quantization.conversion.unused_parts import (
    drop_unused_codes,
    drop_unused_tensors,
)

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
    changed = [_multiply_instead(model), _take_floats(model), _slice_instead(model)]
    changed.append(_drop_foreign_tables(model))
    if not any(changed):
        return content
    drop_unused_tensors(model)
    drop_unused_codes(model)
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
    return _constant(model, graph, np.array(-1, np.float32))


def _constant(model: Any, graph: Any, values: np.ndarray) -> int:
    """Returns the index of a new constant of 32 bits."""
    buffer = _schema.BufferT()
    buffer.data = values.reshape(-1).view(np.uint8)
    model.buffers.append(buffer)
    tensor = _schema.TensorT()
    tensor.name, tensor.shape = f"constant{len(graph.tensors)}", list(values.shape)
    tensor.type = _TYPES.FLOAT32 if values.dtype == np.float32 else _TYPES.INT32
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


# What reads a table or a variable, or runs a graph that might.
_READ_TABLES = frozenset({"HASHTABLE", "HASHTABLE_FIND", "HASHTABLE_SIZE", "VAR_HANDLE",
                          "READ_VARIABLE", "ASSIGN_VARIABLE", "WHILE", "IF", "CALL"})  # fmt: skip


def _drop_foreign_tables(model: Any) -> bool:
    """Drops what fills tables that the main graph does not read; returns whether there was any."""
    graph = model.subgraphs[0]
    names = [flatbuffer_utils.opcode_to_name(model, op.opcodeIndex) for op in graph.operators]
    if "CALL_ONCE" not in names or _READ_TABLES.intersection(names):
        return False
    graph.operators = [
        operator
        for operator, name in zip(graph.operators, names, strict=True)
        if name != "CALL_ONCE"
    ]
    # Nothing else calls the other graphs.
    del model.subgraphs[1:]
    return True


# Where an operator with several outputs has what it splits, and where the axis.
_SPLITS = {_OPERATORS.SPLIT: (1, 0), _OPERATORS.SPLIT_V: (0, 2)}


def _slice_instead(model: Any) -> bool:
    """Makes slices of operators whose outputs are not all read; returns whether there was any."""
    found = False
    for graph in model.subgraphs:
        read = {int(i) for each in graph.operators for i in items(each.inputs)}
        read |= {int(i) for i in graph.outputs}
        operators: list[Any] = []
        for operator in graph.operators:
            slices = _slices(model, graph, operator, read)
            operators += [operator] if slices is None else slices
            found |= slices is not None
        graph.operators = operators
    return found


def _slices(model: Any, graph: Any, operator: Any, read: set[int]) -> list[Any] | None:
    """Returns slices in the place of an operator; None if it is to stay."""
    kind, outputs = _kind(model, operator), [int(i) for i in items(operator.outputs)]
    if kind not in (*_SPLITS, _OPERATORS.UNPACK) or read.issuperset(outputs):
        return None
    if kind == _OPERATORS.UNPACK:
        source, axis = int(operator.inputs[0]), int(operator.builtinOptions.axis)
    else:
        source, axis = (int(operator.inputs[position]) for position in _SPLITS[kind])
        axis = int(_stored(model, graph.tensors[axis]))
    tensor = graph.tensors[source]
    axis %= len(tensor.shape)
    sizes = [_size(graph.tensors[i], axis, kind) for i in outputs]
    if tensor.type != _TYPES.FLOAT32 or min(sizes) < 0:
        return None
    starts = np.cumsum([0, *sizes[:-1]])
    make = _one_of_axis if kind == _OPERATORS.UNPACK else _part_of_axis
    return [
        make(model, graph, source, output, axis, int(start), int(size))
        for output, start, size in zip(outputs, starts, sizes, strict=True)
        if output in read
    ]


def _stored(model: Any, tensor: Any) -> np.ndarray:
    return np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(np.int32)[0]


def _size(output: Any, axis: int, kind: int) -> int:
    """Returns how much of the axis an output takes; less than 0 if that is not fixed."""
    if kind == _OPERATORS.UNPACK:
        return 1
    signature = output.shape if output.shapeSignature is None else output.shapeSignature
    return int(signature[axis])


def _part_of_axis(
    model: Any, graph: Any, source: int, output: int, axis: int, start: int, size: int
) -> Any:
    """Returns a SLICE of a part of an axis and all of the others."""
    rank = len(graph.tensors[source].shape)
    begins, sizes = np.zeros(rank, np.int32), np.full(rank, -1, np.int32)
    begins[axis], sizes[axis] = start, size
    operator = _schema.OperatorT()
    operator.opcodeIndex = _code(model, _OPERATORS.SLICE)
    operator.inputs = [source, _constant(model, graph, begins), _constant(model, graph, sizes)]
    operator.outputs = [output]
    operator.builtinOptionsType = _schema.BuiltinOptions.SliceOptions
    operator.builtinOptions = _schema.SliceOptionsT()
    return operator


def _one_of_axis(
    model: Any, graph: Any, source: int, output: int, axis: int, start: int, size: int
) -> Any:
    """Returns a STRIDED_SLICE of one place of an axis, which goes, and all of the others."""
    rank = len(graph.tensors[source].shape)
    begins = np.zeros(rank, np.int32)
    begins[axis] = start
    ends = begins + size
    steps = np.ones(rank, np.int32)
    options = _schema.StridedSliceOptionsT()
    options.beginMask = options.endMask = ((1 << rank) - 1) & ~(1 << axis)
    options.shrinkAxisMask = 1 << axis
    options.ellipsisMask = options.newAxisMask = 0
    operator = _schema.OperatorT()
    operator.opcodeIndex = _code(model, _OPERATORS.STRIDED_SLICE)
    constants = [_constant(model, graph, values) for values in (begins, ends, steps)]
    operator.inputs, operator.outputs = [source, *constants], [output]
    operator.builtinOptionsType = _schema.BuiltinOptions.StridedSliceOptions
    operator.builtinOptions = options
    return operator
