"""Files of data, on this machine or in a store: read at any place in them, and written whole."""

import contextlib
import io
import posixpath
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from typing_extensions import Buffer

from tfx_tflite.components.errors import DataError, telling_line
from tfx_tflite.components.object_stores import any_place
from tfx_tflite.components.object_stores import files as objects
from tfx_tflite.components.presence import not_known
from tfx_tflite.components.uris import is_local


@contextlib.contextmanager
def opened(file: str) -> Iterator[BinaryIO]:
    """Opens a file while the block runs.

    Args:
        file: A path or a URI.

    Raises:
        DataError: There is no such file.
        NotKnownError: It cannot be read.
    """
    try:
        stream = _open(file)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise DataError(f"there is no file {file}") from error
    except OSError as error:
        raise not_known(file, "read", error.strerror or telling_line(str(error))) from error
    with stream:
        yield stream


@dataclass(frozen=True)
class FileState:
    """What shows that a file was written to, without reading it.

    Attributes:
        size: Its size in bytes.
        changed: What of its inode and times of change is known.
    """

    size: int
    changed: tuple[int, ...]


def state_of(file: str) -> FileState:
    """Returns the state of a file.

    Raises:
        DataError: There is no such file.
        NotKnownError: It cannot be looked at.
    """
    try:
        if is_local(file):
            status = Path(file).stat()
            changed = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
            return FileState(status.st_size, changed)
        return _remote_state(file)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"there is no file {file}") from error
    except OSError as error:
        raise not_known(file, "read", error.strerror or telling_line(str(error))) from error


def is_directory(path: str) -> bool:
    """Returns whether there is a directory at a path or URI."""
    return Path(path).is_dir() if is_local(path) else any_place.is_directory(path)


def _remote_state(file: str) -> FileState:
    if any_place.is_served(file):
        found = objects.state(file)
        return FileState(found.size, (round(found.changed * 1e9),))
    import tensorflow as tf

    try:
        status = tf.io.gfile.stat(file)
    except tf.errors.NotFoundError as error:
        raise FileNotFoundError(file) from error
    except tf.errors.OpError as error:
        raise OSError(str(error.message)) from error
    return FileState(int(status.length), (int(status.mtime_nsec),))


# In the names of files on this machine that are not finished.
UNFINISHED = ".unfinished-"


@contextlib.contextmanager
def written(file: str) -> Iterator[BinaryIO]:
    """Opens a file to be written, which is there once the block ends without an error.

    Whoever is stopped in the block may leave a file with `UNFINISHED` in its name.

    Args:
        file: A path or a URI; folders above it are made.
    """
    if not is_local(file):
        with _written_remotely(file) as stream:
            yield stream
        return
    unfinished = Path(f"{file}{UNFINISHED}{uuid.uuid4().hex}")
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    try:
        with unfinished.open("wb") as stream:
            yield stream
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def _written_remotely(file: str) -> Iterator[BinaryIO]:
    if any_place.is_served(file):
        with objects.open_to_write(file) as upload:
            yield cast(BinaryIO, upload)
        return
    import tensorflow as tf

    tf.io.gfile.makedirs(posixpath.dirname(file))
    try:
        # A store has the file when it is closed.
        with tf.io.gfile.GFile(file, "wb") as stream:
            yield stream
    except BaseException:
        with contextlib.suppress(tf.errors.OpError):
            tf.io.gfile.remove(file)
        raise


def remove_unfinished(directory: str) -> None:
    """Removes what those left below a directory on this machine who were stopped while writing."""
    if is_local(directory):
        for left in Path(directory).rglob(f"*{UNFINISHED}*"):
            left.unlink(missing_ok=True)


def _open(file: str) -> BinaryIO:
    if is_local(file):
        return Path(file).open("rb")
    if any_place.is_served(file):
        return objects.open_to_read(file)
    return io.BufferedReader(_RemoteFile(file))


class _RemoteFile(io.RawIOBase):
    """A file that TensorFlow's file systems reach.

    Args:
        file: Its URI.
    """

    def __init__(self, file: str):
        # Takes seconds to load, which files on this machine do without.
        import tensorflow as tf

        self._stream = tf.io.gfile.GFile(file, "rb")
        try:
            self._size = self._stream.size()
        except tf.errors.NotFoundError as error:
            raise FileNotFoundError(file) from error
        except tf.errors.OpError as error:
            raise OSError(str(error.message)) from error

    def readable(self) -> bool:
        """Returns that it can be read."""
        return True

    def seekable(self) -> bool:
        """Returns that it can be read from any place on."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Reads as many bytes as a buffer takes, or as there are."""
        view = memoryview(buffer).cast("B")
        content = self._stream.read(len(view))
        view[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Goes to a place, counted from the beginning, from here or from the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self._size}[whence]
        self._stream.seek(base + offset)
        return self.tell()

    def tell(self) -> int:
        """Returns at which place it is."""
        return int(self._stream.tell())

    def close(self) -> None:
        """Closes it."""
        if not self.closed:
            self._stream.close()
        super().close()
