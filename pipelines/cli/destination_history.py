"""The history of a destination: every version that was pushed, and what became of it."""

import math
from collections.abc import Container, Iterable, Mapping
from typing import IO, Literal

from pydantic import JsonValue

from tfx_tflite.components.destinations import ledger
from tfx_tflite.components.destinations.aliases import alias_problems
from tfx_tflite.components.destinations.approval import approve_command_at, waiting_versions
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.ledger import Event
from tfx_tflite.components.documents import Document, Part
from tfx_tflite.components.errors import DestinationError
from tfx_tflite.components.report.counted_looks import summary_of
from tfx_tflite.components.verdict import OVERALL, RuleResult
from tfx_tflite.pipelines.cli.console import Terminal
from tfx_tflite.pipelines.cli.tables import Column, Name, Table

State = Literal[
    "current",
    "rolled back",
    "present",
    "removed",
    "not released",
    "waiting",
    "overtaken",
    "approved",
    "rejected",
]


class Decision(Part):
    """What a person said of a version that waited."""

    version: int
    decision: Literal["approved", "rejected"]
    by: str | None
    at: str
    note: str | None = None

    def in_words(self) -> str:
        """Returns it as the end of a sentence about the version."""
        who = f" by {self.by}" if self.by else ""
        return f"{self.decision}{who} at {self.at}{f': {self.note}' if self.note else ''}"

    def to_keys(self) -> dict[str, JsonValue]:
        """Returns the same as keys and values of JSON."""
        return self.model_dump(mode="json")


class WaitingEntry(Part):
    """A version that becomes current once somebody approves it."""

    version: int
    # In UTC.
    since: str
    # What is typed to approve it.
    approve: str


class VersionEntry(Part):
    """A version; of one that was removed, or whose manifest is damaged, less is known."""

    version: int
    pushed_at: str | None = None
    scheme: str | None = None
    verdict: str | None = None
    digest: str | None = None
    size_bytes: int | None = None
    # On all examples.
    rules: tuple[RuleResult, ...] = ()
    # Why its manifest cannot be read.
    problem: str | None = None
    state: State = "present"
    signed_off: bool = False
    # The last decision of a person about it; None if there was none.
    decision: Decision | None = None
    # Whether its manifest has the signature that is asked for; None if none is.
    signed: bool | None = None


class History(Document):
    """All that is known of a destination, the oldest version first."""

    kind = "a history"

    destination: str
    # What LATEST holds.
    latest: int | None
    current: int | None
    versions: tuple[VersionEntry, ...]
    # Those that wait and are newer than the current one.
    waiting: tuple[WaitingEntry, ...] = ()
    # The version that each alias names.
    aliases: dict[str, int] = {}
    # What is not as the history has it, though nothing else goes by it.
    problems: tuple[str, ...] = ()
    events: tuple[Event, ...]

    @property
    def is_first_waiting(self) -> bool:
        """Whether nothing was ever current because nobody has approved anything yet."""
        undecided = ("waiting", "rejected", "not released", "approved")
        states = [version.state for version in self.versions]
        is_asked_for = "waiting" in states or "rejected" in states
        return is_asked_for and all(state in undecided for state in states)


def history_of(destination: Destination) -> History:
    """Returns the history.

    Args:
        destination: The destination.

    Raises:
        DestinationError: It cannot be read, or nothing was ever pushed or judged there.
    """
    # The pointer first: what it names is there, whatever is pushed meanwhile.
    pointer, current = destination.pointer(), destination.current()
    reading = destination.reading()
    events, releases = reading.state.events, reading.state.releases
    signed_off = ledger.signed_off(events)
    present = sorted([*destination.versions(), *destination.damaged()])
    withdrawn = reading.withdrawn(present)

    removed = {event.version: event for event in events if event.kind == "removed"}
    versions = [_removed(event) for number, event in removed.items() if number not in present]
    decided, waits = _decisions(events), ledger.waiting(events)
    for number in present:
        state: State = "rolled back" if number in withdrawn else "present"
        if number not in releases:
            state = _undecided(number, current, waits, decided)
        found = {
            "state": "current" if number == current else state,
            "signed_off": number in signed_off,
            "decision": decided.get(number),
            "signed": destination.is_signed(number),
        }
        versions.append(_known(destination, number).model_copy(update=found))
    if not versions and not ledger.judgements(events):
        raise DestinationError(f"there is no version at {destination.uri}")
    return History(
        destination=destination.uri,
        latest=pointer,
        current=current,
        versions=tuple(sorted(versions, key=lambda version: version.version)),
        waiting=tuple(
            WaitingEntry(
                version=each.version,
                since=each.since,
                approve=approve_command_at(destination, each.version),
            )
            for each in waiting_versions(reading)
        ),
        aliases=ledger.aliases(events),
        problems=tuple(alias_problems(destination.store, ledger.aliases(events))),
        events=tuple(events),
    )


def decisions_on(destination: Destination, versions: Iterable[int]) -> list[Decision]:
    """Returns what persons decided about some versions, the oldest version first.

    Raises:
        NotKnownError: The destination cannot be read.
    """
    try:
        decided = _decisions(destination.events())
    except DestinationError:
        # That is a problem of the destination, which says so itself.
        return []
    return [decided[number] for number in sorted(versions) if number in decided]


def _decisions(events: Iterable[Event]) -> dict[int, Decision]:
    return {
        number: Decision.model_validate(
            {"decision": event.kind, **event.model_dump(include={"version", "by", "at", "note"})}
        )
        for number, event in ledger.decisions(events).items()
    }


def _undecided(
    number: int, current: int | None, waits: Container[int], decided: Mapping[int, Decision]
) -> State:
    """Returns the state of a version that was never the current one."""
    if number in waits:
        return "waiting" if number > (current or 0) else "overtaken"
    return decided[number].decision if number in decided else "not released"


def _known(destination: Destination, number: int) -> VersionEntry:
    """Returns what a version's manifest says."""
    try:
        manifest = destination.manifest(number)
    except DestinationError as error:
        return VersionEntry(version=number, problem=str(error))
    return VersionEntry(
        version=number,
        pushed_at=manifest.pushed_at,
        scheme=manifest.scheme,
        verdict=manifest.verdict,
        digest=manifest.model.digest,
        size_bytes=manifest.model.size_bytes,
        rules=tuple(rule for rule in manifest.rules if rule.slice == OVERALL),
    )


def _removed(event: Event) -> VersionEntry:
    return VersionEntry(
        version=event.version,
        pushed_at=event.pushed_at,
        scheme=event.scheme,
        digest=event.digest,
        state="removed",
    )


# Of the others the table tells.
_TOLD = {
    "rolled_back": "rolled back from {event.instead_of} to {event.version}",
    "signed_off": "{event.version} signed off",
    "sign_off_withdrawn": "sign-off of {event.version} withdrawn",
    "signing_started": "signatures of the pointer and this history began",
    "approved": "{event.version} approved by {event.by}",
    "rejected": "{event.version} rejected by {event.by}",
    "alias_set": "{event.alias} is {event.version}, set by {event.by}",
    "alias_removed": "{event.alias} removed by {event.by}; it was {event.version}",
}


def print_history(history: History, stream: IO[str]) -> None:
    """Prints a history as a table, and what was done beside pushes below it.

    Args:
        history: The history.
        stream: Where to.
    """
    console = Terminal(stream)
    console.fitted_width()
    counted = summary_of(ledger.judgements(history.events))
    if not history.versions:
        console.print(f"nothing was pushed to {history.destination} yet")
        console.print(counted)
        return
    table = Table(
        [
            Column("version", is_heading=True),
            *(Column(name) for name in ("pushed at", "scheme")),
            Column("bytes", "right"),
            *(Column(name) for name in ("first rule", "model")),
            Column("state", is_heading=True),
        ]
    )
    for version in history.versions:
        table.add_row(
            str(version.version),
            version.pushed_at or "-",
            version.scheme or "-",
            f"{version.size_bytes:,}" if version.size_bytes else "-",
            _first_rule(version.rules),
            (version.digest or "-").removeprefix("sha256:")[:12],
            _state(version),
            style="bold" if version.state == "current" else "",
        )
    console.print(table)
    if history.current is not None and history.latest not in (None, history.current):
        console.print(
            f"LATEST names {history.latest}, but {history.current} is signed as the current one; "
            "see `tfx-tflite verify`",
            style="red",
        )
    elif history.is_first_waiting:
        console.print("nothing is current before somebody approves a version")
    elif history.latest not in [version.version for version in history.versions]:
        console.print(
            "LATEST does not name a version; `tfx-tflite rollback DEST VERSION` sets it",
        )
    for event in ledger.finished(history.events):
        if event.kind in _TOLD:
            console.print(_in_words(event))
    if counted:
        console.print(counted)
    for name, number in history.aliases.items():
        console.print(f"{name} is version {number}")
    for problem in history.problems:
        console.print(problem, style="red")
    for waiting in history.waiting:
        console.print(
            f"version {waiting.version} has waited for approval since {waiting.since}: "
            f"{waiting.approve}",
            style="yellow",
        )
    if history.current is None and not history.is_first_waiting:
        console.print(
            "LATEST does not name a version that is here; roll back to one",
            style="red",
        )


def _state(version: VersionEntry) -> str:
    if version.problem:
        return "unreadable manifest"
    not_signed = ", not signed" if version.signed is False and version.state != "removed" else ""
    return version.state + (", signed off" if version.signed_off else "") + not_signed


def _first_rule(rules: tuple[RuleResult, ...]) -> str | Name:
    if not rules or math.isnan(rules[0].quantized_value):
        return "-"
    return Name(rules[0].metric, f" {rules[0].quantized_value:.4f}")


def _in_words(event: Event) -> str:
    text = _TOLD[event.kind].format(event=event)
    return f"{event.at}  {text}" + (f": {event.note}" if event.note else "")
