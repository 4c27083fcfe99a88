"""The folders of artifacts that runs left, on this machine or in an object store, for cleaning.

Paths stand for both: `Path` writes a URI with one slash, the same way each time.
"""

import os
import posixpath
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Protocol

from tfx_tflite.components.settings import index_in
from tfx_tflite.components.uris import is_local
from tfx_tflite.pipelines.runs.model_copy import DIRECTORY as MODEL_COPIES

# Below the artifacts on this machine: what was moved aside to be deleted.
_ASIDE = ".deleted"
_SYSTEM = Path(".system", "executor_execution")


class ArtifactTree(Protocol):
    """The folders of artifacts, each of an execution, whose number is its name."""

    def directories(self) -> Iterable[Path]:
        """Returns the folders: `NODE/OUTPUT/NUMBER`, and those of `.system`.

        Raises:
            OSError, NotKnownError: They cannot be listed.
        """

    def size(self, directory: Path) -> int:
        """Returns the bytes of all that is below a folder."""

    def remove(self, directories: Iterable[Path]) -> None:
        """Removes folders, and what was left of those that were to go before.

        Raises:
            OSError, StoreError: One cannot be removed; calling again removes the rest.
        """

    def exists(self, uri: str) -> bool:
        """Returns whether there is anything at the URI of an artifact."""

    def read_by_workers(self, path: Path, root: Path) -> Path:
        """Returns where workers read a folder of the root that is shared with them.

        See `shared_inputs`.
        """


def artifact_tree(place: str) -> ArtifactTree:
    """Returns the folders of artifacts below a path or a URI."""
    return _LocalTree(Path(place)) if is_local(place) else _StoredTree(place)


class _LocalTree:
    """Folders on this machine, which are moved aside at once and then deleted."""

    def __init__(self, below: Path):
        self._below = below

    def directories(self) -> Iterator[Path]:
        for node in directories_in(self._below):
            outputs = [path for path in directories_in(node) if not path.name.startswith(".")]
            for output in (*outputs, node / _SYSTEM):
                yield from (path for path in directories_in(output) if _is_number(path.name))

    def size(self, directory: Path) -> int:
        return size_of(directory)

    def remove(self, directories: Iterable[Path]) -> None:
        aside = self._below / _ASIDE
        for path in directories:
            target = aside / path.relative_to(self._below)
            target.parent.mkdir(parents=True, exist_ok=True)
            remove_tree(target)
            path.rename(target)
        remove_tree(aside)

    def exists(self, uri: str) -> bool:
        return Path(uri).exists()

    def read_by_workers(self, path: Path, root: Path) -> Path:
        return path


class _StoredTree:
    """Folders in an object store, where nothing can be moved aside at once.

    What is deleted in part is found again by the next cleaning, as nobody refers to it any more.
    """

    def __init__(self, uri: str):
        self._uri = uri

    @cached_property
    def _objects(self) -> dict[Path, dict[str, int]]:
        """The sizes of the objects by folder, and by their names below the place.

        Beside the folders of artifacts these are the copies of models.
        """
        from tfx_tflite.components.object_stores import files

        found: dict[Path, dict[str, int]] = defaultdict(dict)
        for name, size in files.below(self._uri, with_markers=True).items():
            parts = name.split("/")
            if len(parts) > 2 and parts[0] == MODEL_COPIES:
                found[Path(self._uri, *parts[:2])][name] = size
                continue
            depth = 3 if parts[1:3] == list(_SYSTEM.parts) else 2
            is_output = depth == 3 or (len(parts) > 1 and not parts[1].startswith("."))
            if len(parts) > depth + 1 and is_output and _is_number(parts[depth]):
                found[Path(self._uri, *parts[: depth + 1])][name] = size
        return found

    def directories(self) -> Iterator[Path]:
        copies = Path(self._uri, MODEL_COPIES)
        yield from sorted(path for path in self._objects if path.parent != copies)

    def size(self, directory: Path) -> int:
        return sum(self._objects.get(directory, {}).values())

    def remove(self, directories: Iterable[Path]) -> None:
        from tfx_tflite.components.object_stores import files

        for directory in directories:
            for name in self._objects.pop(directory, ()):
                files.remove(posixpath.join(self._uri, name))

    def exists(self, uri: str) -> bool:
        from tfx_tflite.components.object_stores import files

        return files.is_file(uri) or files.is_directory(uri)

    def read_by_workers(self, path: Path, root: Path) -> Path:
        return Path(self._uri) / path.relative_to(root)


def _is_number(name: str) -> bool:
    return index_in(name) is not None


def entries_of(directory: Path) -> list[Path]:
    """Returns what is in a directory; nothing if there is none.

    Raises:
        OSError: It cannot be read.
    """
    try:
        return sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def directories_in(directory: Path) -> list[Path]:
    """Returns the directories in a directory, without links to others."""
    return [path for path in entries_of(directory) if path.is_dir() and not path.is_symlink()]


def size_of(path: Path) -> int:
    """Returns the bytes of a file, or of all files below a directory."""
    if not path.is_dir():
        return path.stat().st_size
    return sum(
        os.lstat(f"{parent}/{file}").st_size for parent, _, files in os.walk(path) for file in files
    )


def remove_tree(path: Path) -> None:
    """Removes a directory with all that is in it, if it is there."""
    if path.exists():
        shutil.rmtree(path)
