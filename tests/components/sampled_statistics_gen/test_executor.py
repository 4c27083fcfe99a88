"""Statistics of a sample that depends on the examples and the seed alone."""

import json
from pathlib import Path

import pytest

from tfx_tflite.components.artifact_layout import SPLIT_SIZES
from tfx_tflite.components.errors import DataError

pytestmark = [pytest.mark.slow, pytest.mark.generations]

ROWS = [{"x": float(row), "label": row % 4, "name": f"row {row}"} for row in range(300)]


@pytest.fixture
def statistics(tmp_path: Path, write_records_to):
    """Runs the component on rows in some files; returns the artifact and what is in it."""
    from tensorflow_metadata.proto.v0 import statistics_pb2
    from tfx.types import artifact_utils, standard_artifacts

    from tests.executors import on_beam
    from tfx_tflite.components.sampled_statistics_gen.executor import Executor

    def run(files: int, rows=ROWS, **settings):
        examples, output = standard_artifacts.Examples(), standard_artifacts.ExampleStatistics()
        examples.uri = str(tmp_path / f"examples-{files}")
        output.uri = str(tmp_path / f"statistics-{files}-{len(settings)}")
        for file in range(files):
            name = f"data_tfrecord-{file:05}-of-{files:05}.gz"
            write_records_to(Path(examples.uri) / "Split-train" / name, rows[file::files])
        examples.split_names = artifact_utils.encode_split_names(["train"])
        examples.span = 7
        properties = {"settings": json.dumps({"sample": 50, **settings})}
        on_beam(Executor).Do({"examples": [examples]}, {"statistics": [output]}, properties)
        [file] = [path for path in Path(output.uri).rglob("*") if path.is_file()]
        return output, statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read_bytes())

    return run


def test_are_the_same_for_any_number_of_files_and_others_with_another_seed(statistics):
    artifact, of_one = statistics(1)
    _, of_seven = statistics(7)
    assert of_one.datasets[0].num_examples == of_seven.datasets[0].num_examples == 50
    # Sums of floats are in the order of the examples, which is that of their ranks.
    assert of_one == of_seven
    _, of_another = statistics(1, seed=1)
    assert of_another.datasets[0].num_examples == 50 and of_another != of_one
    assert artifact.span == 7 and json.loads(artifact.split_names) == ["train"]
    assert json.loads(artifact.get_string_custom_property(SPLIT_SIZES)) == {"train": 300}


def test_of_fewer_examples_than_asked_for_are_those_of_all(statistics):
    _, found = statistics(3, sample=1000)
    assert found.datasets[0].num_examples == 300
    [label] = [each for each in found.datasets[0].features if each.path.step == ["label"]]
    assert label.num_stats.common_stats.num_non_missing == 300


def test_a_file_that_is_damaged_is_named(statistics, tmp_path: Path):
    statistics(1)
    file = tmp_path / "examples-1/Split-train/data_tfrecord-00000-of-00001.gz"
    from tfx_tflite.components.examples.record_sample import _draw_of_file
    from tfx_tflite.components.examples.settings import StatisticsSettings

    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match="is not a whole TFRecord file"):
        list(_draw_of_file(str(file), StatisticsSettings(sample=10)))
