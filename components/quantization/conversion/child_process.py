"""A child process that answers requests, is watched while it does, and never outlives its use."""

import contextlib
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tfx_tflite.components.models.environment import without_secrets
from tfx_tflite.components.quantization.conversion.limits import Limits
from tfx_tflite.components.quantization.conversion.messages import Answer, Request

LOG = "converter.log"
_TEMPORARY = "converter.tmp"

# Seconds between two looks at the child's memory: a fast allocator overshoots a limit by what it
# can touch in this time (some 200 MB).
_POLL_INTERVAL = 0.05


class TimeLimitExceeded(Exception):
    """The child did not answer in time and was stopped."""


class MemoryLimitExceeded(Exception):
    """The child took more memory than it may and was stopped."""


class Died(Exception):
    """The child ended without an answer.

    Attributes:
        returncode: As `subprocess` gives it: the exit code, or minus the signal.
    """

    def __init__(self, returncode: int):
        super().__init__(f"returncode {returncode}")
        self.returncode = returncode


class ChildProcess:
    """A child process with a pipe and a log.

    It has a session of its own, so that a Ctrl-C in the terminal reaches only this process, which
    then stops it. It runs models, so its environment is one without credentials.

    Args:
        command: What to run; the pipe's file descriptor and this process's id are appended.
        directory: Where it runs, and where its log and its temporary files are: whatever ends it,
            they go with it.

    Raises:
        OSError: The log cannot be written or the process not started.
    """

    def __init__(self, command: Sequence[str], directory: Path):
        self._log = directory / LOG
        self._temporary = directory / _TEMPORARY
        self._connection, theirs = multiprocessing.Pipe()
        try:
            with theirs:
                self._process = self._started(command, theirs.fileno())
        except OSError:
            self._connection.close()
            self._remove_files()
            raise
        self._read = 0

    def _started(self, command: Sequence[str], pipe: int) -> subprocess.Popen[bytes]:
        self._temporary.mkdir(exist_ok=True)
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [*command, str(pipe), str(os.getpid())],
                # Python would import modules from the directory it is started in.
                cwd=self._log.parent,
                env={**without_secrets(), "TMPDIR": str(self._temporary)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[pipe],
                start_new_session=True,
            )

    def close(self) -> None:
        """Stops the process and all that it started, and removes its files."""
        self._stop()
        self._connection.close()
        self._remove_files()

    def _remove_files(self) -> None:
        self._log.unlink(missing_ok=True)
        shutil.rmtree(self._temporary, ignore_errors=True)

    def _stop(self) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def is_alive(self) -> bool:
        """Returns whether the process runs."""
        return self._process.poll() is None

    def ask(self, request: Request, limits: Limits) -> Answer:
        """Returns the answer to a request.

        Args:
            request: What is asked for.
            limits: What the process may use for it.

        Raises:
            TimeLimitExceeded: There was none in time.
            MemoryLimitExceeded: The process took too much memory.
            Died: The process is gone.
        """
        self._read = self._log.stat().st_size
        try:
            self._connection.send(request)
        except OSError as error:
            raise Died(self._process.wait()) from error
        return self.answer(limits)

    def answer(self, limits: Limits) -> Answer:
        """Waits for an answer, the first of which comes unasked, and watches the limits meanwhile.

        Args:
            limits: What the process may use from now on.

        Raises:
            TimeLimitExceeded, MemoryLimitExceeded, Died: As for `ask`.
        """
        deadline = time.monotonic() + limits.time
        # A process that is gone makes the pipe readable as well, or else is noticed itself.
        while not self._connection.poll(_POLL_INTERVAL) and self._process.poll() is None:
            if time.monotonic() > deadline:
                self._stop()
                raise TimeLimitExceeded
            if limits.memory and self._resident_memory() > limits.memory:
                self._stop()
                raise MemoryLimitExceeded
        try:
            answer: Answer = self._connection.recv()
        except (EOFError, OSError) as error:
            raise Died(self._process.wait()) from error
        return answer

    def _resident_memory(self) -> int:
        """Returns the bytes of the process that are in memory (man 5 proc)."""
        try:
            statm = Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii")
        except OSError:
            return 0
        return int(statm.split()[1]) * resource.getpagesize()

    def log(self) -> str:
        """Returns what the process has written since it was last asked."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            return log.read().decode("utf-8", "replace")
