"""Locks between processes: files that say who holds them, released when the holder is gone."""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

from tfx_tflite.components.errors import BusyError, ConfigError

# One run at a time below a root.
RUN_LOCK = "run.lock"
# More than it takes to see whether a lock is held, in seconds; and how many looks are waited for.
_LOOK = 0.01
_TRIES = 20


@contextlib.contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Holds a lock while the block runs.

    Args:
        path: The lock's file; it is made where it is not there, and stays.
        what: What it is held for, for the message to others: `run`.

    Raises:
        BusyError: Another process holds it.
        ConfigError: The file cannot be written, or its file system has no locks.
    """
    with _opened(path) as file:
        try:
            _lock_in_time(file)
        except BlockingIOError as error:
            raise BusyError(
                f"another {what} is going on below {path.parent} ({_holder(path)}); wait for it to "
                "end, or give this one another root"
            ) from error
        except OSError as error:
            raise ConfigError(f"{path} cannot be locked: {error.strerror}") from error
        _say_who(file, path)
        yield
        # What was done is not undone by this.
        with contextlib.suppress(OSError):
            file.truncate(0)


def is_held(path: Path) -> bool:
    """Returns whether a process holds a lock; by the time of the answer it may have changed."""
    if not path.exists():
        return False
    with _opened(path) as file:
        try:
            _lock(file)
        except OSError:
            return True
    return False


def _opened(path: Path) -> IO[bytes]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab", buffering=0)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


def _say_who(file: IO[bytes], path: Path) -> None:
    since = datetime.now(timezone.utc).isoformat(timespec="seconds")
    try:
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "since": since}).encode())
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


def _lock_in_time(file: IO[bytes]) -> None:
    """Takes the lock, even where somebody who only looks (`is_held`) has it for a moment."""
    for _ in range(_TRIES):
        with contextlib.suppress(BlockingIOError):
            return _lock(file)
        time.sleep(_LOOK)
    return _lock(file)


def _lock(file: IO[bytes]) -> None:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} since {holder['since']}"
    except (OSError, ValueError, KeyError):
        return "a process that has just begun"
