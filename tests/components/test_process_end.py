"""How processes end: with their own exit code, and with everything done that was to be done."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from tests.conftest import ROOT


def ended(
    program: str, *arguments: str, stdout: int | IO[bytes] = subprocess.PIPE, **variables: str
) -> subprocess.CompletedProcess[str]:
    # With these, nothing would be left to be flushed at the end, and no bytecode to be removed.
    kept_from_python = {"PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
    known = {key: value for key, value in os.environ.items() if key not in kept_from_python}
    return subprocess.run(
        [sys.executable, "-m", "tests.components.endings", program, *arguments],
        cwd=ROOT,
        env={**known, "TF_CPP_MIN_LOG_LEVEL": "3", **variables},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("program", "code", "error"),
    [
        ("registers_handlers", 0, "ZeroDivisionError: division by zero"),
        ("exits_with_3", 3, ""),
        ("exits_with_text", 1, "error: no model\n"),
        ("raises", 1, "ValueError: no model\n"),
        ("is_interrupted", 130, "KeyboardInterrupt\n"),
    ],
)
def test_the_exit_code_and_the_error_are_those_that_python_has(program, code, error):
    done = ended(program)
    assert done.returncode == code
    assert error in done.stderr and bool(error) == bool(done.stderr)


def test_a_library_that_aborts_when_it_is_taken_down_does_not_matter():
    assert ended("aborts_when_taken_down", "plainly").returncode == -signal.SIGABRT
    assert ended("aborts_when_taken_down").returncode == 0


def test_exit_handlers_run_and_the_last_registered_first():
    assert ended("registers_handlers").stdout == "last registered\nfirst registered\n"


def test_threads_and_pools_of_threads_end_first():
    assert sorted(ended("leaves_threads").stdout.splitlines()) == ["a pool", "a thread"]


def test_what_was_printed_is_written_out():
    assert sorted(ended("prints_without_flushing").stdout.splitlines()) == ["of c", "of python"]


def test_a_full_disk_under_stdout_does_not_change_the_exit_code():
    with Path("/dev/full").open("wb") as full:
        assert ended("prints", stdout=full).returncode == 0
        # The interpreter's own end does.
        assert ended("prints", "plainly", stdout=full).returncode == 120


@pytest.mark.slow
def test_autographs_files_are_removed(tmp_path: Path):
    done = ended("traces_a_function", TMPDIR=str(tmp_path))
    written = ["__autograph_generated_file*.py", "__pycache__/__autograph_generated_file*.pyc"]
    assert done.stdout.splitlines() == written, done.stderr
    assert done.returncode == 0 and list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_bytecode_of_other_processes_stays(tmp_path: Path):
    other = tmp_path / "__pycache__" / "other.pyc"
    other.parent.mkdir()
    other.touch()
    assert ended("traces_a_function", TMPDIR=str(tmp_path)).returncode == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [other]


@pytest.mark.slow
def test_beams_job_servers_are_stopped(tmp_path: Path):
    done = ended("starts_a_job_server", TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("localhost", int(done.stdout)))
    assert list(tmp_path.glob("beam-temp*")) == []
