from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.components.destinations.interruption import make_candidate
from tfx_tflite.components.destinations.destination import Candidate


@pytest.fixture
def candidate(tmp_path: Path):
    """Makes candidates: a model of some bytes, with a golden file beside it."""
    directory = tmp_path / "sources"
    directory.mkdir()

    def make(content: bytes = b"model", beside: Mapping[str, bytes] | None = None) -> Candidate:
        beside = {"golden/input_0.bin": b"golden " + content} if beside is None else beside
        return make_candidate(directory, content, beside)

    return make
