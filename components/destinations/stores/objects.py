"""A destination in an object store (gs://, s3://, …) through TFX's file I/O.

There is no rename there, so a version's files are written first and its manifest last: without a
manifest it is no version. There is no lock either, so one is made of what such stores do have,
reading and listing that see every finished write (S3 and Google Cloud Storage both promise it).
"""

import contextlib
import importlib.util
import posixpath
import random
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from tfx_tflite.components.artifact_layout import MANIFEST_FILE
from tfx_tflite.components.destinations.stores.store import UNFINISHED

_LOCKS = ".locks"
# A process that was killed cannot take its lock along.
_LOCK_LIFETIME = 3600.0


class ObjectStore:
    """A `Store` below a URI.

    Args:
        uri: The URI.
        patience: Seconds to wait for another push.
    """

    def __init__(self, uri: str, patience: float = 600.0):
        self.uri = uri.rstrip("/")
        self._patience = patience
        scheme = uri.partition("://")[0]
        if scheme == "s3" and importlib.util.find_spec("tensorflow_io"):
            # TensorFlow has no S3 of its own; importing this gives it one.
            importlib.import_module("tensorflow_io")
        from tfx.dsl.io import fileio

        self._fileio = fileio

    def _path(self, *names: str) -> str:
        return posixpath.join(self.uri, *filter(None, names))

    def entries(self, directory: str = "") -> list[str]:
        """Returns the names in a directory; none where it is not there."""
        with _as_os_errors(self._path(directory)):
            try:
                names = self._fileio.listdir(self._path(directory))
            except self._fileio.NotFoundError:
                # Unlike listing, this says where there is no file system for the scheme.
                self._fileio.exists(self.uri)
                return []
        return sorted({name.rstrip("/") for name in names} - {""})

    def files(self, directory: str) -> list[str]:
        """Returns the files below a directory, relative to it."""
        top = self._path(directory)
        with _as_os_errors(top):
            found = {
                posixpath.relpath(posixpath.join(parent, name), top)
                for parent, _, names in self._fileio.walk(top)
                for name in names
            }
        return sorted(found - {UNFINISHED})

    def read(self, name: str) -> bytes:
        """Returns a file's bytes; FileNotFoundError where it is not there."""
        with _as_os_errors(self._path(name)), self._fileio.open(self._path(name), "rb") as file:
            return file.read()

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps others from changing the destination.

        Everyone puts an object of a name of its own and then looks: who is alone has the lock, who
        is not takes its object away and tries again. Of two at once at least one sees the other.

        Raises:
            TimeoutError: Others held it too long.
        """
        mine = uuid.uuid4().hex
        deadline = time.monotonic() + self._patience
        try:
            while not self._acquired(mine):
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"another push has been at work for {self._patience:.0f} s; if there is "
                        f"none, remove what is in {self._path(_LOCKS)}"
                    )
                time.sleep(random.uniform(0.1, 1.0))
            yield
        finally:
            # One that stays is not held for ever.
            with contextlib.suppress(OSError):
                self._delete(_LOCKS, mine)

    def _acquired(self, mine: str) -> bool:
        name = posixpath.join(_LOCKS, mine)
        self.replace(name, repr(time.time()).encode("ascii"))
        others = [entry for entry in self.entries(_LOCKS) if entry != mine]
        if not any(self._is_held(other) for other in others):
            return True
        self._delete(_LOCKS, mine)
        return False

    def _is_held(self, lock: str) -> bool:
        try:
            taken = float(self.read(posixpath.join(_LOCKS, lock)))
        except FileNotFoundError:
            return False
        except ValueError:
            return True
        if time.time() - taken < _LOCK_LIFETIME:
            return True
        self._delete(_LOCKS, lock)
        return False

    def clean(self, versions: Sequence[str]) -> None:
        """Removes versions that have no manifest: under the lock nobody is at work on them."""
        for version in versions:
            entries = self.entries(version)
            if UNFINISHED not in entries:
                continue
            if MANIFEST_FILE in entries:
                self._delete(version, UNFINISHED)
            else:
                self._delete_version(version)

    @contextlib.contextmanager
    def stage(self) -> Iterator[Path]:
        """Yields a new local directory."""
        with tempfile.TemporaryDirectory() as directory:
            yield Path(directory)

    def copy(self, source: Path, target: Path) -> None:
        """Copies a file into a staged directory."""
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)

    def write(self, target: Path, content: bytes) -> None:
        """Writes a file of a staged directory."""
        target.write_bytes(content)

    def publish(self, staged: Path, version: str) -> None:
        """Uploads a staged directory, the manifest last."""
        names = sorted(
            path.relative_to(staged).as_posix() for path in staged.rglob("*") if path.is_file()
        )
        self._mark(version)
        for name in sorted(names, key=lambda name: name == MANIFEST_FILE):
            self.replace(posixpath.join(version, name), (staged / name).read_bytes())
        self._delete(version, UNFINISHED)

    def _mark(self, version: str) -> None:
        self.replace(posixpath.join(version, UNFINISHED), b"")

    def replace(self, name: str, content: bytes) -> None:
        """Puts an object, which readers see at once or not yet."""
        path = self._path(name)
        with _as_os_errors(path):
            # Where directories are real ones they must be there; elsewhere this does nothing.
            self._fileio.makedirs(posixpath.dirname(path))
            with self._fileio.open(path, "wb") as file:
                file.write(content)

    def remove(self, version: str) -> None:
        """Removes a version: its manifest first, after which it is none."""
        self._mark(version)
        self._delete(version, MANIFEST_FILE)
        self._delete_version(version)

    def _delete_version(self, version: str) -> None:
        # The marker last: without it what is left would be taken for somebody else's.
        for name in self.files(version):
            self._delete(version, name)
        self._delete(version)

    def _delete(self, *names: str) -> None:
        path = self._path(*names)
        with _as_os_errors(path), contextlib.suppress(self._fileio.NotFoundError):
            if self._fileio.isdir(path):
                self._fileio.rmtree(path)
            else:
                self._fileio.remove(path)


@contextlib.contextmanager
def _as_os_errors(path: str) -> Iterator[None]:
    """Raises OSError for the errors of TFX's file I/O and of TensorFlow below it."""
    import tensorflow as tf
    from tfx.dsl.io import fileio

    try:
        yield
    except (fileio.NotFoundError, tf.errors.NotFoundError) as error:
        raise FileNotFoundError(2, _reason(error) or "No such object", path) from error
    except tf.errors.UnimplementedError as error:
        scheme = path.partition("://")[0]
        plugin = "; install tfx-tflite[s3]" if scheme == "s3" else ""
        raise OSError(95, f"TensorFlow has no file system for {scheme}://{plugin}", path) from error
    except tf.errors.OpError as error:
        raise OSError(5, _reason(error), path) from error


def _reason(error: Exception) -> str:
    text = str(getattr(error, "message", None) or error).strip()
    return text.splitlines()[0] if text else ""
