"""TFRecord files that are copied into an artifact: in their order, counted, digested, whole."""

import gzip
import json
from pathlib import Path

import pytest

from tests.components.examples.test_frames import frame, read
from tfx_tflite.components.digests import bytes_digest, file_digest
from tfx_tflite.components.examples import copy_records
from tfx_tflite.components.examples.copy_records import (
    SMALL,
    CopiedShard,
    CopyRecords,
    Shard,
    copied_files_path,
    copy_shard,
    shards_of,
)

# tf.Examples without features, of different lengths: an empty `features`, and a field to skip.
EXAMPLES = [b"\n\x00" + b"\x1a" + bytes([size]) + bytes(size) for size in range(20)]


def write(path: Path, records: list[bytes]) -> str:
    """Writes records to a file, which is gzipped if its name says so."""
    content = b"".join(map(frame, records))
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


def copied(directory: Path, *files: str) -> CopiedShard:
    """Copies files into one."""
    shard = Shard("Split-train/data.gz", "train", files)
    return copy_shard(shard, str(directory), str(directory / "artifact"))


def records_of(directory: Path) -> list[bytes]:
    """Returns the records of what was copied."""
    return read((directory / "artifact/Split-train/data.gz").read_bytes(), "data.gz")


def test_a_gzipped_file_is_copied_as_it_is(tmp_path: Path):
    file = write(tmp_path / "a.gz", EXAMPLES)
    found = copied(tmp_path, file)
    copy = tmp_path / "artifact/Split-train/data.gz"
    assert copy.read_bytes() == Path(file).read_bytes()
    assert found.examples == 20 and found.digest == file_digest(copy) and not found.problem
    # Whoever writes to the file does not write to the artifact.
    assert copy.stat().st_ino != Path(file).stat().st_ino and not copy.is_symlink()


def test_a_plain_file_is_compressed_to_the_same_bytes_every_time(tmp_path: Path):
    file = write(tmp_path / "a.tfrecord", EXAMPLES)
    digests = {copied(tmp_path, file).digest for _ in range(2)}
    assert digests == {file_digest(tmp_path / "artifact/Split-train/data.gz")}
    assert records_of(tmp_path) == EXAMPLES


def test_several_files_become_one_in_their_order(tmp_path: Path):
    files = [
        write(tmp_path / "a.gz", EXAMPLES[:5]),
        write(tmp_path / "b.tfrecord", []),
        write(tmp_path / "c.tfrecord", EXAMPLES[5:7]),
        write(tmp_path / "d.gz", EXAMPLES[7:]),
    ]
    found = copied(tmp_path, *files)
    assert records_of(tmp_path) == EXAMPLES
    assert [(file.file, file.examples) for file in found.files] == [
        ("a.gz", 5),
        ("b.tfrecord", 0),
        ("c.tfrecord", 2),
        ("d.gz", 13),
    ]


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(b"") + gzip.compress(frame(EXAMPLES[0])),
        gzip.compress(frame(EXAMPLES[0])) + bytes(8),
        b"",
    ],
    ids=["an empty part first", "zeros after its end", "nothing at all"],
)
def test_a_gzip_file_that_tensorflow_would_not_read_to_its_end_is_compressed_anew(
    tmp_path: Path, content: bytes
):
    (tmp_path / "a.gz").write_bytes(content)
    found = copied(tmp_path, str(tmp_path / "a.gz"))
    assert not found.problem
    copy = (tmp_path / "artifact/Split-train/data.gz").read_bytes()
    assert read(copy, "data.gz", is_one_member=True) == EXAMPLES[: found.examples]
    assert found.examples == (1 if content else 0)


def test_records_that_are_no_examples_are_named(tmp_path: Path):
    found = copied(tmp_path, write(tmp_path / "a.gz", [b"\xff\xff\xff", *EXAMPLES]))
    assert found.problem == f"record 0 of {tmp_path}/a.gz is not a tf.Example"


def test_of_what_is_wrong_nothing_is_left(tmp_path: Path):
    file = write(tmp_path / "a.tfrecord", EXAMPLES)
    Path(file).write_bytes(Path(file).read_bytes()[:-1])
    found = copied(tmp_path, file)
    assert f"{file} is not a whole TFRecord file: it breaks off after 19" in found.problem
    assert found.examples == 0 and list((tmp_path / "artifact/Split-train").iterdir()) == []


def test_a_file_that_is_written_to_while_it_is_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = write(tmp_path / "a.tfrecord", EXAMPLES)

    def frames_while_written_to(stream, name, *arguments, **settings):
        content = Path(name).read_bytes()
        yield from frames_of(stream, name, *arguments, **settings)
        Path(name).write_bytes(content)

    frames_of = copy_records.frames_of
    monkeypatch.setattr(copy_records, "frames_of", frames_while_written_to)
    assert copied(tmp_path, file).problem == f"{file} was changed while it was read; run again"


def test_a_file_that_is_gone_is_named(tmp_path: Path):
    assert copied(tmp_path, f"{tmp_path}/a").problem == f"there is no file {tmp_path}/a"


def test_large_files_are_one_each_and_small_ones_share_in_their_order():
    sizes = {"a": SMALL + 1, "b": 10, "c": SMALL - 10, "d": 1, "e": 0, "f": SMALL, "g": 0}
    shards = shards_of("train", sizes.items())
    assert [shard.files for shard in shards] == [("a",), ("b", "c"), ("d", "e"), ("f", "g")]
    assert shards[1].name == "Split-train/data_tfrecord-00001-of-00004.gz"


def test_a_split_of_one_empty_file_is_a_shard():
    assert [shard.files for shard in shards_of("train", [("a", 0)])] == [("a",)]


def test_ten_times_the_small_files_are_looked_at_ten_times_as_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    calls = []
    for name in ("state_of", "opened"):
        original = getattr(copy_records, name)

        def counted(file, name=name, original=original):
            calls.append(name)
            return original(file)

        monkeypatch.setattr(copy_records, name, counted)
    file = write(tmp_path / "a.tfrecord", EXAMPLES)
    counts = []
    for many in (30, 300):
        calls.clear()
        assert copied(tmp_path, *[file] * many).examples == 20 * many
        counts.append(len(calls))
    assert counts == [90, 900]


def test_what_was_copied_stands_beside_it_whatever_is_wrong(tmp_path: Path):
    import apache_beam as beam

    sound, cut = write(tmp_path / "a.gz", EXAMPLES), write(tmp_path / "b.gz", EXAMPLES)
    Path(cut).write_bytes(Path(cut).read_bytes()[:-1])
    shards = [Shard("Split-x/2.gz", "x", (cut,)), Shard("Split-x/1.gz", "x", (sound,))]
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | CopyRecords(shards, str(tmp_path), str(tmp_path / "artifact"))
    path = copied_files_path(str(tmp_path / "artifact"))
    found = copy_records.CopiedFiles.parse(Path(path).read_bytes(), path)
    assert [shard.name for shard in found.shards] == ["Split-x/1.gz", "Split-x/2.gz"]
    assert found.sizes() == {"x": 20}
    assert "b.gz is not a whole TFRecord file" in found.shards[1].problem
    assert json.loads(Path(path).read_text())["shards"][0]["files"][0]["file"] == "a.gz"


@pytest.mark.slow
def test_data_and_artifacts_may_be_wherever_tensorflow_reaches(tmp_path: Path):
    import tensorflow as tf

    place = "ram://copy_records"
    tf.io.gfile.makedirs(f"{place}/data")
    for name, records in (("a.gz", EXAMPLES[:3]), ("b.gz", EXAMPLES[3:])):
        content = Path(write(tmp_path / name, records)).read_bytes()
        with tf.io.gfile.GFile(f"{place}/data/{name}", "wb") as file:
            file.write(content)
    files = (f"{place}/data/a.gz", f"{place}/data/b.gz")
    found = copy_shard(Shard("Split-x/data.gz", "x", files), f"{place}/data", f"{place}/artifact")
    assert not found.problem and [file.file for file in found.files] == ["a.gz", "b.gz"]
    with tf.io.gfile.GFile(f"{place}/artifact/Split-x/data.gz", "rb") as file:
        copied = file.read()
    assert read(copied, "data.gz") == EXAMPLES
    assert found.digest == bytes_digest(copied)


@pytest.mark.slow
def test_of_what_is_wrong_elsewhere_nothing_is_left_either():
    import tensorflow as tf

    place = "ram://copy_records_cut"
    tf.io.gfile.makedirs(f"{place}/data")
    with tf.io.gfile.GFile(f"{place}/data/a", "wb") as file:
        file.write(frame(EXAMPLES[0])[:-1])
    shard = Shard("Split-x/data.gz", "x", (f"{place}/data/a",))
    found = copy_shard(shard, f"{place}/data", f"{place}/artifact")
    assert found.problem.startswith(f"{place}/data/a is not a whole TFRecord file")
    assert not tf.io.gfile.exists(f"{place}/artifact/Split-x/data.gz")
    shard = Shard("Split-x/data.gz", "x", (f"{place}/data/missing",))
    found = copy_shard(shard, f"{place}/data", f"{place}/artifact")
    assert found.problem == f"there is no file {place}/data/missing"
