"""The history of a destination: every version that was pushed, and what became of it."""

import math
from typing import IO, Literal

from tfx_tflite.components.destinations import ledger
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.ledger import Event
from tfx_tflite.components.documents import Document, Part
from tfx_tflite.components.errors import DestinationError
from tfx_tflite.components.verdict import OVERALL, RuleResult
from tfx_tflite.pipelines.cli.console import Terminal
from tfx_tflite.pipelines.cli.tables import Column, Name, Table

State = Literal["current", "rolled back", "present", "removed", "not released"]


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
    events: tuple[Event, ...]


def history_of(destination: Destination) -> History:
    """Returns the history.

    Args:
        destination: The destination.

    Raises:
        DestinationError: It cannot be read, or nothing was ever pushed there.
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
    for number in present:
        state: State = "rolled back" if number in withdrawn else "present"
        if number not in releases:
            state = "not released"
        found = {
            "state": "current" if number == current else state,
            "signed_off": number in signed_off,
            "signed": destination.is_signed(number),
        }
        versions.append(_known(destination, number).model_copy(update=found))
    if not versions:
        raise DestinationError(f"there is no version at {destination.uri}")
    return History(
        destination=destination.uri,
        latest=pointer,
        current=current,
        versions=tuple(sorted(versions, key=lambda version: version.version)),
        events=tuple(events),
    )


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
_TOLD = ("rolled_back", "signed_off", "sign_off_withdrawn", "signing_started")


def print_history(history: History, stream: IO[str]) -> None:
    """Prints a history as a table, and what was done beside pushes below it.

    Args:
        history: The history.
        stream: Where to.
    """
    console = Terminal(stream)
    console.fitted_width()
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
    elif history.latest not in [version.version for version in history.versions]:
        console.print(
            "LATEST does not name a version; `tfx-tflite rollback DEST VERSION` sets it",
        )
    for event in ledger.finished(history.events):
        if event.kind in _TOLD:
            console.print(_in_words(event))
    if history.current is None:
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
    text = {
        "rolled_back": f"rolled back from {event.instead_of} to {event.version}",
        "signed_off": f"{event.version} signed off",
        "sign_off_withdrawn": f"sign-off of {event.version} withdrawn",
        "signing_started": "signatures of the pointer and this history began",
    }[event.kind]
    return f"{event.at}  {text}" + (f": {event.note}" if event.note else "")
