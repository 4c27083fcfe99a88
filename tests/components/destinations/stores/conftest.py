from collections.abc import Iterator

import pytest

from tests.components.destinations.stores.seaweedfs.fixtures import started
from tests.components.destinations.stores.seaweedfs.server import SeaweedFS


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """A SeaweedFS on this machine with a bucket `models`, and identities that may do some."""
    yield from started(tmp_path_factory.mktemp("seaweedfs"))
