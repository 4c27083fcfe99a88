"""Who may do what at a real object store, and what is told of what cannot be known.

A table: each identity does each thing at a destination with two versions, at an empty one, and in a
bucket that is not there.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.components.destinations.interruption import make_candidate
from tests.components.destinations.stores.seaweedfs.server import SeaweedFS
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.verification import destination_problems
from tfx_tflite.components.errors import DestinationError, NotKnownError, PushError, TfxTfliteError
from tfx_tflite.components.judgement.pushed_reference import PushedReference
from tfx_tflite.components.presence import ABSENT
from tfx_tflite.pipelines.cli.destination_history import history_of

pytestmark = pytest.mark.slow

Act: TypeAlias = Callable[[Destination, Path], object]
TIMEOUT = 1.5
IDENTITIES = ("all", "reads", "writes", "lists_not", "unknown", "away")
PLACES = ("two versions", "empty", "no bucket")


def push(to: Destination, sources: Path) -> object:
    return to.push(make_candidate(sources, b"new", {})).outcome


def push_that_keeps_one(to: Destination, sources: Path) -> object:
    return to.push(make_candidate(sources, b"new", {}), keep=1).outcome


READS: dict[str, Act] = {
    "history": lambda to, _: history_of(to).current,
    "verify": lambda to, _: destination_problems(to),
    "current": lambda to, _: to.current(),
    "reference": lambda to, _: PushedReference.at(to.uri, timeout=TIMEOUT),
}
CHANGES: dict[str, Act] = {
    "rollback": lambda to, _: to.roll_back(),
    "sign_off": lambda to, _: to.sign_off((to.versions() or [7])[0]),
    "push": push,
    "push_that_keeps_one": push_that_keeps_one,
}
# What says that nothing is there; of the others that is an error.
NOTHING: dict[str, object] = {"current": None, "reference": ABSENT}


@dataclass(frozen=True)
class State:
    """What an identity that may all sees of a destination."""

    versions: tuple[int, ...]
    pointer: int | None
    events: int

    @classmethod
    def of(cls, to: Destination) -> "State":
        return cls(tuple(to.versions()), to.pointer(), len(to.events()))


@pytest.fixture
def place(
    request: pytest.FixtureRequest, seaweedfs: SeaweedFS, tmp_path: Path, monkeypatch
) -> Callable[[str], str]:
    """Makes a destination and returns its URI."""

    def make(kind: str) -> str:
        become("all", seaweedfs, monkeypatch)
        if kind == "no bucket":
            return "s3://nowhere/x"
        uri = f"s3://models/{tmp_path.name}"
        if kind == "two versions":
            for content in (b"a", b"b"):
                Destination.open(uri).push(make_candidate(tmp_path, content, {}))
        return uri

    return make


def become(identity: str, server: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = "http://127.0.0.1:9" if identity == "away" else None
    for name, value in server.environment(identity, endpoint).items():
        monkeypatch.setenv(name, value)


def outcome(act: Act, uri: str, sources: Path) -> object:
    """Returns what an act gives, or the error that it raises."""
    try:
        return act(Destination.open(uri, TIMEOUT), sources)
    except TfxTfliteError as error:
        return error


@pytest.mark.parametrize(("identity", "kind"), itertools.product(IDENTITIES, PLACES))
@pytest.mark.parametrize("name", READS)
def test_reading_finds_what_is_there_or_says_that_nothing_is_or_that_it_cannot_tell(
    name: str, identity: str, kind: str, seaweedfs: SeaweedFS, place, tmp_path: Path, monkeypatch
):
    uri = place(kind)
    become(identity, seaweedfs, monkeypatch)
    found = outcome(READS[name], uri, tmp_path)
    if identity not in ("all", "reads") or kind == "no bucket":
        assert isinstance(found, NotKnownError), found
        assert "cannot " in str(found) and uri in str(found) and "\n" not in str(found)
        assert any(word in str(found) for word in ("denied", "no such bucket", "unreachable"))
    elif kind == "empty" and name in NOTHING:
        assert found is NOTHING[name]
    elif kind == "empty":
        assert isinstance(found, DestinationError) and "there is no version at" in str(found)
    else:
        assert not isinstance(found, Exception) and found is not None


@pytest.mark.parametrize(("identity", "kind"), itertools.product(IDENTITIES, PLACES))
@pytest.mark.parametrize("name", CHANGES)
def test_who_may_not_read_and_write_changes_nothing_and_is_told_why(
    name: str, identity: str, kind: str, seaweedfs: SeaweedFS, place, tmp_path: Path, monkeypatch
):
    uri = place(kind)
    before = None if kind == "no bucket" else State.of(Destination.open(uri))
    become(identity, seaweedfs, monkeypatch)
    found = outcome(CHANGES[name], uri, tmp_path)
    become("all", seaweedfs, monkeypatch)
    after = None if kind == "no bucket" else State.of(Destination.open(uri))
    if identity == "all" and kind == "two versions":
        assert not isinstance(found, Exception) and after != before
    elif identity == "all" and kind == "empty":
        assert found == "pushed" if name.startswith("push") else isinstance(found, DestinationError)
    else:
        assert isinstance(found, PushError | NotKnownError | DestinationError)
        assert after == before
        is_known_empty = kind == "empty" and identity == "reads"
        assert ("no version" in str(found)) <= is_known_empty
        assert "not known" not in str(found)
