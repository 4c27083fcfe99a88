"""Records that are damaged or odd, read as a model's inputs are: all of them, or an error.

By hand, for longer than the test suite does:

    python -m tests.components.examples.fuzz 5000
"""

import gzip
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tfx_tflite.components.errors import TfxTfliteError
from tfx_tflite.components.examples import finite
from tfx_tflite.components.examples.splits import SplitFiles
from tfx_tflite.components.examples.tensors import InputSpec, feature_values, input_groups

_INPUT = InputSpec("x", (None, 4), np.dtype(np.float32))
_HEADER, _FOOTER = 12, 4


@dataclass(frozen=True)
class Rows:
    """What the model is given of a file: its rows, in order.

    Attributes:
        inputs: Of shape (rows, 4).
        labels: How many labels each row has.
    """

    inputs: np.ndarray
    labels: list[int]


_FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)
_FEATURES = st.one_of(
    st.lists(_FLOATS, min_size=4, max_size=4).map(
        lambda values: tf.train.Feature(float_list=tf.train.FloatList(value=values))
    ),
    st.lists(_FLOATS, max_size=6).map(
        lambda values: tf.train.Feature(float_list=tf.train.FloatList(value=values))
    ),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5).map(
        lambda values: tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    ),
    st.lists(st.binary(max_size=5), max_size=5).map(
        lambda values: tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    ),
    st.just(tf.train.Feature()),
)


def example(x: tf.train.Feature | None, label: tf.train.Feature | None) -> bytes:
    features = {"x": x, "label": label}
    given = {name: feature for name, feature in features.items() if feature is not None}
    message = tf.train.Example(features=tf.train.Features(feature=given))
    serialized: bytes = message.SerializeToString(deterministic=True)
    return serialized


def floats(values: list[float]) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def integers(values: list[int]) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


_WHOLE = st.integers(0, 9).map(lambda n: example(floats([n, 1, 2, 3]), integers([n])))
_ODD = st.builds(example, st.none() | _FEATURES, st.none() | _FEATURES)


@st.composite
def garbled(draw: st.DrawFn, of: st.SearchStrategy[bytes]) -> bytes:
    """Bytes of which some were put in, changed and taken away, or all after a place."""
    data = bytearray(draw(of))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        action = draw(st.sampled_from(["flip", "replace", "cut", "repeat"]))
        if action == "flip" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif action == "replace":
            data[at : at + draw(st.integers(0, 12))] = draw(st.binary(max_size=12))
        elif action == "cut":
            del data[at:]
        else:
            data[at:at] = data[at : at + draw(st.integers(0, 40))]
    return bytes(data)


def framed(records: list[bytes]) -> bytes:
    """Returns records as a TFRecord file has them, by a writer of our own."""
    return b"".join(
        header + masked(header) + record + masked(record)
        for record in records
        for header in (struct.pack("<Q", len(record)),)
    )


def masked(data: bytes) -> bytes:
    """Returns the masked CRC-32C of TFRecords (tensorflow/core/lib/hash/crc32c.h)."""
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


_ALL_WHOLE = st.lists(_WHOLE, max_size=6).map(framed)
_MIXED = st.lists(
    st.one_of(_WHOLE, _WHOLE, _WHOLE, _ODD, garbled(_WHOLE), st.binary(max_size=30)), max_size=6
).map(framed)


@st.composite
def files(draw: st.DrawFn) -> tuple[str, bytes]:
    """A file's name and its bytes."""
    content = draw(st.one_of(_ALL_WHOLE, _MIXED, garbled(_ALL_WHOLE)))
    if draw(st.booleans()):
        return "data.tfrecord", content
    zipped = st.just(gzip.compress(content, mtime=0))
    members = st.just(gzip.compress(content[:40], mtime=0) + gzip.compress(content[40:], mtime=0))
    return "data.tfrecord.gz", draw(st.one_of(zipped, members, garbled(zipped), st.just(content)))


def unpacked(name: str, content: bytes) -> list[bytes] | None:
    """Returns the records of a file, by a reader of our own; None if it is not whole."""
    if name.endswith(".gz"):
        content = unzipped(content)
    records, at = [], 0
    while at < len(content):
        header = content[at : at + 8]
        if len(header) < 8 or masked(header) != content[at + 8 : at + _HEADER]:
            return None
        end = at + _HEADER + struct.unpack("<Q", header)[0]
        record = content[at + _HEADER : end]
        if len(content) < end + _FOOTER or masked(record) != content[end : end + _FOOTER]:
            return None
        records.append(record)
        at = end + _FOOTER
    return records


def unzipped(content: bytes) -> bytes:
    """Returns what can be had of a gzip file; its checksum is no matter, as each record has one."""
    found = b""
    while content:
        member = zlib.decompressobj(wbits=31)
        try:
            # Byte by byte, so that nothing before a fault is lost.
            for place in range(len(content)):
                found += member.decompress(content[place : place + 1])
                if member.eof:
                    break
        except zlib.error:
            break
        content = content[place + 1 :] if member.eof else b""
    return found


def rows_of(record: bytes) -> list[float] | None:
    """Returns the input in a record, by protobuf; None if it cannot be one."""
    try:
        features = tf.train.Example.FromString(record).features.feature
    except DecodeError:
        return None
    if "x" not in features or "label" not in features:
        return None
    x = features["x"]
    values = list(x.float_list.value or x.int64_list.value)
    return values if len(values) == _INPUT.shape[1] else None


class Reading:
    """Reads files in a directory of its own, and counts what came of them."""

    def __init__(self, directory: Path):
        self.counts = Counter[str]()
        self._directory = directory

    def read(self, name: str, content: bytes) -> None:
        """Reads a file as an evaluation does; what is raised beside errors for users is raised."""
        path = self._directory / name
        path.write_bytes(content)
        source = SplitFiles("eval", (str(path),), None, "Fuzz")
        try:
            found = [group for batch in source.batches(4) for group in _inputs_of(batch)]
        except TfxTfliteError as error:
            assert 1 <= len(str(error).splitlines()) <= 2, error
            self.counts[type(error).__name__] += 1
            return
        records = unpacked(name, content)
        assert records is not None, "a file that is not whole was read as if it were"
        assert len(records) == sum(len(rows) for rows in found), "records were lost"
        expected = [rows_of(record) for record in records]
        if expected:
            given = np.array(expected, np.float32)
            np.testing.assert_array_equal(np.concatenate(found), given)
        self.counts["whole" if records else "empty"] += 1


def _inputs_of(batch) -> list[np.ndarray]:
    [group] = input_groups(batch, [_INPUT], "serve", {})
    finite.check_inputs(batch, group.tensors)
    feature_values(batch, "label", "label")
    return [group.tensors["x"]]


def fuzz(directory: Path, examples: int, seed: int | None = None) -> Counter[str]:
    """Reads so many files, and returns how many were whole, empty, or refused with which error.

    Args:
        directory: An empty one.
        examples: How many.
        seed: Of what is drawn; None takes another each time.
    """
    reading = Reading(directory)

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(files())
    def read(file: tuple[str, bytes]) -> None:
        reading.read(*file)

    read()
    return reading.counts


def main() -> None:
    """Prints what came of as many files as the command line says."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        counts = fuzz(Path(directory), int(sys.argv[1]))
    found = ", ".join(f"{number:,} {name}" for name, number in counts.most_common())
    print(f"{counts.total():,} files in {time.monotonic() - start:.0f} s: {found}")


if __name__ == "__main__":
    main()
