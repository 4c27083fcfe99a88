"""What is known of a model on a target before it predicts: memory, operators, the accelerator."""

import platform

from tfx_tflite.components.errors import ModelError, telling_line
from tfx_tflite.components.models.arena import arena_bytes
from tfx_tflite.components.models.target import Target
from tfx_tflite.components.models.target_facts import (
    Acceleration,
    Arena,
    OperatorFinding,
    Source,
    TargetFacts,
)
from tfx_tflite.components.models.tensor_info import Shapes
from tfx_tflite.components.versions import Kernels, Runtime

_BUILTIN_ARENA = "LiteRT plans memory by itself; XNNPACK takes more than its builtin kernels"


def facts_of(content: bytes, target: Target, shapes: Shapes) -> TargetFacts:
    """Returns what is known of a model on a target.

    Args:
        content: The flatbuffer.
        target: What will run it.
        shapes: Of an example by input name, for axes that are free; see `runtime.example_shapes`.

    Raises:
        ModelError: A package that the target needs is not installed, or its compiler fails.
    """
    kernels = target.judging_kernels or Kernels.BUILTIN
    unsupported: tuple[OperatorFinding, ...] = ()
    arena = None
    try:
        arena = _arena(content, kernels, shapes)
    except (ValueError, RuntimeError) as error:
        unsupported = (OperatorFinding(name="", reason=telling_line(str(error))),)
    return TargetFacts(
        target=target.name,
        runtime=Runtime.of(kernels),
        unsupported=unsupported,
        arena=arena,
        acceleration=_acceleration(content, target),
    )


def _arena(content: bytes, kernels: Kernels, shapes: Shapes) -> Arena:
    if kernels is Kernels.MICRO:
        from tfx_tflite.components.models import micro_arena

        return micro_arena.arena(content)
    runtime = Runtime.of(Kernels.BUILTIN)
    source = Source(
        tool=runtime.package,
        version=runtime.version,
        kind="measured",
        machine=platform.machine(),
        caveat=_BUILTIN_ARENA,
    )
    return Arena(size_bytes=arena_bytes(content, shapes), source=source)


def _acceleration(content: bytes, target: Target) -> Acceleration | None:
    if target.accelerator is None:
        return None
    raise ModelError(f"{target.accelerator}: accelerators are not asked yet")
