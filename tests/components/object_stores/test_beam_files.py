"""What Beam reads and writes in an object store, in this process and in a worker's."""

import subprocess
import sys
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.internal import pickler
from apache_beam.io.filesystems import FileSystems

from tests.components.object_stores import unpickling_worker
from tests.conftest import ROOT
from tfx_tflite.components.object_stores import files
from tfx_tflite.components.object_stores.for_workers import FILE_SYSTEMS, Sent

pytestmark = pytest.mark.slow


def test_each_scheme_has_one_file_system():
    for each in FILE_SYSTEMS:
        assert type(FileSystems.get_filesystem(f"{each.scheme()}://bucket/x")) is each


def test_paths_are_joined_and_split_as_uris(uri: str):
    assert FileSystems.join(uri, "a", "b") == f"{uri}/a/b"
    assert FileSystems.split(f"{uri}/a/b") == (f"{uri}/a", "b")
    assert FileSystems.split("s3://models") == ("s3://models", "")


@pytest.mark.parametrize("suffix", [".txt", ".gz"])
def test_a_pipeline_reads_what_another_one_wrote(uri: str, suffix: str):
    words = [f"word {number}".encode() for number in range(100)]
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        _ = (
            pipeline
            | beam.Create(words)
            | beam.io.WriteToTFRecord(f"{uri}/words/part", file_name_suffix=suffix, num_shards=2)
        )
    # Nothing of the temporary folders is left.
    assert sorted(files.below(uri)) == [
        f"words/part-0000{shard}-of-00002{suffix}" for shard in range(2)
    ]
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        found = (
            pipeline
            | beam.io.ReadFromTFRecord(f"{uri}/words/part-*{suffix}")
            | beam.combiners.ToList()
        )
        _ = found | beam.Map(lambda read: _write(f"{uri}/found", read))
    assert files.read(f"{uri}/found") == b",".join(sorted(words))


def _write(path: str, words: list[bytes]) -> None:
    with FileSystems.create(path) as file:
        file.write(b",".join(sorted(words)))


def test_patterns_match_in_one_folder_or_in_all(uri: str):
    for name in ("a/1.gz", "a/2.gz", "a/b/3.gz", "ab/4.gz"):
        files.write(f"{uri}/{name}", b"1")

    def matching(pattern: str) -> list[str]:
        [result] = FileSystems.match([f"{uri}/{pattern}"])
        return sorted(each.path.removeprefix(f"{uri}/") for each in result.metadata_list)

    assert matching("a/*") == ["a/1.gz", "a/2.gz"] and matching("a/") == matching("a/*")
    assert matching("a/**") == ["a/1.gz", "a/2.gz", "a/b/3.gz"]
    assert matching("a/[2-9].gz") == ["a/2.gz"] and matching("a/?.g*") == matching("a/*")
    assert matching("a/1.gz") == ["a/1.gz"] and matching("a/0.gz") == [] and matching("c/*") == []
    assert FileSystems.exists(f"{uri}/a") and not FileSystems.exists(f"{uri}/c")
    FileSystems.delete([f"{uri}/a"])
    assert list(files.below(uri)) == ["ab/4.gz"]


def test_a_worker_that_knows_nothing_reads_after_it_has_unpickled_what_it_is_to_do(
    uri: str, tmp_path: Path
):
    """As a worker of Beam's pool does, which looks at no options and imports nothing by itself."""
    files.write(f"{uri}/x", b"content")
    work = tmp_path / "work"
    arguments = [sys.executable, "-m", unpickling_worker.__name__, str(work), f"{uri}/x"]
    for sent, expected in ((len, b""), (Sent(pickler.dumps(len)), b"content")):
        work.write_bytes(pickler.dumps(sent))
        done = subprocess.run(arguments, capture_output=True, cwd=ROOT)
        assert done.stdout == expected, done.stderr
