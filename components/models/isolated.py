"""Small models of one operator of a larger one, with which a runtime is asked about it alone."""

import copy
from collections.abc import Sequence

from tfx_tflite.components.models import object_tree
from tfx_tflite.components.models.flatbuffer import Operator
from tfx_tflite.components.models.object_tree import (
    ModelTree,
    OperatorTree,
    SubgraphTree,
    numbers,
)

_MOST_LAYERS = 3


def kind_alone(model: ModelTree, operator: OperatorTree, followed_by: str = "") -> bytes:
    """Returns a model of an operator without tensors, which is for looking up its kind.

    Its input `x` is read by nothing.

    Args:
        model: What the operator is of.
        operator: The operator.
        followed_by: The kind of a second operator, if there is to be one.
    """
    tree = object_tree.model_tree()
    main = tree.subgraphs[0]
    first = copy.copy(operator)
    first.opcodeIndex, first.inputs, first.outputs, first.intermediates = 0, [], [], []
    tree.operatorCodes, main.operators = [model.operatorCodes[operator.opcodeIndex]], [first]
    if followed_by:
        tree.operatorCodes.append(object_tree.code_tree(followed_by))
        main.operators.append(object_tree.operator_tree(1, [], []))
    main.tensors = [object_tree.tensor_tree("x", "FLOAT32", [1])]
    main.inputs, tree.signatureDefs = [0], [object_tree.signature_tree(["x"], [])]
    return object_tree.pack(tree)


def operator_alone(model: ModelTree, graph: SubgraphTree, operator: OperatorTree) -> bytes:
    """Returns a model of one operator with its tensors and constants."""
    tree = object_tree.model_tree()
    tree.operatorCodes = [model.operatorCodes[operator.opcodeIndex]]
    places: dict[int, int] = {-1: -1}
    sides = [numbers(side) for side in (operator.inputs, operator.outputs, operator.intermediates)]
    main = tree.subgraphs[0]
    for index in (index for side in sides for index in side):
        if index in places:
            continue
        places[index] = len(main.tensors)
        tensor = copy.copy(graph.tensors[index])
        stored = model.buffers[tensor.buffer]
        tensor.buffer = 0
        if object_tree.stored_bytes(stored):
            tensor.buffer = len(tree.buffers)
            tree.buffers.append(stored)
        main.tensors.append(tensor)
    only = copy.copy(operator)
    only.opcodeIndex = 0
    only.inputs, only.outputs, only.intermediates = (
        [places[index] for index in side] for side in sides
    )
    main.operators = [only]
    main.inputs = [place for place in only.inputs if place >= 0 and not main.tensors[place].buffer]
    main.outputs = only.outputs
    return object_tree.pack(tree)


def layers_of(operators: Sequence[Operator]) -> str:
    """Returns what some operators write, the first few by name."""
    names = [operator.outputs[0].short_name if operator.outputs else "" for operator in operators]
    shown = ", ".join(name for name in names[:_MOST_LAYERS] if name)
    more = len(names) - _MOST_LAYERS
    return f"{shown} and {more} more" if more > 0 else shown
