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
from tfx_tflite.components.models.environment import without_secrets
from tfx_tflite.components.process_end import run_to_the_end
from tfx_tflite.components.quantization.conversion import early_start
from tfx_tflite.components.quantization.conversion.child_process import ChildProcess

LOADED = ("tests.loaded",)
# How the package starts a process of the converter.
STARTED_BY_COMMAND = ChildProcess._started
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


def tfx_tflite(
    *command: object,
    variables: Mapping[str, str] | None = None,
    main: Callable[[], None] | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Runs a command in the checkout, as `python -m tfx_tflite` would.

    Args:
        command: What follows the name of the program.
        variables: Environment variables beside those of this process.
        main: What is run in the place of the command; a function of a module.
    """
    with tempfile.TemporaryDirectory() as directory:
        files = [Path(directory, name) for name in ("stdout", "stderr")]
        call = tuple(map(str, command))
        environment = {**os.environ, **(variables or {})}
        address = _server(LOADED)._forkserver_address
        arguments = (address, call, environment, files, main)
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
    files: Sequence[Path],
    main: Callable[[], None] | None,
) -> None:
    global _of_parent
    _of_parent = _ServerOfParent(server)
    _begin(environment, ROOT, *files)
    sys.argv = ["tfx-tflite", *arguments]
    from tfx_tflite.pipelines.cli.entry import command_line

    with forked_converters(by_command=0):
        (main or command_line)()


def _begin(environment: Mapping[str, str], directory: Path, stdout: Path, stderr: Path) -> None:
    """Gives this process what `subprocess` gives a new one."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    for descriptor, file in ((1, stdout), (2, stderr)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), descriptor)
    # What was looked up with the variables of the fork server.
    tempfile.tempdir = None


@contextlib.contextmanager
def forked_converters(by_command: int) -> Iterator[None]:
    """Has the converter's processes forked while the block runs.

    Args:
        by_command: So many of them are started by their command before.
    """
    started_before = itertools.count()

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
        yield


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
