"""Objects as files and folders: what Beam's and TFX's file systems are asked for.

A store has no folders: one is there if there are objects below it. So one that may stay empty, as
those that TFX makes for artifacts, gets an object that nobody sees here. There is no rename, but a
copy. An object is written whole or not at all. What a store refuses or does not answer is an error
that says so in one line, and never an empty folder.
"""

import contextlib
import functools
import io
import posixpath
import re
import tempfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from types import TracebackType
from typing import IO, BinaryIO, Literal

from typing_extensions import Buffer, Self

from tfx_tflite.components.digests import stream_digest
from tfx_tflite.components.errors import StoreError
from tfx_tflite.components.object_stores.places import Place
from tfx_tflite.components.object_stores.requests import ConflictError, ObjectRequests, ObjectState
from tfx_tflite.components.presence import not_known

# What is larger is read part by part, and copied through this machine if a store's limit is passed.
_WHOLE = 8 << 20
_PART = 4 << 20
# Of S3, for one request.
_LARGEST_COPY = 5 * 1000**3
# The object that makes a folder.
_FOLDER = ".folder"


def read(uri: str) -> bytes:
    """Returns an object's bytes.

    Raises:
        FileNotFoundError: There is no such object.
        NotKnownError: It cannot be read.
    """
    place = Place.of(uri)
    with _reading("read", place):
        return _requests(place).get(place.name)[0]


def open_to_read(uri: str) -> BinaryIO:
    """Returns an object as a file that can be read from any place on.

    Raises:
        FileNotFoundError: There is no such object.
        NotKnownError: It cannot be read.
    """
    found = state(uri)
    if found.size <= _WHOLE:
        return _Content(read(uri))
    return io.BufferedReader(_Parts(Place.of(uri), found), _PART)


def open_to_write(uri: str) -> "Upload":
    """Returns a file that becomes an object when it is closed, unless its block ends in an error.

    The object is written whole then, in place of one that is there.
    """
    return Upload(Place.of(uri))


def write(uri: str, content: bytes) -> None:
    """Writes an object, in place of one that is there.

    Raises:
        StoreError: It cannot be written.
    """
    place = Place.of(uri)
    with _writing("write", place):
        _requests(place).put(place.name, content)


def download(uri: str, file: IO[bytes]) -> None:
    """Writes an object's bytes to a file on this machine; see `ObjectRequests.download`.

    Raises:
        FileNotFoundError: There is no such object.
        NotKnownError: It cannot be read.
    """
    place = Place.of(uri)
    with _reading("read", place):
        _requests(place).download(place.name, file)


def state(uri: str) -> ObjectState:
    """Returns size, time of the last change and digest of an object.

    Raises:
        FileNotFoundError: There is no such object.
        NotKnownError: The store does not say.
    """
    place = Place.of(uri)
    with _reading("read", place):
        if not place.name:
            raise FileNotFoundError(2, "is a bucket, no object", place.uri)
        return _requests(place).state(place.name)


def is_file(uri: str) -> bool:
    """Returns whether there is an object.

    Raises:
        NotKnownError: The store does not say.
    """
    try:
        state(uri)
    except FileNotFoundError:
        return False
    return True


def is_directory(uri: str) -> bool:
    """Returns whether there are objects below a URI.

    Raises:
        NotKnownError: The store does not say.
    """
    place = Place.of(uri)
    with _reading("list", place):
        if _requests(place).is_directory(place.name):
            return True
        # A page of somebody else in place of the store's reads as an empty listing.
        _requests(place).check_bucket()
        return False


def tree(uri: str) -> tuple[set[str], dict[str, int]]:
    """Returns the folders below a URI, and the sizes of the objects, by names relative to it.

    Raises:
        NotKnownError: The store does not say.
    """
    found = _all_below(Place.of(uri))
    folders = {str(each) for name in found for each in list(PurePosixPath(name).parents)[:-1]}
    return folders, {name: size for name, size in found.items() if not _is_marker(name)}


def make_folder(uri: str) -> None:
    """Makes a folder that is there even if nothing else is put into it.

    Raises:
        StoreError: The store refuses it.
    """
    write(posixpath.join(uri, _FOLDER), b"")


def below(uri: str, with_markers: bool = False) -> dict[str, int]:
    """Returns the sizes of all objects below a URI, by their names relative to it.

    Args:
        uri: The URI.
        with_markers: Whether those that make folders are among them.

    Raises:
        NotKnownError: The store does not say.
    """
    found = _all_below(Place.of(uri))
    return {name: found[name] for name in found if with_markers or not _is_marker(name)}


def _all_below(place: Place) -> dict[str, int]:
    with _reading("list", place):
        found = _requests(place).descendants(place.name)
        if not found:
            _requests(place).check_bucket()
    return found


def _is_marker(name: str) -> bool:
    return name.rpartition("/")[2] == _FOLDER


def entries(uri: str) -> list[str]:
    """Returns the names of the objects and folders directly below a URI, sorted.

    Raises:
        NotKnownError: The store does not say.
    """
    place = Place.of(uri)
    with _reading("list", place):
        objects, folders = _requests(place).children(place.name)
        if not objects and not folders:
            _requests(place).check_bucket()
    return sorted({*objects, *folders} - {_FOLDER})


def matching(pattern: str, expression: str, with_folders: bool = False) -> dict[str, int]:
    """Returns the sizes of the objects whose URIs match a pattern, by URI.

    Args:
        pattern: The pattern, with `*`, `?` or `[` in it.
        expression: The same as a regular expression of whole URIs.
        with_folders: Whether folders are among them, with size 0.

    Raises:
        NotKnownError: The store does not say.
    """
    fixed = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    folder = fixed.rpartition("/")[0]
    if folder.endswith("/"):
        raise not_known(pattern, "list", "it names no bucket")
    place = Place.of(folder)
    folders, objects = tree(folder)
    found = {f"{place.uri}/{name}": size for name, size in objects.items()}
    if with_folders:
        found |= {f"{place.uri}/{name}": 0 for name in folders}
    matches = re.compile(expression).fullmatch
    return {uri: size for uri, size in found.items() if matches(uri)}


def copy(source: str, target: str) -> None:
    """Copies an object, in place of one that is there.

    Raises:
        FileNotFoundError: There is no such object.
        NotKnownError, StoreError: It cannot be read, or not written.
    """
    size = state(source).size
    source_place, target_place = Place.of(source), Place.of(target)
    if source_place.bucket == target_place.bucket and size <= _LARGEST_COPY:
        with _writing("write", target_place):
            _requests(source_place).copy(source_place.name, target_place.name)
        return
    with tempfile.TemporaryFile() as file:
        download(source, file)
        with _writing("write", target_place):
            _requests(target_place).upload(target_place.name, file)


def move(source: str, target: str) -> None:
    """Copies an object and removes it; both are there if this is cut short.

    Raises:
        FileNotFoundError: There is no such object.
        NotKnownError, StoreError: It cannot be read, or not written.
    """
    copy(source, target)
    remove(source)


def remove(uri: str) -> None:
    """Removes an object, or finds it gone.

    Raises:
        StoreError: It cannot be removed.
    """
    place = Place.of(uri)
    with _writing("remove", place):
        _requests(place).delete(place.name)


def remove_all(uri: str) -> None:
    """Removes an object and all objects below it.

    Raises:
        NotKnownError, StoreError: They cannot be listed, or not removed.
    """
    for name in below(uri, with_markers=True):
        remove(posixpath.join(uri, name))
    if is_file(uri):
        remove(uri)


def digest(uri: str) -> str:
    """Returns `sha256:<hex>` of an object's bytes, which it carries if it was written by this.

    Raises:
        FileNotFoundError: There is no such object.
        NotKnownError: It cannot be read.
    """
    place = Place.of(uri)
    with _reading("read", place):
        carried = _requests(place).digest(place.name)
    if carried is not None:
        return f"sha256:{carried}"
    with tempfile.TemporaryFile() as file:
        download(uri, file)
        file.seek(0)
        return stream_digest(file)


def empty(uri: str) -> None:
    """Removes all objects below a folder, which is there all the same.

    Raises:
        NotKnownError, StoreError: They cannot be listed, or not removed.
    """
    for name in below(uri):
        remove(posixpath.join(uri, name))


def create(uri: str, content: bytes) -> bool:
    """Writes an object if there is none, and returns whether there was none.

    Raises:
        StoreError: It cannot be written.
    """
    place = Place.of(uri)
    try:
        with _writing("write", place):
            _requests(place).create(place.name, content)
    except ConflictError:
        return False
    return True


class Upload(io.RawIOBase):
    """A file that becomes an object when it is closed.

    It is kept on this machine until then. If the block that it is opened for ends in an error, or
    nobody closes it, there is no object.

    Args:
        place: Where.
    """

    # Beam asks how a file was opened.
    mode = "wb"

    def __init__(self, place: Place):
        super().__init__()
        self._place = place
        self._file = tempfile.TemporaryFile()  # noqa: SIM115

    def writable(self) -> bool:
        """Returns that it can be written."""
        return True

    def write(self, content: Buffer) -> int:
        """Adds bytes."""
        return self._file.write(content)

    def tell(self) -> int:
        """Returns how many bytes were written."""
        return self._file.tell()

    def discard(self) -> None:
        """Closes it without writing an object."""
        self._file.close()
        super().close()

    def close(self) -> None:
        """Writes the object.

        Raises:
            StoreError: It cannot be written.
        """
        if self.closed:
            return
        try:
            with _writing("write", self._place):
                _requests(self._place).upload(self._place.name, self._file)
        finally:
            self.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        # What Python's own class does here is to close it.
        with contextlib.suppress(AttributeError):
            self.discard()


class _Content(io.BytesIO):
    """A small object, which was read."""

    mode = "rb"


class _Parts(io.RawIOBase):
    """A large object, of which each read is a request."""

    mode = "rb"

    def __init__(self, place: Place, found: ObjectState):
        super().__init__()
        self._place, self._size, self._at = place, found.size, 0
        self._e_tag = found.e_tag

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        length = min(len(view), self._size - self._at)
        if length <= 0:
            return 0
        with _reading("read", self._place):
            part = _requests(self._place).get_part(self._place.name, self._at, length, self._e_tag)
        view[:length] = part
        self._at += length
        return length


def _requests(place: Place) -> ObjectRequests:
    return _of_bucket(place.bucket)


@functools.lru_cache(maxsize=64)
def _of_bucket(uri: str) -> ObjectRequests:
    """Returns what talks to a bucket, by connections that are kept.

    Keys are those of the environment when the first request is made.
    """
    return ObjectRequests(uri)


def forget_connections() -> None:
    """Closes all connections, so that the next ones are by what is in the environment then."""
    _of_bucket.cache_clear()


@contextlib.contextmanager
def _reading(operation: Literal["read", "list"], place: Place) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise not_known(place.uri, operation, error.strerror or str(error)) from error


@contextlib.contextmanager
def _writing(operation: Literal["write", "remove"], place: Place) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, ConflictError):
        raise
    except OSError as error:
        raise StoreError(f"cannot {operation} {place.uri}: {error.strerror or error}") from error
