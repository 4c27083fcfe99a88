"""What is made below a root of runs is its owner's alone."""

from pathlib import Path

import pytest

from tfx_tflite.components.private_files import make_private_directory, make_private_file


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_directory_is_made_for_its_owner_alone_and_so_are_those_that_it_is_in(tmp_path: Path):
    make_private_directory(tmp_path / "a" / "b")
    assert mode(tmp_path / "a") == mode(tmp_path / "a" / "b") == 0o700


def test_what_is_there_keeps_its_mode(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(0o755)
    (tmp_path / "file").touch()
    (tmp_path / "file").chmod(0o644)
    make_private_directory(tmp_path / "a")
    make_private_file(tmp_path / "file")
    assert (mode(tmp_path / "a"), mode(tmp_path / "file")) == (0o755, 0o644)


def test_a_file_in_place_of_a_directory_is_an_error(tmp_path: Path):
    (tmp_path / "a").touch()
    with pytest.raises(NotADirectoryError):
        make_private_directory(tmp_path / "a" / "b")


def test_a_file_is_made_for_its_owner_alone(tmp_path: Path):
    make_private_file(tmp_path / "metadata.sqlite")
    assert mode(tmp_path / "metadata.sqlite") == 0o600
