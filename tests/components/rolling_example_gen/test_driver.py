"""Which files the driver finds where no run has looked before it, as in a container."""

from pathlib import Path

import pytest

from tests.components.examples.test_spans import deliver
from tfx_tflite.components.errors import NotKnownError

pytestmark = pytest.mark.slow


def test_a_folder_that_cannot_be_read_is_no_empty_one(
    tmp_path: Path, request: pytest.FixtureRequest
):
    from tfx_tflite.components.input_files import list_files

    deliver(tmp_path, "span-1", "span-2")
    files = ["span-1/train/data.tfrecord", "span-2/train/data.tfrecord"]
    # What is imported may lie where root alone can read it, so this comes after.
    request.getfixturevalue("as_a_user")
    assert list_files(str(tmp_path), "span-*/train/*") == files
    (tmp_path / "span-2" / "train").chmod(0)
    with pytest.raises(NotKnownError, match="span-2/train: Permission denied"):
        list_files(str(tmp_path), "span-*/train/*")
