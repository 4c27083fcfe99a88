"""A server for the fixtures of tests, which are skipped where there is none."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.components.destinations.stores.seaweedfs.server import (
    NotThereError,
    SeaweedFS,
    running,
)


def started(directory: Path) -> Iterator[SeaweedFS]:
    """Yields a server with its data below a directory, and ends it."""
    try:
        with running(directory) as server:
            yield server
    except NotThereError as error:
        pytest.skip(str(error))
