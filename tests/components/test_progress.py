"""Telling how far a stage has come, from wherever it is worked on."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tfx_tflite.components.progress import PREDICTED, VARIABLE, Step, tell

STEP = Step(PREDICTED, 32, of=449, split="eval", is_first=True)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that steps are told to."""
    path = tmp_path / "progress"
    path.touch()
    monkeypatch.setenv(VARIABLE, str(path))
    return path


def test_a_step_is_what_was_told(told: Path):
    tell(STEP)
    tell(Step("a name in\ntwo lines"))
    lines = told.read_bytes().splitlines()
    assert [Step.parse(line) for line in lines] == [STEP, Step("a name in\ntwo lines")]


def test_a_child_tells_to_the_same_file(told: Path):
    program = (
        "from tfx_tflite.components.progress import Step, tell; tell(Step('examples predicted', 7))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
    assert Step.parse(told.read_bytes()) == Step(PREDICTED, 7)


def test_nothing_is_told_where_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    tell(STEP)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["gone", "gone/progress", ".", "link", "/dev/full"])
def test_work_goes_on_where_progress_cannot_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
):
    other = tmp_path / "other"
    other.touch()
    (tmp_path / "link").symlink_to(other)
    monkeypatch.setenv(VARIABLE, str(tmp_path / place))
    tell(STEP)
    assert other.read_bytes() == b"" and not (tmp_path / "gone").exists()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"7",
        b"[]",
        b"\xff",
        b'{"what": 7}',
        b'{"what": "x", "more": "y"}',
        b'{"what": "x", "more": true}',
        b'{"what": "x", "of": 1.5}',
        b'{"what": "x", "split": []}',
        b'{"what": "x", "is_first": 1}',
        b'{"what": "x", "unknown": 1}',
        b"[" * 100_000,
    ],
)
def test_a_line_of_somebody_else_is_no_step(line: bytes):
    assert Step.parse(line) is None
