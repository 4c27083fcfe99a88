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
    from tfx.types import standard_artifacts

    from tests.executors import on_beam
    from tfx_tflite.components.calibration_sampler.executor import Executor

    sample = standard_artifacts.Examples()
    sample.uri = str(output)
    on_beam(Executor).Do(
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


def test_several_draws_are_splits_of_which_the_first_is_the_file_of_one(examples, tmp_path: Path):
    artifact = examples(ROWS)
    several = run(artifact, tmp_path / "several", stratify_by="label", seeds=3)
    run(artifact, tmp_path / "one", stratify_by="label")
    splits = ["calibration", "calibration_draw_1", "calibration_draw_2"]
    assert json.loads(several.split_names) == splits
    first, *others = (
        (tmp_path / "several" / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz").read_bytes()
        for split in splits
    )
    [alone] = (tmp_path / "one" / "Split-calibration").iterdir()
    assert first == alone.read_bytes() and first not in others and others[0] != others[1]
    assert several.get_int_custom_property("sample_size") == 20


def test_the_artifact_has_a_digest_of_each_draw_and_what_they_share(examples, tmp_path: Path):
    artifact = examples(ROWS)
    one = run(artifact, tmp_path / "one")
    several = run(artifact, tmp_path / "several", seeds=3)
    digests = json.loads(several.get_string_custom_property("sample_draws"))
    assert digests[0] == one.get_string_custom_property("sample_digest")
    assert len({*digests, several.get_string_custom_property("sample_digest")}) == 4
    assert several.get_string_custom_property("sample_shared") == "0.0"
    assert not one.has_custom_property("sample_draws")


def test_draws_that_share_examples_say_so(examples, tmp_path: Path):
    shared = run(examples(ROWS[:50]), tmp_path / "out", seeds=4)
    assert 0 < float(shared.get_string_custom_property("sample_shared")) < 1


def test_draws_that_would_all_be_the_same_are_an_error_with_the_number(examples, tmp_path: Path):
    expected = "holds 20 examples, all of which calibration.samples: 30 takes, so that the 3 draws"
    with pytest.raises(DataError, match=expected):
        run(examples(ROWS[:20]), tmp_path / "out", samples=30, seeds=3)
