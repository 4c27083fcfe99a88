"""Which operators of a model LiteRT lacks, as its own resolver says.

It ends at the first that it lacks, so each kind and version of operator is looked up in a small
model of its own. Builtin ones are looked up when a model is opened, custom ones when it is
prepared, and one that is there may end the process then, as it has no tensors here.
"""

from importlib import import_module

from tfx_tflite.components.errors import telling_line
from tfx_tflite.components.models.flatbuffer import Graph, Operator
from tfx_tflite.components.models.isolated import kind_alone, layers_of
from tfx_tflite.components.models.process_copy import Ended, in_a_copy
from tfx_tflite.components.models.target_facts import OperatorFinding

# Seconds that looking up one kind may take.
_TIME_LIMIT = 60.0
# What the runtime says of a custom operator, and of one of TensorFlow's, that it lacks.
_LACKING = ("unresolved custom op", "Select TensorFlow op")


def missing_kinds(graph: Graph) -> tuple[OperatorFinding, ...]:
    """Returns the kinds of operators that LiteRT has no kernel of, in the order of their use.

    Args:
        graph: The model.
    """
    draft = graph.draft()
    users: dict[tuple[str, int], list[Operator]] = {}
    models: dict[tuple[str, int], bytes] = {}
    for operator, tree in zip(graph.operators, draft.operators, strict=True):
        kind = operator.name, operator.version
        users.setdefault(kind, []).append(operator)
        if kind not in models:
            models[kind] = kind_alone(draft.tree, tree)
    # Imported once, and not in each of the copies.
    import_module("ai_edge_litert.interpreter")
    found = ((kind, _lookup(content, kind[1] == 0)) for kind, content in models.items())
    return tuple(
        OperatorFinding(
            name=kind[0],
            layer=layers_of(users[kind]),
            reason=telling_line(ended.problem),
            advice=_advice(users[kind][0]),
        )
        for kind, ended in found
        if ended.problem
    )


def _lookup(content: bytes, is_custom: bool) -> Ended:
    """Returns how looking up a kind ended, with a problem if it is not there."""

    def look_up() -> None:
        interpreter = import_module("ai_edge_litert.interpreter").Interpreter(model_content=content)
        if not is_custom:
            return
        try:
            interpreter.allocate_tensors()
        except RuntimeError as error:
            if any(words in str(error) for words in _LACKING):
                raise

    return in_a_copy(look_up, _TIME_LIMIT)


def _advice(operator: Operator) -> str:
    if not operator.is_custom:
        return "update the runtime, or build the layer from other operators"
    if operator.name.startswith("Flex"):
        return (
            "it is TensorFlow's: build the layer from other operators, or link the Flex delegate "
            "into the app, which cannot be tried here"
        )
    return "it is a custom operator: the app must register its kernel, which cannot be tried here"
