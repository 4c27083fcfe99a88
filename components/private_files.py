"""Files and directories that other users of the machine may not read.

Below a root of runs lie copies of the data, the history of the runs and logs of whatever a model's
code prints. So what is made there is its owner's alone; what is there already keeps its mode.
"""

import contextlib
import errno
import os
import stat
from pathlib import Path


def make_private_directory(path: Path) -> None:
    """Makes a directory, and those that it is in, for its owner alone; one that is there stays.

    Raises:
        OSError: It cannot be made.
    """
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        if not directory.is_dir():
            raise NotADirectoryError(20, "Not a directory", str(directory))


def make_private_file(path: Path) -> None:
    """Makes an empty file that its owner alone may read and write; one that is there stays.

    Raises:
        OSError: It cannot be made.
    """
    if not path.exists():
        path.touch(mode=0o600)


def open_regular_file(path: Path, flags: int, mode: int = 0o600) -> int:
    """Returns the descriptor of a regular file.

    A link could lead to a file of somebody else, and a pipe would wait for a reader.

    Args:
        path: The file.
        flags: As of `os.open`.
        mode: Of a file that is made; by default its owner alone may read and write it.

    Raises:
        OSError: It cannot be opened, or is none.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _not_regular(path) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_regular(path)
    return descriptor


def _not_regular(path: Path) -> OSError:
    return OSError(errno.EINVAL, "not a regular file, remove it", str(path))
