"""Lost answers and lost races of the write that makes a version the current one."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.components.destinations.interruption import make_candidate
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.stores.objects import ObjectStore
from tfx_tflite.components.errors import PushError
from tfx_tflite.components.object_stores.requests import (
    ObjectRequests,
    ObjectVersion,
    RequestError,
)

pytestmark = pytest.mark.slow
TIMEOUT = 1.0


@pytest.fixture
def uri(s3: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    return f"s3://models/{tmp_path.name}"


@pytest.fixture
def pushing(uri: str, tmp_path: Path) -> Callable[[type[ObjectRequests]], Destination]:
    """A destination with a version, and pushes that go by requests of a kind of their own."""
    Destination.open(uri).push(make_candidate(tmp_path, b"a", {}))
    return lambda kind: Destination(ObjectStore(uri, kind(uri, TIMEOUT), lifetime=30))


def lost(requests: ObjectRequests, name: str) -> RequestError:
    return RequestError("timed out", requests.place(name), True, True)


class Overtaken(ObjectRequests):
    """Another tool changes the pointer just before."""

    def update(self, name: str, content: bytes, version: ObjectVersion) -> ObjectVersion:
        if name == "LATEST":
            ObjectRequests(self._uri).put(name, b"7\n")
        return super().update(name, content, version)


class AnswerLost(ObjectRequests):
    """The pointer is written, and the answer is lost."""

    def update(self, name: str, content: bytes, version: ObjectVersion) -> ObjectVersion:
        written = super().update(name, content, version)
        if name == "LATEST":
            raise lost(self, name)
        return written


class RequestLost(ObjectRequests):
    """The pointer is never written, and nobody answers; what is there can be read."""

    def update(self, name: str, content: bytes, version: ObjectVersion) -> ObjectVersion:
        if name == "LATEST":
            raise lost(self, name)
        return super().update(name, content, version)


class LostOnce(RequestLost):
    """As it is, but only the first time."""

    is_lost = False

    def update(self, name: str, content: bytes, version: ObjectVersion) -> ObjectVersion:
        if name == "LATEST" and not self.is_lost:
            self.is_lost = True
            raise lost(self, name)
        return ObjectRequests.update(self, name, content, version)


class GoneAfterwards(AnswerLost):
    """The pointer is written, the answer is lost, and then the pointer cannot be read any more."""

    is_gone = False

    def update(self, name: str, content: bytes, version: ObjectVersion) -> ObjectVersion:
        self.is_gone = name == "LATEST"
        return super().update(name, content, version)

    def get(self, name: str) -> tuple[bytes, ObjectVersion]:
        if self.is_gone and name == "LATEST":
            raise lost(self, name)
        return super().get(name)


class Refused(ObjectRequests):
    """The pointer may not be written."""

    def update(self, name: str, content: bytes, version: ObjectVersion) -> ObjectVersion:
        if name == "LATEST":
            raise RequestError("denied (Access Denied)", self.place(name))
        return super().update(name, content, version)


def test_a_push_that_lost_a_race_says_so_and_leaves_the_pointer_to_the_other(pushing, candidate):
    to = pushing(Overtaken)
    with pytest.raises(PushError, match=r"not pushed: another process has changed it: .*/LATEST"):
        to.push(candidate(b"b"))
    assert to.store.read("LATEST") == b"7\n"


@pytest.mark.parametrize("kind", [AnswerLost, LostOnce])
def test_a_push_whose_answer_or_first_request_was_lost_has_happened(pushing, candidate, kind):
    to = pushing(kind)
    pushed = to.push(candidate(b"b"))
    assert pushed.outcome == "pushed" and to.current() == pushed.number


@pytest.mark.parametrize("kind", [RequestLost, GoneAfterwards])
def test_what_cannot_be_found_out_is_said_to_be_unknown(pushing, candidate, kind):
    with pytest.raises(PushError) as error:
        pushing(kind).push(candidate(b"b"))
    assert "it is not known whether" in str(error.value) and "/LATEST" in str(error.value)
    assert "was not pushed" not in str(error.value) and "tfx-tflite history" in str(error.value)


def test_a_push_whose_pointer_is_refused_has_not_happened(pushing, candidate):
    to = pushing(Refused)
    before = to.current()
    with pytest.raises(PushError, match=r"not pushed: denied \(Access Denied\): .*/LATEST"):
        to.push(candidate(b"b"))
    assert to.current() == before
