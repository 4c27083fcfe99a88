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

from collections.abc import Mapping

import numpy as np

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.models import object_tree
from tfx_tflite.components.models.draft import Draft
from tfx_tflite.components.models.flatbuffer import read_graph
from tfx_tflite.components.models.object_tree import (
    OperatorTree,
    SubgraphTree,
    TensorTree,
    numbers,
)

# The integers that an input may have, with their range if 8 bits hold them all.
_INTEGERS: Mapping[str, tuple[float, float] | None] = {
    "UINT8": (0.0, 255.0),
    "INT8": (-128.0, 127.0),
    "BOOL": (0.0, 1.0),
    "INT16": None,
    "INT32": None,
    "INT64": None,
}


def rewritten(content: bytes) -> bytes:
    """Returns a model with the same results and fewer operators that stay float.

    Args:
        content: The float flatbuffer.

    Returns:
        The very bytes if there is nothing to rewrite. An integer input that is only cast to float
        is a float input afterwards, of the same values.
    """
    draft = read_graph(content).draft()
    rewrites = (_multiply_instead, _take_floats, _slice_instead, _drop_foreign_tables)
    changed = [rewrite(draft) for rewrite in rewrites]
    if not any(changed):
        return content
    draft.drop_unused_tensors()
    draft.drop_unused_codes()
    return draft.content()


def _multiply_instead(draft: Draft) -> bool:
    """Makes NEG and SQUARE of floats MUL, and returns whether there was any."""
    found = False
    for graph in draft.tree.subgraphs:
        for operator in graph.operators:
            kind = draft.kind(operator)
            if kind not in ("NEG", "SQUARE"):
                continue
            [operand] = numbers(operator.inputs)
            if not _is_float(graph.tensors[operand]):
                continue
            minus_one = np.array(-1, np.float32)
            factor = operand if kind == "SQUARE" else draft.add_constant(graph, minus_one)
            operator.inputs = [operand, factor]
            operator.opcodeIndex = draft.code("MUL")
            object_tree.set_options(operator, "MulOptions")
            found = True
    return found


def _is_float(tensor: TensorTree) -> bool:
    return object_tree.type_name(tensor.type) == "FLOAT32"


def _take_floats(draft: Draft) -> bool:
    """Makes inputs float that are only cast to float, and returns whether there was any."""
    graph = draft.main
    found = False
    for index in numbers(graph.inputs):
        casts = _only_casts(draft, index)
        if not casts:
            continue
        tensor = graph.tensors[index]
        limits = _INTEGERS[object_tree.type_name(tensor.type)]
        if limits is not None:
            tensor.quantization = object_tree.range_tree(*limits)
        tensor.type = object_tree.type_number("FLOAT32")
        replaced = {numbers(cast.outputs)[0] for cast in casts}
        draft.drop_operators(casts)
        for operator in graph.operators:
            operator.inputs = [index if i in replaced else i for i in numbers(operator.inputs)]
        found = True
    return found


def _only_casts(draft: Draft, index: int) -> list[OperatorTree]:
    """Returns the casts to float that read an integer input, if nothing else does."""
    graph = draft.main
    outputs = numbers(graph.outputs)
    if object_tree.type_name(graph.tensors[index].type) not in _INTEGERS or index in outputs:
        return []
    readers = [each for each in graph.operators if index in numbers(each.inputs)]
    written = [numbers(each.outputs)[0] for each in readers if numbers(each.outputs)]
    are_casts = all(draft.kind(operator) == "CAST" for operator in readers) and all(
        _is_float(graph.tensors[i]) and i not in outputs for i in written
    )
    return readers if are_casts else []


# What reads a table or a variable, or runs a graph that might.
_READ_TABLES = frozenset({"HASHTABLE", "HASHTABLE_FIND", "HASHTABLE_SIZE", "VAR_HANDLE",
                          "READ_VARIABLE", "ASSIGN_VARIABLE", "WHILE", "IF", "CALL"})  # fmt: skip


def _drop_foreign_tables(draft: Draft) -> bool:
    """Drops what fills tables that the main graph does not read; returns whether there was any."""
    kinds = [draft.kind(operator) for operator in draft.main.operators]
    if "CALL_ONCE" not in kinds or _READ_TABLES.intersection(kinds):
        return False
    draft.drop_operators(each for each in draft.main.operators if draft.kind(each) == "CALL_ONCE")
    # Nothing else calls the other graphs.
    del draft.tree.subgraphs[1:]
    return True


# Where an operator with several outputs has what it splits, and where the axis.
_SPLITS = {"SPLIT": (1, 0), "SPLIT_V": (0, 2)}


def _slice_instead(draft: Draft) -> bool:
    """Makes slices of operators whose outputs are not all read; returns whether there was any."""
    found = False
    for graph in draft.tree.subgraphs:
        read = {i for each in graph.operators for i in numbers(each.inputs)}
        read.update(numbers(graph.outputs))
        operators: list[OperatorTree] = []
        for operator in graph.operators:
            slices = _slices(draft, graph, operator, read)
            operators += [operator] if slices is None else slices
            found |= slices is not None
        graph.operators = operators
    return found


def _slices(
    draft: Draft, graph: SubgraphTree, operator: OperatorTree, read: set[int]
) -> list[OperatorTree] | None:
    """Returns slices in the place of an operator; None if it is to stay."""
    kind, outputs = draft.kind(operator), numbers(operator.outputs)
    if kind not in (*_SPLITS, "UNPACK") or read.issuperset(outputs):
        return None
    operands = numbers(operator.inputs)
    if kind == "UNPACK":
        source, axis = operands[0], object_tree.axis_of(operator)
    else:
        source, stored = (operands[position] for position in _SPLITS[kind])
        axis = _stored_integer(draft, graph.tensors[stored])
    axis %= len(numbers(graph.tensors[source].shape))
    sizes = [1 if kind == "UNPACK" else _size(graph.tensors[i], axis) for i in outputs]
    if not _is_float(graph.tensors[source]) or min(sizes) < 0:
        return None
    starts = np.cumsum([0, *sizes[:-1]])
    slice_of = _one_of_axis if kind == "UNPACK" else _part_of_axis
    slices = []
    for output, start, size in zip(outputs, starts, sizes, strict=True):
        if output in read:
            begins = np.zeros(len(numbers(graph.tensors[source].shape)), np.int32)
            begins[axis] = start
            name, constants, options = slice_of(begins, axis, size)
            places = [draft.add_constant(graph, values) for values in constants]
            slices.append(draft.operator(name, [source, *places], output))
            object_tree.set_options(slices[-1], _OPTIONS[name], **options)
    return slices


def _stored_integer(draft: Draft, tensor: TensorTree) -> int:
    data = draft.tree.buffers[tensor.buffer].data
    return int(np.asarray(data, np.uint8).view(np.int32)[0])


def _size(output: TensorTree, axis: int) -> int:
    """Returns how much of the axis an output takes; less than 0 if that is not fixed."""
    return numbers(output.shape if output.shapeSignature is None else output.shapeSignature)[axis]


_OPTIONS = {"SLICE": "SliceOptions", "STRIDED_SLICE": "StridedSliceOptions"}
# An operator's kind, its constant operands, and its options.
_Slice = tuple[str, tuple[Array, ...], dict[str, int]]


def _part_of_axis(begins: Array, axis: int, size: int) -> _Slice:
    """Returns a SLICE of a part of an axis and all of the others."""
    sizes = np.full_like(begins, -1)
    sizes[axis] = size
    return "SLICE", (begins, sizes), {}


def _one_of_axis(begins: Array, axis: int, size: int) -> _Slice:
    """Returns a STRIDED_SLICE of one place of an axis, which goes, and all of the others."""
    all_others = ((1 << len(begins)) - 1) & ~(1 << axis)
    options = {
        "beginMask": all_others,
        "endMask": all_others,
        "shrinkAxisMask": 1 << axis,
        "ellipsisMask": 0,
        "newAxisMask": 0,
    }
    return "STRIDED_SLICE", (begins, begins + np.int32(size), np.ones_like(begins)), options
