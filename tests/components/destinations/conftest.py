from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.components.destinations.interruption import make_candidate
from tfx_tflite.components.destinations.destination import Candidate, Destination


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where a destination may be."""
    return tmp_path / "to"


@pytest.fixture
def destination(root: Path) -> Destination:
    """The destination there, with nothing at it."""
    return Destination.open(str(root))


@pytest.fixture
def candidate(tmp_path: Path):
    """Makes candidates: a model of some bytes, with a golden file beside it."""
    directory = tmp_path / "sources"
    directory.mkdir()

    def make(content: bytes = b"model", beside: Mapping[str, bytes] | None = None) -> Candidate:
        beside = {"golden/input_0.bin": b"golden " + content} if beside is None else beside
        return make_candidate(directory, content, beside)

    return make
