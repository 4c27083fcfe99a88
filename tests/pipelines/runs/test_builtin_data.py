from pathlib import Path

import pytest

from tfx_tflite.components.errors import DataError
from tfx_tflite.pipelines.runs.builtin_data import write_builtin_data

pytestmark = pytest.mark.slow

SIZES = {"digits": (1348, 449), "breast_cancer": (427, 142), "diabetes": (332, 110)}


@pytest.mark.parametrize("name", SIZES)
def test_writes_a_quarter_of_the_examples_for_evaluation(name: str, tmp_path: Path):
    import tensorflow as tf

    target = write_builtin_data(name, tmp_path)
    found = tuple(
        sum(1 for _ in tf.data.TFRecordDataset(str(target / split / "data.tfrecord")))
        for split in ("train", "eval")
    )
    assert found == SIZES[name]


def test_the_bytes_are_the_same_every_time(tmp_path: Path):
    contents = [
        (write_builtin_data("digits", tmp_path / name) / "train" / "data.tfrecord").read_bytes()
        for name in ("a", "b")
    ]
    assert contents[0] == contents[1]


def test_data_that_is_there_is_left_alone(tmp_path: Path):
    target = write_builtin_data("diabetes", tmp_path)
    before = (target / "train" / "data.tfrecord").stat().st_mtime_ns
    assert write_builtin_data("diabetes", tmp_path) == target
    assert (target / "train" / "data.tfrecord").stat().st_mtime_ns == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["diabetes-v1"]


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot write the builtin data"):
        write_builtin_data("digits", tmp_path / "file")
