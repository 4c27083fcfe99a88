"""Digests of data files by their contents, which are read once for each state of a file.

A digest is kept with the file's inode, size, time of change and time of the last change of any kind
(ctime). The last cannot be set back, so that other contents of the same size and time are read
again. A file that was changed a moment before it was read is read again, too: two changes within
one tick of the file system's clock look the same.
"""

import os
import time
from collections.abc import Iterable
from pathlib import Path

from tfx_tflite.components.digests import file_digest
from tfx_tflite.components.documents import Document, Part
from tfx_tflite.components.errors import DataError, TfxTfliteError
from tfx_tflite.components.private_files import make_private_directory
from tfx_tflite.pipelines.runs.results import write_whole

_FILE_NAME = "data_digests.json"
_SETTLED_NS = 2_000_000_000


class FileState(Part):
    """What a file was like when it was read.

    Attributes:
        inode: Its inode.
        size: Its size in bytes.
        modified: When its contents were changed, in nanoseconds.
        changed: When anything of it was changed, in nanoseconds.
    """

    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, status: os.stat_result) -> "FileState":
        """Returns the state in an answer of the file system."""
        return cls(
            inode=status.st_ino,
            size=status.st_size,
            modified=status.st_mtime_ns,
            changed=status.st_ctime_ns,
        )


class KnownFile(Part):
    """A file that was read.

    Attributes:
        state: What it was like then.
        digest: The digest of its contents.
    """

    state: FileState
    digest: str


class KnownFiles(Document):
    """The files that were read, by path."""

    kind = "the record of digests of data"

    files: dict[str, KnownFile] = {}


class FileDigests:
    """The digests of files on this machine.

    Args:
        root: The directory in which what is known is kept.
    """

    def __init__(self, root: str | Path):
        self._path = Path(root) / _FILE_NAME
        self._known = self._read()
        self._asked: dict[str, KnownFile] = {}
        self._kept = self._known.files

    def _read(self) -> KnownFiles:
        # What is not known is read from the files, so nothing is decided by its absence.
        try:
            return KnownFiles.parse(self._path.read_bytes(), str(self._path))
        except (OSError, TfxTfliteError):
            return KnownFiles()

    def of(self, path: str | Path) -> str:
        """Returns the digest of a file's contents.

        Raises:
            DataError: The file cannot be read, or was changed meanwhile.
        """
        name = str(path)
        try:
            state = FileState.of(Path(name).stat())
            known = self._asked.get(name) or self._known.files.get(name)
            if known is not None and known.state == state:
                self._asked[name] = known
                return known.digest
            now = time.time_ns()
            digest = file_digest(name)
            after = FileState.of(Path(name).stat())
        except OSError as error:
            raise DataError(f"{name} cannot be read: {error.strerror}") from error
        if after != state:
            raise DataError(f"{name} was changed while it was read; run again")
        if now - state.changed > _SETTLED_NS:
            self._asked[name] = KnownFile(state=state, digest=digest)
        return digest

    def of_all(self, paths: Iterable[str]) -> dict[str, str]:
        """Returns the digests of files by path, and keeps them.

        Raises:
            DataError: A file cannot be read, or was changed meanwhile.
            OSError: They cannot be kept.
        """
        found = {path: self.of(path) for path in paths}
        self.keep()
        return found

    def keep(self) -> None:
        """Writes the digests that were asked for, so that the next run need not read the files.

        Raises:
            OSError: They cannot be written.
        """
        if self._asked != self._kept:
            # What was known stays so: the files of another split may be asked for next.
            self._kept = dict(self._asked)
            make_private_directory(self._path.parent)
            write_whole(KnownFiles(files=self._kept), self._path)
