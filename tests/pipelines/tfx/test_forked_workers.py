"""Beam's worker processes on this machine come from a process that has loaded what they need."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.slow
PROGRAM = Path(__file__).with_name("unguarded_program.py")
PATIENCE = 60


@contextmanager
def program(*arguments: str) -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, str(PROGRAM), *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def is_there(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except OSError:
        return False


def wait_for_the_end(workers: Iterable[int]) -> None:
    end = time.monotonic() + PATIENCE
    while any(map(is_there, workers)):
        assert time.monotonic() < end, "workers are left"
        time.sleep(0.05)


def test_two_workers_have_what_was_loaded_for_them_and_not_the_program_that_runs():
    with program("wave", "no.such.module") as process:
        lines = process.communicate()[0].splitlines()
    works = [line.split()[1:] for line in lines if line.startswith("works")]
    assert len(works) == 8 and len({worker for worker, _ in works}) == 2
    assert {has_the_module for _, has_the_module in works} == {"True"}
    wait_for_the_end({int(worker) for worker, _ in works})
    # A worker that loaded the program would run its pipeline, too.
    assert [line for line in lines if "program" in line] == [
        "the program begins",
        "the program ends",
    ]


def test_workers_are_started_as_beam_does_where_none_can_be_forked():
    with program("wave", "tests.pipelines.tfx.ends_at_import") as process:
        lines = process.communicate()[0].splitlines()
    works = [line.split()[2] for line in lines if line.startswith("works")]
    assert works == ["False"] * 8
    assert process.returncode == 0


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_a_program_that_is_killed(by: signal.Signals):
    with program("--waits") as process:
        assert process.stdout is not None
        workers = []
        while len(workers) < 2:
            word, *rest = process.stdout.readline().split()
            workers += [int(rest[0])] if word == "waits" else []
        process.send_signal(by)
        process.wait(PATIENCE)
        wait_for_the_end(workers)
