"""The stores that all of this is tried on: moto, SeaweedFS and, at az://, Azurite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.components.destinations.stores import azurite
from tests.components.destinations.stores.seaweedfs.fixtures import started
from tests.components.destinations.stores.seaweedfs.server import NotThereError
from tfx_tflite.components.object_stores import files


@pytest.fixture(scope="session", params=["moto", "seaweedfs", "azurite"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, dict[str, str]]]:
    """The URI of a bucket, and the variables with which it is reached."""
    directory = tmp_path_factory.mktemp(request.param)
    if request.param == "moto":
        yield "s3://models", request.getfixturevalue("s3")
    elif request.param == "seaweedfs":
        for server in started(directory):
            yield "s3://models", server.environment()
    else:
        try:
            with azurite.running(directory) as port:
                yield "az://models", azurite.environment(port)
        except NotThereError as error:
            pytest.skip(str(error))


@pytest.fixture
def uri(
    store: tuple[str, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A place of its own in a store that the environment leads to."""
    bucket, variables = store
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    files.forget_connections()
    yield f"{bucket}/{tmp_path.name}"
    files.forget_connections()
