import json
from pathlib import Path

import pytest

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples.settings import SamplePlan

pytestmark = pytest.mark.generations


@pytest.fixture
def examples(tmp_path: Path, write_records):
    """An `Examples` artifact with splits train (in `shards` files) and empty."""
    from tfx.types import artifact_utils, standard_artifacts

    def make(rows: list[dict], shards: int = 1, name: str = "examples"):
        uri = tmp_path / f"{name}-{shards}"
        for shard in range(shards):
            path = uri / "Split-train" / f"data_tfrecord-{shard:05d}-of-{shards:05d}.gz"
            write_records(path, rows[shard::shards], "GZIP")
        write_records(uri / "Split-empty" / "data_tfrecord-00000-of-00001.gz", [], "GZIP")
        artifact = standard_artifacts.Examples()
        artifact.uri = str(uri)
        artifact.split_names = artifact_utils.encode_split_names(["train", "empty"])
        return artifact

    return make


def run(artifact, output: Path, **options):
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.types import standard_artifacts

    from tfx_tflite.components.calibration_sampler.executor import Executor

    sample = standard_artifacts.Examples()
    sample.uri = str(output)
    context = BaseBeamExecutor.Context(beam_pipeline_args=["--runner=FnApiRunner"])
    Executor(context).Do(
        {"examples": [artifact]},
        {"calibration_examples": [sample]},
        {"settings": SamplePlan.given(None, {"samples": 20, **options}).to_property()},
    )
    return sample


ROWS = [{"x": float(row), "label": row % 4} for row in range(200)]


def test_describes_the_sample_in_the_artifact(examples, tmp_path: Path):
    sample = run(examples(ROWS), tmp_path / "out", stratify_by="label")
    assert json.loads(sample.split_names) == ["calibration"]
    assert sample.get_int_custom_property("sample_size") == 20
    assert sample.get_string_custom_property("sample_digest").startswith("sha256:")
    strata = json.loads(sample.get_string_custom_property("sample_strata"))
    assert strata == {str(label): {"seen": 50, "drawn": 5} for label in range(4)}


def test_the_file_is_the_same_bytes_for_any_number_of_shards(examples, tmp_path: Path):
    contents = set()
    for shards in (1, 2, 8):
        run(examples(ROWS, shards), tmp_path / f"out{shards}", stratify_by="label")
        [file] = (tmp_path / f"out{shards}" / "Split-calibration").iterdir()
        contents.add(file.read_bytes())
    assert len(contents) == 1


def test_tfx_reads_the_sample_back(examples, tmp_path: Path):
    from tfx_tflite.components.example_artifacts import split_files

    sample = run(examples(ROWS), tmp_path / "out")
    [batch] = split_files([sample], "calibration", None, "test").batches()
    assert batch.num_rows == 20
    assert {"x", "label"} <= set(batch.schema.names)


def test_an_empty_split_is_an_error(examples, tmp_path: Path):
    with pytest.raises(DataError, match="split 'empty' holds no examples"):
        run(examples(ROWS), tmp_path / "out", split="empty")


def test_a_split_that_is_not_there_is_an_error_that_lists_those_there_are(examples, tmp_path: Path):
    with pytest.raises(DataError, match="no split 'test' in the examples; they have: train, empty"):
        run(examples(ROWS), tmp_path / "out", split="test")


def test_fewer_examples_than_asked_for_are_all_taken_and_counted(examples, tmp_path: Path):
    sample = run(examples(ROWS[:7]), tmp_path / "out", samples=20)
    assert sample.get_int_custom_property("sample_size") == 7
    assert sample.get_int_custom_property("sample_requested") == 20
