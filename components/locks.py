"""Locks between processes of one machine: files that the kernel unlocks when their holder is gone.

A lock's file stays where it is. It must be a regular file: a link could lead to a file of somebody
else, and a pipe would wait for a reader. If somebody removes the file, who waits for it or comes
later locks another one, so its holder looks (`check_held`) before it does what must be done once.
"""

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from tfx_tflite.components.errors import BusyError, ConfigError
from tfx_tflite.components.private_files import make_private_directory, open_regular_file

# Seconds between two tries; and how long somebody who only looks (`is_locked`) is waited for.
_INTERVAL = 0.01
_LOOK = 0.2
_FLAGS = os.O_RDWR | os.O_APPEND


@contextlib.contextmanager
def locked(path: Path, patience: float) -> Iterator[int]:
    """Keeps a lock while the block runs.

    Args:
        path: The lock's file; it is made if it is not there.
        patience: Seconds to wait for another process.

    Yields:
        The file's descriptor.

    Raises:
        TimeoutError: Another process has kept it for that long.
        OSError: The file cannot be opened, is none, or its file system has no locks.
    """
    descriptor = _locked(path, time.monotonic() + patience, patience)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def check_held(descriptor: int, path: Path) -> None:
    """Makes sure that a lock still keeps others out.

    Args:
        descriptor: As `locked` yields it.
        path: The lock's file.

    Raises:
        OSError: The file was removed or replaced, so another process may have locked it anew.
    """
    if not _is_file_of(descriptor, path):
        raise OSError(errno.ESTALE, "the lock was removed while it was held; try again", str(path))


@contextlib.contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """Keeps other processes from doing the same while the block runs; they learn who does.

    The directory is locked, too, so that it makes no difference if somebody removes the file.

    Args:
        path: The lock's file; it and its directory are made if they are not there, the directory
            for its owner alone.
        what: What is done once at a time, for the message to others: `run`.

    Raises:
        BusyError: Another process does it.
        ConfigError: The file cannot be written, or its file system has no locks.
    """
    with contextlib.ExitStack() as stack:
        try:
            make_private_directory(path.parent)
            stack.enter_context(_locked_directory(path.parent, _LOOK))
            descriptor = stack.enter_context(locked(path, _LOOK))
            _sign(descriptor)
        except TimeoutError as error:
            raise BusyError(
                f"another {what} is going on below {path.parent} ({_holder(path)}); wait for it to "
                "end, or give this one another root"
            ) from error
        except OSError as error:
            raise ConfigError(f"{path} cannot be locked: {error.strerror}") from error
        yield
        # What was done is not undone by this.
        with contextlib.suppress(OSError):
            os.truncate(descriptor, 0)


@contextlib.contextmanager
def _locked_directory(path: Path, patience: float) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Some file systems lock what is open for writing alone, which no directory is.
        with _unless_directories_have_no_locks():
            _lock(descriptor, path, time.monotonic() + patience, patience)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _unless_directories_have_no_locks() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP):
            raise


def is_locked(path: Path) -> bool:
    """Returns whether a process keeps a lock; by the time of the answer it may have changed.

    Raises:
        OSError: The file cannot be opened, or is none.
    """
    try:
        descriptor = _opened(path, _FLAGS)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _opened(path: Path, flags: int) -> int:
    return open_regular_file(path, flags, 0o666)


def _locked(path: Path, deadline: float, patience: float) -> int:
    """Returns the descriptor of a lock's file once this process has locked the one at the path."""
    while True:
        descriptor = _opened(path, _FLAGS | os.O_CREAT)
        try:
            _lock(descriptor, path, deadline, patience)
            # Whoever had it, or somebody else, may have removed it while this process waited.
            if _is_file_of(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        # There may be file systems that never tell the same file twice.
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} was another file each time for {patience:g} s")


def _is_file_of(descriptor: int, path: Path) -> bool:
    """Returns whether an open file is the one that is at a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _lock(descriptor: int, path: Path, deadline: float, patience: float) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError(f"another process has kept {path} for {patience:g} s") from None
            time.sleep(_INTERVAL)


def _sign(descriptor: int) -> None:
    since = datetime.now(timezone.utc).isoformat(timespec="seconds")
    os.truncate(descriptor, 0)
    os.write(descriptor, json.dumps({"pid": os.getpid(), "since": since}).encode())


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "a process that has just begun"
