"""A TFLite flatbuffer as tensors, operators and signatures."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from tensorflow.lite.tools import flatbuffer_utils

_schema = flatbuffer_utils.schema_fb
_IDENTIFIER = b"TFL3"
_INTEGERS = {name.upper(): np.dtype(name) for name in ("int8", "uint8", "int16", "int32", "int64")}


@dataclass(frozen=True)
class Violation:
    """One way in which a model breaks its scheme's promise.

    Attributes:
        layer: The operator or tensor, by its place in the graph and its name.
        reason: What is wrong with it.
    """

    layer: str
    reason: str

    def __str__(self) -> str:
        return f"{self.layer}: {self.reason}"


@dataclass(frozen=True)
class Operator:
    """An operator of a flatbuffer with the tensors that it reads and writes.

    Attributes:
        index: Its place among the operators of all subgraphs.
        name: Its kind, as the schema or a custom operator's author names it.
        operands: What it reads, by position; None where an optional operand is left out.
        outputs: What it writes.
    """

    index: int
    name: str
    operands: tuple[Any | None, ...]
    outputs: tuple[Any, ...]

    @property
    def inputs(self) -> tuple[Any, ...]:
        """What it reads, without the operands that are left out."""
        return tuple(tensor for tensor in self.operands if tensor is not None)

    @property
    def label(self) -> str:
        """The operator's place, kind and the short name of what it writes."""
        written = short_name(self.outputs[0]) if self.outputs else ""
        return f"{self.name} #{self.index} ({written})" if written else f"{self.name} #{self.index}"

    def operand(self, position: int) -> Any | None:
        """Returns the operand at a position, None where there is none."""
        return self.operands[position] if position < len(self.operands) else None


class FlatbufferGraph:
    """A TFLite flatbuffer as tensors and operators.

    Args:
        content: The bytes of the file.

    Raises:
        ValueError: The bytes are not a TFLite flatbuffer.
    """

    def __init__(self, content: bytes):
        if content[4:8] != _IDENTIFIER:
            raise ValueError("not a TensorFlow Lite flatbuffer")
        self._model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))

    @cached_property
    def operators(self) -> tuple[Operator, ...]:
        """The operators of all subgraphs, in order."""
        return tuple(self._operators())

    def _operators(self) -> Iterator[Operator]:
        index = 0
        for graph in self._model.subgraphs:
            for operator in items(graph.operators):
                yield Operator(
                    index,
                    self._operator_name(operator.opcodeIndex),
                    tuple(graph.tensors[i] if i >= 0 else None for i in items(operator.inputs)),
                    tuple(graph.tensors[i] for i in items(operator.outputs) if i >= 0),
                )
                index += 1

    def _operator_name(self, opcode_index: int) -> str:
        code = self._model.operatorCodes[opcode_index]
        name = flatbuffer_utils.opcode_to_name(self._model, opcode_index)
        if name != "CUSTOM":
            return name
        return code.customCode.decode() if isinstance(code.customCode, bytes) else code.customCode

    @property
    def written_tensors(self) -> dict[int, Any]:
        """What the operators of the main graph write, by index among its tensors."""
        graph = self._model.subgraphs[0]
        return {
            int(index): graph.tensors[index]
            for operator in items(graph.operators)
            for index in items(operator.outputs)
            if index >= 0
        }

    def output_kinds(self, through: frozenset[str] = frozenset()) -> dict[str, str]:
        """Returns which kind of operator computes each output, by its name in the signature.

        Args:
            through: Kinds of operators that are passed, as they only change how numbers are laid
                out; what feeds them is taken instead.
        """
        writers = {id(output): each for each in self.operators for output in each.outputs}
        found = {}
        for signature in self._signatures:
            tensors = self._model.subgraphs[signature.subgraphIndex].tensors
            for entry in items(signature.outputs):
                operator = writers.get(id(tensors[entry.tensorIndex]))
                while operator is not None and operator.name in through and operator.inputs:
                    operator = writers.get(id(operator.inputs[0]))
                found[text(entry.name)] = "" if operator is None else operator.name
        return found

    @property
    def inputs(self) -> tuple[Any, ...]:
        """The input tensors of the main graph."""
        return self._tensors(0, self._model.subgraphs[0].inputs)

    @property
    def outputs(self) -> tuple[Any, ...]:
        """The output tensors of the main graph."""
        return self._tensors(0, self._model.subgraphs[0].outputs)

    @cached_property
    def io(self) -> tuple[tuple[str, Any], ...]:
        """Inputs and outputs ("input", "output") of the main graph and of every signature's."""
        indexes = {0, *(signature.subgraphIndex for signature in self._signatures)}
        found = []
        for index in sorted(indexes):
            graph = self._model.subgraphs[index]
            found += [("input", tensor) for tensor in self._tensors(index, graph.inputs)]
            found += [("output", tensor) for tensor in self._tensors(index, graph.outputs)]
        return tuple(found)

    @property
    def _signatures(self) -> Iterable[Any]:
        return items(self._model.signatureDefs)

    def _tensors(self, subgraph: int, indexes: Iterable[int] | None) -> tuple[Any, ...]:
        return tuple(self._model.subgraphs[subgraph].tensors[i] for i in items(indexes))

    @cached_property
    def _edge(self) -> frozenset[int]:
        return frozenset(id(tensor) for _, tensor in self.io)

    def at_the_edge(self, tensors: Iterable[Any]) -> bool:
        """Returns whether all the tensors are inputs or outputs of the model."""
        return all(id(tensor) in self._edge for tensor in tensors)

    @cached_property
    def idle_tensors(self) -> tuple[Any, ...]:
        """Tensors that no operator reads or writes and that are not inputs or outputs."""
        used = {id(t) for operator in self.operators for t in (*operator.inputs, *operator.outputs)}
        used |= self._edge
        for graph in self._model.subgraphs:
            used |= {id(graph.tensors[i]) for i in (*items(graph.inputs), *items(graph.outputs))}
            for operator in items(graph.operators):
                used |= {id(graph.tensors[i]) for i in items(operator.intermediates) if i >= 0}
        tensors = (tensor for graph in self._model.subgraphs for tensor in items(graph.tensors))
        return tuple(tensor for tensor in tensors if id(tensor) not in used)

    def stored_bytes(self, tensor: Any) -> int:
        """Returns how many bytes of a tensor's values are stored in the file."""
        return _stored(self._model.buffers[tensor.buffer])

    def is_constant(self, tensor: Any) -> bool:
        """Returns whether a tensor's values are stored in the file."""
        return self.stored_bytes(tensor) > 0

    def values(self, tensor: Any) -> np.ndarray | None:
        """Returns the stored values of a tensor of integers, flat; None where there are none.

        Args:
            tensor: A tensor; those of other types and those stored beyond the buffers give None.
        """
        data = self._model.buffers[tensor.buffer].data
        dtype = _INTEGERS.get(tensor_type(tensor))
        if data is None or dtype is None or len(data) % dtype.itemsize:
            return None
        return np.asarray(data, np.uint8).view(dtype)

    def is_builtin(self, operator: Operator) -> bool:
        """Returns whether every TensorFlow Lite runtime has the operator."""
        return hasattr(_schema.BuiltinOperator, operator.name)

    def input_ranges(self) -> dict[str, list[float]]:
        """Returns what each quantized input can represent, by its name in the signature.

        A float input is quantized by the operator that reads it first.
        """
        quantized_by = {
            id(operator.inputs[0]): operator.outputs[0]
            for operator in self.operators
            if operator.name == "QUANTIZE"
        }
        found = {}
        for signature in self._signatures:
            tensors = self._model.subgraphs[signature.subgraphIndex].tensors
            for entry in items(signature.inputs):
                tensor = tensors[entry.tensorIndex]
                limits = representable(quantized_by.get(id(tensor), tensor))
                if limits is not None:
                    found[text(entry.name)] = list(limits)
        return found

    def size_parts(self, size: int) -> dict[str, int]:
        """Returns where the bytes of the file are.

        Args:
            size: The size of the file.

        Returns:
            `constants` (weights, biases, shapes), `metadata` (what the converter and authors wrote
            of the model), and `graph`: operators, tensors, names and padding.
        """
        described = {entry.buffer for entry in items(self._model.metadata)}
        stored = {index: _stored(buffer) for index, buffer in enumerate(self._model.buffers)}
        metadata = sum(stored[index] for index in described)
        constants = sum(stored.values()) - metadata
        return {
            "constants": constants,
            "metadata": metadata,
            "graph": size - constants - metadata,
        }

    def operator_counts(self) -> dict[str, int]:
        """Returns how often each kind of operator occurs."""
        return dict(sorted(Counter(operator.name for operator in self.operators).items()))

    def broken_references(self) -> Iterator[Violation]:
        """Finds what refers to a subgraph, tensor, operator code or buffer that is not there."""
        for number, graph in enumerate(self._model.subgraphs):
            count, place = len(items(graph.tensors)), f"subgraph {number}"
            for side in ("inputs", "outputs"):
                if not _within(getattr(graph, side), count):
                    yield Violation(place, f"names tensors that it does not have as its {side}")
            for index, operator in enumerate(items(graph.operators)):
                indexes = (*items(operator.inputs), *items(operator.outputs))
                if not _within(indexes, count, optional=True):
                    yield Violation(f"operator #{index} of {place}", "refers to missing tensors")
                if not _within([operator.opcodeIndex], len(self._model.operatorCodes)):
                    yield Violation(f"operator #{index} of {place}", "has no operator code")
            for tensor in items(graph.tensors):
                if not _within([tensor.buffer], len(self._model.buffers)):
                    yield Violation(f"tensor {short_name(tensor)}", "has no buffer")
        yield from self._broken_signatures()

    def _broken_signatures(self) -> Iterator[Violation]:
        for signature in self._signatures:
            place = f"signature {text(signature.signatureKey)}"
            if not _within([signature.subgraphIndex], len(self._model.subgraphs)):
                yield Violation(
                    place, f"refers to subgraph {signature.subgraphIndex}, which is missing"
                )
                continue
            graph = self._model.subgraphs[signature.subgraphIndex]
            for side in ("inputs", "outputs"):
                there = set(items(getattr(graph, side)))
                for entry in items(getattr(signature, side)):
                    if entry.tensorIndex not in there:
                        yield Violation(
                            place,
                            f"refers to tensor {entry.tensorIndex} as {side[:-1]} "
                            f"{text(entry.name)!r}, which is not one of its graph's {side}",
                        )


def _stored(buffer: Any) -> int:
    return len(buffer.data) if buffer.data is not None else int(buffer.size)


def items(values: Any) -> Any:
    """Returns a vector of the object tree, which leaves out empty ones."""
    return () if values is None else values


def _within(indexes: Iterable[int] | None, count: int, optional: bool = False) -> bool:
    lowest = -1 if optional else 0
    return all(lowest <= index < count for index in items(indexes))


def text(name: Any) -> str:
    """Returns a name of the object tree, which has bytes or nothing for some."""
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name or "")


def tensor_type(tensor: Any) -> str:
    """Returns a tensor's type as the schema names it: INT8, FLOAT32 or another."""
    return flatbuffer_utils.type_to_name(tensor.type)


def quantization_of(tensor: Any) -> tuple[float | None, int | None]:
    """Returns scale and zero point of a tensor, or None twice where it has not one of each."""
    found = tensor.quantization
    if found is None or found.scale is None or len(found.scale) != 1:
        return None, None
    return float(found.scale[0]), int(zero_points_of(tensor)[0])


def representable(tensor: Any) -> tuple[float, float] | None:
    """Returns the reals that a tensor rounds to its lowest and its highest number.

    Returns:
        None where it is not quantized to integers of 8 or 16 bits.
    """
    scale, zero_point = quantization_of(tensor)
    kind = tensor_type(tensor)
    if scale is None or zero_point is None or kind not in ("INT8", "UINT8", "INT16"):
        return None
    limits = np.iinfo(kind.lower())
    lowest, highest = limits.min - zero_point - 0.5, limits.max - zero_point + 0.5
    return lowest * scale, highest * scale


def scales_of(tensor: Any) -> np.ndarray:
    """Returns a tensor's scales: none, one, or one a channel."""
    found = tensor.quantization
    scales = None if found is None else found.scale
    return np.asarray(items(scales), np.float64)


def zero_points_of(tensor: Any) -> np.ndarray:
    """Returns a tensor's zero points, as many as there are scales; they are 0 where left out."""
    found = tensor.quantization
    points = None if found is None else found.zeroPoint
    points = np.asarray(items(points), np.int64)
    return points if len(points) else np.zeros(len(scales_of(tensor)), np.int64)


def tensor_name(tensor: Any) -> str:
    """Returns a tensor's whole name."""
    return text(tensor.name)


def short_name(tensor: Any) -> str:
    """Returns the last part, if any, of the `;`-joined names that the converter fuses into one."""
    parts = [part for part in text(tensor.name).split(";") if part]
    last = parts[-1] if parts else ""
    return last if len(last) <= 60 else "…" + last[-59:]
