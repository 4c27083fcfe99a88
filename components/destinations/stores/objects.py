"""A destination in an object store: s3://, gs:// or az://.

There is no rename there, so a version's files are written first and its manifest last, if there is
none yet: without a manifest it is no version. What keeps pushes from each other is a `Lease`.
"""

import contextlib
import posixpath
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tfx_tflite.components.artifact_layout import MANIFEST_FILE
from tfx_tflite.components.destinations.stores.conditional_writes import ConditionalWrites
from tfx_tflite.components.destinations.stores.lease import Lease
from tfx_tflite.components.destinations.stores.store import UNFINISHED
from tfx_tflite.components.object_stores.requests import ObjectRequests, ObjectVersion
from tfx_tflite.components.presence import ABSENT, Presence, not_known

_LOCK = ".lock"


class ObjectStore:
    """A `Store` below a URI.

    Args:
        uri: The URI.
        requests: What talks to the store.
        patience: Seconds to wait for another push.
        lifetime: Seconds after which a push that gives no sign of life is taken for killed.
    """

    def __init__(
        self,
        uri: str,
        requests: ObjectRequests | None = None,
        patience: float = 600.0,
        lifetime: float = 60.0,
    ):
        self.uri = uri.rstrip("/")
        self._requests = requests or ObjectRequests(self.uri)
        self._patience = patience
        self._lease = Lease(self._requests, _LOCK, lifetime)
        self._writes = ConditionalWrites(self._requests)
        # What was read first since the lock was taken.
        self._versions: dict[str, Presence[ObjectVersion]] = {}

    def entries(self, directory: str = "") -> list[str]:
        """Returns the names in a directory; none only if its bucket answers."""
        with self._reading("list", directory):
            objects, directories = self._requests.children(directory)
            if not objects and not directories:
                # A page of somebody else in place of the store's reads as an empty listing.
                self._requests.check_bucket()
                objects, directories = self._requests.children(directory)
        return sorted({*objects, *directories})

    def files(self, directory: str) -> list[str]:
        """Returns the files below a directory, relative to it; none only if its bucket answers."""
        with self._reading("list", directory):
            names = self._requests.descendants(directory)
            if not names:
                self._requests.check_bucket()
                names = self._requests.descendants(directory)
        return [name for name in names if name != UNFINISHED]

    def read(self, name: str) -> Presence[bytes]:
        """Returns a file's bytes, or ABSENT if its bucket says that it is not there."""
        with self._reading("read", name):
            try:
                content, version = self._requests.get(posixpath.normpath(name))
            except FileNotFoundError:
                return self._seen(name, ABSENT, ABSENT)
        return self._seen(name, content, version)

    def _seen(
        self, name: str, content: Presence[bytes], version: Presence[ObjectVersion]
    ) -> Presence[bytes]:
        """Remembers what was read first since the lock was taken, and returns the content."""
        self._versions.setdefault(name, version)
        return content

    @contextlib.contextmanager
    def _reading(self, operation: str, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            place = posixpath.join(self.uri, name).rstrip("/")
            raise not_known(place, operation, error.strerror or str(error)) from error

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps others from changing the destination.

        It spares two pushes each other's work. What they must not do is kept by conditions of
        writes: whoever goes on though another has taken the lock over writes nothing more.

        Raises:
            TimeoutError: Others held it too long.
        """
        with self._lease.hold(self._patience):
            self._versions.clear()
            yield

    def clean(self, versions: Sequence[str]) -> None:
        """Removes versions that have no manifest: under the lock nobody is at work on them.

        A listing tells of a thousand objects, so one of everything takes fewer requests than one of
        each version. What it finds is looked at once more before anything is removed.
        """
        with self._reading("list", ""):
            marked = set(map(posixpath.dirname, self._marked()))
        for version in versions:
            if version not in marked:
                continue
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
        """Uploads a staged directory, the manifest last and only if there is none."""
        names = sorted(
            path.relative_to(staged).as_posix() for path in staged.rglob("*") if path.is_file()
        )
        self._mark(version)
        for name in names:
            if name != MANIFEST_FILE:
                self._put(posixpath.join(version, name), (staged / name).read_bytes())
        self._check_uploaded(staged, version, names)
        self.create(posixpath.join(version, MANIFEST_FILE), (staged / MANIFEST_FILE).read_bytes())
        # It is a version now; the next push removes the marker.
        with contextlib.suppress(OSError):
            self._delete(version, UNFINISHED)

    def _check_uploaded(self, staged: Path, version: str, names: Sequence[str]) -> None:
        """Raises OSError if something between here and the store has swallowed a file."""
        found = self._requests.descendants(version)
        for name in names:
            size = (staged / name).stat().st_size
            if name != MANIFEST_FILE and found.get(name) != size:
                path = posixpath.join(self.uri, version, name)
                raise OSError(5, "the store said that it was written, but it was not", path)

    def _marked(self) -> list[str]:
        names = self._requests.descendants("")
        return [name for name in names if posixpath.basename(name) == UNFINISHED]

    def _mark(self, version: str) -> None:
        self._put(posixpath.join(version, UNFINISHED), b"")

    def _put(self, name: str, content: bytes) -> None:
        """Puts an object that only one push puts."""
        self._lease.check()
        self._requests.put(name, content)

    def create(self, name: str, content: bytes) -> None:
        """Puts an object, only if there is none."""
        self._lease.check()
        self._versions[name] = self._writes.write(name, content, ABSENT)

    def replace(self, name: str, content: bytes) -> None:
        """Puts an object in place of what was read first under the lock, and of nothing else."""
        if name not in self._versions:
            self.read(name)
        self._lease.check()
        self._versions[name] = self._writes.write(name, content, self._versions[name])

    def delete(self, name: str) -> None:
        """Deletes an object, or finds it gone."""
        self._delete(name)
        self._versions[name] = ABSENT

    def remove(self, version: str) -> None:
        """Removes a version: its manifest first, after which it is none."""
        self._mark(version)
        self._delete(version, MANIFEST_FILE)
        self._delete_version(version)

    def _delete_version(self, version: str) -> None:
        # The marker last: without it what is left would be taken for somebody else's.
        for name in (*self.files(version), UNFINISHED):
            self._delete(version, name)

    def _delete(self, *names: str) -> None:
        self._lease.check()
        self._requests.delete(posixpath.join(*names))
