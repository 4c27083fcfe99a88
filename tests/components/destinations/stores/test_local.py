"""What a directory of this machine holds, and what cannot be told of it."""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.stores.local import LocalStore
from tfx_tflite.components.destinations.verification import destination_problems
from tfx_tflite.components.errors import DestinationError, NotKnownError, PushError
from tfx_tflite.components.presence import ABSENT

SOMEBODY = 1000
_ENTER = stat.S_IXGRP | stat.S_IXOTH


@contextmanager
def as_somebody(*directories: Path) -> Iterator[None]:
    """Runs a block without the rights of root, in directories that anybody may enter."""
    if os.geteuid() != 0:
        yield
        return
    for directory in directories:
        for place in (directory, *directory.parents):
            if place.stat().st_mode & _ENTER != _ENTER:
                place.chmod(place.stat().st_mode | _ENTER)
    os.seteuid(SOMEBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_is_not_there_is_absent(tmp_path: Path):
    for root in (tmp_path, tmp_path / "none", tmp_path / "none" / "deeper"):
        store = LocalStore(root)
        assert store.entries() == store.entries("7") == store.files("7") == []
        assert store.read("LATEST") is ABSENT and store.read("7/manifest.json") is ABSENT


def test_a_file_where_a_version_would_be_is_no_version(tmp_path: Path):
    (tmp_path / "7").write_bytes(b"x")
    store = LocalStore(tmp_path)
    assert store.entries("7") == [] and store.read("7/manifest.json") is ABSENT


def test_a_file_in_place_of_the_destination_is_not_an_empty_one(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"x")
    store = LocalStore(tmp_path / "file")
    for act in (store.entries, lambda: store.read("LATEST"), lambda: store.files("7")):
        with pytest.raises(NotKnownError, match="Not a directory"):
            act()


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_link_to_a_place_that_is_not_there_is_not_an_empty_destination(
    below: str, tmp_path: Path
):
    (tmp_path / "link").symlink_to(tmp_path / "not mounted")
    to = Destination.open(str(tmp_path / "link" / below))
    for act in (to.versions, to.current, to.events):
        with pytest.raises(NotKnownError, match=r"cannot (list|read) .*link"):
            act()


@pytest.mark.skipif(sys.platform != "linux", reason="as another user")
def test_a_directory_that_may_not_be_read_is_not_an_empty_one(tmp_path: Path, candidate):
    root = tmp_path / "to"
    number = Destination.open(str(root)).push(candidate(b"a")).number
    to, other = Destination.open(str(root)), candidate(b"b")
    for mode in (0o700, 0o711):
        root.chmod(mode)
        with as_somebody(tmp_path):
            for act in (to.versions, lambda: destination_problems(to), to.roll_back):
                with pytest.raises(
                    NotKnownError, match=r"cannot (list|read) .*: Permission denied"
                ):
                    act()
            with pytest.raises(PushError, match=r"not pushed: .*Permission denied"):
                to.push(other)
    root.chmod(0o755)
    with as_somebody(tmp_path):
        assert to.versions() == [number]
    (root / "LATEST").chmod(0o600)
    with as_somebody(tmp_path), pytest.raises(NotKnownError, match=r"cannot read .*/LATEST"):
        to.current()
    (root / str(number)).chmod(0o700)
    with as_somebody(tmp_path), pytest.raises(NotKnownError, match=f"cannot list .*{number}"):
        to.versions()


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes devices")


def link(path: Path) -> None:
    (path.parent / "elsewhere").write_bytes(b"7\n")
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("make", [fifo, device, link, Path.mkdir])
@pytest.mark.parametrize("name", ["LATEST", "7/manifest.json"])
def test_what_is_no_regular_file_is_said_at_once_and_not_read(make, name: str, tmp_path: Path):
    (tmp_path / "7").mkdir()
    make(tmp_path / name)
    with pytest.raises(DestinationError, match=f"{name} is a link or not a regular file"):
        LocalStore(tmp_path).read(name)
