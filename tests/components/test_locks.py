"""Locks between processes of one machine."""

import os
import threading
import time
from pathlib import Path

import pytest

from tfx_tflite.components.errors import BusyError, ConfigError
from tfx_tflite.components.locks import check_held, is_locked, locked, only_one


def test_a_lock_is_kept_until_the_block_ends(tmp_path: Path):
    path = tmp_path / "lock"
    assert not is_locked(path)
    with locked(path, patience=0):
        assert is_locked(path)
    assert not is_locked(path) and path.exists()


def test_a_lock_that_another_keeps_for_too_long_is_a_timeout(tmp_path: Path):
    path = tmp_path / "lock"
    with (
        locked(path, patience=0),
        pytest.raises(TimeoutError, match=f"another process has kept {path} for 0.1 s"),
        locked(path, patience=0.1),
    ):
        pass


def test_a_lock_that_becomes_free_in_time_is_taken(tmp_path: Path):
    path = tmp_path / "lock"
    taken = threading.Event()

    def keep() -> None:
        with locked(path, patience=0):
            taken.set()
            time.sleep(0.3)

    keeper = threading.Thread(target=keep)
    keeper.start()
    taken.wait()
    with locked(path, patience=20):
        assert is_locked(path)
    keeper.join()


def test_who_comes_second_learns_who_is_at_work(tmp_path: Path):
    path = tmp_path / "below" / "run.lock"
    with (
        only_one(path, "run"),
        pytest.raises(BusyError, match=rf"another run .* \(process {os.getpid()} since 20"),
        only_one(path, "run"),
    ):
        pass
    assert path.read_bytes() == b""


@pytest.mark.parametrize("content", ["[" * 200_000, "[]", "7", "\x00"])
def test_a_lock_that_holds_something_else_is_still_a_lock(tmp_path: Path, content: str):
    path = tmp_path / "run.lock"
    with only_one(path, "run"):
        path.write_text(content)
        with (
            pytest.raises(BusyError, match=r"another run .* \(a process that has just begun\)"),
            only_one(path, "run"),
        ):
            pass


def a_link(path: Path) -> None:
    path.with_name("elsewhere").write_text("somebody else's")
    path.symlink_to(path.with_name("elsewhere"))


def a_dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize("put", [a_link, a_dangling_link, os.mkfifo], ids=lambda put: put.__name__)
def test_only_a_regular_file_is_a_lock(tmp_path: Path, put):
    path = tmp_path / "lock"
    put(path)
    for look in (lambda: is_locked(path), lambda: locked(path, 0).__enter__()):
        with pytest.raises(OSError, match="not a regular file, remove it"):
            look()
    with pytest.raises(ConfigError, match="cannot be locked: not a regular"), only_one(path, "run"):
        pass
    elsewhere = path.with_name("elsewhere")
    assert not elsewhere.exists() or elsewhere.read_text() == "somebody else's"


def test_a_directory_that_may_not_be_written_is_one_line(tmp_path: Path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "lock"
    with pytest.raises(ConfigError, match=f"{path} cannot be locked: "), only_one(path, "run"):
        pass


def test_a_look_is_not_in_the_way_of_who_wants_the_lock(tmp_path: Path):
    path, looking = tmp_path / "lock", True

    def look() -> None:
        while looking:
            is_locked(path)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(20):
            with only_one(path, "run"):
                pass
    finally:
        looking = False
        looker.join()


def test_a_lock_whose_file_was_removed_while_another_waited_lets_one_in_not_two(tmp_path: Path):
    path, inside, most = tmp_path / "lock", [0], [0]

    def enter() -> None:
        with locked(path, patience=20):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.1)
            inside[0] -= 1

    waiting = [threading.Thread(target=enter) for _ in range(3)]
    with locked(path, patience=0):
        for thread in waiting:
            thread.start()
        # They have opened this file, and wait for it.
        time.sleep(0.2)
        path.unlink()
    for thread in waiting:
        thread.join()
    assert most == [1]


def test_where_a_file_is_never_told_again_waiting_for_its_lock_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tfx_tflite.components.locks._is_file_of", lambda *_: False)
    with pytest.raises(TimeoutError, match="another file each time"), locked(tmp_path / "l", 0.1):
        pass


@pytest.mark.parametrize("then", ["nothing", "another_file"])
def test_who_holds_a_lock_whose_file_was_removed_finds_it_out(tmp_path: Path, then: str):
    path = tmp_path / "lock"
    with locked(path, patience=0) as descriptor:
        check_held(descriptor, path)
        path.unlink()
        if then == "another_file":
            path.touch()
        with pytest.raises(OSError, match="the lock was removed while it was held; try again"):
            check_held(descriptor, path)


def test_a_directory_that_is_made_for_a_lock_is_its_owners_alone(tmp_path: Path):
    tmp_path.chmod(0o755)
    with only_one(tmp_path / "runs" / "digits" / "run.lock", "run"):
        pass
    for made in ("runs", "runs/digits"):
        assert (tmp_path / made).stat().st_mode & 0o777 == 0o700
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_a_run_whose_lock_is_removed_still_is_the_only_one(tmp_path: Path):
    path = tmp_path / "run.lock"
    with only_one(path, "run"):
        path.unlink()
        with pytest.raises(BusyError, match="another run is going on below"), only_one(path, "run"):
            pass
    with only_one(path, "run"):
        pass
