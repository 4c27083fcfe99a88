"""The child process of `converter.py`: answers requests until nobody asks any more.

Run as `python -m tfx_tflite.components.quantization.conversion.child_main PIPE PARENT`: PIPE is the
number of an inherited file descriptor and PARENT the process that asks.
"""

import contextlib
import ctypes
import functools
import os
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from tfx_tflite.components.deferred_imports import (
    OF_KERAS,
    deferred_imports,
    uncollected_imports,
)
from tfx_tflite.components.process_end import run_to_the_end
from tfx_tflite.components.quantization.conversion import messages
from tfx_tflite.components.quantization.conversion.messages import (
    Answer,
    Done,
    Failed,
    Request,
    Step,
)

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
# man 5 proc: the highest /proc/PID/oom_score_adj.
_FIRST_TO_BE_KILLED = 1000


def main(pipe: int, parent: int) -> None:
    """Imports TensorFlow once, says so, and answers requests until the pipe is closed."""
    _die_with(parent)
    _stand_in_for_the_parent_when_memory_runs_out()
    connection = Connection(pipe)
    try:
        # Only to find out whether it can be; it takes seconds and may fail.
        with deferred_imports(OF_KERAS), uncollected_imports():
            from tfx_tflite.components.quantization.conversion import (  # noqa: F401
                from_ranges,
                stock,
            )
    except Exception as error:
        connection.send(Failed.at(Step.IMPORT, error))
        raise
    connection.send(Done())
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        connection.send(_answer(request))


def _die_with(parent: int) -> None:
    """Has the kernel end this process with its parent, whatever ends that."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have been gone before the kernel was told.
    if os.getppid() != parent:
        os._exit(1)


def _stand_in_for_the_parent_when_memory_runs_out() -> None:
    """Makes this process, not a Beam worker, the one that the kernel's OOM killer picks."""
    # If it may not be written, or is not there, nothing is lost.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_FIRST_TO_BE_KILLED), encoding="ascii")


def _answer(request: Request) -> Answer:
    try:
        result = _convert(request)
    except Exception as error:
        return Failed.at(Step.CONVERT, error)
    try:
        (request.directory / messages.RESULT).write_bytes(result)
    except OSError as error:
        return Failed(Step.WRITE, type(error).__name__, error.strerror or str(error))
    return Done()


def _convert(request: Request) -> bytes:
    from tfx_tflite.components.quantization.conversion import from_ranges, stock

    match request:
        case messages.ConvertRequest(directory, saved_model, signature, recipe):
            samples = messages.read_samples(directory)
            return stock.convert(saved_model, signature, recipe, samples)
        case messages.QuantizeRequest(directory, recipe):
            return from_ranges.quantize((directory / messages.CALIBRATED).read_bytes(), recipe)


if __name__ == "__main__":
    run_to_the_end(functools.partial(main, int(sys.argv[1]), int(sys.argv[2])))
