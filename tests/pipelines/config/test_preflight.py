"""What is checked of the data before anything runs; none of this loads TensorFlow."""

from pathlib import Path

import pytest

from tests.pipelines.config.test_config import MINIMAL
from tfx_tflite.components.errors import DataError
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
