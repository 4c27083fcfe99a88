"""The working memory of a model, operator by operator."""

from collections.abc import Sequence

from tfx_tflite.components.models.target_facts import Arena, MemoryStep
from tfx_tflite.components.report.layer_plots import Strip, bars, ticks
from tfx_tflite.components.report.wording import clip, count, counted


def memory_strip(arena: Arena) -> Strip | None:
    """Returns the plot of what tensors need while each operator runs; None for fewer than two.

    Args:
        arena: The working memory.
    """
    steps = arena.steps
    highest = max((step.live_bytes for step in steps), default=0)
    if len(steps) < 2 or not highest:
        return None
    most = fullest(steps)
    return Strip(
        title="Bytes of tensors that are needed while each operator runs",
        path=bars([step.live_bytes for step in steps]),
        kind="bars",
        width=10 * len(steps),
        top=count(highest),
        bottom="0",
        label=f"Bars of the bytes of tensors that {counted(len(steps), 'operator', 'operators')} "
        f"need; most, {count(highest)}, while operator {most.operator}, "
        f"{clip(most.layer or most.name, 60)}, runs.",
        ticks=ticks([step.operator for step in steps]),
    )


def fullest(steps: Sequence[MemoryStep]) -> MemoryStep:
    """Returns the operator while which tensors need most memory, the first one of several."""
    return max(steps, key=lambda step: step.live_bytes)
