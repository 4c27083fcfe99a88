"""The sizes of splits, as StatisticsGen has counted them."""

from pathlib import Path

import pytest
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.types import standard_artifacts

from tfx_tflite.components.progress import VARIABLE
from tfx_tflite.pipelines.cli.running_stage import Counts
from tfx_tflite.pipelines.runs.split_sizes import tell_split_sizes


@pytest.fixture
def statistics(tmp_path: Path) -> standard_artifacts.ExampleStatistics:
    artifact = standard_artifacts.ExampleStatistics()
    artifact.uri = str(tmp_path / "statistics")
    for split, size in (("train", 1348), ("eval", 449)):
        found = statistics_pb2.DatasetFeatureStatisticsList()
        found.datasets.add().num_examples = size
        file = tmp_path / "statistics" / f"Split-{split}" / "FeatureStats.pb"
        file.parent.mkdir(parents=True)
        file.write_bytes(found.SerializeToString())
    return artifact


@pytest.fixture
def counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counts:
    path = tmp_path / "progress"
    path.touch()
    monkeypatch.setenv(VARIABLE, str(path))
    return Counts(path)


def test_the_size_of_each_split_is_told(statistics, counts: Counts):
    tell_split_sizes(statistics)
    counts.poll()
    assert counts._sizes == {"train": 1348, "eval": 449}


def test_the_sizes_that_an_artifact_says_are_told(statistics, counts: Counts):
    """Statistics of a sample know how many examples there are; what they are of is fewer."""
    statistics.set_string_custom_property("split_sizes", '{"train": 100000, "eval": 5000}')
    tell_split_sizes(statistics)
    counts.poll()
    assert counts._sizes == {"train": 100_000, "eval": 5000}


@pytest.mark.parametrize("damage", [b"\xff", None])
def test_statistics_that_cannot_be_read_tell_nothing(statistics, counts: Counts, damage):
    for file in Path(statistics.uri).rglob("FeatureStats.pb"):
        file.unlink()
        if damage is not None:
            file.write_bytes(damage)
    tell_split_sizes(statistics)
    counts.poll()
    assert counts._sizes == {}


def test_nobody_reads_them_where_nobody_is_told(statistics, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    statistics.uri = "nowhere://to/be/read"
    tell_split_sizes(statistics)
