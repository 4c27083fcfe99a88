from collections.abc import Iterator

import pytest

from tests.components.destinations.stores.seaweedfs.server import (
    NotThereError,
    SeaweedFS,
    running,
)


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """A SeaweedFS on this machine with a bucket `models`, and identities that may do some."""
    try:
        with running(tmp_path_factory.mktemp("seaweedfs")) as server:
            yield server
    except NotThereError as error:
        pytest.skip(str(error))
