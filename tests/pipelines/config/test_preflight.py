"""What is checked of the data before anything runs; none of this loads TensorFlow."""

import os
from pathlib import Path

import pytest

from tests.pipelines.config.test_config import MINIMAL
from tfx_tflite.components.errors import ConfigError, DataError
from tfx_tflite.pipelines.config import preflight
from tfx_tflite.pipelines.config.file import load_config


@pytest.fixture
def check(tmp_path: Path):
    """Checks the data of a config whose splits are CSV files of some content."""
    (tmp_path / "c.yaml").write_text(MINIMAL)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").touch()
    for split in ("train", "eval"):
        (tmp_path / "data" / split).mkdir(parents=True)

    def with_eval(*contents: str) -> None:
        (tmp_path / "data/train/a.csv").write_text("x,label\n1,0\n")
        for index, content in enumerate(contents):
            (tmp_path / f"data/eval/{index}.csv").write_text(content)
        config = load_config(tmp_path / "c.yaml", ["data.format=csv"])
        preflight.check_examples(preflight.inspect(config))

    return with_eval


@pytest.mark.parametrize("content", ["", "x,label\n", "x,label\n\n\n"])
def test_a_split_of_csv_files_without_rows_is_an_error(check, content: str):
    with pytest.raises(DataError, match=r"split 'eval' holds no examples \(.*/data/eval/"):
        check(content)


def test_a_row_in_one_of_its_files_will_do(check):
    check("x,label\n", "x,label\n1,0\n")


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize(
    ("place", "put", "problem"),
    [
        ("data/eval/1.csv", a_link_to_nothing, "data.splits.eval: .* a link to what is not there"),
        ("data/eval/1.csv", os.mkfifo, "data.splits.eval: .* not a regular file"),
        ("model/saved_model.pb", a_link_to_nothing, "model.saved_model: there is no file"),
        ("model/saved_model.pb", os.mkfifo, "model.saved_model: .* not a regular file"),
    ],
)
def test_what_is_not_there_or_would_be_waited_for_is_told_by_its_key(
    check, tmp_path: Path, place: str, put, problem: str
):
    check("x,label\n1,0\n")
    (tmp_path / place).unlink(missing_ok=True)
    put(tmp_path / place)
    with pytest.raises(ConfigError, match=problem):
        preflight.inspect(load_config(tmp_path / "c.yaml", ["data.format=csv"]))


@pytest.mark.slow
def test_an_empty_file_beside_a_compressed_one_is_no_damage(check, tmp_path: Path):
    import tensorflow as tf

    check("x,label\n1,0\n")
    for name in ("train/1.gz", "eval/1.gz"):
        with tf.io.TFRecordWriter(f"{tmp_path}/data/{name}", "GZIP") as file:
            file.write(b"an example")
    for name in ("train/a.csv", "eval/0.csv"):
        (tmp_path / "data" / name).write_bytes(b"")
    preflight.check_examples(preflight.inspect(load_config(tmp_path / "c.yaml", [])))


@pytest.fixture
def check_sequences(tmp_path: Path):
    """Checks the data of a config whose records are SequenceExamples."""
    import tensorflow as tf

    (tmp_path / "c.yaml").write_text(MINIMAL)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").touch()
    step = tf.train.Feature(float_list=tf.train.FloatList(value=[1.0]))
    lists = tf.train.FeatureLists(feature_list={"signal": tf.train.FeatureList(feature=[step])})
    record = tf.train.SequenceExample(feature_lists=lists).SerializeToString()
    for split in ("train", "eval"):
        (tmp_path / "data" / split).mkdir(parents=True)
        with tf.io.TFRecordWriter(str(tmp_path / "data" / split / "a.tfrecord")) as writer:
            writer.write(record)

    def check(*overrides: str) -> None:
        preflight.check_examples(preflight.inspect(load_config(tmp_path / "c.yaml", overrides)))

    return check


@pytest.mark.slow
def test_sequence_examples_are_refused_with_what_to_do(check_sequences):
    with pytest.raises(DataError, match=r"train/a.tfrecord .*SequenceExamples, .*preprocessing_s"):
        check_sequences()


@pytest.mark.slow
def test_sequence_examples_are_what_a_preprocessing_signature_may_read(check_sequences):
    check_sequences("model.preprocessing_signature=prepare")
