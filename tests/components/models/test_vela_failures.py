"""Whatever becomes of Vela, there is an error of one or two lines, and nothing else is left."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.components.models import false_vela, vela_run
from tests.components.models.test_vela import compiled, net
from tests.conftest import ROOT
from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.models.vela import accelerate

REMEDY = "Change the model, try another version of ethos-u-vela, or leave the accelerator out"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are, and nothing else."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path


def program(name: str) -> list[str]:
    return [sys.executable, false_vela.__file__, name]


def failure_of(name: str, time_limit: float = 60.0) -> str:
    with pytest.raises(ModelError) as caught:
        accelerate(net("int8"), "ethos-u55-128", time_limit, program(name))
    lines = str(caught.value).splitlines()
    assert lines[1:] == [REMEDY]
    return lines[0].partition(" for ethos-u55-128 ")[2]


def false_velas() -> list[str]:
    """Returns the command lines of false programs that run."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        # Not the one that compiles, nor one that is about to become a false program.
        if false_vela.__file__ in line and "vela_run" not in line and "quarantine" not in line:
            found.append(line)
    return found


def is_soon(condition: object, seconds: float = 20.0) -> bool:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("aborts", "was ended by SIGABRT: regor.cpp:161: Assertion `tensor->IsConstant()' failed."),
        ("is_killed", "was ended by SIGKILL"),
        ("fails", "failed: AssertionError: no such block"),
        ("takes_all_memory", "failed: MemoryError"),
        ("does_nothing", "left no compiled model; it said: done"),
        (
            "cuts_the_model",
            "left a compiled model that is damaged: its parts lead outside",
        ),
        ("empties_the_model", "left a compiled model that is damaged: it does not begin as one"),
        ("removes_the_summary", "left no summary of the compiled model"),
        ("empties_the_summary", "left a summary that cannot be read: "),
        ("drops_a_column", "left a summary that cannot be read: 'cycles_total'"),
        ("writes_no_number", "left a summary that cannot be read: cycles_total is nan at"),
        ("changes_the_cycles", "left a summary that cannot be read: inference_time 9.594e-06 is"),
        ("writes_bytes_that_are_no_text", "left a summary that cannot be read: 'utf-8' codec"),
    ],
)
def test_a_failure_says_what_happened_and_what_to_do(folder: Path, name: str, problem: str):
    assert failure_of(name).startswith(problem)
    assert list(folder.iterdir()) == []


def test_a_hang_is_ended_with_all_that_was_started(folder: Path):
    assert failure_of("hangs", time_limit=1.0) == "took more than 1 s and was stopped"
    assert is_soon(lambda: false_velas() == [])
    assert list(folder.iterdir()) == []


def test_a_child_that_outlives_vela_is_ended(folder: Path):
    found = accelerate(net("int8"), "ethos-u55-128", command=program("leaves_a_child"))
    assert found == compiled("int8")
    assert is_soon(lambda: false_velas() == [])
    assert list(folder.iterdir()) == []


def test_the_model_of_another_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    other = tmp_path / "other.tflite"
    other.write_bytes(compiled("two_outputs").content)
    monkeypatch.setenv("FALSE_VELA_OTHER", str(other))
    assert failure_of("gives_the_model_of_another") == (
        "left a compiled model with other inputs and outputs: input 'serving_default_x:0' INT8 "
        "[1, 8, 8, 3] became input 'serving_default_x:0' INT8 [1, 8, 8, 3]"
    )


def test_vela_is_given_no_secrets_and_a_folder_of_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("STORE_PASSWORD", "hunter2")
    monkeypatch.setenv("HARMLESS", "shown")
    shown = failure_of("shows_its_environment")
    assert "hunter2" not in shown


def test_a_program_that_is_not_there_is_a_failure(folder: Path):
    with pytest.raises(ModelError, match="failed: FileNotFoundError: "):
        accelerate(net("int8"), "ethos-u55-128", command=["/no/such/program"])
    assert list(folder.iterdir()) == []


def started(folder: Path, name: str, processes: int) -> subprocess.Popen[bytes]:
    """Starts a compilation that hangs, and returns when it does."""
    model = folder.parent / "model.tflite"
    model.write_bytes(net("int8"))
    process = subprocess.Popen(
        [sys.executable, vela_run.__file__, str(model), *program(name)],
        env={**os.environ, "TMPDIR": str(folder)},
        cwd=ROOT,
        stderr=subprocess.PIPE,
    )
    # It imports TensorFlow before.
    assert is_soon(lambda: len(false_velas()) == processes, seconds=200)
    return process


@pytest.mark.slow
def test_an_interrupted_compilation_leaves_nothing(folder: Path):
    process = started(folder, "hangs", processes=2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert errors.strip().endswith(b"KeyboardInterrupt")
    assert is_soon(lambda: false_velas() == [])
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_nothing_of_vela(folder: Path):
    process = started(folder, "hangs", processes=2)
    process.kill()
    process.communicate(timeout=20)
    assert is_soon(lambda: false_velas() == [])
    assert is_soon(lambda: list(folder.iterdir()) == [])
