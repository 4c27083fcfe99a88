"""On a full disk a push removes what it would remove anyway, and goes on."""

import errno
import functools
import os
import subprocess
from pathlib import Path

import pytest

from tests.components.destinations.interruption import StoppedOperations, full_disk
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.stores.file_operations import FileOperations
from tfx_tflite.components.destinations.stores.local import LocalStore
from tfx_tflite.components.destinations.verification import destination_problems
from tfx_tflite.components.errors import PushError


class SmallDisk(FileOperations):
    """A disk with room for so many bytes of models."""

    def __init__(self, root: Path, room: int):
        self._root, self._room = root, room

    def _used(self) -> int:
        return sum(path.stat().st_size for path in self._root.rglob("model.tflite"))

    def copy(self, source: Path, target: Path) -> None:
        if self._used() + source.stat().st_size > self._room:
            target.write_bytes(source.read_bytes()[:1])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        super().copy(source, target)


def model(number: int) -> bytes:
    return b"%d" % number * 1000


@pytest.fixture
def small(tmp_path: Path) -> Destination:
    """A destination with room for two models of 1,000 bytes."""
    root = tmp_path / "to"
    return Destination(LocalStore(root, SmallDisk(root, 2000)))


def test_a_disk_with_room_for_what_retention_keeps_takes_one_push_after_the_other(small, candidate):
    numbers = [small.push(candidate(model(n), {}), keep=2).number for n in range(5)]
    assert small.versions() == numbers[-2:] and small.current() == numbers[-1]
    assert [event.version for event in small.events() if event.kind == "removed"] == numbers[:-2]
    assert destination_problems(small) == []


def test_the_current_version_and_those_signed_off_stay_if_that_is_not_enough(small, candidate):
    first, second = (small.push(candidate(model(n), {})).number for n in range(2))
    small.sign_off(first)
    with pytest.raises(PushError, match="not pushed: No space left on device"):
        small.push(candidate(model(2), {}), keep=1)
    assert small.versions() == [first, second] and small.current() == second


def test_without_retention_nothing_is_removed(small, candidate):
    numbers = [small.push(candidate(model(n), {})).number for n in range(2)]
    with pytest.raises(PushError, match="not pushed: No space left on device"):
        small.push(candidate(model(2), {}))
    assert small.versions() == numbers and small.current() == numbers[-1]


def test_what_stopped_pushes_have_left_goes_first_of_all(small, candidate, tmp_path: Path):
    from tests.components.destinations.interruption import leave_orphan

    leave_orphan(tmp_path / "to", candidate(model(0), {}))
    first = small.push(candidate(model(1), {}), keep=2).number
    second = small.push(candidate(model(2), {}), keep=2).number
    assert small.versions() == [first, second]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
def test_a_quota_is_a_full_disk(candidate, tmp_path: Path, error: int):
    root = tmp_path / "to"
    first = Destination(LocalStore(root)).push(candidate(b"a")).number
    second = Destination(LocalStore(root)).push(candidate(b"b")).number

    def fail() -> None:
        raise OSError(error, os.strerror(error))

    once = Destination(LocalStore(root, StoppedOperations(4, fail)))
    last = once.push(candidate(b"c"), keep=2).number
    assert once.versions() == [second, last] and first not in once.versions()


def test_at_any_step_a_full_disk_is_no_end(candidate, tmp_path: Path):
    for point in range(0, 60, 3):
        root = tmp_path / f"to-{point}"
        for content in (b"a", b"b"):
            Destination(LocalStore(root)).push(candidate(content))
        before = Destination(LocalStore(root)).current()
        failing = Destination(LocalStore(root, StoppedOperations(point, full_disk)))
        try:
            pushed = failing.push(candidate(b"c"), keep=2)
        except PushError:
            assert failing.current() == before
        else:
            assert failing.current() == pushed.number
            assert failing.read(pushed.number, "model.tflite") == b"c"
        assert destination_problems(failing) == []


@pytest.fixture
def disk(tmp_path: Path):
    """A real file system of 256 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_real_full_disk_takes_one_push_after_the_other(disk: Path, candidate):
    destination = Destination(LocalStore(disk / "to"))
    push = functools.partial(destination.push, keep=2)
    # With room for two versions and a half.
    numbers = [push(candidate(os.urandom(80_000), {})).number for _ in range(8)]
    assert len(destination.versions()) <= 2 and destination.current() == numbers[-1]
    assert destination_problems(destination) == []
    with pytest.raises(PushError, match="No space left on device"):
        push(candidate(os.urandom(200_000), {}))
    assert destination.current() == numbers[-1]
