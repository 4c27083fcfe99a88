"""Trying what a run needs, each in a child that may crash or hang without harm."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tfx_tflite.pipelines.doctor.document import Trial
from tfx_tflite.pipelines.doctor.installed import is_importable
from tfx_tflite.pipelines.doctor.programs import MODEL, NAMES, NEED_A_MODEL, OPTIONAL

# Seconds after which a trial is ended, if nobody says otherwise.
TIME_LIMIT = 300.0
_PROGRAMS = "tfx_tflite.pipelines.doctor.programs"
_LONGEST = 300


def trials(time_limit: float = TIME_LIMIT) -> Iterator[Trial]:
    """Yields how each trial ended, as it ends.

    Args:
        time_limit: Seconds after which a trial is ended.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        for name in NAMES:
            if name in OPTIONAL and not is_importable(OPTIONAL[name]):
                continue
            if name in NEED_A_MODEL and not (Path(directory) / MODEL).exists():
                yield Trial(name=name, state="not tried", problem="the converter made no model")
                continue
            yield tried(name, [sys.executable, "-m", _PROGRAMS, name, directory], time_limit)


def tried(name: str, command: Sequence[str], time_limit: float) -> Trial:
    """Returns how a program ends.

    Args:
        name: What it tries.
        command: The program.
        time_limit: Seconds after which it is ended, with all processes that it started.
    """
    start = time.monotonic()
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env=environment,
            # A group of its own, so that all of it can be ended.
            start_new_session=True,
        )
        in_time = True
        try:
            child.wait(time_limit)
        except subprocess.TimeoutExpired:
            in_time = False
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        seconds = time.monotonic() - start
        log.seek(0)
        said = log.read().decode("utf-8", "replace")
    if not in_time:
        problem = f"it did not end within {time_limit:g} s"
        return Trial(name=name, state="hangs", seconds=seconds, problem=problem)
    return _ended(name, child.returncode, seconds, said)


def _ended(name: str, code: int, seconds: float, said: str) -> Trial:
    if code == 0:
        return Trial(name=name, state="runs", seconds=seconds)
    if code < 0:
        problem = f"the process was ended by {_signal_name(-code)}"
        return Trial(name=name, state="crashes", seconds=seconds, problem=problem)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    problem = lines[-1][:_LONGEST] if lines else f"it ended with exit code {code}"
    return Trial(name=name, state="fails", seconds=seconds, problem=problem)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
