"""What is left over when operators of a flatbuffer go: tensors and kinds of operators."""

from collections.abc import Iterable
from typing import Any


def drop_unused_tensors(model: Any) -> None:
    """Removes the tensors that nothing reads or writes from a model's object tree.

    Args:
        model: The object tree; its tensors get other numbers.
    """
    for number, graph in enumerate(model.subgraphs):
        used = {*_numbers(graph.inputs), *_numbers(graph.outputs)}
        for operator in graph.operators:
            used.update(_numbers(operator.inputs), _numbers(operator.outputs))
            used.update(_numbers(operator.intermediates))
        kept = [index for index in range(len(graph.tensors)) if index in used]
        # An operand that is left out stays so.
        renumbered = {-1: -1, **{old: new for new, old in enumerate(kept)}}
        graph.tensors = [graph.tensors[index] for index in kept]
        _renumber(graph, ("inputs", "outputs"), renumbered)
        for operator in graph.operators:
            _renumber(operator, ("inputs", "outputs", "intermediates"), renumbered)
        for signature in model.signatureDefs or ():
            if signature.subgraphIndex == number:
                for entry in (*(signature.inputs or ()), *(signature.outputs or ())):
                    entry.tensorIndex = renumbered[int(entry.tensorIndex)]


def _numbers(values: Iterable[int] | None) -> list[int]:
    # The object API leaves out empty vectors.
    return [] if values is None else [int(value) for value in values]


def _renumber(holder: Any, fields: Iterable[str], renumbered: dict[int, int]) -> None:
    for field in fields:
        if getattr(holder, field) is not None:
            setattr(holder, field, [renumbered[i] for i in _numbers(getattr(holder, field))])


def drop_unused_codes(model: Any) -> None:
    """Removes the kinds of operators that a model does not have from its object tree.

    The quantizer for 16 bits refuses a model that lists one that it does not know.

    Args:
        model: The object tree; its kinds of operators get other numbers.
    """
    operators = [operator for graph in model.subgraphs for operator in graph.operators or ()]
    kept = sorted({int(operator.opcodeIndex) for operator in operators})
    renumbered = {old: new for new, old in enumerate(kept)}
    model.operatorCodes = [model.operatorCodes[index] for index in kept]
    for operator in operators:
        operator.opcodeIndex = renumbered[int(operator.opcodeIndex)]
