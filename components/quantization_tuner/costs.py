"""What a candidate costs beside the bytes of its file: time and working memory.

Nobody chooses by these figures. They are measured in a tenth of a second for a small model, so that
people see what they pay for the accuracy; latencies of an accelerator or of a microcontroller are
left out, because measuring them here says nothing of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tfx_tflite.components.models import latency
from tfx_tflite.components.models.arena import arena_bytes
from tfx_tflite.components.models.facts import smallest_arena
from tfx_tflite.components.models.target import Target
from tfx_tflite.components.models.tensor_info import Shapes


@dataclass(frozen=True)
class Costs:
    """What a candidate costs; see `Tried`."""

    latency_ms: float | None
    arena_bytes: int | None


def costs(float32: bytes, content: bytes, shapes: Shapes, devices: Sequence[Target]) -> Costs:
    """Returns what a candidate costs that runs on its targets.

    Args:
        float32: The float flatbuffer, which is measured in turn with it.
        content: The candidate's.
        shapes: Of an example by input name, for free axes.
        devices: What will run it; the first of them says what working memory is measured of.
    """
    milliseconds = None
    if any(device.is_this_machine for device in devices):
        measured = latency.measure_latency(float32, content, shapes, effort=latency.REPORTED)
        milliseconds = measured.quantized_ms
    return Costs(milliseconds, _arena_bytes(content, shapes, devices[0]))


def _arena_bytes(content: bytes, shapes: Shapes, device: Target) -> int | None:
    try:
        if device.runtime == "tflite-micro":
            return smallest_arena(content).size_bytes
        return arena_bytes(content, shapes)
    except (ValueError, RuntimeError):
        # Only a delegate takes it.
        return None
