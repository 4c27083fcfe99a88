"""The frames of TFRecord files: read in chunks, and every checksum of them looked at.

A frame is the length of a record (8 bytes), the checksum of the length (4 bytes), the record, and
the checksum of the record (4 bytes). Nothing here parses records or needs TensorFlow, so it costs
about a microsecond a record.

Beam's workers import this module.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import google_crc32c
import numpy as np
import numpy.typing as npt

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples.first_records import what_it_is

# How much of a file is read at once, and how much is unzipped at once.
CHUNK = 1 << 20
# What zlib calls a gzip file.
GZIP = 31
_GZIP_MARK = b"\x1f\x8b"
_HEADER = struct.Struct("<QI")
_HEADER_SIZE, _CHECKSUM_SIZE = _HEADER.size, 4
# TensorFlow adds it to checksums, of which it exchanges the upper and the lower bits first.
_MASK = np.uint32(0xA282EAD8)
# Of bytes, what a protocol buffer message may have.
_LONGEST_RECORD = (1 << 31) - 1
# Records have few lengths, so their headers are looked at once. More are not remembered.
_MOST_HEADERS = 1 << 16

AGAIN = "fetch or write the file again, or move it away"


class SeveralMembersError(Exception):
    """A gzip file has several parts, of which TensorFlow may not read all."""


@dataclass(frozen=True)
class Frames:
    """Some whole records of a file, one after the other.

    Attributes:
        content: Bytes with the records in it.
        starts: Where in `content` each record begins.
        ends: Where each ends.
        checksums: The masked CRC-32C of each, which is right.
    """

    content: bytes
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    checksums: npt.NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def whole(self) -> bytes:
        """All of them, with their checksums: a TFRecord file of these records alone."""
        return self.content[: int(self.ends[-1]) + _CHECKSUM_SIZE] if len(self) else b""

    def record(self, number: int) -> bytes:
        """Returns one of the records.

        Args:
            number: Which, counted from 0 in these frames.
        """
        return self.content[self.starts[number] : self.ends[number]]


def is_gzip(name: str) -> bool:
    """Returns whether a file is gzipped, by its name."""
    return name.endswith((".gz", ".gzip"))


def frames_of(
    stream: BinaryIO,
    file: str,
    taken: Callable[[bytes], None] | None = None,
    is_one_member: bool = False,
) -> Iterator[Frames]:
    """Yields the records of a file, some at a time; at most a chunk and a record are in memory.

    Args:
        stream: The file, as it is stored.
        file: Its name, which says whether it is gzipped.
        taken: Is given the bytes of the file as they are read.
        is_one_member: Whether a gzip file may have only one part.

    Raises:
        DataError: The file is no TFRecord file, is damaged or breaks off; says where.
        SeveralMembersError: A gzip file has several parts, or something after its only one.
    """
    chunks = _chunks(stream, taken)
    content = _unzipped(chunks, file, is_one_member) if is_gzip(file) else _not_zipped(chunks, file)
    yield from _FrameReader(file).read(content)


def _chunks(stream: BinaryIO, taken: Callable[[bytes], None] | None) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        if taken is not None:
            taken(chunk)
        yield chunk


def _not_zipped(chunks: Iterator[bytes], file: str) -> Iterator[bytes]:
    for number, chunk in enumerate(chunks):
        if number == 0 and chunk.startswith(_GZIP_MARK):
            raise DataError(f"{file} is gzipped, but its name does not end in .gz; rename it")
        yield chunk


def _unzipped(chunks: Iterator[bytes], file: str, is_one_member: bool) -> Iterator[bytes]:
    """Yields what is in a gzip file. It may have several parts, and zeros at its end.

    Raises:
        DataError: It is none, or it is damaged.
        SeveralMembersError: It has several parts, and may not.
        _BreaksOffError: It breaks off.
    """
    member = zlib.decompressobj(GZIP)
    size = 0
    is_first = True
    for chunk in chunks:
        if is_first and not chunk.startswith(_GZIP_MARK[: len(chunk)]):
            raise DataError(f"{file} is not gzipped, though its name says so; rename or gzip it")
        is_first = False
        rest, is_more = chunk, True
        while rest or is_more:
            if member.eof:
                if is_one_member:
                    raise SeveralMembersError
                if not (rest := rest.lstrip(b"\0")):
                    break
                member = zlib.decompressobj(GZIP)
            try:
                content = member.decompress(rest, CHUNK)
            except zlib.error as error:
                raise DataError(
                    f"{file} is a damaged gzip file, after {size:,} bytes of its content: {error}; "
                    f"{AGAIN}"
                ) from error
            size += len(content)
            yield content
            rest = member.unused_data if member.eof else member.unconsumed_tail
            is_more = len(content) == CHUNK and not member.eof
    # A file without a single byte has no records, as for TensorFlow.
    if not is_first and not member.eof:
        raise _BreaksOffError


class _BreaksOffError(Exception):
    """A gzip file ends too early."""


class _FrameReader:
    """Finds the records in the content of one file.

    Args:
        file: What messages call it.
    """

    def __init__(self, file: str):
        self._file = file
        # How many records were found, and where in the content the next frame begins.
        self._records = self._offset = 0
        self._lengths: dict[bytes, int] = {}

    def read(self, content: Iterator[bytes]) -> Iterator[Frames]:
        """Yields the records of the content; see `frames_of`."""
        waiting: list[bytes] = []
        size, needed = 0, 1
        try:
            for chunk in content:
                waiting.append(chunk)
                size += len(chunk)
                # Joined only if there is a whole frame: a long record is not copied at each chunk.
                if size < needed:
                    continue
                joined = b"".join(waiting)
                frames, end, needed = self._frames(joined)
                if len(frames):
                    yield frames
                waiting, size = [joined[end:]], len(joined) - end
        except _BreaksOffError as error:
            raise self._breaks_off() from error
        if size:
            if not self._records and size < _HEADER_SIZE:
                raise DataError(what_it_is(self._file, b"".join(waiting)))
            raise self._breaks_off()

    def _frames(self, content: bytes) -> tuple[Frames, int, int]:
        """Returns the whole records, where they end, and how long what follows must be."""
        places: list[int] = []
        ends: list[int] = []
        checksums: list[int] = []
        place, needed = 0, _HEADER_SIZE
        problem: DataError | None = None
        # Of names outside of this function every one costs time for each record.
        lengths, checksum, size = self._lengths, google_crc32c.value, len(content)
        while (start := place + _HEADER_SIZE) <= size:
            length = lengths.get(header := content[place:start])
            if length is None:
                if problem := self._add_header(header, len(places), place):
                    break
                length = lengths[header]
            end = start + length
            if end + _CHECKSUM_SIZE > size:
                needed = end + _CHECKSUM_SIZE - place
                break
            places.append(place)
            ends.append(end)
            checksums.append(checksum(content[start:end]))
            place = end + _CHECKSUM_SIZE
        frames = Frames(
            content,
            np.array(places, np.int64) + _HEADER_SIZE,
            np.array(ends, np.int64),
            _masked(checksums),
        )
        self._check(frames)
        if problem is not None:
            raise problem
        self._records += len(frames)
        self._offset += place
        return frames, place, needed

    def _add_header(self, header: bytes, before: int, place: int) -> DataError | None:
        """Remembers which length a header says, or returns what is wrong with it.

        Args:
            header: Length and checksum.
            before: How many records of the content that is looked at are before it.
            place: Where in that content it is.
        """
        length, checksum = _HEADER.unpack(header)
        if _masked([google_crc32c.value(header[:8])])[0] != checksum:
            if not self._records + before:
                return DataError(what_it_is(self._file, header))
            return self._damaged(before, place, "its length has a wrong checksum")
        if length > _LONGEST_RECORD:
            return self._damaged(
                before, place, f"it is said to have {length:,} bytes, which no tf.Example has"
            )
        if len(self._lengths) >= _MOST_HEADERS:
            self._lengths.clear()
        self._lengths[header] = length
        return None

    def _check(self, frames: Frames) -> None:
        """Compares the checksums of records with those beside them.

        Raises:
            DataError: One is another.
        """
        content = np.frombuffer(frames.content, np.uint8)
        stored = content[frames.ends[:, None] + np.arange(_CHECKSUM_SIZE)].view("<u4")[:, 0]
        wrong = np.flatnonzero(stored != frames.checksums)
        if len(wrong):
            [number, *_] = wrong.tolist()
            place = int(frames.starts[number]) - _HEADER_SIZE
            raise self._damaged(number, place, "its content has a wrong checksum")

    def _damaged(self, before: int, place: int, why: str) -> DataError:
        return DataError(
            f"record {self._records + before} of {self._file}, at byte {self._offset + place:,}, "
            f"is damaged: {why}; {AGAIN}"
        )

    def _breaks_off(self) -> DataError:
        return DataError(
            f"{self._file} is not a whole TFRecord file: it breaks off after {self._records} "
            f"examples, at byte {self._offset:,}; {AGAIN}"
        )


def _masked(checksums: list[int]) -> npt.NDArray[np.uint32]:
    """Returns checksums as TFRecords have them."""
    crc = np.array(checksums, np.uint32)
    return (crc >> np.uint32(15) | crc << np.uint32(17)) + _MASK
