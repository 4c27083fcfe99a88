"""Something done in a copy of this process, which it may end.

An interpreter that is given hostile or damaged bytes, or a kernel that is not up to a model, ends
its process by a signal, which no `except` sees. `fork` makes the copy with all that is imported, in
milliseconds; it has this thread alone, so what runs there does nothing that waits for another.
"""

import faulthandler
import gc
import os
import resource
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from tfx_tflite.components.errors import telling_line
from tfx_tflite.components.process_end import end_with, stand_in_when_memory_runs_out

# What a problem is cut to, so that it goes into a pipe at once.
_LONGEST_PROBLEM = 2000
_POLL_INTERVAL = 0.002


@dataclass(frozen=True)
class Ended:
    """How a copy ended.

    Attributes:
        problem: What went wrong; empty if nothing did.
        killed_by: The name of the signal that ended it; empty if none did.
        in_time: Whether it ended by itself.
    """

    problem: str = ""
    killed_by: str = ""
    in_time: bool = True

    @property
    def well(self) -> bool:
        """Whether it did all that it was to do."""
        return self.in_time and not self.problem and not self.killed_by


def in_a_copy(run: Callable[[], object], time_limit: float) -> Ended:
    """Returns how something ends in a copy of this process; what it returns is lost.

    Args:
        run: What to do; it uses no thread but its own.
        time_limit: Seconds after which the copy is ended.
    """
    reading, writing = os.pipe()
    original = os.getpid()
    copy = os.fork()
    if copy == 0:
        os.close(reading)
        _run_and_end(run, writing, time_limit, original)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        status = _waited(copy, time_limit)
        if status is None:
            return Ended(in_time=False)
        if os.WIFSIGNALED(status):
            return Ended(killed_by=signal.Signals(os.WTERMSIG(status)).name)
        problem = pipe.read().decode("utf-8", "replace")
    return Ended(problem or ("" if status == 0 else f"it ended with status {status}"))


def told_by_a_copy(run: Callable[[], object], time_limit: float) -> tuple[Ended, tuple[str, ...]]:
    """Returns how something ends in a copy of this process, and the lines that it writes to stderr.

    Code in C++ tells there what is wrong. Empty lines are left out.

    Args:
        run: As in `in_a_copy`.
        time_limit: As in `in_a_copy`.
    """
    with tempfile.TemporaryFile() as written:

        def run_and_write() -> None:
            os.dup2(written.fileno(), 2)
            run()

        ended = in_a_copy(run_and_write, time_limit)
        written.seek(0)
        text = written.read().decode("utf-8", "replace")
    return ended, tuple(line for line in map(str.strip, text.splitlines()) if line)


def answer_of_a_copy(run: Callable[[], bytes], time_limit: float) -> tuple[Ended, bytes]:
    """Returns how something ends in a copy of this process, and what it returns there.

    Args:
        run: As in `in_a_copy`.
        time_limit: As in `in_a_copy`.

    Returns:
        How it ended, and what it returned if it ended well.
    """
    with tempfile.TemporaryFile() as file:

        def run_and_keep() -> None:
            file.write(run())
            file.flush()

        ended = in_a_copy(run_and_keep, time_limit)
        file.seek(0)
        return ended, file.read()


def _waited(copy: int, time_limit: float) -> int | None:
    """Returns the status that a copy ended with; None if it had to be ended."""
    end = time.monotonic() + time_limit
    while time.monotonic() < end:
        ended, status = os.waitpid(copy, os.WNOHANG)
        if ended:
            return status
        time.sleep(_POLL_INTERVAL)
    os.kill(copy, signal.SIGKILL)
    os.waitpid(copy, 0)
    return None


def _run_and_end(
    run: Callable[[], object], writing: int, time_limit: float, original: int
) -> NoReturn:
    """Runs something and ends the process, whatever happens."""
    code = 1
    # What other threads left may not be ended here: its destructors could wait for those threads.
    gc.disable()
    try:
        # It has the locks of the original, which nobody else is to wait for once that is gone.
        end_with(original)
        _expect_the_worst(time_limit)
        run()
        code = 0
    except BaseException as error:
        line = telling_line(str(error)) or type(error).__name__
        os.write(writing, line.encode("utf-8")[:_LONGEST_PROBLEM])
    finally:
        os._exit(code)


def _expect_the_worst(time_limit: float) -> None:
    """Makes the end of a copy cost nobody else anything."""
    # That it ends the copy is no news that a log should tell of, nor worth a core file.
    faulthandler.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Whoever waits may stand still. The time of all threads counts, and an interpreter may have one
    # for each core.
    seconds = (int(time_limit) + 1) * (os.cpu_count() or 1)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    stand_in_when_memory_runs_out()
