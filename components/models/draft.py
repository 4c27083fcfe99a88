"""A TensorFlow Lite model that is being changed."""

import copy
from collections.abc import Iterable, Sequence

import numpy as np

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.models import object_tree
from tfx_tflite.components.models.object_tree import (
    ModelTree,
    OperatorTree,
    SubgraphTree,
    TensorTree,
    numbers,
)


class Draft:
    """A copy of a model's object tree, to be changed and written.

    The copy has the tree's vectors and buffers in common with the graph that it is from: they are
    replaced and never written to.

    Attributes:
        tree: The copy.
    """

    def __init__(self, tree: ModelTree):
        self.tree = copy.copy(tree)
        self.tree.operatorCodes = list(tree.operatorCodes)
        self.tree.buffers = list(tree.buffers)
        self.tree.subgraphs = [_copied(graph) for graph in tree.subgraphs]
        self.tree.metadata = copy.copy(tree.metadata)
        self.tree.signatureDefs = copy.deepcopy(tree.signatureDefs)

    @property
    def main(self) -> SubgraphTree:
        """The main graph."""
        return self.tree.subgraphs[0]

    @property
    def operators(self) -> list[OperatorTree]:
        """The operators of all graphs, in order."""
        return [operator for graph in self.tree.subgraphs for operator in graph.operators]

    def content(self) -> bytes:
        """Returns the flatbuffer as it is by now."""
        return object_tree.pack(self.tree)

    def keep_one_signature(self) -> None:
        """Leaves the main graph one signature, of numbered inputs and outputs if it has none."""
        found = [each for each in self.tree.signatureDefs or () if each.subgraphIndex == 0]
        if not found:
            sides = numbers(self.main.inputs), numbers(self.main.outputs)
            signature = object_tree.signature_tree(
                *(
                    [f"{side}_{place}" for place in range(len(numbered))]
                    for side, numbered in zip(("input", "output"), sides, strict=True)
                )
            )
            for entries, numbered in zip((signature.inputs, signature.outputs), sides, strict=True):
                for entry, number in zip(entries or (), numbered, strict=True):
                    entry.tensorIndex = number
            found = [signature]
        self.tree.signatureDefs = found[:1]

    def kind(self, operator: OperatorTree) -> str:
        """Returns an operator's kind."""
        return object_tree.kind_of(self.tree, operator)

    def code(self, kind: str) -> int:
        """Returns the place of a kind of operator among the model's, which is added if need be."""
        wanted = object_tree.code_tree(kind)
        for place, code in enumerate(self.tree.operatorCodes):
            if code.builtinCode == wanted.builtinCode:
                return place
        self.tree.operatorCodes.append(wanted)
        return len(self.tree.operatorCodes) - 1

    def set_versions(self, versions: Sequence[int]) -> bool:
        """Gives each kind of operator a version.

        Args:
            versions: In the order of the model's kinds; 0 for a kind that keeps its own.

        Returns:
            Whether one of them had another version.
        """
        before = self.tree.operatorCodes
        self.tree.operatorCodes = [copy.copy(code) for code in before]
        for code, number in zip(self.tree.operatorCodes, versions, strict=True):
            code.version = number or code.version
        return any(
            code.version != old.version
            for code, old in zip(self.tree.operatorCodes, before, strict=True)
        )

    def code_of_version(self, kind: str, version: int) -> int:
        """Returns the place of a kind of operator in a version, which is added if need be."""
        wanted = object_tree.code_tree(kind)
        wanted.version = version
        for place, code in enumerate(self.tree.operatorCodes):
            if (code.builtinCode, code.version) == (wanted.builtinCode, version):
                return place
        self.tree.operatorCodes.append(wanted)
        return len(self.tree.operatorCodes) - 1

    def operator(self, kind: str, inputs: Sequence[int], output: int) -> OperatorTree:
        """Returns a new operator, which is in no graph yet and has no options.

        Args:
            kind: As the schema names it.
            inputs: The tensors that it reads, by number.
            output: The one that it writes.
        """
        return object_tree.operator_tree(self.code(kind), inputs, [output])

    def store(self, tensor: TensorTree, values: Array) -> None:
        """Stores a tensor's values in a buffer of its own, because tensors share those."""
        self.tree.buffers.append(object_tree.buffer_tree(values))
        tensor.buffer = len(self.tree.buffers) - 1

    def add_constant(
        self, graph: SubgraphTree, values: Array, name: str = "", like: TensorTree | None = None
    ) -> int:
        """Returns the number of a new constant among a graph's tensors.

        Args:
            graph: The graph.
            values: What is stored, float32 or int32 if it is like no other tensor.
            name: What its name begins with.
            like: A tensor whose type and scale it has.
        """
        kind = values.dtype.name.upper()
        number = len(graph.tensors)
        tensor = object_tree.tensor_tree(f"{name}constant{number}", kind, values.shape)
        if like is not None:
            tensor.type, tensor.quantization = like.type, like.quantization
        self.store(tensor, values)
        graph.tensors.append(tensor)
        return number

    def drop_operators(self, operators: Iterable[OperatorTree]) -> None:
        """Drops operators, wherever they are."""
        dropped = {id(operator) for operator in operators}
        for graph in self.tree.subgraphs:
            graph.operators = [each for each in graph.operators if id(each) not in dropped]

    def drop_unused_tensors(self) -> None:
        """Drops the tensors that nothing reads or writes; the others get new numbers."""
        for place, graph in enumerate(self.tree.subgraphs):
            used = {*numbers(graph.inputs), *numbers(graph.outputs)}
            for operator in graph.operators:
                used.update(numbers(operator.inputs), numbers(operator.outputs))
                used.update(numbers(operator.intermediates))
            kept = [number for number in range(len(graph.tensors)) if number in used]
            # An operand that is left out stays so.
            renumbered = {-1: -1, **{old: new for new, old in enumerate(kept)}}
            graph.tensors = [graph.tensors[number] for number in kept]
            _renumber(graph, ("inputs", "outputs"), renumbered)
            for operator in graph.operators:
                _renumber(operator, ("inputs", "outputs", "intermediates"), renumbered)
            for signature in self.tree.signatureDefs or ():
                if signature.subgraphIndex == place:
                    for entry in (*(signature.inputs or ()), *(signature.outputs or ())):
                        entry.tensorIndex = renumbered[entry.tensorIndex]

    def drop_unused_buffers(self) -> None:
        """Empties the buffers that nothing refers to; the others keep their numbers."""
        used = {tensor.buffer for graph in self.tree.subgraphs for tensor in graph.tensors}
        used.update(entry.buffer for entry in self.tree.metadata or ())
        for number in range(len(self.tree.buffers)):
            if number not in used:
                self.tree.buffers[number] = object_tree.buffer_tree()

    def drop_unused_codes(self) -> None:
        """Drops the kinds of operators that the model does not have.

        The quantizer for 16 bits refuses a model that lists one that it does not know.
        """
        operators = self.operators
        kept = sorted({operator.opcodeIndex for operator in operators})
        renumbered = {old: new for new, old in enumerate(kept)}
        self.tree.operatorCodes = [self.tree.operatorCodes[place] for place in kept]
        for operator in operators:
            operator.opcodeIndex = renumbered[operator.opcodeIndex]

    def add_metadata(self, name: str, content: bytes) -> None:
        """Writes what the model says of itself under a name."""
        self.tree.buffers.append(object_tree.buffer_tree(np.frombuffer(content, np.uint8)))
        entry = object_tree.metadata_tree(name, len(self.tree.buffers) - 1)
        self.tree.metadata = [*(self.tree.metadata or ()), entry]

    def drop_metadata(self, name: str) -> bool:
        """Drops what the model says of itself under a name, and returns whether there was any."""
        entries = self.tree.metadata or []
        dropped = [entry for entry in entries if object_tree.text(entry.name) == name]
        self.tree.metadata = [entry for entry in entries if entry not in dropped]
        # The converter appends its record, so no number of another buffer changes.
        if dropped and dropped[0].buffer == len(self.tree.buffers) - 1:
            self.tree.buffers.pop()
        return bool(dropped)


def _copied(graph: SubgraphTree) -> SubgraphTree:
    found = copy.copy(graph)
    found.tensors = [copy.copy(tensor) for tensor in graph.tensors or ()]
    found.operators = [copy.copy(operator) for operator in graph.operators or ()]
    return found


def _renumber(
    holder: SubgraphTree | OperatorTree, fields: Iterable[str], renumbered: dict[int, int]
) -> None:
    for field in fields:
        if getattr(holder, field) is not None:
            setattr(holder, field, [renumbered[i] for i in numbers(getattr(holder, field))])
