"""Takes TFRecord files into an artifact: checked, counted and copied, but never parsed.

The files of a split stay in the order of their names, and the records in the order of their files.
One file is one element of a Beam pipeline, and becomes one file of the split; of many small ones,
some that follow each other become one. A file that is gzipped is copied as it is, another one is
compressed. Never is a link made: whoever writes to a file in place would change the artifact, too.

Only Beam is imported here, and no TensorFlow for files on this machine, because workers import
this module.
"""

import hashlib
import posixpath
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import apache_beam as beam

from tfx_tflite.components.artifact_layout import COPIED_FILES_FILE
from tfx_tflite.components.documents import Document, Part
from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples.data_files import opened, state_of, written
from tfx_tflite.components.examples.first_records import check_example
from tfx_tflite.components.examples.frames import (
    GZIP,
    Frames,
    SeveralMembersError,
    frames_of,
    is_gzip,
)

# Level 1 takes a third of the time of the usual 6, and a tenth more space.
_LEVEL = 1
# Every stage pays some milliseconds for each file that it opens, so smaller ones are put together.
SMALL = 4 << 20
# As TFX's ExampleGen counts what it has taken.
_NAMESPACE, _COUNTER = "tfx.ExampleGen", "num_instances"


@dataclass(frozen=True)
class Shard:
    """Files that become one file of a split.

    Attributes:
        name: The name of that file, below the artifact's URI.
        split: The split.
        files: The files, in order.
    """

    name: str
    split: str
    files: tuple[str, ...]


class CopiedFile(Part):
    """A file that was taken.

    Attributes:
        file: Where it is, relative to the directory of the data.
        examples: How many it holds.
    """

    file: str
    examples: int


class CopiedShard(Part):
    """A file of a split.

    Attributes:
        name: Its name, below the artifact's URI.
        split: The split.
        digest: The digest of its bytes.
        files: What is in it, in order.
        problem: Why there is no such file; empty if there is one.
    """

    name: str
    split: str
    digest: str = ""
    files: tuple[CopiedFile, ...] = ()
    problem: str = ""

    @property
    def examples(self) -> int:
        """How many examples it holds."""
        return sum(file.examples for file in self.files)


class CopiedFiles(Document):
    """Where the examples of an artifact were taken from: a file beside its splits."""

    kind = "the record of the files that examples were taken from"
    error = DataError

    shards: tuple[CopiedShard, ...]

    def sizes(self) -> dict[str, int]:
        """Returns how many examples each split has."""
        found: dict[str, int] = {}
        for shard in self.shards:
            found[shard.split] = found.get(shard.split, 0) + shard.examples
        return found


def shards_of(split: str, files: Iterable[tuple[str, int]]) -> list[Shard]:
    """Returns how the files of a split are put together.

    Args:
        split: The split's name.
        files: Files and their sizes in bytes, in order.
    """
    groups: list[list[str]] = []
    room = 0
    for file, size in files:
        if groups and size <= room:
            groups[-1].append(file)
            room -= size
        else:
            groups.append([file])
            room = SMALL - size
    return [
        # The names that TFX's ExampleGen gives them.
        Shard(
            f"Split-{split}/data_tfrecord-{number:05}-of-{len(groups):05}.gz", split, tuple(group)
        )
        for number, group in enumerate(groups)
    ]


class CopyRecords(beam.PTransform):
    """Copies files of TFRecords into an artifact, and writes a `CopiedFiles` beside them.

    What is wrong with a file stands in there, so that it arrives from any engine as it was said,
    and no engine tries the same file again.

    Args:
        shards: What to copy.
        base: The directory that names of files are relative to.
        uri: The artifact's URI.
    """

    def __init__(self, shards: Sequence[Shard], base: str, uri: str):
        super().__init__()
        self._shards = shards
        self._base = base
        self._uri = uri

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection:
        """Builds the transform."""
        return (
            root
            | "Files" >> beam.Create(self._shards)
            | "Copy" >> beam.ParDo(_Copy(self._base, self._uri))
            | "All" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
            | "Describe" >> beam.Map(_describe, self._uri)
        )


class _Copy(beam.DoFn):
    """Copies the files of a shard.

    Args:
        base: The directory that names of files are relative to.
        uri: The artifact's URI.
    """

    def __init__(self, base: str, uri: str):
        self._base = base
        self._uri = uri
        self._counter = beam.metrics.Metrics.counter(_NAMESPACE, _COUNTER)

    def process(self, shard: Shard) -> Iterator[CopiedShard]:
        """Yields what was copied."""
        copied = copy_shard(shard, self._base, self._uri)
        self._counter.inc(copied.examples)
        yield copied


def copied_files_path(uri: str) -> str:
    """Returns where an artifact says what it was taken from."""
    return posixpath.join(uri, COPIED_FILES_FILE)


def _describe(shards: Sequence[CopiedShard], uri: str) -> None:
    found = CopiedFiles(shards=tuple(sorted(shards, key=lambda shard: (shard.split, shard.name))))
    with written(copied_files_path(uri)) as stream:
        stream.write(found.to_json().encode())


def copy_shard(shard: Shard, base: str, uri: str) -> CopiedShard:
    """Copies the files of a shard, and returns what was copied, or what is wrong with one.

    A file that cannot be read is another matter: there the engine may try again.

    Args:
        shard: The files.
        base: The directory that names of files are relative to.
        uri: The artifact's URI.
    """
    is_zipped = len(shard.files) == 1 and is_gzip(shard.files[0])
    try:
        try:
            return _copied(shard, base, uri, is_as_it_is=is_zipped)
        except SeveralMembersError:
            # TensorFlow reads nothing after an empty part, and says nothing of it.
            return _copied(shard, base, uri, is_as_it_is=False)
    except DataError as error:
        return CopiedShard(name=shard.name, split=shard.split, problem=str(error))


def _copied(shard: Shard, base: str, uri: str, is_as_it_is: bool) -> CopiedShard:
    files = []
    with written(posixpath.join(uri, shard.name)) as stream:
        target = _Target(stream, is_as_it_is)
        for file in shard.files:
            examples = _copy_file(file, target)
            name = file.removeprefix(f"{base.rstrip('/')}/")
            files.append(CopiedFile(file=name, examples=examples))
        digest = target.finish()
    return CopiedShard(name=shard.name, split=shard.split, digest=digest, files=tuple(files))


class _Target:
    """A file that is written, and its digest.

    Args:
        stream: Where it is written to.
        is_as_it_is: Whether it is a copy of one that is gzipped already.
    """

    def __init__(self, stream: BinaryIO, is_as_it_is: bool):
        self.is_as_it_is = is_as_it_is
        self._stream = stream
        self._hasher = hashlib.sha256()
        # It writes no time into the file, which is the same every time.
        self._compressor = None if is_as_it_is else zlib.compressobj(_LEVEL, zlib.DEFLATED, GZIP)

    def write(self, content: bytes) -> None:
        """Adds bytes as they are."""
        self._hasher.update(content)
        self._stream.write(content)

    def add(self, frames: Frames) -> None:
        """Adds records, if the file is not a copy that has them already."""
        if self._compressor is not None:
            self.write(self._compressor.compress(frames.whole))

    def finish(self) -> str:
        """Writes what is left, and returns the digest of all that was written."""
        if self._compressor is not None:
            self.write(self._compressor.flush())
        return f"sha256:{self._hasher.hexdigest()}"


def _copy_file(file: str, target: _Target) -> int:
    """Copies a file, and returns how many examples it holds.

    Raises:
        DataError: It is not a whole TFRecord file of tf.Examples, is not there, or was changed
            while it was read.
        NotKnownError: It cannot be read.
        SeveralMembersError: It cannot be copied as it is.
    """
    before = state_of(file)
    examples = 0
    with opened(file) as stream:
        taken = target.write if target.is_as_it_is else None
        for frames in frames_of(stream, file, taken, is_one_member=target.is_as_it_is):
            if not examples:
                check_example(frames.record(0), f"record 0 of {file}")
            target.add(frames)
            examples += len(frames)
    if state_of(file) != before:
        raise DataError(f"{file} was changed while it was read; run again")
    if not examples and target.is_as_it_is and not before.size:
        # Without a single byte it is no gzip file, and is made one.
        raise SeveralMembersError
    return examples
