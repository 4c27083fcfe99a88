"""A program of somebody else's in a process of its own, which leaves nothing behind.

It is given files and no credentials, may use the machine's memory once and no more, and ends when
it takes too long, when this process is interrupted, and when this process is gone.

Run as a program (`python -m … PARENT SECONDS COMMAND …`) it sets these limits for itself and then
becomes the command.
"""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tfx_tflite.components.models.environment import without_secrets
from tfx_tflite.components.process_end import end_with, stand_in_when_memory_runs_out

_OUTPUT, _ERRORS = "output.log", "errors.log"
# Of each file that it writes, so that one that prints for ever does not fill the disk.
_LARGEST_FILE = 2**32
# Of what it prints, what is read.
_LONGEST_TEXT = 2**22
_POLL_INTERVAL = 0.01


@dataclass(frozen=True)
class Ended:
    """How a program ended.

    Attributes:
        code: Its exit code, 0 for success; None if a signal or the time limit ended it.
        killed_by: The name of the signal that ended it; empty if none did.
        in_time: Whether it ended by itself.
        output: What it printed.
        errors: What it wrote to its error output.
    """

    code: int | None
    killed_by: str
    in_time: bool
    output: str
    errors: str

    @property
    def last_line(self) -> str:
        """What it said last, of its errors if there are some."""
        for text in (self.errors, self.output):
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            if lines:
                return lines[-1]
        return ""


def run(command: Sequence[str], directory: Path, time_limit: float) -> Ended:
    """Runs a program to its end.

    Args:
        command: The program and its arguments.
        directory: Where it runs; a folder for it alone, which has its temporary files, too.
        time_limit: Seconds after which it is ended, with all that it has started.

    Raises:
        OSError: The process cannot be started.
    """
    # The time of all its threads counts in the processor's seconds.
    seconds = (int(time_limit) + 1) * (os.cpu_count() or 1)
    launched = [sys.executable, "-m", __name__, str(os.getpid()), str(seconds), *command]
    output, errors = directory / _OUTPUT, directory / _ERRORS
    with output.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen(
            launched,
            # Python would import modules from the directory it is started in.
            cwd=directory,
            env={**without_secrets(), "TMPDIR": str(directory)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            # A Ctrl-C in the terminal reaches this process alone, which then ends the program.
            start_new_session=True,
        )
        try:
            in_time = _ends_in_time(process.pid, time_limit)
        finally:
            code = _end(process)
    return Ended(
        code=code if in_time and code >= 0 else None,
        killed_by=signal.Signals(-code).name if in_time and code < 0 else "",
        in_time=in_time,
        output=_text(output),
        errors=_text(errors),
    )


def _ends_in_time(process: int, time_limit: float) -> bool:
    """Waits for a process to end, and leaves its id to it until it is asked how."""
    deadline = time.monotonic() + time_limit
    while os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_INTERVAL)
    return True


def _end(process: subprocess.Popen[bytes]) -> int:
    """Ends a process, if it still runs, and all that it has started; returns how it ended."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def _text(file: Path) -> str:
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - _LONGEST_TEXT))
        return stream.read().decode("utf-8", "replace")


def main(arguments: Sequence[str]) -> None:
    """Becomes a program that is limited; see the module's docstring."""
    parent, seconds, *command = arguments
    # All of this stays as it is when the process becomes another program.
    end_with(int(parent))
    stand_in_when_memory_runs_out()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
