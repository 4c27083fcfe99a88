"""What was done at a destination: releases, approvals, rollbacks, removals, and what was judged.

A version is released once it has been the current one. That is recorded, because a push that stops
between the version and the pointer leaves a whole version that nobody was ever given.
"""

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Annotated, Literal, get_args

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
    "judged",
    "waiting",
    "approved",
    "rejected",
    "alias_set",
    "alias_removed",
]
KINDS = frozenset(get_args(Kind))

# A pointer beside LATEST; never a number.
AliasName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]


class JudgedRule(Part):
    """A rule with a confidence as it was judged, on all of its slices and targets.

    Attributes:
        rule: What tells it from others: `MetricRule.identity`.
        alpha: One minus the confidence that the rule asks for.
        look: The how manyeth judgement of the model by this rule it was, from 1.
        level: The probability of a wrong blessing at which it was judged.
        p_value: The largest p-value of "the drop is the bound or more" on any slice and target; a
            p-value below the level blesses.
    """

    rule: Text
    alpha: float = Field(gt=0, lt=0.5)
    look: int = Field(ge=1)
    level: float = Field(gt=0, lt=0.5)
    p_value: float = Field(ge=0, le=1)


class Night(Part):
    """A model's place among those that share a budget of false pushes.

    Attributes:
        false_pushes: The probability that any of them is pushed wrongly.
        over: Among how many models.
        block: Which budget it is, from 1: once so many models were judged, another one begins.
        number: The model's place, from 1.
        level: How much of the probability the model has for all of its looks.
    """

    false_pushes: float = Field(gt=0, lt=0.5)
    over: int = Field(ge=1)
    block: int = Field(ge=1)
    number: int = Field(ge=1)
    level: float = Field(gt=0, lt=0.5)


class JudgedModel(Part):
    """A judgement of a quantized model by rules with a confidence.

    Attributes:
        float_model: The digest of the float32 TensorFlow Lite model that was quantized or, if that
            is not known, of the float model.
        quantized_model: The digest of the quantized model.
        examples: The digest of the examples that it was judged on, and of what they were judged by:
            labels, weights and groups.
        rules: What the rules said.
        night: Its place in the budget; None if there is none.
        blessed: Whether the whole gate held.
    """

    float_model: Text
    quantized_model: Text
    examples: Text
    rules: tuple[JudgedRule, ...] = Field(min_length=1)
    night: Night | None = None
    blessed: bool

    def repeats(self, other: "JudgedModel") -> bool:
        """Returns whether another judgement already says all of this one."""
        names = ("float_model", "quantized_model", "examples", "blessed")
        is_same = all(getattr(self, name) == getattr(other, name) for name in names)
        # A place in a budget that is not recorded would be given to the next model, too.
        is_same = is_same and self.night in (None, other.night)
        return is_same and {each.rule for each in self.rules} <= {each.rule for each in other.rules}


class Event(Part):
    """Something that was done to a version.

    Attributes:
        kind: What was done. `rolled_back` is about the version that was made the current one.
            `released`: a version became the current one in another way. `releases_counted`: from
            here on releases are recorded, and all versions up to this one count as released.
            `signing_started`: from here on the pointer is signed. `judged`: a gate judged a model,
            whatever came of it. `waiting`: somebody has to approve the version, or its model was
            judged once more. `approved`: it becomes the current one after this event. `rejected`:
            it never does.
        version: To which version; 0 for `releases_counted` and `signing_started` at a new
            destination, and for `judged`.
        at: When, in UTC.
        instead_of: For `rolled_back` and `approved`: which version was current before.
        digest: For `removed`, `approved` and `rejected`: the model's.
        scheme: For `removed`: the model's.
        pushed_at: For `removed`: when it was pushed.
        note: Why, in the words of who did it.
        judged: For `judged`: which model, and what was said of it.
        by: For `approved`, `rejected` and aliases: who did it.
        compared_with: For `waiting`: the current version that the model was found to be no worse
            than, 0 if there was none; None if it was not compared.
        alias: For `alias_set` and `alias_removed`: its name.
    """

    kind: Kind
    version: int = Field(ge=0)
    at: Text
    instead_of: int | None = None
    digest: Text | None = None
    scheme: Text | None = None
    pushed_at: Text | None = None
    note: Annotated[Text, AfterValidator(_short)] | None = None
    judged: JudgedModel | None = None
    by: Annotated[Text, AfterValidator(_short)] | None = None
    compared_with: int | None = None
    alias: AliasName | None = None

    @classmethod
    def now(cls, kind: Kind, version: int, **details: str | int | JudgedModel | None) -> "Event":
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


def judgements(events: Iterable[Event]) -> tuple[JudgedModel, ...]:
    """Returns what was judged, in the order in which it was.

    Args:
        events: In the order in which they happened.
    """
    return tuple(event.judged for event in events if event.judged is not None)


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


@dataclass(frozen=True)
class Waiting:
    """A version that somebody has to approve.

    Attributes:
        version: Its number.
        since: When it was pushed, in UTC.
        compared_with: As of `Event`.
    """

    version: int
    since: str
    compared_with: int | None


def waiting(events: Iterable[Event]) -> dict[int, Waiting]:
    """Returns the versions about which nobody has decided yet, by their numbers.

    Args:
        events: In the order in which they happened.
    """
    found: dict[int, Waiting] = {}
    for event in events:
        if event.kind == "waiting":
            first = found.get(event.version)
            since = event.at if first is None else first.since
            found[event.version] = Waiting(event.version, since, event.compared_with)
        elif event.kind in ("approved", "rejected", "removed", "released", "rolled_back"):
            found.pop(event.version, None)
    return found


def decisions(events: Iterable[Event]) -> dict[int, Event]:
    """Returns the versions that were approved or rejected, with the last event that says so."""
    return {event.version: event for event in events if event.kind in ("approved", "rejected")}


def rejections(events: Iterable[Event]) -> dict[str, Event]:
    """Returns what was rejected and not approved since, by the models' digests."""
    last = {event.digest: event for event in events if event.kind in ("approved", "rejected")}
    return {digest: event for digest, event in last.items() if digest and event.kind == "rejected"}


def unfinished_approval(events: Sequence[Event]) -> Event | None:
    """Returns the approval that stopped before its version became the current one, if one did."""
    kinds = ("approved", "rolled_back", "released")
    last = next((event for event in reversed(events) if event.kind in kinds), None)
    return last if last is not None and last.kind == "approved" else None


def aliases(events: Iterable[Event]) -> dict[str, int]:
    """Returns the version that each alias names."""
    found: dict[str, int] = {}
    for event in events:
        if event.alias is not None and event.kind == "alias_set":
            found[event.alias] = event.version
        elif event.alias is not None and event.kind == "alias_removed":
            found.pop(event.alias, None)
    return dict(sorted(found.items()))


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

    A rollback withdraws an interval of numbers, which are seconds: it is never spelled out. So does
    the approval of a version that is older than the one that was current.

    Args:
        events: In the order in which they happened.
        versions: The versions in question.
    """
    undecided, found = sorted(versions), set[int]()
    # The last event that is about a version decides.
    for event in reversed(finished(events)):
        if event.kind not in ("rolled_back", "released", "approved"):
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
