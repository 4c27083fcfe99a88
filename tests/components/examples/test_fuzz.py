"""What hypothesis makes of files of examples: none is read in part or ends in a traceback."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# Some ten seconds' worth; `python -m tests.components.examples.fuzz 5000` reads more.
_EXAMPLES = 40


def test_any_file_is_read_whole_or_refused(tmp_path: Path, record_property):
    from tests.components.examples.fuzz import fuzz

    counts = fuzz(tmp_path, _EXAMPLES)
    found = ", ".join(f"{number} {name}" for name, number in counts.most_common())
    record_property("summary", f"{counts.total()} files: {found}")
    assert counts["whole"] and counts["DataError"]


@pytest.mark.parametrize("kept", [0, 4, 8, 9])
def test_a_gzip_file_that_is_cut_in_its_header_is_not_an_empty_one(tmp_path: Path, kept: int):
    import gzip

    from tfx_tflite.components.errors import DataError
    from tfx_tflite.components.examples.splits import SplitFiles

    file = tmp_path / "data.tfrecord.gz"
    file.write_bytes(gzip.compress(b"", mtime=0)[:kept])
    with pytest.raises(DataError, match="is not a whole TFRecord file"):
        list(SplitFiles("eval", (str(file),), None, "Test").batches())
