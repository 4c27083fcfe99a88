"""Beam's view of object stores; `for_workers.py` tells Beam of it."""

import re
from collections.abc import Iterator, Sequence
from typing import IO, Any

from apache_beam.io.filesystem import (
    CompressedFile,
    CompressionTypes,
    FileMetadata,
    FileSystem,
    MatchResult,
)

from tfx_tflite.components.object_stores import files

# What no URI has; None would be that of paths.
NO_SCHEME = ""
_GLOB = frozenset("*?[")


class ObjectFileSystem(FileSystem):
    """Objects as files, of any scheme; a subclass says which.

    Errors are not gathered into Beam's own, so that a run shows the store's answer.
    """

    @classmethod
    def scheme(cls) -> str:
        """Returns the scheme that the file system is of; this base of others has none."""
        return NO_SCHEME

    def join(self, basepath: str, *paths: str) -> str:
        """Returns paths joined by slashes."""
        return "/".join([basepath.rstrip("/"), *(path.strip("/") for path in paths)])

    def split(self, path: str) -> tuple[str, str]:
        """Returns the folder and the name; the name is empty for a bucket."""
        start = path.index("://") + 3
        folder, slash, name = path[start:].rpartition("/")
        return (path[:start] + folder, name) if slash else (path, "")

    def mkdirs(self, path: str) -> None:
        """Does nothing: folders are there as soon as there are objects below them."""

    def has_dirs(self) -> bool:
        """Returns that there are no folders without files."""
        return False

    def _list(self, dir_or_prefix: str) -> Iterator[FileMetadata]:
        found = files.matching(f"{dir_or_prefix}*", f"{re.escape(dir_or_prefix)}.*")
        yield from (FileMetadata(uri, size) for uri, size in found.items())

    def match(
        self, patterns: Sequence[str], limits: Sequence[int | None] | None = None
    ) -> list[MatchResult]:
        """Returns the files of each pattern, at most as many as its limit says."""
        wanted = limits or [None] * len(patterns)
        return [
            MatchResult(pattern, self._matching(pattern)[:limit])
            for pattern, limit in zip(patterns, wanted, strict=True)
        ]

    def _matching(self, pattern: str) -> list[FileMetadata]:
        whole = f"{pattern}*" if pattern.endswith("/") else pattern
        if _GLOB.isdisjoint(whole):
            return [self.metadata(whole)] if files.is_file(whole) else []
        found = files.matching(whole, self.translate_pattern(whole))
        return [FileMetadata(uri, size) for uri, size in found.items()]

    def create(
        self,
        path: str,
        mime_type: str = "application/octet-stream",
        compression_type: str = CompressionTypes.AUTO,
    ) -> IO[bytes]:
        """Returns a file to write; see `files.open_to_write`."""
        return self._compressed(files.open_to_write(path), path, compression_type)

    def open(
        self,
        path: str,
        mime_type: str = "application/octet-stream",
        compression_type: str = CompressionTypes.AUTO,
    ) -> IO[bytes]:
        """Returns a file to read."""
        return self._compressed(files.open_to_read(path), path, compression_type)

    def _compressed(self, file: Any, path: str, compression_type: str) -> Any:
        kind = self._get_compression_type(path, compression_type)
        if kind == CompressionTypes.UNCOMPRESSED:
            return file
        return CompressedFile(file, compression_type=kind)

    def copy(self, source_file_names: Sequence[str], destination_file_names: Sequence[str]) -> None:
        """Copies files, and folders with all that is in them."""
        for source, target in zip(source_file_names, destination_file_names, strict=True):
            for name in files.below(source):
                files.copy(f"{source.rstrip('/')}/{name}", f"{target.rstrip('/')}/{name}")
            if files.is_file(source):
                files.copy(source, target)

    def rename(
        self, source_file_names: Sequence[str], destination_file_names: Sequence[str]
    ) -> None:
        """Moves files."""
        for source, target in zip(source_file_names, destination_file_names, strict=True):
            files.move(source, target)

    def exists(self, path: str) -> bool:
        """Returns whether there is a file, or a folder with files."""
        return files.is_file(path) or files.is_directory(path)

    def size(self, path: str) -> int:
        """Returns the size of a file."""
        return files.state(path).size

    def last_updated(self, path: str) -> float:
        """Returns when a file was changed, in seconds since 1970."""
        return files.state(path).changed

    def checksum(self, path: str) -> str:
        """Returns the store's digest of a file, or its size if the store has none."""
        found = files.state(path)
        return found.e_tag or str(found.size)

    def metadata(self, path: str) -> FileMetadata:
        """Returns size and time of a file."""
        found = files.state(path)
        return FileMetadata(path, found.size, found.changed)

    def delete(self, paths: Sequence[str]) -> None:
        """Removes files, and folders with all that is in them."""
        for path in paths:
            files.remove_all(path)
