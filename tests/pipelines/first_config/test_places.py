"""Where data are that a user points to; none of this loads TensorFlow."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines.first_config.places import find_data, format_of

CSV = "x,label\n1,0\n"


@pytest.fixture
def folder(tmp_path: Path):
    """Makes a folder with CSV files of some names."""

    def of(*names: str) -> Path:
        for name in names:
            path = tmp_path / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(CSV)
        return tmp_path / "data"

    return of


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["train/a.csv", "eval/a.csv"], {"train": "train/*.csv", "eval": "eval/*.csv"}),
        (
            ["training/a.csv", "validation/a.csv", "test/a.csv"],
            {"train": "training/*.csv", "eval": "validation/*.csv", "test": "test/*.csv"},
        ),
        (["Train/a", "Val/b"], {"train": "Train/*", "eval": "Val/*"}),
        (["train.csv", "test.csv"], {"train": "train.csv", "test": "test.csv"}),
        (
            ["train-0.csv", "train-1.csv", "eval.csv"],
            {"train": "train-*.csv", "eval": "eval.csv"},
        ),
        # Files for no split, or for one alone, are divided.
        (["a.csv", "b.csv"], {"all": "*.csv"}),
        (["train/a.csv"], {"all": "*.csv"}),
        # What a job leaves beside its files is none of them.
        (["train/a.csv", "eval/a.csv", "_SUCCESS"], {"train": "train/*.csv", "eval": "eval/*.csv"}),
        # A word that only begins like it names no split.
        (["trainers.csv", "evaluator.csv"], {"all": "*.csv"}),
    ],
)
def test_splits_are_found_by_the_names_of_folders_and_files(folder, names, splits):
    found = find_data(str(folder(*names)))
    assert dict(found.splits) == splits
    assert found.is_divided == ("all" in splits)
    assert found.data_format == "csv"
    assert all(found.files[split] for split in splits)


def test_one_folder_in_a_folder_is_looked_into(folder):
    assert find_data(str(folder("csv/train/a.csv", "csv/eval/a.csv"))).input_base.name == "csv"


@pytest.mark.parametrize("named", ["data/a.csv", "data/*.csv", "data"])
def test_a_file_a_pattern_or_a_folder_of_files_is_divided(folder, tmp_path, named: str):
    folder("a.csv")
    found = find_data(str(tmp_path / named))
    assert found.is_divided and found.input_base == tmp_path / "data"
    assert (found.evaluated, found.calibrated) == ("eval", "train")
    assert found.files_of("eval") == [f"{tmp_path}/data/a.csv"]


def test_evaluated_is_on_test_if_there_is_no_other_split(folder):
    found = find_data(str(folder("train.csv", "test.csv")))
    assert (found.evaluated, found.calibrated) == ("test", "train")


@pytest.mark.parametrize(
    ("content", "data_format"),
    [
        (b"a,b\n1,2\n", "csv"),
        ("name,ort\nä,ö\n".encode() * 999, "csv"),
        (b"\x10\0\0\0\0\0\0\0abcd", "tfrecord"),
        (b"\x1f\x8b\x08", "tfrecord"),
    ],
)
def test_a_format_is_told_by_how_a_file_begins(tmp_path: Path, content: bytes, data_format: str):
    (tmp_path / "a").write_bytes(content)
    assert format_of(str(tmp_path / "a")) == data_format


def test_tables_are_told_by_how_they_begin(tmp_path: Path):
    np.savez(tmp_path / "a.npz", x=np.zeros(1))
    pq.write_table(pa.table({"x": [1]}), tmp_path / "a.parquet")
    assert format_of(str(tmp_path / "a.npz")) == "npz"
    assert format_of(str(tmp_path / "a.parquet")) == "parquet"


def test_what_cannot_be_read_is_refused_with_what_to_do(folder, tmp_path: Path):
    np.save(tmp_path / "a.npy", np.zeros(1))
    with pytest.raises(ConfigError, match=r"a\.npy is a single NumPy array .*np\.savez"):
        find_data(str(tmp_path / "a.npy"))
    with pytest.raises(ConfigError, match=r"no file matches .*/none\.csv"):
        find_data(str(tmp_path / "none.csv"))
    with pytest.raises(ConfigError, match="only data on this machine"):
        find_data("s3://bucket/data")
    folder("a.csv")
    np.savez(tmp_path / "data" / "b.npz", x=np.zeros(1))
    with pytest.raises(ConfigError, match=r"a\.csv is csv, but .*b\.npz is npz; name files of one"):
        find_data(str(tmp_path / "data"))


def test_an_empty_file_is_called_empty_and_not_of_another_format(folder, tmp_path: Path):
    folder("a.csv", "b.csv")
    (tmp_path / "data" / "b.csv").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"b\.csv is empty; remove it"):
        find_data(str(tmp_path / "data"))


def test_an_empty_folder_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="there are no data files"):
        find_data(str(tmp_path))
