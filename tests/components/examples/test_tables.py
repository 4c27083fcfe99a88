"""Files of columns, whatever their format: which of them can be read as one split."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples.tables import check_alike

FIRST = {"x": [1], "y": [1.0]}


@pytest.fixture(params=["npz", "parquet"])
def data_format(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def write(tmp_path: Path, data_format: str):
    """Writes columns as a file of the format."""

    def to(name: str, columns: dict) -> str:
        path = tmp_path / f"{name}.{data_format}"
        if data_format == "npz":
            np.savez(path, **columns)
        else:
            pq.write_table(pa.table(columns), path)
        return str(path)

    return to


def test_files_with_the_same_features_are_one_split_in_whatever_order(write, data_format: str):
    check_alike([write("a", FIRST), write("b", {"y": [2.0], "x": [3]})], data_format)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [1]}, r"'y' is not there in .*b\.\w+, but float in .*a\.\w+; give all files"),
        ({"x": [1], "y": ["a"]}, r"'y' is text in .*b\.\w+, but float in .*a\."),
        ({**FIRST, "z": [1]}, r"'z' is int in .*b\.\w+, but not there in .*a\."),
    ],
)
def test_files_with_other_features_are_not(write, data_format: str, columns: dict, message: str):
    with pytest.raises(DataError, match=message):
        check_alike([write("a", FIRST), write("b", columns)], data_format)
