"""What is known of a model on a target before it predicts anything: memory, operators, accelerator.

Nothing that a model does here ends this process: interpreters run in copies of it.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

from tfx_tflite.components.errors import telling_line
from tfx_tflite.components.models import litert_operators, micro_arena, micro_operators
from tfx_tflite.components.models.arena import arena_bytes
from tfx_tflite.components.models.flatbuffer import Graph, read_graph
from tfx_tflite.components.models.live_memory import memory_steps
from tfx_tflite.components.models.micro import check_installed
from tfx_tflite.components.models.process_copy import Ended, answer_of_a_copy
from tfx_tflite.components.models.runtime import example_shapes, open_model
from tfx_tflite.components.models.target import Target
from tfx_tflite.components.models.target_facts import (
    Arena,
    OperatorFinding,
    Source,
    TargetFacts,
)
from tfx_tflite.components.models.tensor_info import Shapes
from tfx_tflite.components.versions import Kernels, Runtime, package_of

if TYPE_CHECKING:
    from tfx_tflite.components.models.vela import Compiled

# Seconds that an interpreter may take to allocate a model.
_TIME_LIMIT = 120.0
_CAVEAT = (
    "of the builtin kernels, with 1 for free axes; delegates such as XNNPACK take memory of their "
    "own"
)

_UNCOMPILED = "it is of the model before it is compiled for the accelerator"
_OF_FREE_AXES = " (with 1 for each free axis)"


def facts_of(content: bytes, target: Target, shapes: Shapes | None = None) -> TargetFacts:
    """Returns what is known of a model on a target.

    A model that the runtime does not take is a fact, too.

    Args:
        content: The flatbuffer, whose bytes hang together; see `soundness.problems`.
        target: The target.
        shapes: Of an example by input name, for free axes on LiteRT; see `runtime.example_shapes`.

    Raises:
        ModelError: The runtime or the accelerator's compiler is not installed, or the compiler
            fails.
    """
    graph = read_graph(content)
    runs_on_micro = target.runtime == "tflite-micro"
    facts = _on_micro(graph, target) if runs_on_micro else _on_litert(graph, target, shapes or {})
    if target.accelerator is None:
        return facts
    acceleration = compiled(content, target.accelerator).acceleration
    arena = None if facts.arena is None else _before_compilation(facts.arena)
    return facts.model_copy(update={"acceleration": acceleration, "arena": arena})


def _before_compilation(arena: Arena) -> Arena:
    """Returns a working memory that says that it is not that of the compiled file."""
    caveats = filter(None, (arena.source.caveat, _UNCOMPILED))
    source = arena.source.model_copy(update={"caveat": "; ".join(caveats)})
    return arena.model_copy(update={"source": source})


def _on_micro(graph: Graph, target: Target) -> TargetFacts:
    check_installed()
    facts = TargetFacts(target=target.name, runtime=Runtime.of(Kernels.MICRO))
    try:
        return facts.model_copy(update={"arena": smallest_arena(graph.content)})
    except ValueError as error:
        missing = micro_operators.missing_kinds(graph)
        refused = micro_operators.refused_operators(graph, {each.name for each in missing})
        unsupported = _unsupported(telling_line(str(error)), (*missing, *refused))
        return facts.model_copy(update={"unsupported": unsupported})


def _on_litert(graph: Graph, target: Target, shapes: Shapes) -> TargetFacts:
    content = _with_one_signature(graph)

    def kernels() -> bytes:
        model = open_model(content, target.judging_kernels)
        model.allocate(example_shapes(model, shapes))
        return model.kernels.value.encode()

    ended, answer = answer_of_a_copy(kernels, _TIME_LIMIT)
    if any(map(litert_operators.is_of_tensorflow, graph.operators)):
        ended = Ended(litert_operators.OF_TENSORFLOW)
    if not ended.well:
        has_free_axes = any(-1 in each.signature_shape for each in graph.main.inputs)
        reason = _problem(ended) + (_OF_FREE_AXES if has_free_axes and not shapes else "")
        return TargetFacts(
            target=target.name,
            runtime=Runtime.of(target.judging_kernels or Kernels.XNNPACK),
            unsupported=_unsupported(reason, litert_operators.missing_kinds(graph)),
        )
    return TargetFacts(
        target=target.name,
        runtime=Runtime.of(Kernels(answer.decode())),
        arena=_measured(graph, content, shapes),
    )


def _measured(graph: Graph, content: bytes, shapes: Shapes) -> Arena | None:
    """Returns the arena of LiteRT's builtin kernels; None if only its delegate takes the model."""
    ended, answer = answer_of_a_copy(
        lambda: str(arena_bytes(content, shapes)).encode(), _TIME_LIMIT
    )
    if not ended.well:
        return None
    source = Source.here(package_of(Kernels.BUILTIN), "measured", _CAVEAT)
    return Arena(size_bytes=int(answer), source=source, steps=memory_steps(graph))


def _with_one_signature(graph: Graph) -> bytes:
    """Returns a model whose main graph has the only signature, as interpreters are asked here."""
    if len(graph.signatures) == 1 and graph.signatures[0].subgraph == 0:
        return graph.content
    draft = graph.draft()
    draft.keep_one_signature()
    return draft.content()


def _problem(ended: Ended) -> str:
    if ended.killed_by:
        return f"the runtime ends the process ({ended.killed_by})"
    if not ended.in_time:
        return f"the runtime takes more than {_TIME_LIMIT:.0f} s to allocate it"
    return telling_line(ended.problem)


def _unsupported(reason: str, findings: tuple[OperatorFinding, ...]) -> tuple[OperatorFinding, ...]:
    """Returns why a runtime does not take a model, with what no operator is to blame for.

    Args:
        reason: What the runtime said of the whole model.
        findings: The operators that it lacks or refuses.
    """
    if any(finding.reason in reason for finding in findings):
        return findings
    return (OperatorFinding(name="", reason=reason), *findings)


# Both take a second or more, and a model's facts and the files beside it need the same.
@lru_cache(maxsize=2)
def smallest_arena(content: bytes) -> Arena:
    """Returns the smallest arena of a model on TensorFlow Lite Micro; see `micro_arena.arena`."""
    return micro_arena.arena(content)


@lru_cache(maxsize=4)
def compiled(content: bytes, accelerator: str) -> "Compiled":
    """Returns a model as it is compiled for an accelerator; see `vela.accelerate`."""
    from tfx_tflite.components.models.vela import accelerate

    return accelerate(content, accelerator)
