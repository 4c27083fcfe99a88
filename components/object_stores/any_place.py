"""Files wherever they are, for what can read only files on this machine.

TensorFlow reads paths and the few schemes that it was built with; LiteRT reads paths. So what lies
in an object store is copied to this machine for them, whole and as it was put there, or not at all.
Of other schemes TensorFlow's own file systems are asked, as ever.

Workers import this module, so TensorFlow is loaded only by those who need it.
"""

import contextlib
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tfx_tflite.components.digests import directory_digest
from tfx_tflite.components.errors import ArtifactError
from tfx_tflite.components.object_stores import files
from tfx_tflite.components.object_stores.places import scheme_of
from tfx_tflite.components.presence import not_known
from tfx_tflite.components.uris import is_local

# Objects are fetched side by side, which hides how long a store takes to answer.
_READERS = 8


def is_served(uri: str) -> bool:
    """Returns whether a URI is of an object store whose file system Beam was told of."""
    if is_local(uri):
        return False
    from tfx_tflite.components.object_stores.beam_files import ObjectFileSystem

    return scheme_of(uri) in {each.scheme() for each in ObjectFileSystem.get_all_subclasses()}


def exists(uri: str) -> bool:
    """Returns whether there is a file or a folder."""
    if is_served(uri):
        return files.is_file(uri) or files.is_directory(uri)
    import tensorflow as tf

    return bool(tf.io.gfile.exists(uri))


def is_directory(uri: str) -> bool:
    """Returns whether there is a folder."""
    if is_served(uri):
        return files.is_directory(uri)
    import tensorflow as tf

    return bool(tf.io.gfile.isdir(uri))


def read(uri: str) -> bytes:
    """Returns the bytes of a file.

    Raises:
        FileNotFoundError: There is none in the object store.
        NotKnownError: The object store does not give it.
        tf.errors.OpError: TensorFlow cannot read it elsewhere.
    """
    if is_served(uri):
        return files.read(uri)
    import tensorflow as tf

    with tf.io.gfile.GFile(uri, "rb") as file:
        content: bytes = file.read()
    return content


def make_directory(uri: str) -> None:
    """Makes a folder, with those that it is in; in an object store nothing need be made."""
    if is_served(uri):
        return
    import tensorflow as tf

    tf.io.gfile.makedirs(uri)


def remove(uri: str) -> None:
    """Removes a file.

    Raises:
        StoreError: The object store refuses to.
        tf.errors.OpError: TensorFlow cannot remove it elsewhere.
    """
    if is_served(uri):
        files.remove(uri)
        return
    import tensorflow as tf

    tf.io.gfile.remove(uri)


@contextlib.contextmanager
def local_copy(uri: str, digest: str | None = None) -> Iterator[str]:
    """Yields a path of a file or folder, which is a copy if it lies in an object store.

    Within `kept_copies` one copy serves all who ask for it.

    Args:
        uri: A path or a URI.
        digest: What `directory_digest` must say of a folder that is copied; None checks nothing.

    Raises:
        ArtifactError: It says something else.
        NotKnownError: The object store does not give it.
    """
    if not is_served(uri):
        yield uri
        return
    if _KEPT.is_open:
        path = _KEPT.copy_of(uri)
        _check(path, uri, digest)
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="tfx-tflite-copy-") as directory:
        path = _fetched(uri, Path(directory))
        _check(path, uri, digest)
        yield path


def _check(path: str, uri: str, digest: str | None) -> None:
    if digest is not None and (found := directory_digest(path)) != digest:
        raise ArtifactError(
            f"{uri} is not what was checked before: {found}, expected {digest}; find out what "
            "writes there and run again"
        )


@contextlib.contextmanager
def local_file(uri: str) -> Iterator[str]:
    """Yields a path of a file, which is a copy for this block alone if it is in an object store.

    Raises:
        NotKnownError: The object store does not give it.
    """
    if not is_served(uri):
        yield uri
        return
    with tempfile.TemporaryDirectory(prefix="tfx-tflite-copy-") as directory:
        yield _fetched_file(uri, Path(directory) / _name(uri))


@contextlib.contextmanager
def written_file(uri: str) -> Iterator[str]:
    """Yields a path to write a file at, which is put into the object store if the URI is of one.

    Raises:
        StoreError: It cannot be written.
    """
    if not is_served(uri):
        yield uri
        return
    with tempfile.TemporaryDirectory(prefix="tfx-tflite-copy-") as directory:
        path = Path(directory) / _name(uri)
        yield str(path)
        with path.open("rb") as content, files.open_to_write(uri) as target:
            while chunk := content.read(1 << 20):
                target.write(chunk)


def put(directory: Path, uri: str) -> None:
    """Puts the files and folders of a folder into an object store, files side by side.

    Raises:
        StoreError: One cannot be written.
    """

    def put_one(path: Path) -> None:
        name = path.relative_to(directory).as_posix()
        with path.open("rb") as content, files.open_to_write(f"{uri.rstrip('/')}/{name}") as target:
            while chunk := content.read(1 << 20):
                target.write(chunk)

    paths = sorted(directory.rglob("*"))
    for folder in (directory, *(path for path in paths if path.is_dir())):
        if not any(folder.iterdir()):
            files.make_folder(f"{uri.rstrip('/')}/{folder.relative_to(directory).as_posix()}")
    with ThreadPoolExecutor(_READERS) as writers:
        list(writers.map(put_one, [path for path in paths if path.is_file()]))


def fetch(uri: str, directory: Path) -> None:
    """Copies all objects below a URI into a folder on this machine.

    Raises:
        NotKnownError: One cannot be read.
    """
    base = uri.rstrip("/")
    names = files.below(base)

    def fetch_one(name: str) -> None:
        target = directory / name
        if not target.resolve().is_relative_to(directory.resolve()):
            raise not_known(f"{base}/{name}", "copy", "its name leads out of its folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetched_file(f"{base}/{name}", target)

    with ThreadPoolExecutor(_READERS) as readers:
        list(readers.map(fetch_one, names))


def _fetched(uri: str, directory: Path) -> str:
    """Copies what lies at a URI below a folder on this machine, and returns the path."""
    target = directory / _name(uri)
    if files.is_file(uri):
        return _fetched_file(uri, target)
    target.mkdir()
    fetch(uri, target)
    return str(target)


def _fetched_file(uri: str, target: Path) -> str:
    try:
        with target.open("w+b") as file:
            files.download(uri, file)
    except FileNotFoundError as error:
        raise not_known(uri, "read", "there is no such object any more") from error
    return str(target)


def _name(uri: str) -> str:
    return uri.rstrip("/").rpartition("/")[2] or "copy"


class _Kept:
    """The copies that this process keeps while somebody asks it to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._directory: str | None = None
        self._copies: dict[str, str] = {}

    @property
    def is_open(self) -> bool:
        """Whether copies are kept."""
        return self._directory is not None

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Keeps copies while the block runs; a block within one does nothing more."""
        if self.is_open:
            yield
            return
        with tempfile.TemporaryDirectory(prefix="tfx-tflite-copies-") as directory:
            self._directory = directory
            try:
                yield
            finally:
                self._directory, self._copies = None, {}

    def copy_of(self, uri: str) -> str:
        """Returns the path of a copy, which is made if there is none."""
        with self._lock:
            if uri not in self._copies:
                assert self._directory is not None
                place = Path(self._directory) / str(len(self._copies))
                place.mkdir()
                self._copies[uri] = _fetched(uri, place)
            return self._copies[uri]


_KEPT = _Kept()


def kept_copies() -> contextlib.AbstractContextManager[None]:
    """Keeps the copies that `local_copy` makes while the block runs, so that each is made once.

    Nothing may be written where they are from meanwhile.
    """
    return _KEPT.opened()
