"""Processes that are forked from one that has loaded TensorFlow and TFX, which takes seconds.

What runs in them is what the command that a user or the package starts would run, in a process of
its own, to the end of that process. Only its imports come from before. Tests of how a process is
started, or of what it imports, start the command itself.
"""

import contextlib
import faulthandler
import functools
import itertools
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tfx_tflite.components.models import smoke_test
from tfx_tflite.components.models.environment import without_secrets
from tfx_tflite.components.process_end import run_to_the_end
from tfx_tflite.components.quantization.conversion import early_start
from tfx_tflite.components.quantization.conversion.child_process import ChildProcess

LOADED = ("tests.loaded",)
# How the package starts a process of the converter, and one that tries a model before a push.
STARTED_BY_COMMAND = ChildProcess._started
TRIED_BY_COMMAND = smoke_test._ended
_COMMAND = early_start.COMMAND
_INTERVAL = 0.002
# Stages start the converter's processes in threads.
_LOCK = threading.Lock()


class _ServerOfParent(forkserver.ForkServer):
    """The fork server that this process itself comes from."""

    def __init__(self, address: str):
        super().__init__()
        self._forkserver_address = address
        self._forkserver_alive_fd = forkserver._forkserver._forkserver_alive_fd

    def ensure_running(self) -> None:
        pass


_of_parent: _ServerOfParent | None = None


@functools.cache
def _server(modules: tuple[str, ...]) -> forkserver.ForkServer:
    server = forkserver.ForkServer()
    server.set_forkserver_preload(list(modules))
    with pytest.MonkeyPatch.context() as patch:
        # Whatever directory a test works in, it finds them.
        patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
        server.ensure_running()
    return server


def processes(modules: Sequence[str] = LOADED) -> ForkServerContext:
    """Returns what makes processes that have imported some modules.

    The standard library has one fork server, whose first user decides what it imports. Here there
    is one for each choice of modules, and what is started next comes from this one.
    """
    with _LOCK:
        server = _of_parent or _server(tuple(modules))
    forkserver.connect_to_new_process = server.connect_to_new_process
    return multiprocessing.get_context("forkserver")


def address() -> str:
    """Returns where a process that is forked reaches the fork server it comes from."""
    return str(_server(LOADED)._forkserver_address)


@contextlib.contextmanager
def forked_from(server: str) -> Iterator[None]:
    """Has the children of this process, which is forked, forked from where it comes from."""
    global _of_parent
    _of_parent = _ServerOfParent(server)
    with forked_children(by_command=0):
        yield


def tfx_tflite(
    *command: object,
    variables: Mapping[str, str] | None = None,
    main: Callable[[], None] | None = None,
    place: Path = ROOT,
) -> "subprocess.CompletedProcess[str]":
    """Runs a command in the checkout, as `python -m tfx_tflite` would.

    Args:
        command: What follows the name of the program.
        variables: Environment variables beside those of this process.
        main: What is run in the place of the command; a function of a module.
        place: Where it is run, if not in the checkout.
    """
    with tempfile.TemporaryDirectory() as directory:
        files = [Path(directory, name) for name in ("stdout", "stderr")]
        call = tuple(map(str, command))
        environment = {**os.environ, **(variables or {})}
        arguments = (address(), call, environment, place, files, main)
        process = processes().Process(target=_command, args=arguments)
        process.start()
        process.join()
        stdout, stderr = (file.read_text(encoding="utf-8") for file in files)
    assert process.exitcode is not None
    return subprocess.CompletedProcess(call, process.exitcode, stdout, stderr)


def _command(
    server: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    place: Path,
    files: Sequence[Path],
    main: Callable[[], None] | None,
) -> None:
    _begin(environment, place, *files)
    sys.argv = ["tfx-tflite", *arguments]
    from tfx_tflite.pipelines.cli.entry import command_line

    with forked_from(server):
        (main or command_line)()


def _begin(environment: Mapping[str, str], directory: Path, *outputs: Path) -> None:
    """Gives this process what `subprocess` gives a new one."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    for descriptor, file in enumerate(outputs, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), descriptor)
    # What was looked up with the variables of the fork server.
    tempfile.tempdir = None


@contextlib.contextmanager
def forked_children(by_command: int) -> Iterator[None]:
    """Has the package's own children forked while the block runs: converters, and trials of models.

    Args:
        by_command: So many of each kind are started by their command before.
    """
    started_before, tried_before = itertools.count(), itertools.count()

    def ended(directory: Path, trial: str, time_limit: float) -> "subprocess.CompletedProcess[str]":
        if next(tried_before) < by_command:
            return TRIED_BY_COMMAND(directory, trial, time_limit)
        return _tried(directory, trial, time_limit)

    def started(self: ChildProcess, command: Sequence[str], pipe: int) -> Any:
        if command != _COMMAND or next(started_before) < by_command:
            return STARTED_BY_COMMAND(self, command, pipe)
        self._temporary.mkdir(exist_ok=True)
        self._log.write_bytes(b"")
        environment = {**without_secrets(), "TMPDIR": str(self._temporary)}
        with Connection(os.dup(pipe)) as theirs:
            arguments = (theirs, environment, self._log)
            # What is left of them when the tests end is ended, not waited for.
            process = processes().Process(target=_converter, args=arguments, daemon=True)
            process.start()
        return _Started(process)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ChildProcess, "_started", started)
        patch.setattr(smoke_test, "_ended", ended)
        yield


def _tried(directory: Path, trial: str, time_limit: float) -> "subprocess.CompletedProcess[str]":
    """Runs the program of the smoke test, forked, as `smoke_test._ended` does."""
    with contextlib.ExitStack() as stack:
        # Files without a name: whatever ends this process, they are gone.
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        files[0].write(trial.encode())
        files[0].seek(0)
        # What is pickled for another process takes its descriptor along.
        streams = [stack.enter_context(Connection(os.dup(file.fileno()))) for file in files]
        process = processes().Process(
            target=_trial, args=(streams, without_secrets(), directory), daemon=True
        )
        process.start()
        try:
            process.join(time_limit)
            if process.exitcode is None:
                raise subprocess.TimeoutExpired(str(directory), time_limit)
        finally:
            process.kill()
            process.join()
        for file in files[1:]:
            file.seek(0)
        stdout, stderr = (file.read().decode() for file in files[1:])
        return subprocess.CompletedProcess(str(directory), process.exitcode, stdout, stderr)


def _trial(streams: Sequence[Connection], environment: Mapping[str, str], directory: Path) -> None:
    for descriptor, stream in enumerate(streams):
        os.dup2(stream.fileno(), descriptor)
    _begin(environment, directory)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.argv = [smoke_test.__name__, str(directory)]
    run_to_the_end(smoke_test.main)


def _converter(pipe: Connection, environment: Mapping[str, str], log: Path) -> None:
    os.setsid()
    _begin(environment, log.parent, log, log)
    faulthandler.enable(2)
    from tfx_tflite.components.quantization.conversion import child_main

    run_to_the_end(functools.partial(child_main.main, pipe.fileno(), os.getppid()))


class _Started:
    """A forked process, with as much of `subprocess.Popen` as `ChildProcess` uses."""

    def __init__(self, process: ForkServerProcess):
        self._process = process
        assert process.pid is not None
        self.pid = process.pid
        # `Popen` too returns when there is a process group that a signal can be sent to.
        with contextlib.suppress(ProcessLookupError):
            while os.getpgid(self.pid) != self.pid:
                time.sleep(_INTERVAL)

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int:
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode
