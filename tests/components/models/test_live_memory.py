"""What tensors need while each operator runs, counted by hand for small graphs."""

import numpy as np

from tests.components.models.hostile import Operand, model_of
from tests.components.models.inspected import inspected
from tfx_tflite.components.models import object_tree
from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.models.live_memory import memory_steps, tensor_bytes


def chain(*kinds_and_operands: tuple[str, list[int], int]) -> object_tree.ModelTree:
    """Returns a model of operators on tensors 0, 1 and so on; tensor n has n + 1 floats.

    Args:
        kinds_and_operands: Of each operator its kind, what it reads, and what it writes.
    """
    tree = object_tree.model_tree()
    main = tree.subgraphs[0]
    tree.operatorCodes = [object_tree.code_tree(kind) for kind, _, _ in kinds_and_operands]
    count = max(written for _, _, written in kinds_and_operands) + 1
    main.tensors = [object_tree.tensor_tree(f"t{n}", "FLOAT32", [n + 1]) for n in range(count)]
    main.operators = [
        object_tree.operator_tree(place, read, [written])
        for place, (_, read, written) in enumerate(kinds_and_operands)
    ]
    main.inputs, main.outputs = [0], [count - 1]
    return tree


def floats_of(tree: object_tree.ModelTree) -> list[float]:
    """Returns how many floats are needed while each operator runs."""
    return [step.live_bytes / 4 for step in memory_steps(Graph(object_tree.pack(tree)))]


def test_a_tensor_lives_from_its_writer_to_its_last_reader():
    # Tensor 1 is read again by the last operator; 0 is not needed after the first.
    tree = chain(("EXP", [0], 1), ("EXP", [1], 2), ("ADD", [2, 1], 3))
    assert floats_of(tree) == [1 + 2, 2 + 3, 2 + 3 + 4]


def test_an_input_lives_from_the_beginning_and_an_output_to_the_end():
    tree = chain(("EXP", [0], 1), ("EXP", [1], 2), ("ADD", [2, 0], 3))
    tree.subgraphs[0].outputs = [3, 1]
    assert floats_of(tree) == [1 + 2, 1 + 2 + 3, 1 + 2 + 3 + 4]


def test_an_input_that_is_read_late_is_there_before():
    tree = chain(("EXP", [0], 2), ("ADD", [2, 1], 3))
    tree.subgraphs[0].inputs = [0, 1]
    assert floats_of(tree) == [1 + 2 + 3, 2 + 3 + 4]


def test_a_variable_always_lives():
    tree = chain(("EXP", [0], 1), ("EXP", [1], 2), ("EXP", [2], 4))
    tree.subgraphs[0].tensors[3].isVariable = True
    assert floats_of(tree) == [1 + 2 + 4, 2 + 3 + 4, 3 + 5 + 4]


def test_what_is_stored_in_the_file_does_not_count():
    tree = chain(("ADD", [0, 1], 2))
    tree.buffers.append(object_tree.buffer_tree(np.zeros(2, np.float32)))
    tree.subgraphs[0].tensors[1].buffer = 1
    assert floats_of(tree) == [1 + 3]


def test_a_step_names_the_operator_and_what_it_writes():
    [first, *_] = memory_steps(Graph(inspected("float32")))
    assert (first.operator, first.name) == (0, "CONV_2D")
    assert "conv" in first.layer


def test_two_numbers_of_4_bits_take_a_byte():
    draft = model_of("RESHAPE", [Operand("INT4", [5])], Operand("INT4", [5]))
    graph = Graph(draft.content())
    assert tensor_bytes(graph.main.inputs[0]) == 3
