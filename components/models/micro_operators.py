"""Which operators of a model TensorFlow Lite Micro lacks, as its own resolver says.

The runtime looks up the kernels of all operators before it prepares one, and ends at the first that
it lacks. So each kind of operator is looked up in a small model of its own, in which a second
operator is of a kind that no runtime has: it is reached if the first is found, and ends the loading
before any kernel runs.

Kernels that there are may refuse an operator nevertheless: float activations with int8 weights, for
example. So each operator of the other kinds is loaded alone, with its own tensors and constants.
"""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.models.flatbuffer import Graph, Operator
from tfx_tflite.components.models.isolated import kind_alone, layers_of, operator_alone
from tfx_tflite.components.models.live_memory import tensor_bytes
from tfx_tflite.components.models.micro import Loading, interpreter
from tfx_tflite.components.models.object_tree import ModelTree, OperatorTree
from tfx_tflite.components.models.process_copy import told_by_a_copy
from tfx_tflite.components.models.soundness import CALLED
from tfx_tflite.components.models.target_facts import OperatorFinding
from tfx_tflite.components.models.vela_result import ACCELERATED

# A kind that the schema keeps free for good.
_NEVER_THERE = "PLACEHOLDER_FOR_GREATER_OP_CODES"
# Written before the lines of each model, and after those of one that is taken.
_NEXT, _WELL = "tfx-tflite: next", "tfx-tflite: taken"
# Seconds that loading some models may take.
_TIME_LIMIT = 120.0
# An arena for one operator: for the runtime's own records, and for scratch some times its tensors.
_OWN_BYTES, _TIMES_ITS_TENSORS = 2**18, 8
# Types whose tensors mean nothing outside of the whole model.
_HANDLES = ("RESOURCE", "VARIANT")


def missing_kinds(graph: Graph) -> tuple[OperatorFinding, ...]:
    """Returns the kinds of operators that the runtime has no kernel of, in the order of their use.

    Args:
        graph: The model.

    Raises:
        ModelError: The runtime is not installed, or no process can be made to ask it in.
    """
    draft = graph.draft()
    users: dict[str, list[Operator]] = {}
    models = {}
    for operator, tree in zip(graph.operators, draft.operators, strict=True):
        users.setdefault(operator.name, []).append(operator)
        if operator.name not in models:
            models[operator.name] = _Trial(kind_alone(draft.tree, tree, _NEVER_THERE), _OWN_BYTES)
    loadings = dict(zip(models, _loadings(list(models.values())), strict=True))
    return tuple(
        OperatorFinding(
            name=kind,
            layer=layers_of(users[kind]),
            reason=loading.problem,
            advice=_advice_for_a_kind(users[kind][0]),
        )
        for kind, loading in loadings.items()
        if not any(_NEVER_THERE in line for line in loading.lines)
    )


def refused_operators(graph: Graph, lacking: Collection[str] = ()) -> tuple[OperatorFinding, ...]:
    """Returns the operators of the main graph that the runtime's kernels refuse, each loaded alone.

    Those of one kind with one reason are one finding. Operators that call other graphs, or share
    state with others, are passed over.

    Args:
        graph: The model.
        lacking: Kinds that the runtime has no kernel of, see `missing_kinds`.

    Raises:
        ModelError: As in `missing_kinds`.
    """
    draft = graph.draft()
    tried = [
        (place, operator, _trial(draft.tree, draft.main.operators[place], operator))
        for place, operator in enumerate(graph.main.operators)
        if operator.name not in lacking and _stands_alone(operator, draft.main.operators[place])
    ]
    found: dict[tuple[str, str], list[tuple[int, Operator]]] = {}
    for (place, operator, _), loading in zip(
        tried, _loadings([trial for _, _, trial in tried]), strict=True
    ):
        if not loading.well:
            found.setdefault((operator.name, loading.problem), []).append((place, operator))
    return tuple(
        OperatorFinding(
            operator=users[0][0],
            name=kind,
            layer=layers_of([operator for _, operator in users]),
            reason=reason,
            advice=_advice_for_a_form(users[0][1]),
        )
        for (kind, reason), users in found.items()
    )


@dataclass(frozen=True)
class _Trial:
    """A model to be loaded, and the arena for it in bytes."""

    content: bytes
    arena_size: int


def _trial(model: ModelTree, tree: OperatorTree, operator: Operator) -> _Trial:
    held = {*operator.tensors, *operator.intermediates}
    tensors = sum(tensor_bytes(tensor) for tensor in held if not tensor.is_constant)
    size = _OWN_BYTES + _TIMES_ITS_TENSORS * tensors
    return _Trial(operator_alone(model, model.subgraphs[0], tree), size)


def _stands_alone(operator: Operator, tree: OperatorTree) -> bool:
    """Returns whether an operator can be prepared without the rest of its model."""
    calls = any(hasattr(tree.builtinOptions, option) for option in CALLED)
    is_whole = all(tensor.data is not None for tensor in operator.inputs if tensor.is_constant)
    has_handles = any(tensor.type in _HANDLES for tensor in operator.tensors)
    return is_whole and not calls and not has_handles


def _loadings(trials: Sequence[_Trial]) -> list[Loading]:
    """Returns how loading each of some models ends, many in one copy of this process."""
    found: list[Loading] = []
    while len(found) < len(trials):
        found += _loadings_in_a_copy(trials[len(found) :])
    return found


def _loadings_in_a_copy(trials: Sequence[_Trial]) -> list[Loading]:
    """Returns how loading the first of some models ends, up to one that ends the process."""

    def load_all() -> None:
        for trial in trials:
            os.write(2, f"{_NEXT}\n".encode())
            try:
                interpreter(trial.content, trial.arena_size)
            except RuntimeError:
                continue
            os.write(2, f"{_WELL}\n".encode())

    ended, lines = told_by_a_copy(load_all, _TIME_LIMIT)
    found: list[list[str]] = []
    for line in lines:
        if line == _NEXT:
            found.append([])
        elif found:
            found[-1].append(line)
    if not found:
        raise ModelError(f"no process could be made that loads models: {ended}")
    loadings = [
        Loading(_WELL in each, "", tuple(line for line in each if line != _WELL)) for each in found
    ]
    if not ended.well:
        last = tuple(found[-1]) or (ended.problem,)
        loadings[-1] = Loading(False, ended.killed_by, last, ended.in_time)
    return loadings


def _advice_for_a_kind(operator: Operator) -> str:
    if operator.name == ACCELERATED:
        return (
            "Vela has compiled it for an Ethos-U: the firmware must register Arm's kernel, which "
            "cannot be tried here"
        )
    if operator.is_custom:
        return (
            "it is a custom operator: the firmware must register a kernel of its own, which cannot "
            "be tried here"
        )
    return "the runtime has no kernel of it: build the layer from other operators"


def _advice_for_a_form(operator: Operator) -> str:
    types = {tensor.type for tensor in operator.tensors}
    if "FLOAT16" in types:
        return "its weights are float16: choose quantization.scheme: int8 or float32"
    if "FLOAT32" in types and any(
        tensor.is_quantized for tensor in operator.inputs if tensor.is_constant
    ):
        return (
            "its weights are integers and its activations float: choose quantization.scheme: int8"
        )
    if "INT16" in types:
        return "the runtime has no such kernel for int16: choose quantization.scheme: int8"
    return ""
