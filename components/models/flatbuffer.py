"""A TensorFlow Lite flatbuffer as signatures, graphs, operators and tensors."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from tfx_tflite.components.digests import bytes_digest
from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.models import object_tree, soundness
from tfx_tflite.components.models.draft import Draft
from tfx_tflite.components.models.object_tree import (
    BufferTree,
    Integers,
    ModelTree,
    OperatorTree,
    SubgraphTree,
    TensorTree,
    numbers,
    text,
)

_INTEGERS = {name.upper(): np.dtype(name) for name in ("int8", "uint8", "int16", "int32", "int64")}
_LONGEST_NAME = 60


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


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of a graph; each is equal to itself alone.

    Attributes:
        index: Its place among the tensors of its graph.
        name: Its whole name.
        type: Its type as the schema names it: INT8, FLOAT32 or another.
        shape: Its shape, with a 1 for each axis that is free.
        signature_shape: Its shape, with a -1 for each axis that is free.
        scales: None, one, or one a channel; float64 of shape (scales,).
        zero_points: As many, 0 if they are left out; int64 of shape (scales,).
        channel_axis: The axis of the channels that the scales are for.
        range: The range that it was calibrated for, if that is written.
        is_variable: Whether it is kept from one run to the next.
        data: What is stored in the file, uint8 of shape (bytes,); None if nothing is.
        stored_bytes: How many bytes of its values are stored, in the file or beyond it.
    """

    index: int
    name: str
    type: str
    shape: tuple[int, ...]
    signature_shape: tuple[int, ...]
    scales: Array
    zero_points: Array
    channel_axis: int
    range: tuple[float, float] | None
    is_variable: bool
    data: Array | None
    stored_bytes: int

    @classmethod
    def of(cls, index: int, tree: TensorTree, buffer: BufferTree) -> "Tensor":
        """Returns a tensor of an object tree.

        Args:
            index: Its place among the tensors of its graph.
            tree: The tensor.
            buffer: Where its values are stored.
        """
        found, limits = tree.quantization, None
        scales = np.asarray(() if found is None or found.scale is None else found.scale, np.float64)
        points = np.asarray(numbers(None if found is None else found.zeroPoint), np.int64)
        if found is not None and found.min is not None and len(found.min):
            assert found.max is not None
            limits = (float(found.min[0]), float(found.max[0]))
        shape = tuple(numbers(tree.shape))
        return cls(
            index=index,
            name=text(tree.name),
            type=object_tree.type_name(tree.type),
            shape=shape,
            signature_shape=shape
            if tree.shapeSignature is None
            else tuple(numbers(tree.shapeSignature)),
            scales=scales,
            zero_points=points if len(points) else np.zeros(len(scales), np.int64),
            channel_axis=0 if found is None else found.quantizedDimension,
            range=limits,
            is_variable=tree.isVariable,
            data=None if buffer.data is None else np.asarray(buffer.data, np.uint8),
            stored_bytes=object_tree.stored_bytes(buffer),
        )

    @property
    def short_name(self) -> str:
        """The last part, if any, of the `;`-joined names that the converter fuses into one."""
        parts = [part for part in self.name.split(";") if part]
        last = parts[-1] if parts else ""
        return last if len(last) <= _LONGEST_NAME else "…" + last[1 - _LONGEST_NAME :]

    @property
    def quantization(self) -> tuple[float | None, int | None]:
        """Scale and zero point, or None twice if there is not one of each."""
        if len(self.scales) != 1:
            return None, None
        return float(self.scales[0]), int(self.zero_points[0])

    @property
    def is_quantized(self) -> bool:
        """Whether it has a scale, or one a channel."""
        return len(self.scales) > 0

    @property
    def representable(self) -> tuple[float, float] | None:
        """The reals that it rounds to its lowest and its highest number.

        None if it is not quantized to integers of 8 or 16 bits.
        """
        scale, zero_point = self.quantization
        if scale is None or zero_point is None or self.type not in ("INT8", "UINT8", "INT16"):
            return None
        limits = np.iinfo(self.type.lower())
        lowest, highest = limits.min - zero_point - 0.5, limits.max - zero_point + 0.5
        return lowest * scale, highest * scale

    @property
    def is_constant(self) -> bool:
        """Whether its values are stored."""
        return self.stored_bytes > 0

    @property
    def integers(self) -> Array | None:
        """The stored values of a tensor of integers, flat.

        None for tensors of other types, and if nothing is stored or only beyond the file.
        """
        dtype = _INTEGERS.get(self.type)
        if self.data is None or dtype is None or len(self.data) % dtype.itemsize:
            return None
        return self.data.view(dtype)

    @property
    def floats(self) -> Array:
        """The stored values of a tensor of float32, flat; none if nothing is stored."""
        return np.empty(0, np.float32) if self.data is None else self.data.view(np.float32)


@dataclass(frozen=True, eq=False)
class Operator:
    """An operator of a flatbuffer with the tensors that it reads and writes.

    Attributes:
        index: Its place among the operators of all graphs.
        name: Its kind, as the schema or a custom operator's author names it.
        operands: What it reads, by position; None if an optional operand is left out.
        outputs: What it writes.
        intermediates: What it keeps for itself.
        version: Of its kind; 0 for a custom operator, whose versions are its author's.
        activation: What it applies to its result, as the schema names it.
    """

    index: int
    name: str
    operands: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    intermediates: tuple[Tensor, ...] = ()
    version: int = 1
    activation: str = "NONE"

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What it reads, without the operands that are left out."""
        return tuple(tensor for tensor in self.operands if tensor is not None)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What it reads and what it writes."""
        return (*self.inputs, *self.outputs)

    @property
    def label(self) -> str:
        """The operator's place, kind and the short name of what it writes."""
        written = self.outputs[0].short_name if self.outputs else ""
        return f"{self.name} #{self.index} ({written})" if written else f"{self.name} #{self.index}"

    @property
    def is_builtin(self) -> bool:
        """Whether every TensorFlow Lite runtime has it."""
        return object_tree.is_builtin(self.name)

    @property
    def is_custom(self) -> bool:
        """Whether it is none of the schema's kinds."""
        return self.version == 0

    def operand(self, position: int) -> Tensor | None:
        """Returns the operand at a position, None if there is none."""
        return self.operands[position] if position < len(self.operands) else None


@dataclass(frozen=True, eq=False)
class Subgraph:
    """A graph of operators.

    Attributes:
        tensors: Its tensors.
        operators: Its operators, in the order in which they run.
        inputs: What it is given.
        outputs: What it gives.
    """

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Signature:
    """How a graph is called.

    Attributes:
        name: Its name.
        subgraph: The graph's place.
        inputs: Its inputs by name.
        outputs: Its outputs by name.
    """

    name: str
    subgraph: int
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]


# A stage has two models at a time: the float and the quantized one.
@lru_cache(maxsize=2)
def read_graph(content: bytes) -> "Graph":
    """Returns the graph of a model, the same one as long as the model is in use.

    Args:
        content: The flatbuffer.

    Raises:
        ValueError: The bytes are not a TensorFlow Lite flatbuffer.
    """
    return Graph(content)


@dataclass(frozen=True, eq=False)
class Graph:
    """A flatbuffer as signatures, graphs, operators and tensors, each read when it is asked for.

    Attributes:
        content: The flatbuffer.

    Raises:
        ValueError: The bytes are not a TensorFlow Lite flatbuffer.
    """

    content: bytes

    def __post_init__(self) -> None:
        if not soundness.begins_as_a_model(self.content):
            raise ValueError("not a TensorFlow Lite flatbuffer")

    @cached_property
    def _tree(self) -> ModelTree:
        return object_tree.parse(self.content)

    @cached_property
    def digest(self) -> str:
        """The digest of the flatbuffer."""
        return bytes_digest(self.content)

    def draft(self) -> Draft:
        """Returns a copy that can be changed."""
        return Draft(self._tree)

    @cached_property
    def subgraphs(self) -> tuple[Subgraph, ...]:
        """All graphs; the first is the main one."""
        found: list[Subgraph] = []
        first = 0
        for tree in self._tree.subgraphs:
            found.append(self._subgraph(tree, first))
            first += len(found[-1].operators)
        return tuple(found)

    def _subgraph(self, tree: SubgraphTree, first: int) -> Subgraph:
        buffers = self._tree.buffers
        tensors = tuple(
            Tensor.of(index, tensor, buffers[tensor.buffer])
            for index, tensor in enumerate(tree.tensors or ())
        )
        operators = tuple(
            self._operator(tensors, index, operator)
            for index, operator in enumerate(tree.operators or (), first)
        )
        return Subgraph(tensors, operators, _at(tensors, tree.inputs), _at(tensors, tree.outputs))

    def _operator(self, tensors: tuple[Tensor, ...], index: int, tree: OperatorTree) -> Operator:
        return Operator(
            index,
            object_tree.kind_of(self._tree, tree),
            tuple(tensors[i] if i >= 0 else None for i in numbers(tree.inputs)),
            _at(tensors, tree.outputs),
            _at(tensors, tree.intermediates),
            object_tree.version_of(self._tree, tree),
            object_tree.activation_of(tree),
        )

    @property
    def main(self) -> Subgraph:
        """The main graph."""
        return self.subgraphs[0]

    @cached_property
    def operators(self) -> tuple[Operator, ...]:
        """The operators of all graphs, in order."""
        return tuple(operator for graph in self.subgraphs for operator in graph.operators)

    @cached_property
    def writers(self) -> Mapping[Tensor, Operator]:
        """The operator that writes a tensor, for each that is written."""
        return {output: operator for operator in self.operators for output in operator.outputs}

    def readers(self, tensor: Tensor) -> list[Operator]:
        """Returns the operators that read a tensor."""
        return [operator for operator in self.operators if tensor in operator.inputs]

    @cached_property
    def signatures(self) -> tuple[Signature, ...]:
        """How the graphs are called."""
        found = []
        for tree in self._tree.signatureDefs or ():
            tensors = self.subgraphs[tree.subgraphIndex].tensors
            inputs, outputs = (
                {text(entry.name): tensors[entry.tensorIndex] for entry in side or ()}
                for side in (tree.inputs, tree.outputs)
            )
            name = text(tree.signatureKey)
            found.append(Signature(name, tree.subgraphIndex, inputs, outputs))
        return tuple(found)

    def output_kinds(self, through: frozenset[str] = frozenset()) -> dict[str, str]:
        """Returns which kind of operator computes each output, by its name in the signature.

        Args:
            through: Kinds of operators that are passed, as they only change how numbers are laid
                out; what feeds them is taken instead.
        """
        found = {}
        for signature in self.signatures:
            for name, tensor in signature.outputs.items():
                operator = self.writers.get(tensor)
                while operator is not None and operator.name in through and operator.inputs:
                    operator = self.writers.get(operator.inputs[0])
                found[name] = "" if operator is None else operator.name
        return found

    @cached_property
    def io(self) -> tuple[tuple[str, Tensor], ...]:
        """Inputs and outputs ("input", "output") of the main graph and of every signature's."""
        found: list[tuple[str, Tensor]] = []
        for place in sorted({0, *(signature.subgraph for signature in self.signatures)}):
            graph = self.subgraphs[place]
            found += [("input", tensor) for tensor in graph.inputs]
            found += [("output", tensor) for tensor in graph.outputs]
        return tuple(found)

    def at_the_edge(self, tensors: Iterable[Tensor]) -> bool:
        """Returns whether all the tensors are inputs or outputs of the model."""
        return self._edge.issuperset(tensors)

    @cached_property
    def _edge(self) -> frozenset[Tensor]:
        return frozenset(tensor for _, tensor in self.io)

    @cached_property
    def idle_tensors(self) -> tuple[Tensor, ...]:
        """Tensors that no operator reads or writes and that are not inputs or outputs."""
        used = {tensor for graph in self.subgraphs for tensor in (*graph.inputs, *graph.outputs)}
        for operator in self.operators:
            used.update(operator.tensors, operator.intermediates)
        tensors = (tensor for graph in self.subgraphs for tensor in graph.tensors)
        return tuple(tensor for tensor in tensors if tensor not in used)

    def input_ranges(self) -> dict[str, tuple[float, float]]:
        """Returns what each quantized input can represent, by its name in the signature.

        A float input is quantized by the operator that reads it first.
        """
        quantized_by = {
            operator.inputs[0]: operator.outputs[0]
            for operator in self.operators
            if operator.name == "QUANTIZE"
        }
        limits = {
            name: quantized_by.get(tensor, tensor).representable
            for signature in self.signatures
            for name, tensor in signature.inputs.items()
        }
        return {name: found for name, found in limits.items() if found is not None}

    def size_parts(self) -> dict[str, int]:
        """Returns where the bytes of the file are.

        Returns:
            `constants` (weights, biases, shapes), `metadata` (what the converter and authors wrote
            of the model), and `graph`: operators, tensors, names and padding.
        """
        described = {entry.buffer for entry in self._tree.metadata or ()}
        stored = [object_tree.stored_bytes(buffer) for buffer in self._tree.buffers]
        metadata = sum(stored[index] for index in described)
        constants = sum(stored) - metadata
        return {
            "constants": constants,
            "metadata": metadata,
            "graph": len(self.content) - constants - metadata,
        }

    def metadata(self, name: str) -> list[bytes]:
        """Returns what converters and authors wrote under a name, which may be there twice."""
        buffers = self._tree.buffers
        entries = (each for each in self._tree.metadata or () if text(each.name) == name)
        stored = [buffers[each.buffer].data for each in entries if each.buffer < len(buffers)]
        return [np.asarray(data, np.uint8).tobytes() for data in stored if data is not None]

    def operator_counts(self) -> dict[str, int]:
        """Returns how often each kind of operator occurs."""
        return dict(sorted(Counter(operator.name for operator in self.operators).items()))

    def with_outputs(self, tensors: Iterable[Tensor]) -> bytes:
        """Returns the model with more tensors of its main graph among its outputs."""
        draft = self.draft()
        exposed = [*self.main.outputs, *tensors]
        draft.main.outputs = list(dict.fromkeys(tensor.index for tensor in exposed))
        return draft.content()

    def broken_references(self) -> Iterator[Violation]:
        """Finds what refers to a graph, tensor, kind of operator or buffer that is not there."""
        for place, reason in soundness.broken_references(self._tree):
            yield Violation(place, reason)


def _at(tensors: tuple[Tensor, ...], places: Integers) -> tuple[Tensor, ...]:
    """Returns the tensors at some places; -1 is one that is left out."""
    return tuple(tensors[place] for place in numbers(places) if place >= 0)
