"""The first run of a model that was handed over as a file, where it can harm nobody.

A file may have been damaged or swapped since it was made, and one that was made to do harm ends the
process that runs it: the next run would begin with it again, and end again. So its bytes are
checked, and it is loaded and run in a copy of the process, before anything else is done with it.
"""

import contextlib

from tfx_tflite.components.errors import ModelError, TfxTfliteError
from tfx_tflite.components.examples.tensors import Tensors
from tfx_tflite.components.models import soundness
from tfx_tflite.components.models.process_copy import in_a_copy
from tfx_tflite.components.models.runtime import open_model
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.versions import Kernels

# Seconds that it may take.
_TIME_LIMIT = 300.0
_REMEDY = "it was damaged or made to do harm, make it anew"


def check_first_run(
    content: bytes,
    name: str,
    inputs: Tensors,
    time_limit: float = _TIME_LIMIT,
) -> None:
    """Checks that a model is sound, and that running it does not end the process.

    What the runtime refuses in words is not told here, but by whoever uses the model.

    Args:
        content: The file.
        name: What to call it in a message: where it is, usually.
        inputs: Examples in the float model's terms, by name, the batch dimension first.
        time_limit: Seconds that it may take.

    Raises:
        ModelError: It is not, or it does.
    """
    ended = in_a_copy(lambda: _first_run(content, inputs), time_limit)
    if ended.killed_by:
        raise ModelError(
            f"{name} crashes TensorFlow Lite's interpreter ({ended.killed_by}); {_REMEDY}"
        )
    if not ended.in_time:
        raise ModelError(
            f"{name} was run on {len(next(iter(inputs.values()), ()))} examples for "
            f"{time_limit:.0f} s without an end; {_REMEDY}"
        )
    if ended.problem:
        raise ModelError(f"{name} is not a valid TensorFlow Lite model: {ended.problem}; {_REMEDY}")


def check_target_run(
    content: bytes,
    name: str,
    inputs: Tensors,
    kernels: Kernels,
    remedy: str = "change the model, or leave that target out",
    time_limit: float = _TIME_LIMIT,
) -> None:
    """Checks that running a sound model with the kernels of a target does not end the process.

    Some sound models are such that these kernels do where the default ones do not. What the runtime
    refuses in words is not told here, as in `check_first_run`.

    Args:
        content: The file.
        name: What to call it in a message: where it is, usually.
        inputs: As in `check_first_run`.
        kernels: Those of the target.
        remedy: What the message says to do.
        time_limit: Seconds that it may take.

    Raises:
        ModelError: It does, or takes too long.
    """

    def run() -> None:
        with contextlib.suppress(ValueError, RuntimeError, TfxTfliteError):
            TFLiteModel(content, kernels).predict(inputs)

    ended = in_a_copy(run, time_limit)
    if ended.well:
        return
    if not ended.in_time:
        problem = f"does not end within {time_limit:.0f} s"
    else:
        problem = f"ends the process ({ended.killed_by or ended.problem})"
    raise ModelError(
        f"{name} cannot be judged on the target: running it with the {kernels.value} kernels "
        f"{problem}; {remedy}"
    )


def _first_run(content: bytes, inputs: Tensors) -> None:
    """Does what is done later, with each family of kernels."""
    problem = next(soundness.problems(content), None)
    if problem is not None:
        raise ModelError(problem)
    for kernels in (Kernels.XNNPACK, Kernels.BUILTIN, Kernels.REFERENCE):
        with contextlib.suppress(ValueError, RuntimeError, TfxTfliteError):
            _run(content, inputs, kernels)


def _run(content: bytes, inputs: Tensors, kernels: Kernels) -> None:
    if kernels is Kernels.REFERENCE:
        # These end the process for some sound models too; `reproducible_kernels` tries them.
        open_model(content, kernels)
        return
    model = TFLiteModel(content, None if kernels is Kernels.XNNPACK else kernels)
    model.predict(inputs)
