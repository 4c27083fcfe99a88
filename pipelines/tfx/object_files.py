"""TFX's view of object stores: its components and its runners read and write there.

TFX asks TensorFlow for what is no path on this machine. TensorFlow 2.21 knows no object store, and
2.16 takes one that is denied or away for an empty folder.
"""

import contextlib
import io
import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from apache_beam.io.filesystem import FileSystem as BeamFileSystem
from tfx.dsl.io import filesystem, filesystem_registry

from tfx_tflite.components.object_stores import files, for_workers

# Before TensorFlow's, which has 10.
_PRIORITY = 5


def register() -> None:
    """Lets TFX read and write object stores from now on, as Beam does as soon as this is imported.

    Beam's workers do within `patches.workers_know_object_stores`.
    """
    filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY.register(ObjectFiles, priority=_PRIORITY)


class ObjectFiles(filesystem.Filesystem):
    """Objects as files; see `object_stores.files`."""

    SUPPORTED_SCHEMES = [f"{each.scheme()}://" for each in for_workers.FILE_SYSTEMS]

    @staticmethod
    def open(name: str, mode: str = "r") -> Any:
        """Opens an object to read it, or to write it whole."""
        if mode not in ("r", "rb", "w", "wb"):
            raise ValueError(f"{name} cannot be opened to {mode!r}: objects are read or written")
        if mode.startswith("w"):
            upload = files.open_to_write(name)
            return upload if mode == "wb" else _TextUpload(upload)
        with _not_found():
            content = files.open_to_read(name)
        return content if mode == "rb" else io.TextIOWrapper(content, encoding="utf-8")

    @staticmethod
    def copy(src: str, dst: str, overwrite: bool = False) -> None:
        """Copies an object."""
        _check_free(dst, overwrite)
        with _not_found():
            files.copy(src, dst)

    @staticmethod
    def exists(path: str) -> bool:
        """Returns whether there is an object, or any below it."""
        return files.is_file(path) or files.is_directory(path)

    @staticmethod
    def glob(pattern: str) -> list[str]:
        """Returns the objects and folders that match a pattern."""
        expression = BeamFileSystem.translate_pattern(pattern)
        return sorted(files.matching(pattern, expression, with_folders=True))

    @staticmethod
    def isdir(path: str) -> bool:
        """Returns whether there are objects below it."""
        return files.is_directory(path)

    @staticmethod
    def listdir(path: str) -> list[str]:
        """Returns the names of what is directly below it."""
        return files.entries(path)

    @staticmethod
    def makedirs(path: str) -> None:
        """Makes a folder, which is there from then on even if nothing is put into it."""
        files.make_folder(path)

    @staticmethod
    def mkdir(path: str) -> None:
        """The same."""
        files.make_folder(path)

    @staticmethod
    def remove(path: str) -> None:
        """Removes an object, or finds it gone."""
        files.remove(path)

    @staticmethod
    def rename(src: str, dst: str, overwrite: bool = False) -> None:
        """Moves an object, or all that are below a folder."""
        _check_free(dst, overwrite)
        with _not_found():
            if files.is_file(src):
                files.move(src, dst)
                return
            for name in files.below(src, with_markers=True):
                files.move(posixpath.join(src, name), posixpath.join(dst, name))

    @staticmethod
    def rmtree(path: str) -> None:
        """Removes all that is below it."""
        files.remove_all(path)

    @staticmethod
    def stat(path: str) -> "_Status":
        """Returns size and time of an object, by the names that TensorFlow's have."""
        with _not_found():
            found = files.state(path)
        return _Status(found.size, round(found.changed * 1e9))

    @staticmethod
    def walk(
        top: str, topdown: bool = True, onerror: Callable[..., None] | None = None
    ) -> Iterator[tuple[str, list[str], list[str]]]:
        """Yields each folder with the names of its folders and its objects."""
        within, own = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
        folders, objects = files.tree(top)
        for names, found in ((folders, within), (objects, own)):
            for each in names:
                above, _, name = each.rpartition("/")
                found[above].add(name)
        for folder in sorted({"", *folders}, reverse=not topdown):
            path = posixpath.join(top, folder).rstrip("/")
            yield path, sorted(within[folder]), sorted(own[folder])


class _Status:
    """What TFX asks of a file."""

    def __init__(self, length: int, mtime_nsec: int):
        self.length, self.mtime_nsec = length, mtime_nsec


class _TextUpload(io.TextIOWrapper):
    """Text that becomes an object when it is closed, unless its block ends in an error."""

    def __init__(self, upload: files.Upload):
        super().__init__(upload, encoding="utf-8", newline="")  # type: ignore[arg-type]
        self._upload = upload

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._upload.discard()
            return
        self.close()


@contextlib.contextmanager
def _not_found() -> Iterator[None]:
    """Raises TFX's own error for an object that is not there."""
    try:
        yield
    except FileNotFoundError as error:
        raise filesystem.NotFoundError(str(error)) from error


def _check_free(uri: str, overwrite: bool) -> None:
    if not overwrite and files.is_file(uri):
        raise OSError(17, "is there already", uri)
