"""Beam's worker processes on this machine, forked from one that has loaded what stages need.

With `--direct_running_mode=multi_processing` Beam starts a worker's command for each pipeline, and
each worker would load TFX and TensorFlow anew, which takes longer than the work of most stages.
"""

import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing import forkserver, process, spawn, util
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from tfx_tflite.components.process_end import end_with, run_to_the_end
from tfx_tflite.pipelines.tfx.replacing import replaced

_WORKER = "apache_beam.runners.worker.sdk_worker_main"
_STDOUT, _STDERR = 1, 2


class ForkedWorkers:
    """Starts workers, in the place of the module `subprocess` as Beam's job service uses it.

    The process that workers are forked from loads its modules from now on. It ends with this one,
    and the workers end with it.

    Args:
        modules: What workers need, by names. What cannot be imported is left to the worker.
    """

    def __init__(self, modules: Iterable[str]):
        self._server = _ServerOnce()
        self._server.set_forkserver_preload([_WORKER, *modules])
        # The standard library would make a folder for the server's socket below that of temporary
        # files, and remove it when this process ends: after a run has removed all of them.
        with suppress(OSError), replaced(util, "get_temp_dir", tempfile.gettempdir):
            self._server.ensure_running()

    def is_ready(self) -> bool:
        """Waits until the modules are loaded, and returns whether workers can be forked."""
        try:
            self._forked(_nothing).join()
        except (OSError, EOFError):
            return False
        return True

    def close(self) -> None:
        """Ends the process that workers are forked from, and workers that are left."""
        # Nothing waits for the modules, nor for what a worker of a failed pipeline does.
        with suppress(OSError):
            if self._server.pid is not None:
                os.kill(self._server.pid, signal.SIGKILL)
            self._server._stop()  # type: ignore[attr-defined]

    def Popen(
        self, command: str, shell: bool, env: Mapping[str, str]
    ) -> "_Worker | subprocess.Popen[bytes]":
        """Starts a worker; by its command, as Beam would, if none can be forked any more.

        Args:
            command: What a shell would run: a Python that runs Beam's worker.
            shell: Whether a shell would.
            env: The worker's environment, which tells it all that it is to know.
        """
        # Where this process writes now: the fork server writes where it did when it began.
        streams = [Connection(os.dup(stream)) for stream in (_STDOUT, _STDERR)]
        try:
            return _Worker(self._forked(_work, self._server.pid, dict(env), Path.cwd(), streams))
        except (OSError, EOFError):
            return subprocess.Popen(command, shell=shell, env=env)

    def _forked(self, target: Callable[..., None], *arguments: object) -> ForkServerProcess:
        found = multiprocessing.get_context("forkserver").Process(target=target, args=arguments)
        with (
            replaced(forkserver, "connect_to_new_process", self._server.connect_to_new_process),
            # A process would import what this one was started with, which may be a program that
            # calls this package without asking for its own name first.
            replaced(
                spawn, "get_preparation_data", partial(_without_main, spawn.get_preparation_data)
            ),
        ):
            found.start()
        # Whoever starts the next one would look after this one, while its thread waits for it.
        process._children.discard(found)  # type: ignore[attr-defined]
        return found


class _ServerOnce(forkserver.ForkServer):
    """A fork server that is not started again: that would take as long as it did.

    It is not the one of the standard library, which whoever calls this may use as well.
    """

    @property
    def pid(self) -> int | None:
        """The process; None if it was never started, or is stopped."""
        found: int | None = self._forkserver_pid  # type: ignore[attr-defined]
        return found

    def ensure_running(self) -> None:
        """Starts it, unless it was started before."""
        if self.pid is None:
            super().ensure_running()


class _Worker:
    """A worker that runs, as Beam looks at a `subprocess.Popen`."""

    def __init__(self, process: ForkServerProcess):
        self._process = process

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> None:
        self._process.join()

    def poll(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()


def _without_main(preparation: Callable[[str], dict[str, Any]], name: str) -> dict[str, Any]:
    return {key: value for key, value in preparation(name).items() if "main" not in key}


def _nothing() -> None:
    """Does what a process has to do that only shows that there can be one."""


def _work(
    server: int, environment: Mapping[str, str], place: Path, streams: Sequence[Connection]
) -> None:
    """Runs a worker in a process that was forked for it, to its end."""
    end_with(server)
    # As long as this is open, the server lives.
    os.close(forkserver._forkserver._forkserver_alive_fd)  # type: ignore[attr-defined]
    for descriptor, stream in zip((_STDOUT, _STDERR), streams, strict=True):
        os.dup2(stream.fileno(), descriptor)
        stream.close()
    os.chdir(place)
    os.environ.clear()
    os.environ.update(environment)
    _draw_other_numbers()
    sys.argv = [_WORKER]
    worker = importlib.import_module(_WORKER)
    run_to_the_end(lambda: worker.main(sys.argv))


def _draw_other_numbers() -> None:
    """Gives this process random numbers of its own; the standard library's do so at each fork."""
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
