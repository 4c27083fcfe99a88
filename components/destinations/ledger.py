"""What was done at a destination: which versions were current, rollbacks, sign-offs, removals.

A version is released once it has been the current one. That is recorded, because a push that stops
between the version and the pointer leaves a whole version that nobody was ever given.
"""

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError

from tfx_tflite.components.destinations.manifest import Text
from tfx_tflite.components.digests import bytes_digest
from tfx_tflite.components.documents import Part
from tfx_tflite.components.errors import DestinationError


def _short(text: str) -> str:
    if len(text) > 500:
        raise ValueError("is longer than 500 characters")
    return text


def utc_now() -> str:
    """Returns this moment as manifests, the ledger and records of runs write it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


Kind = Literal[
    "rolled_back",
    "signed_off",
    "sign_off_withdrawn",
    "removed",
    "released",
    "releases_counted",
    "signing_started",
]


class Event(Part):
    """Something that was done to a version.

    Attributes:
        kind: What was done. `rolled_back` is about the version that was made the current one.
            `released`: a version became the current one in another way. `releases_counted`: from
            here on releases are recorded, and all versions up to this one count as released.
            `signing_started`: from here on the pointer is signed.
        version: To which version; 0 for `releases_counted` at a new destination.
        at: When, in UTC.
        instead_of: For `rolled_back`: which version was current before.
        digest: For `removed`: the model's.
        scheme: For `removed`: the model's.
        pushed_at: For `removed`: when it was pushed.
        note: Why, in the words of who did it.
    """

    kind: Kind
    version: int = Field(ge=0)
    at: Text
    instead_of: int | None = None
    digest: Text | None = None
    scheme: Text | None = None
    pushed_at: Text | None = None
    note: Annotated[Text, AfterValidator(_short)] | None = None

    @classmethod
    def now(cls, kind: Kind, version: int, **details: str | int | None) -> "Event":
        """Returns an event of this moment.

        Raises:
            DestinationError: The note cannot be kept.
        """
        try:
            return cls.model_validate(
                {"kind": kind, "version": version, "at": utc_now(), **details}
            )
        except ValidationError as error:
            first = error.errors()[0]
            reason = first["msg"].removeprefix("Value error, ")
            raise DestinationError(f"{first['loc'][0]}: {reason}; nothing was changed") from error


@dataclass(frozen=True)
class Entry:
    """An event as it is kept.

    Attributes:
        id: 20 digits, which rise from event to event.
        line: The id and the event as one line of JSON, which is what is signed.
        event: The event.
    """

    id: str
    line: str
    event: Event


def ledger_digest(entries: Iterable[Entry]) -> str:
    """Returns the digest of events in their order, however they are spread over files."""
    return bytes_digest("".join(f"{entry.line}\n" for entry in entries).encode("utf-8"))


def signed_off(events: Iterable[Event]) -> set[int]:
    """Returns the versions that are signed off.

    Args:
        events: In the order in which they happened.
    """
    found: set[int] = set()
    for event in events:
        if event.kind == "signed_off":
            found.add(event.version)
        elif event.kind == "sign_off_withdrawn":
            found.discard(event.version)
    return found


def last_current(events: Sequence[Event]) -> int | None:
    """Returns the version that was made the current one last; None if that was never recorded."""
    kinds = ("rolled_back", "released")
    return next((event.version for event in reversed(events) if event.kind in kinds), None)


def finished(events: Sequence[Event]) -> list[Event]:
    """Returns the events without the rollbacks that stopped before the pointer was changed.

    Such a one is followed by the record that what was current before it still is.
    """
    found: list[Event] = []
    after: Event | None = None
    for event in reversed(events):
        is_undone = (
            event.kind == "rolled_back"
            and after is not None
            and (after.kind, after.version) == ("released", event.instead_of)
        )
        if event.kind in ("rolled_back", "released"):
            after = event
        if not is_undone:
            found.append(event)
    return found[::-1]


def withdrawn(events: Sequence[Event], versions: Iterable[int]) -> set[int]:
    """Returns those of some versions that were rolled back from, and not made current since.

    A rollback withdraws an interval of numbers, which are seconds: it is never spelled out.

    Args:
        events: In the order in which they happened.
        versions: The versions in question.
    """
    undecided, found = sorted(versions), set[int]()
    # The last event that is about a version decides.
    for event in reversed(finished(events)):
        if event.kind not in ("rolled_back", "released"):
            continue
        start = bisect.bisect_left(undecided, event.version)
        if undecided[start : start + 1] == [event.version]:
            del undecided[start]
        if event.instead_of is not None:
            end = bisect.bisect_right(undecided, event.instead_of)
            found.update(undecided[start:end])
            del undecided[start:end]
    return found


@dataclass(frozen=True)
class Releases:
    """Which versions were ever the current one.

    Attributes:
        until: All versions up to this one count, because nobody recorded releases then.
        named: Those that were recorded since.
    """

    until: int
    named: frozenset[int]

    def __contains__(self, number: int) -> bool:
        return number <= self.until or number in self.named

    @classmethod
    def of(
        cls, events: Iterable[Event], pointer: int | None, newest: int | None = None
    ) -> "Releases":
        """Returns the releases at a destination.

        Args:
            events: In the order in which they happened.
            pointer: The version that is pointed to; None if none is.
            newest: The newest version, if releases were not recorded yet and the pointer is lost.
        """
        until, is_recorded, named = 0, False, set[int]()
        for event in events:
            if event.kind == "releases_counted":
                until, is_recorded = max(until, event.version), True
            elif event.kind in ("rolled_back", "released"):
                named.add(event.version)
                if event.instead_of is not None:
                    named.add(event.instead_of)
        if pointer is not None:
            named.add(pointer)
        if not is_recorded:
            until = max([*named, newest or 0])
        return cls(until, frozenset(named))
