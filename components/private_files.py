"""Files and directories that other users of the machine may not read.

Below a root of runs lie copies of the data, the history of the runs and logs of whatever a model's
code prints. So what is made there is its owner's alone; what is there already keeps its mode.
"""

import contextlib
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
