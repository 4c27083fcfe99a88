"""Beam's worker processes on this machine, forked from one that has loaded what stages need.

With `--direct_running_mode=multi_processing` Beam starts a worker's command for each pipeline, and
each worker would load TFX and TensorFlow anew, which takes longer than the work of most stages.
"""

import importlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from functools import partial
from multiprocessing import forkserver, spawn, util
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from threading import Lock
from typing import Any

from tfx_tflite.components.process_end import end_with, run_to_the_end
from tfx_tflite.pipelines.config.beam import BeamConfig
from tfx_tflite.pipelines.tfx.replacing import replaced

_WORKER = "apache_beam.runners.worker.sdk_worker_main"
_STAGES = "tfx_tflite.pipelines.tfx.stage_imports"
_STDOUT, _STDERR = 1, 2


def workers_of(beam: BeamConfig) -> "AbstractContextManager[ForkedWorkers | None]":
    """Returns what forks the worker processes of a run, and loads TFX for them from now on.

    Args:
        beam: The run's settings, by which there may be no such processes.
    """
    if not beam.has_worker_processes:
        return nullcontext()
    return closing(ForkedWorkers([_STAGES]))


class ForkedWorkers:
    """Starts workers, in the place of the module `subprocess` as Beam's job service uses it.

    The process that workers are forked from loads its modules from now on. It ends with this one,
    and the workers end with it.

    Args:
        modules: What workers need, by names. What cannot be imported is left to the worker.
    """

    def __init__(self, modules: Iterable[str]):
        # Not the one of the standard library, which whoever calls this may use as well.
        self._server = forkserver.ForkServer()
        self._server.set_forkserver_preload([_WORKER, *modules])
        self._lock = Lock()
        with _socket_in_temporary_folder():
            self._server.ensure_running()

    def close(self) -> None:
        """Ends the process that workers are forked from, and workers that are left."""
        self._server._stop()  # type: ignore[attr-defined]

    def Popen(
        self, command: str, shell: bool, env: Mapping[str, str]
    ) -> "_Worker | subprocess.Popen[bytes]":
        """Starts a worker; by its command, as Beam would, if none can be forked.

        Args:
            command: What a shell would run: a Python that runs Beam's worker.
            shell: Whether a shell would.
            env: The worker's environment, which tells it all that it is to know.
        """
        try:
            return _Worker(self._forked(env))
        except (OSError, EOFError):
            # The process to fork from does not live; it is started again for each worker.
            return subprocess.Popen(command, shell=shell, env=env)

    def _forked(self, env: Mapping[str, str]) -> ForkServerProcess:
        # Where this process writes now: the fork server writes where it did when it began.
        streams = [Connection(os.dup(stream)) for stream in (_STDOUT, _STDERR)]
        process = multiprocessing.get_context("forkserver").Process(
            target=_work, args=(dict(env), Path.cwd(), streams), daemon=True
        )
        with (
            self._lock,
            _socket_in_temporary_folder(),
            replaced(forkserver, "connect_to_new_process", self._server.connect_to_new_process),
            # A process would import what this one was started with, which may be a program that
            # calls this package without asking for its own name first.
            replaced(
                spawn, "get_preparation_data", partial(_without_main, spawn.get_preparation_data)
            ),
        ):
            process.start()
        return process


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


def _socket_in_temporary_folder() -> AbstractContextManager[None]:
    """Has a fork server that starts put its socket where the run's other temporary files are.

    The standard library would make a folder there, and remove it when this process ends: after the
    run has removed all of them.
    """
    return replaced(util, "get_temp_dir", tempfile.gettempdir)


def _without_main(preparation: Callable[[str], dict[str, Any]], name: str) -> dict[str, Any]:
    return {key: value for key, value in preparation(name).items() if "main" not in key}


def _work(environment: Mapping[str, str], place: Path, streams: Sequence[Connection]) -> None:
    """Runs a worker in a process that was forked for it, to its end."""
    end_with(os.getppid())
    for descriptor, stream in zip((_STDOUT, _STDERR), streams, strict=True):
        os.dup2(stream.fileno(), descriptor)
        stream.close()
    os.chdir(place)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [_WORKER]
    worker = importlib.import_module(_WORKER)
    run_to_the_end(lambda: worker.main(sys.argv))
