"""One temporary folder for a run, which goes with it, however it ends.

TensorFlow, Beam and TFX leave files where temporary ones are: staged files, generated code, what a
killed worker had. So a run has a folder of its own below the usual one, and its children have it
too. A run that is killed removes nothing; then the next run of the same user does it. It knows by a
lock, which the kernel releases with the process, that nobody uses a folder any more.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_VARIABLE = "TMPDIR"
# Short: the paths of sockets, which are at most 107 bytes long, begin with it.
_PREFIX = "tfx-tflite-run-"
# What is not locked yet has another name.
_NEW_PREFIX = ".tfx-tflite-run-"


@contextlib.contextmanager
def temporary_folder() -> Iterator[None]:
    """Gives this process and its children a temporary folder of their own while the block runs.

    It is below the one that they would have, whether that is the system's or in `TMPDIR`. If none
    can be made there, they keep that: whatever needs a file there says what is wrong.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            parent = Path(tempfile.gettempdir())
            _remove_abandoned(parent)
            folder, lock = _made(parent)
            stack.callback(os.close, lock)
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            stack.enter_context(_used(folder))
        yield


def _made(parent: Path) -> tuple[Path, int]:
    """Returns a new folder, and a descriptor that keeps it locked as long as it is open."""
    new = Path(tempfile.mkdtemp(prefix=_NEW_PREFIX, dir=parent))
    lock = os.open(new, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Only now may others look whether it is locked.
        return new.rename(parent / (_PREFIX + new.name.removeprefix(_NEW_PREFIX))), lock
    except OSError:
        # Its file system has no locks.
        os.close(lock)
        new.rmdir()
        raise


@contextlib.contextmanager
def _used(folder: Path) -> Iterator[None]:
    before, cached = os.environ.get(_VARIABLE), tempfile.tempdir
    os.environ[_VARIABLE] = tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = cached
        if before is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = before


def _remove_abandoned(parent: Path) -> None:
    """Removes the folders of this user's runs that are over."""
    for folder in parent.glob(f"{_PREFIX}*"):
        # It may be another user's, or may be removed by its own run meanwhile.
        with contextlib.suppress(OSError), _locked(folder) as is_own:
            if is_own:
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Locks a folder while the block runs, and yields whether it is one of this user.

    Raises:
        OSError: A run uses it, or it is none.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield os.fstat(descriptor).st_uid == os.geteuid()
    finally:
        os.close(descriptor)
