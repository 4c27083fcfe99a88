"""What `init` reads of data files: what `validate` would refuse afterwards, it refuses at once."""

from pathlib import Path

import pytest

from tfx_tflite.components.errors import DataError
from tfx_tflite.pipelines.first_config.features import features_of, first_examples

HEADER, ROWS = b"size,label\n", b"1.5,2\n,3\n" * 50


def test_cells_become_what_csv_example_gen_makes_of_them(tmp_path: Path):
    (tmp_path / "a.csv").write_bytes(HEADER + ROWS)
    found = features_of(first_examples("eval", [str(tmp_path / "a.csv")], "csv"))
    assert {name: feature.kind for name, feature in found.items()} == {
        "size": "float",
        "label": "int",
    }
    assert found["size"].missing == 50


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xef\xbb\xbf" + HEADER + ROWS, "begins with a mark of byte order"),
        (b'"size","label"\n' + ROWS, "has quoted names in its header"),
        (HEADER + ROWS + b"1,\xe4\n", "is not text in UTF-8"),
        (HEADER + ROWS + b"1,2,3\n", "a row of .* has 3 values, but the header 2"),
        (HEADER + b"1,2,3\n", "row 1 of .* has 3 values, but the header 2"),
    ],
)
def test_a_csv_file_that_no_run_can_read_is_told(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        first_examples("eval", [str(tmp_path / "a.csv")], "csv")
