"""A destination at az://, on Azurite."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.components.destinations.stores import azurite
from tests.components.destinations.stores.seaweedfs.server import NotThereError
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.verification import destination_problems
from tfx_tflite.components.errors import NotKnownError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    try:
        with azurite.running(tmp_path_factory.mktemp("azurite")) as port:
            yield port
    except NotThereError as error:
        pytest.skip(str(error))


@pytest.fixture
def uri(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in azurite.environment(port).items():
        monkeypatch.setenv(name, value)
    return f"az://models/{tmp_path.name}"


def test_pushes_rolls_back_signs_off_keeps_and_verifies(uri: str, candidate):
    to = Destination.open(uri)
    assert to.versions() == [] and to.current() is None
    a, b = (to.push(candidate(content)).number for content in (b"a", b"b"))
    assert to.push(candidate(b"b")).outcome == "present"
    assert to.roll_back()[:2] == (b, a) and to.current() == a
    to.sign_off(a)
    last = to.push(candidate(b"c"), keep=1).number
    assert to.versions() == [a, last] and to.current() == last
    assert destination_problems(to) == []


def test_a_container_that_is_not_there_is_not_an_empty_one(uri: str):
    with pytest.raises(NotKnownError, match=r"cannot list az://nowhere/x: no such bucket \("):
        Destination.open("az://nowhere/x").versions()


def test_a_wrong_key_is_not_an_empty_container(uri: str, monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", base64.b64encode(b"wrong").decode())
    with pytest.raises(NotKnownError, match=r"cannot list .*: denied \("):
        Destination.open(uri).versions()
