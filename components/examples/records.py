"""Why a file of records cannot be read, and whether one was read to its end.

TensorFlow and TFXIO say little of it: no file, no record, and nothing at all of a gzip file or a
record's header that is cut off, which they take for the end.

Workers import this module, so it knows nothing of TFX.
"""

import gzip
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_metadata.proto.v0 import schema_pb2

# Length, its checksum, and the record's checksum: the bytes of a TFRecord beside the record.
FRAME = 16
_CHUNK = 1 << 20
_KINDS = {"float_list": "FLOAT", "int64_list": "INT", "bytes_list": "BYTES"}


def problem_in(file: str, schema: bytes | None) -> str | None:
    """Returns what is wrong with a file of tf.Examples, None if nothing is.

    It reads everything, so it is for after a failure.

    Args:
        file: A TFRecord file, gzipped if its name ends in `.gz`.
        schema: The types of features, serialized; None takes those of the first examples.
    """
    kinds = {} if schema is None else _kinds_of(schema)
    number = size = 0
    try:
        for record in _records(file):
            if problem := _problem_of(record, kinds):
                return f"record {number} of {file} {problem}"
            number += 1
            size += len(record) + FRAME
    except tf.errors.OpError as error:
        why = str(error.message).rpartition("}} ")[2].partition(" [Op:")[0]
        if number == 0 or why.startswith("truncated"):
            return broken_off(file, number)
        return f"record {number} of {file} is damaged: {why}"
    return None if is_whole(file, size) else broken_off(file, number)


def is_sequence(record: bytes) -> bool:
    """Returns whether a record is a SequenceExample with feature lists.

    Read as a tf.Example it has the features of its context, and none of the lists.
    """
    try:
        return bool(tf.train.SequenceExample.FromString(record).feature_lists.feature_list)
    except DecodeError:
        return False


def broken_off(file: str, records: int) -> str:
    """Returns what is said of a file that ends too early.

    Args:
        file: The file.
        records: How many are whole.
    """
    return f"{file} is not a whole TFRecord file: it breaks off after {records} examples"


def is_whole(file: str, size: int) -> bool:
    """Returns whether a file ends with what was read of it, and does not break off.

    Args:
        file: The file.
        size: How many bytes were read, uncompressed.
    """
    length = tf.io.gfile.stat(file).length
    if not _is_compressed(file):
        return bool(length == size)
    with tf.io.gfile.GFile(file, "rb") as stream:
        # A gzip file ends with the length of what is in it, in 32 bits (RFC 1952). Of several in
        # one file it is that of the last. Of one that was cut in its header, which holds nothing,
        # the last bytes are those of nothing, too.
        stream.seek(max(length - 4, 0))
        if size and stream.read(4) == struct.pack("<I", size % (1 << 32)):
            return True
        stream.seek(0)
        # Python takes a file without a single byte for an empty one.
        return length > 0 and _unzipped_size(stream) == size


def _unzipped_size(stream: BinaryIO) -> int | None:
    try:
        with gzip.open(stream) as content:
            return sum(len(chunk) for chunk in iter(lambda: content.read(_CHUNK), b""))
    except (EOFError, OSError, zlib.error):
        return None


def _is_compressed(file: str) -> bool:
    return file.endswith((".gz", ".gzip"))


def batches(file: str, batch_size: int) -> Iterator[list[bytes]]:
    """Yields the records of a file.

    Args:
        file: A TFRecord file, gzipped if its name ends in `.gz`.
        batch_size: Records in a batch; the last one may have fewer.
    """
    dataset = _dataset(file).batch(batch_size, drop_remainder=False)
    for batch in dataset.prefetch(1).as_numpy_iterator():
        yield batch.tolist()


def _records(file: str) -> Iterator[bytes]:
    yield from _dataset(file).as_numpy_iterator()


def _dataset(file: str) -> tf.data.TFRecordDataset:
    return tf.data.TFRecordDataset(file, "GZIP" if _is_compressed(file) else "")


def _kinds_of(schema: bytes) -> dict[str, str]:
    """Returns the types of features, as a schema names them."""
    features = schema_pb2.Schema.FromString(schema).feature
    return {feature.name: schema_pb2.FeatureType.Name(feature.type) for feature in features}


def _problem_of(record: bytes, kinds: dict[str, str]) -> str | None:
    """Returns what is wrong with a record, and adds the types of new features to those known."""
    try:
        example = tf.train.Example.FromString(record)
    except DecodeError:
        return "is not a tf.Example"
    for name, feature in sorted(example.features.feature.items()):
        kind = _KINDS.get(feature.WhichOneof("kind") or "")
        if kind is None:
            continue
        if kinds.setdefault(name, kind) not in (kind, "TYPE_UNKNOWN"):
            return f"has {kind} in feature {name!r}, expected {kinds[name]}"
    return None
