"""A program of somebody else's in a process of its own, which leaves nothing behind.

It is given files and no credentials, may use the machine's memory once and no more, and ends when
it takes too long, when this process is interrupted, and when this process is gone.

Between the two is a guard (`python -m … PARENT SECONDS COMMAND …`). It sets the limits, starts the
program and ends as that does. If this process is gone, whatever ended it, the guard ends the
program, all that it has started, and itself, and removes the folder that they were in.
"""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

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
        directory: Where it runs; a folder for it alone, which has its temporary files, too, and
            which goes if this process is ended before the program.
        time_limit: Seconds after which it is ended, with all that it has started.

    Raises:
        OSError: The process cannot be started.
    """
    # The time of all its threads counts in the processor's seconds.
    seconds = (int(time_limit) + 1) * (os.cpu_count() or 1)
    guarded = [sys.executable, "-m", __name__, str(os.getpid()), str(seconds), *command]
    output, errors = directory / _OUTPUT, directory / _ERRORS
    with output.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen(
            guarded,
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


def main(arguments: Sequence[str]) -> NoReturn:
    """Guards a program; see the module's docstring."""
    parent, seconds, *command = arguments
    guarded: list[subprocess.Popen[bytes]] = []
    signal.signal(signal.SIGTERM, lambda *_: _leave_nothing(guarded))
    end_with(int(parent), by=signal.SIGTERM)
    # What the program has from here.
    stand_in_when_memory_runs_out()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for kind, limit in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, int(seconds)),
        (resource.RLIMIT_FSIZE, _LARGEST_FILE),
        (resource.RLIMIT_AS, memory),
    ):
        resource.setrlimit(kind, (limit, limit))
    guarded.append(subprocess.Popen(command))
    code = guarded[0].wait()
    if code < 0:
        # Of some signals nobody may say what they do.
        with contextlib.suppress(OSError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def _leave_nothing(guarded: Sequence[subprocess.Popen[bytes]]) -> NoReturn:
    """Ends the program, removes the folder and ends the whole group, this process as well."""
    for process in guarded:
        process.kill()
    shutil.rmtree(Path.cwd(), ignore_errors=True)
    os.killpg(0, signal.SIGKILL)
    raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
