"""A destination in a local directory: staged beside the versions, then renamed into place."""

import contextlib
import errno
import os
import stat
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from tfx_tflite.components.destinations.stores.file_operations import FileOperations
from tfx_tflite.components.errors import DestinationError
from tfx_tflite.components.locks import check_held, locked
from tfx_tflite.components.presence import ABSENT, Presence, not_known

# What is being made or removed; left over where a process was killed.
_UNFINISHED = ".unfinished-"
_LOCK = ".lock"
# A pipe without a writer is opened at once.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LocalStore:
    """A `Store` in a directory on this machine.

    Args:
        root: The directory; made by the first push.
        operations: What changes the file system.
        patience: Seconds to wait for another process's push.
    """

    def __init__(
        self, root: Path, operations: FileOperations | None = None, patience: float = 600.0
    ):
        self.uri = str(root)
        self._root = root
        self._operations = operations or FileOperations()
        self._patience = patience
        # Of the lock's file, while it is held.
        self._held: int | None = None

    def entries(self, directory: str = "") -> list[str]:
        """Returns the names in a directory; none if it is not there."""
        path = self._root / directory
        try:
            return sorted(entry.name for entry in path.iterdir())
        except OSError as error:
            self._check_absent(error, path, "list")
            return []

    def files(self, directory: str) -> list[str]:
        """Returns the files below a directory, links among them, relative to it."""
        top = self._root / directory
        try:
            return sorted(
                (Path(parent) / name).relative_to(top).as_posix()
                for parent, directories, names in os.walk(top, onerror=_raise)
                # A link to a directory is not walked into, but it is there.
                for name in (*names, *(n for n in directories if (Path(parent) / n).is_symlink()))
            )
        except OSError as error:
            self._check_absent(error, top, "list")
            return []

    def read(self, name: str) -> Presence[bytes]:
        """Returns a file's bytes, or ABSENT if it is not there.

        Raises:
            NotKnownError: It cannot be read.
            DestinationError: It is a link, which may lead anywhere, or a pipe or the like, which
                may have no end.
        """
        path = self._root / name
        try:
            with _opened(path) as file:
                return file.read()
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise _not_regular(path) from error
            self._check_absent(error, path, "read")
            return ABSENT

    def _check_absent(self, error: OSError, path: Path, operation: str) -> None:
        """Raises NotKnownError unless an error says that something is not there.

        Below a link to nothing, such as a disk that is not mounted, nothing can be told.
        """
        if isinstance(error, FileNotFoundError):
            if error.filename == str(path) and not _leads_nowhere(path):
                return
        elif isinstance(error, NotADirectoryError) and path != self._root and self._root.is_dir():
            # A file is where a version would be.
            return
        raise not_known(str(path), operation, error.strerror or str(error)) from error

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps other processes from changing the directory; the kernel frees it if this one dies.

        Raises:
            TimeoutError: Others held it too long.
        """
        self._make(self._root)
        with contextlib.ExitStack() as stack:
            try:
                self._held = stack.enter_context(locked(self._root / _LOCK, self._patience))
            except TimeoutError as error:
                raise TimeoutError(
                    f"another process has been changing {self._root} for {self._patience:.0f} s; "
                    "try again"
                ) from error
            try:
                yield
            finally:
                self._held = None

    def _check_lock(self) -> None:
        """Makes sure that nobody removed the lock and let another process in."""
        if self._held is not None:
            check_held(self._held, self._root / _LOCK)

    def _make(self, directory: Path) -> None:
        missing = []
        while not directory.exists():
            missing.append(directory)
            directory = directory.parent
        for path in reversed(missing):
            with contextlib.suppress(FileExistsError):
                self._operations.make_directory(path)

    def clean(self, versions: Sequence[str]) -> None:
        """Removes what killed processes have left; under the lock nobody is at work on it."""
        for entry in self.entries():
            if entry.startswith(_UNFINISHED):
                # What cannot be removed, such as a file that a server has open, must not stand in
                # the way of a push or a rollback.
                with contextlib.suppress(OSError):
                    self._operations.remove(self._root / entry)

    @contextlib.contextmanager
    def stage(self) -> Iterator[Path]:
        """Yields a new directory beside the versions."""
        directory = self._unfinished()
        try:
            self._operations.make_directory(directory)
            yield directory
        finally:
            # What cannot be removed now is removed by the next push.
            with contextlib.suppress(OSError):
                self._operations.remove(directory)

    def _unfinished(self) -> Path:
        # Only a name is wanted: making it is a step of its own.
        return self._root / f"{_UNFINISHED}{uuid.uuid4().hex}"

    def copy(self, source: Path, target: Path) -> None:
        """Copies a file into a staged directory."""
        self._make(target.parent)
        self._operations.copy(source, target)

    def write(self, target: Path, content: bytes) -> None:
        """Writes a file of a staged directory."""
        self._operations.write(target, content)

    def publish(self, staged: Path, version: str) -> None:
        """Renames a staged directory to a version."""
        self._check_lock()
        self._operations.rename(staged, self._root / version)

    def create(self, name: str, content: bytes) -> None:
        """Writes a new file, as `replace` does; under the lock nobody else makes one."""
        if self.read(name) is not ABSENT:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self._root / name))
        self.replace(name, content)

    def replace(self, name: str, content: bytes) -> None:
        """Writes a file beside, then renames it over the one that is there."""
        target = self._root / name
        self._make(target.parent)
        beside = self._unfinished()
        try:
            self._operations.write(beside, content)
            self._check_lock()
            if target.is_dir() and not target.is_symlink():
                # No push has put it there; whose it is will want to find it.
                aside = target.with_name(f"{target.name}.moved-{uuid.uuid4().hex[:8]}")
                self._operations.rename(target, aside)
            self._operations.rename(beside, target)
        finally:
            with contextlib.suppress(OSError):
                self._operations.remove(beside)

    def delete(self, name: str) -> None:
        """Removes a file, or finds it gone."""
        self._check_lock()
        self._operations.remove(self._root / name)

    def remove(self, version: str) -> None:
        """Renames a version out of sight, then removes it."""
        self._check_lock()
        unfinished = self._unfinished()
        self._operations.rename(self._root / version, unfinished)
        self._operations.remove(unfinished)


def _raise(error: OSError) -> None:
    raise error


def _opened(path: Path) -> BinaryIO:
    descriptor = os.open(path, _READ)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise _not_regular(path)


def _leads_nowhere(path: Path) -> bool:
    """Returns whether what is there of a path is a link to what is not there."""
    there = next((place for place in (path, *path.parents) if os.path.lexists(place)), None)
    # A disk that finds not even its own root says nothing.
    return there is None or not there.exists()


def _not_regular(path: Path) -> DestinationError:
    return DestinationError(f"{path} is a link or not a regular file; put the file itself there")
