"""What is done at a destination through a bad connection, and what is checked past it."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from unittest import mock

from tests.components.destinations.interruption import make_candidate
from tests.components.destinations.stores.faults import Fault, FaultyProxy
from tests.components.destinations.stores.seaweedfs.server import SeaweedFS
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.stores.objects import ObjectStore
from tfx_tflite.components.destinations.verification import destination_problems
from tfx_tflite.components.errors import TfxTfliteError
from tfx_tflite.components.object_stores.requests import ObjectRequests

# What an act does with a destination, a directory for files and the new model.
Act: TypeAlias = Callable[[Destination, Path, bytes], object]
# Seconds; of who has a good connection; and a lock's life for each of the two.
TIMEOUT, PATIENT = 0.9, 20.0
LIFETIME, SHORT_LIFETIME = 2.0, 0.2


def push(to: Destination, sources: Path, model: bytes) -> object:
    return to.push(make_candidate(sources, model, {"golden/o.bin": b"g"}))


def push_that_keeps_one(to: Destination, sources: Path, model: bytes) -> object:
    return to.push(make_candidate(sources, model, {}), keep=1)


def roll_back(to: Destination, sources: Path, model: bytes) -> object:
    return to.roll_back()


def sign_off(to: Destination, sources: Path, model: bytes) -> object:
    return to.sign_off(to.versions()[0])


def read_current(to: Destination, sources: Path, model: bytes) -> object:
    return to.current(), to.problems(to.current() or 0)


ACTS: dict[str, Act] = {
    act.__name__: act for act in (push, push_that_keeps_one, roll_back, sign_off, read_current)
}


@dataclass(frozen=True)
class State:
    """What is at a destination, as who has a good connection sees it."""

    models: dict[int, bytes]
    current: int | None
    pointer: int | None
    events: tuple[tuple[str, int], ...]
    problems: tuple[str, ...]

    @classmethod
    def of(cls, to: Destination) -> "State":
        return cls(
            {number: to.read(number, "model.tflite") for number in to.versions()},
            to.current(),
            to.pointer(),
            tuple((event.kind, event.version) for event in to.events()),
            tuple(destination_problems(to)) if to.versions() else (),
        )


@contextmanager
def destination(
    variables: Mapping[str, str], uri: str, timeout: float, lifetime: float
) -> Iterator[Destination]:
    """Opens a destination with the keys and the endpoint of some variables."""
    with mock.patch.dict(os.environ, variables):
        requests = ObjectRequests(uri, timeout)
        yield Destination(ObjectStore(uri, requests, patience=5 * lifetime, lifetime=lifetime))


def state_of(server: SeaweedFS, uri: str) -> State:
    with destination(server.environment(), uri, PATIENT, SHORT_LIFETIME) as to:
        return State.of(to)


@dataclass(frozen=True)
class Done:
    """What came of an act.

    Attributes:
        requests: How many it took.
        result: What it gave, or the error that it raised.
        before: What was there.
        after: What is there.
        model: The new one.
    """

    requests: int
    result: object
    before: State
    after: State
    model: bytes

    @property
    def said(self) -> str:
        return str(self.result)

    @property
    def failed(self) -> bool:
        return isinstance(self.result, Exception)

    def untrue(self, name: str) -> str:
        """Returns what of the message is not true; empty if all is."""
        before, after = self.before, self.after
        if not self.failed:
            if name.startswith("push") and after.models.get(after.current or 0) != self.model:
                return f"{self.said}, but the model is not current"
            return f"{self.said}, but nothing changed" if self._nothing_came_of(name) else ""
        if not isinstance(self.result, TfxTfliteError) or "\n" in self.said:
            return f"not a line: {self.result!r}"
        if "it is not known whether" in self.said:
            return ""
        if "there is no version" in self.said or "has no version" in self.said:
            return self.said
        if (after.current, after.pointer) != (before.current, before.pointer):
            return f"{self.said}, but {after.current} is current"
        is_told = "its history may tell of the rollback all the same" in self.said
        # A push records the release of what was current before if it was not yet.
        new = [event for event in after.events[len(before.events) :] if event[0] != "released"]
        return "" if is_told or not new else f"{self.said}, but the history has {new}"

    def _nothing_came_of(self, name: str) -> bool:
        return name != "read_current" and self.after == self.before

    def lost(self, name: str) -> list[int]:
        """Returns the versions that are gone or not the same any more."""
        keeps = name != "push_that_keeps_one"
        return [
            number
            for number, model in self.before.models.items()
            if self.after.models.get(number, model if not keeps else None) != model
        ]

    @property
    def half(self) -> list[str]:
        """Returns what is not whole."""
        found = [*self.after.problems]
        if self.after.current not in self.after.models:
            found.append(f"{self.after.current} is current and not there")
        found += [
            f"{number} is of nobody"
            for number, model in self.after.models.items()
            if number not in self.before.models and model != self.model
        ]
        return found


def act_with_faults(
    name: str,
    model: bytes,
    faults: Mapping[int, Fault],
    proxy: FaultyProxy,
    server: SeaweedFS,
    uri: str,
    sources: Path,
    meanwhile: threading.Thread | None = None,
) -> Done:
    """Does something at a destination through a proxy, and returns what came of it.

    What happens meanwhile begins with it, and has ended when it is looked what came of it.
    """
    before = state_of(server, uri)
    proxy.plan(faults)
    variables = server.environment(endpoint=proxy.endpoint)
    if meanwhile is not None:
        meanwhile.start()
    with destination(variables, uri, TIMEOUT, LIFETIME) as to:
        try:
            result: object = ACTS[name](to, sources, model)
        except Exception as error:
            result = error
    requests = proxy.seen
    proxy.plan({})
    if meanwhile is not None:
        meanwhile.join()
    return Done(requests, result, before, state_of(server, uri), model)


def with_two_versions(server: SeaweedFS, uri: str, sources: Path) -> None:
    with destination(server.environment(), uri, PATIENT, SHORT_LIFETIME) as to:
        for content in (b"a", b"b"):
            to.push(make_candidate(sources, content, {}))
