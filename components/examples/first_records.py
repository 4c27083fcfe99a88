"""What the first records of a data file say, read without TensorFlow.

`validate` compares a config with it before anything is loaded. Of a file only the beginning is
read, so that a feature that later records have may be missing here: what is found is claimed, and
what is not found is only claimed of records that were read.
"""

import csv
import gzip
import io
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from google.protobuf.message import DecodeError

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.message_classes import Fields, message_classes

# How many records, or lines, of a file are looked at, and how many bytes.
RECORDS = 32
_MOST_BYTES = 1 << 23
_GZIP, _ZIP, _PARQUET = b"\x1f\x8b", b"PK\x03\x04", b"PAR1"
# How a pointer of Git LFS begins, which is there until the file is fetched.
_LFS = b"version http"
# RFC 1950: the first byte that compressors write; with the second it is a multiple of 31.
_ZLIB = b"\x78"
_MARK = "\ufeff"
_COMPRESSED_NAMES = (".gz", ".gzip")
# Length and its checksum; after the record comes the record's checksum.
_HEADER = struct.Struct("<QI")
_CHECKSUM_BYTES = 4
# Of bytes, what a protocol buffer message may have.
_LONGEST_RECORD = (1 << 31) - 1
# Castagnoli's polynomial, reversed; what TensorFlow adds to a checksum that is stored.
_POLYNOMIAL, _MASK = 0x82F63B78, 0xA282EAD8
# tensorflow/core/example: a test compares the numbers with TensorFlow's own.
FIELDS: Fields = {
    # Other than an Example has SequenceExample a second field.
    "Example": {"features": (1, "Features"), "feature_lists": (2, "bytes")},
    "Features": {"feature": (1, "FeatureEntry*")},
    "FeatureEntry": {"key": (1, "string"), "value": (2, "Feature")},
    "Feature": {
        "bytes_list": (1, "BytesList"),
        "float_list": (2, "FloatList"),
        "int64_list": (3, "Int64List"),
    },
    "BytesList": {"value": (1, "bytes*")},
    "FloatList": {"value": (1, "float*")},
    "Int64List": {"value": (1, "int64*")},
}
_KINDS: Mapping[str, "Kind"] = {"bytes_list": "text", "float_list": "float", "int64_list": "int"}

# Noted as a feature of records that are SequenceExamples, by a name that nobody gives one.
_SEQUENCE = "\0SequenceExample"
# What is said of them.
SEQUENCES = (
    "they are SequenceExamples, whose feature lists only a model.preprocessing_signature can read "
    "(tf.io.parse_sequence_example); name one, or write tf.Examples with all steps in one feature"
)

Kind = Literal["text", "float", "int"]


@dataclass(frozen=True)
class Feature:
    """A feature of the records that were read.

    Attributes:
        kind: What its values are; None if no record has a value.
        sizes: How many values the records have.
        records: How many records have it.
    """

    kind: Kind | None
    sizes: frozenset[int]
    records: int


@dataclass(frozen=True)
class FirstRecords:
    """What was read of a file.

    Attributes:
        count: How many records.
        features: Their features by name.
        is_all: Whether the file holds no more.
        has_sequences: Whether a record is a SequenceExample; features are those of its context.
    """

    count: int
    features: Mapping[str, Feature]
    is_all: bool
    has_sequences: bool = False

    def always_has(self, name: str) -> bool:
        """Returns whether each of the records has a feature."""
        return name in self.features and self.features[name].records == self.count


# A record as its features: what the values are, and how many there are.
_Record = Mapping[str, tuple[Kind | None, int]]
# What readers yield, None at the end if the file holds more than they have read.
_Records = Iterator[_Record | None]


def read(file: str, data_format: str) -> FirstRecords:
    """Returns what the first records of a file say.

    Args:
        file: A path on this machine.
        data_format: One of `READERS`.

    Raises:
        DataError: The file is damaged, or of another format; what it is, if that can be told.
        NotKnownError, OSError: It cannot be read.
    """
    found = list(islice(READERS[data_format](file), RECORDS + 1))
    first = [record for record in found[:RECORDS] if record is not None]
    names = dict.fromkeys(name for record in first for name in record)
    has_sequences = _SEQUENCE in names
    features = {name: _feature(name, first) for name in names if name != _SEQUENCE}
    return FirstRecords(len(first), features, len(first) == len(found), has_sequences)


def _feature(name: str, records: Iterable[_Record]) -> Feature:
    found = [record[name] for record in records if name in record]
    kinds: set[Kind] = {kind for kind, _ in found if kind is not None}
    kind: Kind | None = "float" if kinds == {"int", "float"} else next(iter(sorted(kinds)), None)
    return Feature(kind, frozenset(size for _, size in found), len(found))


def _tfrecords(file: str) -> _Records:
    size = 0
    with _unzipped(file) as stream:
        for number, content in enumerate(_frames(stream, file)):
            yield _example(content, f"record {number} of {file}")
            size += len(content)
            if size > _MOST_BYTES:
                yield None
                return


def _unzipped(file: str) -> BinaryIO:
    """Opens a file of records, which is gzipped if its name says so.

    Raises:
        DataError: The name says another thing than the file.
    """
    with Path(file).open("rb") as stream:
        begin = stream.read(len(_GZIP))
    is_named = file.endswith(_COMPRESSED_NAMES)
    if begin.startswith(_GZIP) and not is_named:
        raise DataError(f"{file} is gzipped, but its name does not end in .gz; rename it")
    if is_named and begin and not begin.startswith(_GZIP):
        raise DataError(f"{file} is not gzipped, though its name says so; rename or gzip it")
    # An empty file is no gzip file; for TensorFlow it holds no record.
    return gzip.open(file) if is_named and begin else Path(file).open("rb")  # type: ignore[return-value]


def _frames(stream: BinaryIO, file: str) -> Iterator[bytes]:
    number = 0
    while header := _taken(stream, _HEADER.size, file):
        if len(header) == _HEADER.size:
            length, checksum = _HEADER.unpack(header)
            if checksum != masked_checksum(header[:8]):
                raise DataError(_not_records(file, number, header))
            if length > _LONGEST_RECORD:
                raise DataError(
                    f"record {number} of {file} is said to have {length:,} bytes, which no "
                    "tf.Example has"
                )
            content = _taken(stream, length + _CHECKSUM_BYTES, file)
        if len(header) < _HEADER.size or len(content) < length + _CHECKSUM_BYTES:
            raise DataError(
                f"{file} is not a whole TFRecord file: it breaks off after {number} examples"
            )
        yield content[:length]
        number += 1


def _taken(stream: BinaryIO, size: int, file: str) -> bytes:
    try:
        return stream.read(size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{file} is a damaged gzip file: {error}") from error


def _not_records(file: str, number: int, begin: bytes) -> str:
    if number:
        return f"record {number} of {file} is damaged: its length has a wrong checksum"
    return what_it_is(file, begin)


def what_it_is(file: str, begin: bytes) -> str:
    """Returns what a file is that does not begin with a TFRecord, and what to do.

    Args:
        file: The file.
        begin: How it begins.
    """
    if begin.startswith(_PARQUET):
        return f"{file} is a Parquet file, not TFRecords"
    if begin.startswith(_ZIP):
        return f"{file} is a zip archive (npz?), not TFRecords"
    if begin[:1] == _ZLIB and int.from_bytes(begin[:2], "big") % 31 == 0:
        return f"{file} is compressed by zlib; write it with gzip, and name it .gz"
    if begin.startswith(_LFS):
        return f"{file} is a pointer of Git LFS; fetch the file itself with `git lfs pull`"
    if begin.startswith((b"<!", b"<html")):
        return f"{file} is a web page, not TFRecords; download the file again"
    if all(32 <= byte < 127 or byte in b"\r\n\t" for byte in begin):
        return f"{file} is a text file, not TFRecords; CSV needs data.format: csv"
    return f"{file} is not a TFRecord file: the length of its first record has a wrong checksum"


def check_example(content: bytes, where: str) -> None:
    """Checks that a record is a tf.Example, or a SequenceExample.

    Args:
        content: The record.
        where: What messages call it.

    Raises:
        DataError: It is neither.
    """
    _example(content, where)


def _example(content: bytes, where: str) -> _Record:
    try:
        example = _messages()["Example"].FromString(content)
    except DecodeError as error:
        raise DataError(f"{where} is not a tf.Example") from error
    found = {entry.key: _kind_and_size(entry.value) for entry in example.features.feature}
    return {**found, _SEQUENCE: (None, 0)} if example.feature_lists else found


class _Values(Protocol):
    """The values of a feature."""

    value: Sequence[object]


class _FeatureMessage(Protocol):
    """A feature of a tf.Example, which has at most one kind of values."""

    bytes_list: _Values
    float_list: _Values
    int64_list: _Values

    def HasField(self, name: str) -> bool:
        """Returns whether it has a kind of values."""


def _kind_and_size(feature: _FeatureMessage) -> tuple[Kind | None, int]:
    for name, kind in _KINDS.items():
        if feature.HasField(name):
            return kind, len(getattr(feature, name).value)
    return None, 0


@cache
def _messages():  # type: ignore[no-untyped-def]  # Classes that are made here.
    return message_classes("example", FIELDS)


def masked_checksum(content: bytes) -> int:
    """Returns the checksum that TFRecords have: CRC32C, rotated and shifted by a constant."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _checksum_table()[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


@cache
def _checksum_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return tuple(table)


def _rows(file: str) -> _Records:
    with Path(file).open("rb") as stream:
        begin = stream.read(1 << 12)
    if begin.startswith(_GZIP):
        raise DataError(f"{file} is gzipped, which CSV may not be; unzip it")
    if begin.startswith(_PARQUET):
        raise DataError(f"{file} is a Parquet file, not CSV")
    if b"\0" in begin:
        raise DataError(f"{file} is not CSV but binary; TFRecords need data.format: tfrecord")
    with io.TextIOWrapper(Path(file).open("rb"), encoding="utf-8", newline="") as lines:
        try:
            header = _header(lines.readline(), file)
            yield from _rows_below_header(header, csv.reader(lines), file)
        except UnicodeDecodeError as error:
            raise DataError(f"{file} is not text in UTF-8") from error
        except csv.Error as error:
            raise DataError(f"{file} is not CSV: {error}") from error


def _header(line: str, file: str) -> list[str]:
    """Returns the names of the columns as TFX reads them: what is between commas, as it is.

    Raises:
        DataError: They are not what the author of the file means.
    """
    if line.startswith(_MARK):
        raise DataError(
            f"{file} begins with a mark of byte order, which TFX takes for a part of the first "
            "name; save it as UTF-8 without one"
        )
    names = line.strip().split(",")
    if any(name[:1] in ("'", '"') for name in names):
        raise DataError(
            f"{file} has quoted names in its header, and TFX takes the quotes for a part of the "
            "names; leave them out"
        )
    if len(names) == 1 and (other := next((sign for sign in ";\t|" if sign in line), None)):
        raise DataError(f"{file} separates its columns by {other!r}, expected a comma")
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise DataError(f"{file} has two columns {twice[0]!r} in its header")
    return names


def _rows_below_header(
    header: list[str], rows: Iterator[list[str]], file: str
) -> Iterator[_Record]:
    for number, row in enumerate(rows):
        if not row:
            continue
        if len(row) != len(header):
            raise DataError(
                f"row {number + 1} of {file} has {len(row)} values, but the header {len(header)}"
            )
        yield {name: (_kind_of(value), 1) for name, value in zip(header, row, strict=True) if value}


def _kind_of(value: str) -> Kind:
    kinds: tuple[tuple[Kind, Callable[[str], float]], ...] = (("int", int), ("float", float))
    for kind, convert in kinds:
        try:
            convert(value)
        except ValueError:
            continue
        return kind
    return "text"


def _table(data_format: str, file: str) -> _Records:
    # Loads Arrow, which other formats need not.
    from tfx_tflite.components.examples.tables import TABLES

    table = TABLES[data_format]
    kinds = table.features(file)
    for batch in table.batches(file):
        for row in batch.slice(0, RECORDS + 1).to_pylist():
            yield {
                name: (kinds[name], len(values))
                for name, values in row.items()
                if values is not None
            }


# What reads the records of a file, by `data.format`.
READERS: Mapping[str, Callable[[str], _Records]] = {
    "tfrecord": _tfrecords,
    "csv": _rows,
    "npz": partial(_table, "npz"),
    "parquet": partial(_table, "parquet"),
}
