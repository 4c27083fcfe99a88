"""Whether the bytes of a TensorFlow Lite model hang together, found without an interpreter.

An interpreter follows what a file says of itself: of a file that was cut, edited or made to harm it
reads memory that is not its own, divides by zero or never returns, and that ends the process. What
is checked here is what public reports of such crashes have in common:

- numbers of tensors, buffers, operator codes and subgraphs that lead nowhere, and subgraphs that
  call themselves (CVE-2020-15211, CVE-2021-29591);
- sizes that are negative, overflow 31 bits, or are not those of the values that are stored
  (CVE-2021-29601, CVE-2022-23558, tensorflow issue 124982);
- operators that write what is stored in the file (CVE-2020-15209), or read what nothing has
  written (CVE-2021-37688);
- strides, dilations and windows of nothing (tensorflow issues 61902, 61905, 60622).

Offsets into the file are not checked here: LiteRT's own interpreter verifies all of them before it
follows one, and reading the object tree in Python is safe without. What this check lets through
meets the interpreter in a copy of the process first; see `first_run.py`.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np

from tfx_tflite.components.models import object_tree
from tfx_tflite.components.models.object_tree import (
    BufferTree,
    Integers,
    ModelTree,
    OperatorTree,
    QuantizationTree,
    SubgraphTree,
    TensorTree,
    numbers,
    text,
)

_IDENTIFIER = b"TFL3"
_VERSION = 3
# Kernels count elements in an `int`.
_MOST_ELEMENTS = 2**31 - 1
# Bits of an element of each type that is a number.
BITS = {
    **{"BOOL": 8, "INT4": 4, "INT8": 8, "UINT8": 8, "INT16": 16, "UINT16": 16, "FLOAT16": 16},
    **{"INT32": 32, "UINT32": 32, "FLOAT32": 32, "INT64": 64, "UINT64": 64, "FLOAT64": 64},
    **{"BFLOAT16": 16, "COMPLEX64": 64, "COMPLEX128": 128},
}
# Types whose values are not numbers in a buffer.
_HANDLES = ("RESOURCE", "VARIANT", "STRING")
# What operators' options call other subgraphs.
CALLED = (
    *("subgraph", "initSubgraphIndex", "thenSubgraphIndex", "elseSubgraphIndex"),
    *("condSubgraphIndex", "bodySubgraphIndex"),
    *("updateComputationSubgraphIndex", "comparatorSubgraphIndex"),
)
# Options that kernels divide by. Depthwise convolutions keep them in 16 bits, where a larger number
# may become zero.
_DIVISORS = (
    *("strideD", "strideH", "strideW"),
    *("dilationDFactor", "dilationHFactor", "dilationWFactor"),
    *("filterHeight", "filterWidth", "blockSize"),
)
_LARGEST_DIVISOR = 2**15 - 1
# Operators whose filter, their second operand, tells how many channels they read at once.
_CONVOLUTIONS = ("CONV_2D", "CONV_3D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")


def begins_as_a_model(content: bytes) -> bool:
    """Returns whether bytes begin as a TensorFlow Lite model does."""
    return content[4:8] == _IDENTIFIER


def problems(content: bytes) -> Iterator[str]:
    """Yields what is wrong with a model's bytes, each in a few words."""
    if not begins_as_a_model(content):
        yield "it does not begin as one"
        return
    try:
        # Bytes that lead outside the file (struct.error, ValueError), lengths that are beyond what
        # can be read (OverflowError, MemoryError), kinds of options that there are none of
        # (AttributeError, TypeError, IndexError): each is found somewhere in the schema's own code.
        tree = object_tree.parse(content)
        found = list(_problems(tree, len(content)))
    except Exception:
        yield "its parts lead outside the file or nowhere"
        return
    yield from found


def _problems(model: ModelTree, size: int) -> Iterator[str]:
    if model.version != _VERSION:
        yield f"it is of version {model.version} of the schema, expected {_VERSION}"
    if not model.subgraphs:
        yield "it has no subgraph"
        return
    if not model.buffers:
        yield "it has no buffers"
        return
    broken = [f"{place} {reason}" for place, reason in broken_references(model)]
    yield from broken
    if broken:
        # What follows would follow them.
        return
    for place, buffer in enumerate(model.buffers):
        yield from _stored_beyond(place, buffer, size)
    for place, graph in enumerate(model.subgraphs):
        for index, tensor in enumerate(graph.tensors or ()):
            yield from _tensor(model, f"tensor {index} of subgraph {place}", tensor)
        yield from _operators(model, graph, place)
        yield from _without_a_value(model, graph, place)
    yield from _circles(model)


def broken_references(model: ModelTree) -> Iterator[tuple[str, str]]:
    """Yields what refers to a graph, tensor, kind of operator or buffer that is not there.

    Args:
        model: The object tree.

    Yields:
        The place, and what is wrong with it.
    """
    for place, graph in enumerate(model.subgraphs):
        yield from _broken_in(model, graph, f"subgraph {place}")
    yield from _broken_signatures(model)
    for entry in model.metadata or ():
        if not _within([entry.buffer], len(model.buffers)):
            yield f"metadata {text(entry.name)!r}", "has no buffer"


def _broken_in(model: ModelTree, graph: SubgraphTree, place: str) -> Iterator[tuple[str, str]]:
    count = len(graph.tensors or ())
    for side, indexes in (("inputs", graph.inputs), ("outputs", graph.outputs)):
        if not _within(indexes, count):
            yield place, f"names tensors that it does not have as its {side}"
    for index, operator in enumerate(graph.operators or ()):
        # -1 is an operand that is left out.
        optional = (*numbers(operator.inputs), *numbers(operator.intermediates))
        if not _within(optional, count, lowest=-1) or not _within(operator.outputs, count):
            yield f"operator #{index} of {place}", "refers to missing tensors"
        if not _within([operator.opcodeIndex], len(model.operatorCodes or ())):
            yield f"operator #{index} of {place}", "has no operator code"
    for index, tensor in enumerate(graph.tensors or ()):
        if not _within([tensor.buffer], len(model.buffers)):
            yield f"tensor #{index} of {place}", "has no buffer"


def _broken_signatures(model: ModelTree) -> Iterator[tuple[str, str]]:
    for signature in model.signatureDefs or ():
        place = f"signature {text(signature.signatureKey)}"
        if not _within([signature.subgraphIndex], len(model.subgraphs)):
            yield place, f"refers to subgraph {signature.subgraphIndex}, which is missing"
            continue
        graph = model.subgraphs[signature.subgraphIndex]
        for side, entries, there in (
            ("input", signature.inputs, numbers(graph.inputs)),
            ("output", signature.outputs, numbers(graph.outputs)),
        ):
            for entry in entries or ():
                if entry.tensorIndex not in there:
                    yield (
                        place,
                        f"refers to tensor {entry.tensorIndex} as {side} {text(entry.name)!r}, "
                        f"which is not one of its graph's {side}s",
                    )


def _within(places: Integers, count: int, lowest: int = 0) -> bool:
    return all(lowest <= place < count for place in numbers(places))


def _stored_beyond(place: int, buffer: BufferTree, size: int) -> Iterator[str]:
    """Finds a buffer beyond the flatbuffer that is not in the file; 0 and 1 mean none is there."""
    offset, length = int(buffer.offset), int(buffer.size)
    if offset > 1 and (offset + length > size or buffer.data is not None):
        yield f"buffer {place} ends at byte {offset + length} of {size}"


def _tensor(model: ModelTree, name: str, tensor: TensorTree) -> Iterator[str]:
    shape = numbers(tensor.shape)
    free = numbers(tensor.shapeSignature) if tensor.shapeSignature is not None else shape
    if any(size < 0 for size in shape) or any(size < -1 for size in free):
        yield f"{name} has a negative size: {shape}"
    elif len(free) != len(shape):
        yield f"{name} has two shapes of different ranks"
    elif math.prod(shape) > _MOST_ELEMENTS:
        yield f"{name} has more than {_MOST_ELEMENTS} elements: {shape}"
    kind = object_tree.type_name(tensor.type)
    if kind.startswith("TYPE "):
        yield f"{name} is of a type that there is none of ({tensor.type})"
    if tensor.quantization is not None:
        yield from _quantization(name, tensor.quantization, shape)
    stored = object_tree.stored_bytes(model.buffers[tensor.buffer])
    if stored and kind in BITS and tensor.sparsity is None:
        needed = (math.prod(shape) * BITS[kind] + 7) // 8
        if stored != needed:
            yield f"{name} stores {stored} bytes, but {kind} of shape {shape} takes {needed}"


def _quantization(name: str, found: QuantizationTree, shape: list[int]) -> Iterator[str]:
    scales = np.asarray(() if found.scale is None else found.scale, np.float64)
    points = numbers(found.zeroPoint)
    if len(points) not in (0, 1, len(scales)):
        yield f"{name} has {len(scales)} scales and {len(points)} zero points"
    if not np.isfinite(scales).all() or (scales < 0).any():
        yield f"{name} has a scale that is negative, NaN or infinite"
    if len(scales) > 1:
        axis = found.quantizedDimension
        if not 0 <= axis < len(shape):
            yield f"{name} has scales along axis {axis} of {len(shape)}"
        elif len(scales) != shape[axis]:
            yield f"{name} has {len(scales)} scales for {shape[axis]} channels"


def _operators(model: ModelTree, graph: SubgraphTree, place: int) -> Iterator[str]:
    tensors = graph.tensors or ()
    for index, operator in enumerate(graph.operators or ()):
        kind = object_tree.kind_of(model, operator)
        name = f"operator #{index} of subgraph {place}, {kind},"
        for output in numbers(operator.outputs):
            if object_tree.stored_bytes(model.buffers[tensors[output].buffer]):
                yield f"{name} writes tensor {output}, which is stored in the file"
        yield from _divisors(name, operator)
        yield from _filter(kind, name, operator, graph)


def _without_a_value(model: ModelTree, graph: SubgraphTree, place: int) -> Iterator[str]:
    """Finds operators that read what nothing has written; it would be whatever memory holds."""
    tensors = graph.tensors or ()
    known = {
        *numbers(graph.inputs),
        *(
            index
            for index, tensor in enumerate(tensors)
            if tensor.isVariable
            or object_tree.stored_bytes(model.buffers[tensor.buffer])
            or 0 in numbers(tensor.shape)
            or object_tree.type_name(tensor.type) in _HANDLES
        ),
    }
    for index, operator in enumerate(graph.operators or ()):
        # What a custom operator reads may be memory to work in: Vela gives its operators such.
        is_custom = object_tree.is_custom(model.operatorCodes[operator.opcodeIndex])
        for operand in () if is_custom else numbers(operator.inputs):
            if operand >= 0 and operand not in known:
                yield (
                    f"operator #{index} of subgraph {place} reads tensor {operand}, which has no "
                    "value"
                )
                return
        known.update(numbers(operator.outputs))
    for output in numbers(graph.outputs):
        if output not in known:
            yield f"output {output} of subgraph {place} has no value"


def _divisors(name: str, operator: OperatorTree) -> Iterator[str]:
    for option in _DIVISORS:
        value = getattr(operator.builtinOptions, option, 1)
        if not 0 < value <= _LARGEST_DIVISOR:
            yield f"{name} has {option} {value}"


def _filter(kind: str, name: str, operator: OperatorTree, graph: SubgraphTree) -> Iterator[str]:
    operands = numbers(operator.inputs)
    if kind not in _CONVOLUTIONS:
        return
    if len(operands) < 2 or operands[1] < 0:
        yield f"{name} has no filter"
    elif 0 in numbers(graph.tensors[operands[1]].shape):
        yield f"{name} has a filter of nothing"


def _circles(model: ModelTree) -> Iterator[str]:
    """Finds operators that call a subgraph that is missing or that they are in themselves."""
    called: dict[int, set[int]] = {}
    for place, graph in enumerate(model.subgraphs):
        found = {
            getattr(options, field)
            for operator in graph.operators or ()
            for options in (operator.builtinOptions, operator.builtinOptions2)
            for field in CALLED
            if hasattr(options, field)
        }
        missing = [each for each in found if not 0 <= each < len(model.subgraphs)]
        # -1 stands for a computation that is left out.
        if any(each != -1 for each in missing):
            yield f"an operator of subgraph {place} calls subgraph {max(missing)}, which is missing"
        called[place] = found.difference(missing)
    for place in called:
        if place in _reached(place, called.__getitem__):
            yield f"subgraph {place} calls itself"


def _reached(start: int, steps: Callable[[int], set[int]]) -> set[int]:
    """Returns what is reached from a place in one step or more."""
    found: set[int] = set()
    ahead = list(steps(start))
    while ahead:
        place = ahead.pop()
        if place not in found:
            found.add(place)
            ahead += steps(place)
    return found
