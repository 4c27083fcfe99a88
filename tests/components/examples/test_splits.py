"""Reading the files of a split: all of it, or an error that names the file and the record."""

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tfx_tflite.components.errors import DataError

pytestmark = pytest.mark.slow

SCHEMA = """
feature { name: "x" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 1 } } }
feature { name: "label" type: INT presence { min_fraction: 1 } shape { dim { size: 1 } } }
"""
RECORDS = 30


def rows() -> list[dict]:
    return [{"x": float(number), "label": number} for number in range(RECORDS)]


@pytest.fixture(params=["schema", "no schema"])
def schema(request: pytest.FixtureRequest) -> bytes | None:
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    if request.param == "no schema":
        return None
    return text_format.Parse(SCHEMA, schema_pb2.Schema()).SerializeToString()


@pytest.fixture
def whole(tmp_path: Path, write_records_to) -> Path:
    return write_records_to(tmp_path / "whole.gz", rows())


def read(schema: bytes | None, *files: Path) -> list:
    """Returns all batches of some files."""
    from tfx_tflite.components.examples.splits import SplitFiles

    source = SplitFiles("eval", tuple(map(str, files)), schema, "test")
    return list(source.batches(batch_size=8))


def cut(content: bytes) -> bytes:
    """Cuts a gzip file in its middle."""
    return content[: len(content) // 2]


def cut_between_records(content: bytes) -> bytes:
    """Cuts a gzip file where all that is left of it are 10 whole records."""
    records = gzip.decompress(content)
    stream = zlib.compressobj(wbits=31)
    size = len(records) // RECORDS
    return stream.compress(records[: 10 * size]) + stream.flush(zlib.Z_SYNC_FLUSH)


def cut_header(content: bytes) -> bytes:
    """Lets a file end in the header of its last record; the gzip file is whole."""
    records = gzip.decompress(content)
    return gzip.compress(records[: 10 * (len(records) // RECORDS) + 5])


def flip_bit(content: bytes) -> bytes:
    """Damages a record; the gzip file is whole."""
    records = bytearray(gzip.decompress(content))
    records[len(records) // 2] ^= 1
    return gzip.compress(bytes(records))


def no_gzip(content: bytes) -> bytes:
    return b"a,b\n1,2\n" * 20


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (cut, r"damaged.gz is not a whole TFRecord file: it breaks off after \d+ examples"),
        (cut_between_records, "damaged.gz is not a whole TFRecord file: it breaks off after 10 ex"),
        (cut_header, "damaged.gz is not a whole TFRecord file: it breaks off after 10 examples"),
        (flip_bit, r"record 1\d of .*/damaged.gz is damaged: corrupted record"),
        (no_gzip, "damaged.gz is not a whole TFRecord file: it breaks off after 0 examples"),
    ],
    ids=lambda value: getattr(value, "__name__", "") or None,
)
def test_a_damaged_file_is_named_with_the_record(
    tmp_path: Path, whole: Path, schema: bytes | None, damage: Callable, expected: str
):
    damaged = tmp_path / "damaged.gz"
    damaged.write_bytes(damage(whole.read_bytes()))
    with pytest.raises(DataError, match=f"split 'eval' cannot be read: .*{expected}") as caught:
        read(schema, whole, damaged)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"x": "text", "label": 1}, "has BYTES in feature 'x', expected FLOAT"),
        ({"x": 3, "label": 1}, "has INT in feature 'x', expected FLOAT"),
        ({"x": 1.0, "label": 1.5}, "has FLOAT in feature 'label', expected INT"),
    ],
)
def test_a_feature_of_another_type_is_named_with_file_and_record(
    tmp_path: Path,
    whole: Path,
    write_records_to,
    schema: bytes | None,
    wrong: dict,
    expected: str,
):
    file = write_records_to(tmp_path / "wrong.gz", [*rows()[:11], wrong, *rows()])
    with pytest.raises(DataError, match=f"record 11 of .*/wrong.gz {expected}"):
        read(schema, whole, file)


def test_a_record_that_is_no_example_is_named(tmp_path: Path, whole: Path, schema: bytes | None):
    import tensorflow as tf

    file = tmp_path / "wrong.gz"
    with tf.io.TFRecordWriter(str(file), "GZIP") as writer:
        writer.write(tf.train.Example().SerializeToString())
        writer.write(b"\xff\xff no example")
    with pytest.raises(DataError, match=r"record 1 of .*/wrong.gz is not a tf.Example"):
        read(schema, whole, file)


def test_wherever_a_file_is_cut_it_is_never_taken_for_one_with_fewer_examples(
    tmp_path: Path, whole: Path
):
    content = whole.read_bytes()
    shorter = tmp_path / "shorter.gz"
    for length in (*range(1, len(content), len(content) // 40), len(content) - 1):
        shorter.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"shorter.gz is not a whole TFRecord file"):
            read(None, shorter)


def test_a_file_without_compression_that_is_cut_is_told_too(tmp_path: Path, write_records):
    plain = write_records(tmp_path / "plain.tfrecord", rows())
    content = plain.read_bytes()
    size = len(content) // RECORDS
    plain.write_bytes(content[: 2 * size])
    # Nothing in the file tells: the digests of artifacts do.
    assert sum(batch.num_rows for batch in read(None, plain)) == 2
    # In the length, its checksum, the record and the record's checksum.
    for more in (1, 9, 13, size - 1):
        plain.write_bytes(content[: 2 * size + more])
        with pytest.raises(DataError, match="breaks off after 2 examples"):
            read(None, plain)


def test_a_file_of_several_gzip_files_is_whole(tmp_path: Path, whole: Path):
    twice = tmp_path / "twice.gz"
    twice.write_bytes(whole.read_bytes() * 2)
    assert sum(batch.num_rows for batch in read(None, twice)) == 2 * RECORDS


def test_every_example_knows_its_file_and_its_number_in_it(
    tmp_path: Path, whole: Path, write_records_to
):
    from tfx_tflite.components.examples.tensors import place_of

    second = write_records_to(tmp_path / "second.gz", rows()[:10])
    places = [
        place_of(batch, row) for batch in read(None, whole, second) for row in range(batch.num_rows)
    ]
    assert places == [
        *(f"record {number} of whole.gz" for number in range(RECORDS)),
        *(f"record {number} of second.gz" for number in range(10)),
    ]


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"label": 1}, r"'x' .* is missing in 1 of 8 examples of a batch, first in record 11 of "),
        ({"x": [1.0, 2.0], "label": 1}, r"'x' has 2 values in an example, .*; see record 11 of "),
        ({"x": 0.5, "label": 1}, r"'x' holds 0.5 in record 11 of wrong.gz, which input 'x' of "),
    ],
    ids=["missing", "of another length", "that does not fit"],
)
def test_a_value_that_the_model_cannot_take_is_named_with_file_and_record(
    tmp_path: Path, whole: Path, write_records_to, wrong: dict, expected: str
):
    import numpy as np

    from tfx_tflite.components.examples.tensors import InputSpec, input_groups

    file = write_records_to(tmp_path / "wrong.gz", [*rows()[:11], wrong, *rows()])
    spec = InputSpec("x", (None, 1), np.dtype("int32"))
    with pytest.raises(DataError, match=f"feature {expected}"):
        for batch in read(None, whole, file):
            input_groups(batch, [spec], "serving_tensors", {})
