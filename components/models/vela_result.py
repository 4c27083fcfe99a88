"""A model that Vela has compiled, beside the one that it was made of."""

from collections import defaultdict

from tfx_tflite.components.examples.tensors import format_shape
from tfx_tflite.components.models import soundness
from tfx_tflite.components.models.flatbuffer import Graph, Operator, Subgraph, Tensor

# The custom operator that stands for what the accelerator runs.
ACCELERATED = "ethos-u"


def read_compiled(content: bytes) -> Graph:
    """Returns the graph of a compiled model.

    It is not sound as other models are: the accelerator's memory is a tensor that nothing writes.

    Args:
        content: The flatbuffer.

    Raises:
        ValueError: It does not hang together.
    """
    if not soundness.begins_as_a_model(content):
        raise ValueError("it does not begin as one")
    graph = Graph(content)
    try:
        broken = [str(violation) for violation in graph.broken_references()]
        commands = [each.operand(0) for each in graph.operators if each.name == ACCELERATED]
    # As in `soundness.problems`: what is damaged shows somewhere in the schema's own code.
    except Exception as error:
        raise ValueError("its parts lead outside the file or nowhere") from error
    if broken:
        raise ValueError(broken[0])
    if any(tensor is None or not tensor.is_constant for tensor in commands):
        raise ValueError(f"an operator {ACCELERATED} has no commands")
    return graph


def is_compiled(content: bytes) -> bool:
    """Returns whether bytes are a model that was compiled for an Ethos-U.

    Args:
        content: The flatbuffer.
    """
    try:
        return any(operator.name == ACCELERATED for operator in read_compiled(content).operators)
    except ValueError:
        return False


def remaining(graph: Graph, compiled: Graph) -> list[Operator]:
    """Returns the operators that a compiled model leaves to the processor.

    They are told by kind and by the names of what they write: an operator of the model if there is
    one of that kind and name, else the compiled model's, which the compiler has added.

    Args:
        graph: The model.
        compiled: What it was compiled to.
    """
    found = []
    for place, subgraph in enumerate(compiled.subgraphs):
        originals = graph.subgraphs[place].operators if place < len(graph.subgraphs) else ()
        waiting: dict[tuple[str, ...], list[Operator]] = defaultdict(list)
        for operator in reversed(originals):
            waiting[_identity(operator)].append(operator)
        for operator in subgraph.operators:
            if operator.name != ACCELERATED:
                same = waiting[_identity(operator)]
                found.append(same.pop() if same else operator)
    return found


def _identity(operator: Operator) -> tuple[str, ...]:
    return (operator.name, *(tensor.name for tensor in operator.outputs))


def changed_edge(graph: Graph, compiled: Graph) -> str | None:
    """Returns which input or output a compiled model has otherwise; None if all are the same.

    Names, shapes, types and quantization are compared, in their order in the main graph, and by
    their names in signatures. Old versions of Vela leave signatures out.

    Args:
        graph: The model.
        compiled: What it was compiled to.
    """
    before, after = _edge(graph.main), _edge(compiled.main)
    if before != after:
        return _difference(before, after)
    if not compiled.signatures:
        return None
    named = [_signatures(each) for each in (graph, compiled)]
    return None if named[0] == named[1] else "its signatures differ"


_Described = tuple[str, str, tuple[int, ...], str, tuple[float | None, int | None]]


def _edge(graph: Subgraph) -> list[_Described]:
    return [
        (side, tensor.name, *_form(tensor))
        for side, tensors in (("input", graph.inputs), ("output", graph.outputs))
        for tensor in tensors
    ]


def _form(tensor: Tensor) -> tuple[tuple[int, ...], str, tuple[float | None, int | None]]:
    return tensor.shape, tensor.type, tensor.quantization


def _difference(before: list[_Described], after: list[_Described]) -> str:
    for was, now in zip(before, after, strict=False):
        if was != now:
            return f"{_shown(was)} became {_shown(now)}"
    return f"{len(before)} became {len(after)}"


def _shown(described: _Described) -> str:
    side, name, shape, kind, _ = described
    return f"{side} {name!r} {kind} {format_shape(shape)}"


def _signatures(graph: Graph) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
    """Returns the names of tensors by their names in the signatures."""
    return {
        signature.name: (
            {name: tensor.name for name, tensor in signature.inputs.items()},
            {name: tensor.name for name, tensor in signature.outputs.items()},
        )
        for signature in graph.signatures
    }


def free_input(graph: Graph) -> str:
    """Returns the name of an input whose first axis is free; empty if there is none.

    Args:
        graph: The model.
    """
    named = [pair for signature in graph.signatures for pair in signature.inputs.items()]
    for name, tensor in named or [(tensor.name, tensor) for tensor in graph.main.inputs]:
        if tensor.signature_shape[:1] == (-1,):
            return name
    return ""
