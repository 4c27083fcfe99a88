"""The converter's process that is started before anybody asks: one taker, and no orphan."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.components.quantization.conversion import parent_of_converter
from tests.components.quantization.conversion.stand_in import command
from tests.components.quantization.conversion.test_quarantine import (
    INT8,
    eventually,
    has_ended,
)
from tfx_tflite.components.quantization.conversion import early_start
from tfx_tflite.components.quantization.conversion.child_process import ChildProcess
from tfx_tflite.components.quantization.conversion.converter import Converter
from tfx_tflite.components.quantization.conversion.early_start import early_converter


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_start, "COMMAND", command("pid"))


def asked_pid(directory: Path) -> int:
    """Returns the process id of the child that a new converter asks."""
    with Converter(directory) as converter:
        return int(converter.quantize(b"", INT8))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The process ids of all children, in the order in which they were started."""
    pids: list[int] = []

    class Recorded(ChildProcess):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            pids.append(self._process.pid)

    monkeypatch.setattr(early_start, "ChildProcess", Recorded)
    return pids


def test_the_first_converter_takes_it_and_the_second_has_its_own(tmp_path: Path, started):
    with early_converter() as early:
        early.start()
        first, second = asked_pid(tmp_path), asked_pid(tmp_path)
    assert [first] == started and second != first


def test_is_started_once_however_often_it_is_asked_for(started):
    with early_converter() as early:
        early.start()
        early.start()
        eventually(lambda: started)
    assert len(started) == 1


def test_outlives_the_thread_that_asked_for_it(tmp_path: Path, started):
    with early_converter() as early:
        thread = threading.Thread(target=early.start)
        thread.start()
        thread.join()
        assert [asked_pid(tmp_path)] == started


def test_one_that_was_killed_before_it_was_needed_is_replaced(tmp_path: Path, started):
    with early_converter() as early:
        early.start()
        eventually(lambda: started)
        os.kill(started[0], signal.SIGKILL)
        eventually(lambda: has_ended(started[0]))
        assert asked_pid(tmp_path) != started[0]


def test_one_that_cannot_be_started_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with early_converter() as early:
        monkeypatch.setattr(early_start, "COMMAND", ("/nowhere/python",))
        early.start()
        eventually(lambda: early._started.done())
        monkeypatch.setattr(early_start, "COMMAND", command("pid"))
        assert asked_pid(tmp_path) > 0


def test_one_that_nobody_takes_ends_with_the_block(started):
    with early_converter() as early:
        early.start()
        eventually(lambda: started)
    assert has_ended(started[0])


def test_without_a_start_there_is_none(tmp_path: Path, started):
    with early_converter():
        assert asked_pid(tmp_path) > 0
    assert started == []


def test_its_files_go_with_the_block():
    with early_converter() as early:
        early.start()
        directory = early._directory
        eventually(lambda: (directory / "converter.log").exists())
    assert not directory.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_signal_to_the_parent_leaves_an_orphan(tmp_path: Path, number: int):
    parent = subprocess.Popen(
        [sys.executable, parent_of_converter.__file__, str(tmp_path), "pid", "early"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(number)
    assert parent.wait(timeout=20) == -number
    assert eventually(lambda: has_ended(child))
