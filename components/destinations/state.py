"""What is at a destination, read at once, so that one decision goes by one state."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from tfx_tflite.components.artifact_layout import MANIFEST_FILE
from tfx_tflite.components.destinations.ledger import (
    Entry,
    Event,
    Releases,
    last_current,
    ledger_digest,
)
from tfx_tflite.components.destinations.ledger_files import HISTORY, LedgerFiles
from tfx_tflite.components.destinations.manifest import Manifest
from tfx_tflite.components.destinations.pointer import (
    ALIASES,
    SignedPointer,
    Statement,
    read_latest,
    version_number,
)
from tfx_tflite.components.destinations.stores.store import Store
from tfx_tflite.components.destinations.trust import Verifier, signed_latest_of
from tfx_tflite.components.errors import DestinationError
from tfx_tflite.components.presence import ABSENT, not_known

_TRIES = 20


@dataclass(frozen=True)
class State:
    """Pointer, ledger and names of versions.

    Attributes:
        latest: The number that LATEST holds; None if it holds none.
        pointer: The signed pointer; None if there is none, or nobody checks it.
        statement: What it says.
        ledger: The ledger with all its events.
        numbers: The entries that are named like versions, rising.
        newest: The newest version, where it takes the place of a pointer that is lost; else None.
        has_alias_files: Whether there is a directory of aliases.
    """

    latest: int | None
    pointer: SignedPointer | None
    statement: Statement | None
    ledger: LedgerFiles
    numbers: tuple[int, ...]
    newest: int | None = None
    has_alias_files: bool = False

    @classmethod
    def read(cls, store: Store, verifier: Verifier | None = None) -> "State":
        """Returns what is at a destination.

        Args:
            store: The destination.
            verifier: Who must have signed pointer and ledger, once that was begun there; None
                takes them as they are.

        Raises:
            DestinationError: They are not signed, are older than what was seen before, or a file
                of the ledger is damaged.
            NotKnownError: The destination cannot be read.
        """
        if verifier is None:
            pointer, statement, ledger = None, None, LedgerFiles.read(store)
        else:
            pointer, statement, ledger = _signed(store, verifier)
        latest = read_latest(store)
        names = store.entries()
        numbers = sorted(filter(None, map(version_number, names)))
        state = cls(
            latest,
            pointer,
            statement,
            ledger,
            tuple(numbers),
            has_alias_files=ALIASES in names,
        )
        return dataclasses.replace(state, newest=state._newest(store))

    def _newest(self, store: Store) -> int | None:
        """Returns the newest version where nothing else tells which versions were released."""
        is_recorded = any(event.kind == "releases_counted" for event in self.events)
        if is_recorded or self.pointed in self.numbers:
            return None
        return next(
            (
                number
                for number in reversed(self.numbers)
                if is_whole(store, number) and not _asks_for_approval(store, number)
            ),
            None,
        )

    @property
    def pointed(self) -> int | None:
        """The version that is to be current: what was signed, else what LATEST holds."""
        return self.latest if self.statement is None else (self.statement.version or None)

    @property
    def entries(self) -> Sequence[Entry]:
        """The events that count: at a signed destination those that are covered."""
        found = self.ledger.entries
        return found if self.statement is None else found[: self.statement.events]

    @cached_property
    def events(self) -> list[Event]:
        """The events that count, in the order in which they happened."""
        return [entry.event for entry in self.entries]

    @property
    def settled(self) -> list[Event]:
        """The events that count, with what is current as the last one that became so."""
        events = self.events
        if self.pointed is None or last_current(events) == self.pointed:
            return events
        return [*events, Event.now("released", self.pointed)]

    @cached_property
    def releases(self) -> Releases:
        """Which versions were ever the current one."""
        pointed = self.pointed if self.pointed in self.numbers else None
        return Releases.of(self.events, pointed, self.newest)


def is_whole(store: Store, number: int) -> bool:
    """Returns whether an entry has a manifest, without which it is not a version."""
    return MANIFEST_FILE in store.entries(str(number))


def _asks_for_approval(store: Store, number: int) -> bool:
    """Returns whether a version is not to be current before somebody approves it."""
    content = store.read(f"{number}/{MANIFEST_FILE}")
    if not isinstance(content, bytes):
        return False
    try:
        return Manifest.parse(content, str(number)).approval is not None
    except DestinationError:
        return False


def _signed(
    store: Store, verifier: Verifier
) -> tuple[SignedPointer | None, Statement | None, LedgerFiles]:
    """Returns the signed pointer, what it says, and the ledger with what it covers."""
    where = signed_latest_of(store.uri)
    for _ in range(_TRIES):
        pointer = SignedPointer.read(store)
        # After the pointer, so that it has all that the pointer covers.
        ledger = LedgerFiles.read(store)
        try:
            if pointer is ABSENT:
                _check_unsigned(store.uri, ledger, verifier)
                return None, None, ledger
            statement = verifier.statement(pointer, store.uri, where)
            _check_ledger(store.uri, ledger, statement)
            return pointer, statement, ledger
        except DestinationError:
            # A push may have replaced the pointer, and noted that, since it was read.
            if SignedPointer.read(store) == pointer:
                raise
    raise not_known(store.uri, "read", "it changes all the time")


def _check_unsigned(uri: str, ledger: LedgerFiles, verifier: Verifier) -> None:
    """Raises DestinationError if a destination without a signed pointer had one."""
    where = signed_latest_of(uri)
    if any(entry.event.kind == "signing_started" for entry in ledger.entries):
        raise DestinationError(f"{where} is gone, and the destination was signed; put it back")
    problem = None if verifier.seen is None else verifier.seen.problem(uri, None, where)
    if problem is not None:
        raise DestinationError(problem)


def _check_ledger(uri: str, ledger: LedgerFiles, statement: Statement) -> None:
    """Raises DestinationError if a ledger does not hold what was signed."""
    covered = ledger.entries[: statement.events]
    if len(covered) == statement.events and ledger_digest(covered) == statement.ledger:
        return
    raise DestinationError(
        f"{uri}/{HISTORY} is not what was signed: an event was removed, added or changed; put it "
        "back as it was"
    )
