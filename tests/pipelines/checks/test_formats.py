"""What `validate` says of data in each format, before anything is loaded."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pipelines.checks.test_broken_setups import CONFIG, messages
from tfx_tflite.components.errors import DataError
from tfx_tflite.pipelines.checks.table import checked
from tfx_tflite.pipelines.config.file import ConfigFile

# Without a model to compare with; the trainer is what makes one.
TRAINED = CONFIG.replace(
    "  saved_model: model\n",
    "  trainer: {module_file: trainer.py, train_steps: 1, eval_steps: 1}\n",
)
COLUMNS = {"image": np.ones((6, 4)), "label": np.ones(6, int), "country": np.array(["de"] * 6)}


@pytest.fixture(params=["npz", "parquet"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A config, its trainer and its data in a format, in which nothing is wrong."""
    trainer = Path(__file__).with_name("trainer.py").read_text(encoding="utf-8")
    (tmp_path / "trainer.py").write_text(trainer)
    (tmp_path / "layers.py").write_text("def build(): ...\n")
    for split in ("train", "eval"):
        (tmp_path / "data" / split).mkdir(parents=True)
        write(tmp_path, split, request.param, COLUMNS)
    data = f"input_base: data\n  format: {request.param}"
    (tmp_path / "c.yaml").write_text(TRAINED.replace("input_base: data", data))
    return tmp_path


def write(folder: Path, split: str, data_format: str, columns: dict) -> None:
    path = folder / "data" / split / "a"
    if data_format == "npz":
        with path.open("wb") as stream:
            np.savez(stream, **columns)
    else:
        pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), path)


def format_of(folder: Path) -> str:
    return ConfigFile.read(folder / "c.yaml").config().data.format


def test_nothing_is_found_where_nothing_is_wrong(folder: Path):
    assert checked(ConfigFile.read(folder / "c.yaml")).warnings == ()


def test_a_label_that_no_column_is_called_is_found(folder: Path):
    columns = {name: values for name, values in COLUMNS.items() if name != "label"}
    write(folder, "eval", format_of(folder), {**columns, "lable": COLUMNS["label"]})
    [line] = messages(folder)
    assert line.endswith("there is no feature 'label' in split 'eval'; did you mean 'lable'?")


def test_files_of_another_format_are_found(folder: Path):
    (folder / "data/eval/a").write_text("image,label\n1,2\n")
    [line] = messages(folder, DataError)
    assert "data.splits.eval" in line and "data/eval/a" in line


def test_files_that_are_divided_by_hash_hold_what_each_split_needs(folder: Path):
    text = (folder / "c.yaml").read_text()
    divided = "input_base: data\n  splits: {all: '*/a'}\n  hash_buckets: {train: 2, eval: 1}"
    text = text.replace("input_base: data", divided)
    (folder / "c.yaml").write_text(text)
    assert checked(ConfigFile.read(folder / "c.yaml")).warnings == ()
    (folder / "c.yaml").write_text(text.replace("label: label", "label: lable"))
    assert "did you mean 'label'?" in messages(folder)[0]


def test_texts_as_labels_without_a_vocabulary_are_found(folder: Path):
    kinds = {**COLUMNS, "label": np.array(["a", "b"] * 3)}
    write(folder, "eval", format_of(folder), kinds)
    [line] = messages(folder)
    assert "evaluation.label: the feature 'label' holds texts; list them in the order" in line
    text = (folder / "c.yaml").read_text()
    (folder / "c.yaml").write_text(
        text.replace("label: label", "label: label\n  vocabulary: [a, b]")
    )
    assert checked(ConfigFile.read(folder / "c.yaml")).warnings == ()
