"""The first records of data files, read without TensorFlow."""

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples import first_records
from tfx_tflite.components.examples.first_records import RECORDS, Feature, read

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4665a5ea\nsize 132735\n"
ROWS = [
    {"image": [0.5] * 4, "label": 1, "name": ["a", "b"]},
    {"image": [0.25] * 6, "label": 2},
]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory, write_records) -> Path:
    return write_records(tmp_path_factory.mktemp("data") / "a.tfrecord", ROWS)


@pytest.mark.slow
def test_features_of_tf_examples(records: Path):
    found = read(str(records), "tfrecord")
    assert (found.count, found.is_all) == (2, True)
    assert found.features == {
        "image": Feature("float", frozenset({4, 6}), 2),
        "label": Feature("int", frozenset({1}), 2),
        "name": Feature("text", frozenset({2}), 1),
    }
    assert found.always_has("label") and not found.always_has("name")


@pytest.mark.slow
def test_of_a_long_file_the_beginning_is_read(tmp_path: Path, write_records):
    file = write_records(tmp_path / "a.tfrecord", ROWS * RECORDS)
    found = read(str(file), "tfrecord")
    assert (found.count, found.is_all) == (RECORDS, False)


@pytest.mark.slow
def test_a_gzipped_file_is_read_if_its_name_says_so(tmp_path: Path, records: Path):
    zipped = tmp_path / "a.tfrecord.gz"
    zipped.write_bytes(gzip.compress(records.read_bytes()))
    assert read(str(zipped), "tfrecord") == read(str(records), "tfrecord")


def cut(content: bytes) -> bytes:
    return content[:-3]


def cut_gzip(content: bytes) -> bytes:
    return gzip.compress(content)[:-9]


def changed_header(content: bytes) -> bytes:
    return bytes([content[0] ^ 1]) + content[1:]


def sequence_example(content: bytes) -> bytes:
    import tensorflow as tf

    example = tf.train.SequenceExample()
    example.feature_lists.feature_list["steps"].feature.add().int64_list.value.append(1)
    return framed(example.SerializeToString())


def framed(record: bytes) -> bytes:
    length = len(record).to_bytes(8, "little")
    checksum = first_records.masked_checksum(length).to_bytes(4, "little")
    return length + checksum + record + bytes(4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("a", cut, "a is not a whole TFRecord file: it breaks off after 1 examples"),
        ("a.gz", cut_gzip, "a.gz is a damaged gzip file"),
        ("a", changed_header, "a is not a TFRecord file: the length of its first record has a wr"),
        ("a", gzip.compress, "a is gzipped, but its name does not end in .gz; rename it"),
        ("a.gz", lambda content: content, "a.gz is not gzipped, though its name says so"),
        ("a", lambda content: framed(b"\xff" * 9), "record 0 of .*a is not a tf.Example"),
        ("a", lambda content: b"x,label\n1,2\n3,4\n", "a is a text file, not TFRecords; CSV needs"),
        ("a", zlib.compress, "a is compressed by zlib; write it with gzip, and name it .gz"),
        ("a", lambda content: LFS, "a is a pointer of Git LFS; fetch the file itself with `git"),
        ("a", lambda content: b"<!DOCTYPE html><html>", "a is a web page, not TFRecords"),
        ("a", lambda content: b"PAR1" + bytes(20), "a is a Parquet file, not TFRecords"),
    ],
)
def test_a_file_that_is_damaged_or_another_thing_is_told(
    tmp_path: Path, records: Path, name: str, change: Callable[[bytes], bytes], problem: str
):
    (tmp_path / name).write_bytes(change(records.read_bytes()))
    with pytest.raises(DataError, match=problem):
        read(str(tmp_path / name), "tfrecord")


@pytest.mark.slow
def test_sequence_examples_are_noted_and_have_the_features_of_their_context(
    tmp_path: Path, records: Path
):
    (tmp_path / "a").write_bytes(sequence_example(records.read_bytes()))
    found = read(str(tmp_path / "a"), "tfrecord")
    assert found.has_sequences and found.count == 1 and not found.features


@pytest.mark.parametrize("data_format", ["npz", "parquet"])
def test_files_of_columns_say_the_same_as_records(tmp_path: Path, data_format: str):
    columns = {"x": [[1.0, 2.0]] * 40, "label": [1] * 40, "city": ["Bonn"] * 40}
    path = tmp_path / f"a.{data_format}"
    if data_format == "npz":
        np.savez(path, **columns)
    else:
        pq.write_table(pa.table(columns), path)
    found = read(str(path), data_format)
    assert found.count == first_records.RECORDS and not found.is_all and not found.has_sequences
    kinds = {name: (feature.kind, feature.sizes) for name, feature in found.features.items()}
    assert kinds == {"x": ("float", {2}), "label": ("int", {1}), "city": ("text", {1})}


@pytest.mark.parametrize("name", ["a", "a.gz"])
def test_an_empty_file_holds_no_record(tmp_path: Path, name: str):
    (tmp_path / name).touch()
    assert read(str(tmp_path / name), "tfrecord").count == 0


def test_columns_of_csv_are_features(tmp_path: Path):
    file = tmp_path / "a.csv"
    file.write_bytes(b"x,y,label,empty\r\n1,0.5,yes,\r\n2,1,no,\r\n\r\n")
    found = read(str(file), "csv")
    one = frozenset({1})
    assert found.count == 2 and found.features == {
        "x": Feature("int", one, 2),
        "y": Feature("float", one, 2),
        "label": Feature("text", one, 2),
    }


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\x08\x00\x00\x00\x00\x00\x00\x00abcd", "is not CSV but binary; TFRecords need"),
        (gzip.compress(b"x\n1\n", mtime=0), "is gzipped, which CSV may not be; unzip it"),
        (b"x,y\n1\n", "row 1 of .* has 1 values, but the header 2"),
        (b"x\n\xff\xfe\n", "is not text in UTF-8"),
        (b"PAR1aaaaaaa", "is a Parquet file, not CSV"),
        # What public reports of CSV files that lack a column come down to.
        (b"\xef\xbb\xbfx,label\n1,2\n", "begins with a mark of byte order, which TFX takes for"),
        (b'"x","label"\n1,2\n', "has quoted names in its header"),
        (b"x;label\n1;2\n", "separates its columns by ';', expected a comma"),
        (b"x\tlabel\n1\t2\n", r"separates its columns by '\\t', expected a comma"),
        (b"x,label,x\n1,2,3\n", "has two columns 'x' in its header"),
    ],
)
def test_a_file_that_is_no_csv_is_told(tmp_path: Path, content: bytes, problem: str):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=problem):
        read(str(tmp_path / "a.csv"), "csv")


@pytest.mark.parametrize("content", [b",x,label\n0,1,2\n1,3,4\n", b"x,label,\n1,2,\n3,4,\n"])
def test_a_column_without_a_name_does_no_harm(tmp_path: Path, content: bytes):
    """Pandas writes its index so; TFX, and all that comes after it, takes the name as it is."""
    (tmp_path / "a.csv").write_bytes(content)
    found = read(str(tmp_path / "a.csv"), "csv")
    assert found.always_has("x") and found.always_has("label")


@pytest.mark.slow
@pytest.mark.parametrize("message", first_records.FIELDS)
def test_the_fields_are_those_of_tensorflow(message: str):
    from google.protobuf import symbol_database
    from tensorflow.core.example import example_pb2  # noqa: F401

    name = {"FeatureEntry": "Features.FeatureEntry"}.get(message, message)
    pool = symbol_database.Default().pool
    theirs = pool.FindMessageTypeByName(f"tensorflow.{name}").fields_by_name
    of_sequences = pool.FindMessageTypeByName("tensorflow.SequenceExample").fields_by_name
    for field, (number, kind) in first_records.FIELDS[message].items():
        known = of_sequences[field] if field == "feature_lists" else theirs[field]
        assert known.number == number
        if field != "feature_lists":
            assert (known.label == known.LABEL_REPEATED) == kind.endswith("*")


@pytest.mark.parametrize("length", [1 << 31, 1 << 62, (1 << 63) + 5])
def test_a_length_that_no_record_has_is_no_reason_to_ask_for_the_memory(
    tmp_path: Path, length: int
):
    header = length.to_bytes(8, "little")
    checksum = first_records.masked_checksum(header).to_bytes(4, "little")
    (tmp_path / "a").write_bytes(header + checksum + b"rest")
    with pytest.raises(DataError, match=r"record 0 of .* is said to have [\d,]+ bytes, which no"):
        read(str(tmp_path / "a"), "tfrecord")
