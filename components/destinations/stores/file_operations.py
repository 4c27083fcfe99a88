"""What is done to a local file system, one durable step a method.

Each step is on disk when it returns, so that what follows it is never there without it. Tests put
a class of their own in its place, which stops the process between any two steps or inside one.
"""

import os
import shutil
from pathlib import Path

_CHUNK = 1 << 20


class FileOperations:
    """Durable steps; each raises OSError if it cannot be done."""

    def make_directory(self, path: Path) -> None:
        """Makes a directory; the one it is in must be there."""
        path.mkdir()
        _flush(path.parent)

    def write(self, path: Path, content: bytes) -> None:
        """Writes a new file."""
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _flush(path.parent)

    def copy(self, source: Path, target: Path) -> None:
        """Copies a file's bytes to a new file."""
        with source.open("rb") as reader, target.open("xb") as writer:
            shutil.copyfileobj(reader, writer, _CHUNK)
            writer.flush()
            os.fsync(writer.fileno())
        _flush(target.parent)

    def rename(self, source: Path, target: Path) -> None:
        """Gives a file or a directory another name, in place of a file of that name, at once."""
        source.rename(target)
        _flush(target.parent)

    def remove(self, path: Path) -> None:
        """Removes a file or a directory with all that is in it."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _flush(directory: Path) -> None:
    """Puts the names in a directory on disk, which flushing a file does not."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
