"""Files of data, on this machine or in a store, opened to be read at any place in them."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from typing_extensions import Buffer

from tfx_tflite.components.errors import DataError, telling_line
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


def _open(file: str) -> BinaryIO:
    return Path(file).open("rb") if is_local(file) else io.BufferedReader(_RemoteFile(file))


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
