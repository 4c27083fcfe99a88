"""A process that keeps a job server for one run, and stops it when the run ends, however it ends.

The run starts it as `python -m tfx_tflite.pipelines.engines.keeper`, writes an order into its
standard input, and holds the other end of that pipe, which closes with the run, also if the run is
killed. Then the job server is stopped, the jobs that still run on a cluster are cancelled, and what
the server wrote is removed.

It is not the run itself that does that, because a killed process does nothing any more; and not the
job server, because Beam's has no such option. Ctrl-C in a terminal does not reach it: it has a
session of its own. Importing this loads nothing but the standard library.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from tfx_tflite.components.private_files import open_regular_file
from tfx_tflite.components.process_end import end_with, run_to_the_end
from tfx_tflite.pipelines.engines.flink_jobs import FlinkJobs
from tfx_tflite.pipelines.engines.record import kept_record

# What the run writes when its jobs have ended.
IDLE = b"idle\n"
# Seconds for a job server to listen, for a cluster to cancel, and for Java to end.
_START_LIMIT, CANCEL_LIMIT, _STOP_LIMIT = 120.0, 60.0, 15.0
_PAUSE = 0.05


@dataclass(frozen=True)
class Order:
    """What is to be kept.

    It may hold secrets, such as the password of a key store, so it is never written to a file.

    Attributes:
        command: The program and its arguments.
        port: Where it will listen.
        directory: Where it writes, which is made and removed.
        log: The file that takes what it says.
        root: The root of the run, which gets a record that it runs.
        page: The address of Flink's master; None for an engine that ends a job by itself when its
            job server is gone.
        token: What the names of the run's jobs end with.
        run: The id of the run's process.
    """

    command: tuple[str, ...]
    port: int
    directory: str
    log: str
    root: str
    page: str | None
    token: str
    run: int

    def to_line(self) -> bytes:
        """Returns it as a line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> "Order":
        """Returns the order that a line is of."""
        fields = json.loads(line)
        return cls(**{**fields, "command": tuple(fields["command"])})

    def remaining_jobs(self) -> FlinkJobs | None:
        """Returns the jobs that a cluster goes on with after the job server."""
        return None if self.page is None else FlinkJobs(self.page, self.token)


def main() -> None:
    """Keeps the job server that the first line of the standard input orders."""
    stop = _Stop()
    line = stop.line()
    if line is None:
        return
    order = Order.parse(line)
    end_with(order.run, signal.SIGTERM)
    with kept_record(Path(order.root), order.page, order.token) as record:
        try:
            is_idle = _served(order, stop)
        finally:
            shutil.rmtree(order.directory, ignore_errors=True)
        # Only now can no further job be sent.
        if is_idle or _has_cancelled(order):
            record.unlink(missing_ok=True)


class _Stop:
    """When the run ends: it closes the pipe, or is gone, in which case the kernel sends SIGTERM."""

    def __init__(self) -> None:
        self._is_asked = False
        self._said = b""
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, *_: object) -> None:
        self._is_asked = True

    def line(self) -> bytes | None:
        """Waits for a line of the run, and returns it; None if the run ends first."""
        while b"\n" not in self._said:
            if not self._goes_on():
                return None
        line, _, self._said = self._said.partition(b"\n")
        return line

    def has_come(self, seconds: float) -> bool:
        """Waits for what the run says, or for its end.

        Returns:
            Whether it said something, or has ended.
        """
        if self._is_asked:
            return True
        readable, _, _ = select.select([sys.stdin.fileno()], [], [], seconds)
        return self._is_asked or bool(readable)

    def comes_when_idle(self) -> bool:
        """Waits for the end of the run, and returns whether it said that its jobs have ended."""
        while self._goes_on():
            pass
        return self._said.endswith(IDLE)

    def _goes_on(self) -> bool:
        """Reads what the run says next, and returns False when it has ended."""
        if not self.has_come(1.0):
            return True
        more = b"" if self._is_asked else os.read(sys.stdin.fileno(), 1 << 16)
        self._said += more
        return bool(more)


def _served(order: Order, stop: _Stop) -> bool:
    """Runs the job server until the run ends, and returns whether no job can be left."""
    Path(order.directory).mkdir(mode=0o700, parents=True)
    with _log(Path(order.log)) as log, _running(order, log) as server:
        if (problem := _problem_of_start(order.port, server, stop)) is not None:
            _say({"problem": problem})
            return True
        _say({"endpoint": f"localhost:{order.port}"})
        return stop.comes_when_idle()


def _log(path: Path) -> IO[bytes]:
    return os.fdopen(open_regular_file(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab")


@contextlib.contextmanager
def _running(order: Order, log: IO[bytes]) -> Iterator["subprocess.Popen[bytes]"]:
    parent = os.getpid()
    server = subprocess.Popen(
        order.command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd=order.directory,
        # If this process is killed, the job server goes too.
        preexec_fn=lambda: end_with(parent),
    )
    try:
        yield server
    finally:
        server.terminate()
        try:
            server.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _problem_of_start(port: int, server: "subprocess.Popen[bytes]", stop: _Stop) -> str | None:
    """Returns why a job server does not listen, after waiting for it; None if it does."""
    end = time.monotonic() + _START_LIMIT
    while time.monotonic() < end:
        if server.poll() is not None:
            return f"it ended with code {server.returncode}"
        with contextlib.suppress(OSError), socket.create_connection(("localhost", port), 1):
            return None
        if stop.has_come(_PAUSE):
            return "the run ended first"
    return f"it did not listen within {_START_LIMIT:.0f} s"


def _has_cancelled(order: Order) -> bool:
    """Cancels what the run left on a cluster, and returns whether none is left for certain."""
    jobs = order.remaining_jobs()
    if jobs is None:
        return True
    cancelled = jobs.cancel(CANCEL_LIMIT)
    _say({"cancelled": list(cancelled.names), "problem": cancelled.problem})
    return cancelled.problem is None


def _say(message: dict[str, object]) -> None:
    # The run may be gone, and nobody reads.
    with contextlib.suppress(OSError):
        os.write(sys.stdout.fileno(), json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    run_to_the_end(main)
