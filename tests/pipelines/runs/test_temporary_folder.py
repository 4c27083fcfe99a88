"""A run's temporary folder: whose it is, and that it goes."""

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tfx_tflite.pipelines.runs.temporary_folder import temporary_folder


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch) -> Iterator[Path]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield tmp_path


def killed_run(parent: Path) -> Path:
    """Has a process be killed in its folder, and returns the folder."""
    waiting = [sys.executable, "-m", "tests.pipelines.runs.waiting_in_its_folder"]
    process = subprocess.Popen(waiting, stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    folder = Path(process.stdout.readline().decode().strip())
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert folder.parent == parent and list(folder.iterdir())
    return folder


def test_it_is_below_the_usual_one_and_gone_afterwards(parent: Path):
    with temporary_folder():
        folder = Path(tempfile.gettempdir())
        assert folder.parent == parent and os.environ["TMPDIR"] == str(folder)
        assert folder.stat().st_mode & 0o077 == 0
        Path(tempfile.mkdtemp(), "file").write_text("left")
        # What children are given, whatever they are written in.
        found = subprocess.run(["mktemp"], stdout=subprocess.PIPE, check=True, text=True).stdout
        assert Path(found.strip()).parent == folder
    assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(parent)
    assert list(parent.iterdir()) == []


def test_without_locks_no_descriptor_stays_open(parent: Path, monkeypatch):
    def without_locks(*_: object) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", without_locks)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with temporary_folder():
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_without_the_variable_there_is_none_afterwards(parent: Path, monkeypatch):
    monkeypatch.delenv("TMPDIR")
    monkeypatch.setattr(tempfile, "tempdir", str(parent))
    with temporary_folder():
        assert Path(os.environ["TMPDIR"]).parent == parent
    assert "TMPDIR" not in os.environ and list(parent.iterdir()) == []


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, ValueError])
def test_it_goes_whatever_ends_the_run(parent: Path, end: type[BaseException]):
    with pytest.raises(end), temporary_folder():
        Path(tempfile.gettempdir(), "file").write_text("left")
        raise end
    assert list(parent.iterdir()) == []


def test_the_folder_of_a_killed_run_is_removed_by_the_next_one(parent: Path):
    folder = killed_run(parent)
    with temporary_folder():
        assert not folder.exists()
    assert list(parent.iterdir()) == []


def test_the_folder_of_a_run_that_goes_on_is_left(parent: Path):
    with temporary_folder():
        first = Path(tempfile.gettempdir())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", str(parent))
            with temporary_folder():
                assert Path(tempfile.gettempdir()) != first and first.is_dir()
        assert first.is_dir()


def test_what_only_has_such_a_name_is_left(parent: Path):
    elsewhere = parent / "elsewhere"
    elsewhere.mkdir()
    (parent / "tfx-tflite-run-link").symlink_to(elsewhere)
    (parent / "tfx-tflite-run-file").write_text("a file")
    with temporary_folder():
        pass
    assert sorted(path.name for path in parent.iterdir()) == [
        *("elsewhere", "tfx-tflite-run-file", "tfx-tflite-run-link"),
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_the_folder_of_another_user_is_left(parent: Path):
    folder = parent / "tfx-tflite-run-theirs"
    folder.mkdir()
    os.chown(folder, 1000, 1000)
    with temporary_folder():
        assert folder.is_dir()


def test_a_run_goes_on_without_where_none_can_be_made(parent: Path, monkeypatch):
    def without_locks(*_: object) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", without_locks)
    with temporary_folder():
        assert tempfile.gettempdir() == str(parent)
    assert list(parent.iterdir()) == []
