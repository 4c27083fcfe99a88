"""The files that patterns match, and their sizes."""

import threading
from pathlib import Path

import pytest

from tfx_tflite.components import input_files
from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples.data_files import FileState

pytestmark = pytest.mark.slow


def test_files_come_with_their_sizes_pattern_after_pattern_and_without_directories(tmp_path: Path):
    for name, size in (("b-2", 2), ("b-1", 1), ("a-1", 3)):
        (tmp_path / name).write_bytes(b"1" * size)
    (tmp_path / "b-directory").mkdir()
    patterns = input_files.SEPARATOR.join(("b-*", "a-*"))
    found = input_files.files_and_sizes(f"{tmp_path}/", patterns)
    assert [(Path(file).name, size) for file, size in found] == [("b-1", 1), ("b-2", 2), ("a-1", 3)]


def test_a_pattern_that_only_a_directory_matches_is_told(tmp_path: Path):
    (tmp_path / "a-directory").mkdir()
    with pytest.raises(DataError, match=r"no file matches .*/a-\*"):
        list(input_files.files_and_sizes(str(tmp_path), "a-*"))


def test_many_files_are_looked_at_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for number in range(16):
        (tmp_path / f"{number:02}").touch()
    # Nobody gets an answer before the last has asked.
    all_have_asked = threading.Barrier(16)

    def answered(file: str) -> FileState:
        all_have_asked.wait(timeout=60)
        return FileState(int(Path(file).name), ())

    monkeypatch.setattr(input_files, "state_of", answered)
    sizes = [size for _, size in input_files.files_and_sizes(str(tmp_path), "*")]
    assert sizes == list(range(16))
