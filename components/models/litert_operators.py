"""Which operators of a model LiteRT lacks, as its own resolver says.

It ends at the first that it lacks, so each kind and version of operator is looked up in a small
model of its own. Builtin ones are looked up when a model is opened, custom ones when it is
prepared, and one that is there may end the process then, as it has no tensors here.
"""

from tfx_tflite.components.errors import telling_line
from tfx_tflite.components.models.flatbuffer import Graph, Operator
from tfx_tflite.components.models.isolated import kind_alone, layers_of
from tfx_tflite.components.models.process_copy import in_a_copy
from tfx_tflite.components.models.runtime import open_model
from tfx_tflite.components.models.target_facts import OperatorFinding
from tfx_tflite.components.versions import Kernels

# Seconds that looking up one kind may take.
_TIME_LIMIT = 60.0
# What the runtime says of a custom operator that it lacks.
_UNRESOLVED = "unresolved custom op"
# How the converter names operators of TensorFlow itself.
_FLEX = "Flex"
OF_TENSORFLOW = "an operator of TensorFlow itself, which the plain runtime lacks"


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
    return tuple(
        OperatorFinding(
            name=name,
            layer=layers_of(users[name, number]),
            reason=reason,
            advice=_advice(users[name, number][0]),
        )
        for (name, number), content in models.items()
        if (reason := _complaint(users[name, number][0], content))
    )


def is_of_tensorflow(operator: Operator) -> bool:
    """Returns whether an operator is one of TensorFlow's own, which the plain runtime lacks.

    A process that has loaded TensorFlow lends it to LiteRT, and a phone does not.
    """
    return operator.is_custom and operator.name.startswith(_FLEX)


def _complaint(operator: Operator, alone: bytes) -> str:
    """Returns what the runtime says of a kind that it lacks; nothing of others.

    Args:
        operator: An operator of the kind.
        alone: A model of it without tensors.
    """
    if is_of_tensorflow(operator):
        return OF_TENSORFLOW

    def look_up() -> None:
        model = open_model(alone, Kernels.BUILTIN)
        if not operator.is_custom:
            return
        try:
            model.allocate({"x": (1,)})
        except RuntimeError as error:
            if _UNRESOLVED in str(error):
                raise

    return telling_line(in_a_copy(look_up, _TIME_LIMIT).problem)


def _advice(operator: Operator) -> str:
    if not operator.is_custom:
        return "update the runtime, or build the layer from other operators"
    if is_of_tensorflow(operator):
        return "build the layer from other operators, or link the Flex delegate into the app"
    return "it is a custom operator: the app must register its kernel, which cannot be tried here"
