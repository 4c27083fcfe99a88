"""A change of a destination: what one process does there under the lock, step by step.

The order of the steps makes every state that a killed process leaves a good one:

- a version is whole before it is pointed to;
- the pointer is what makes it current: `LATEST.signed` at a signed destination, then LATEST;
- that it was released is recorded after that;
- that a version waits for approval is recorded once it is whole, and nothing points to it;
- an approval is recorded before the pointer, and one without the pointer is finished;
- an alias is recorded before its file.

The next change makes up for what is missing (`Change.settle`), before it does anything else.
"""

import contextlib
import dataclasses
import uuid
from collections.abc import Sequence

from tfx_tflite.components.destinations import ledger
from tfx_tflite.components.destinations.aliases import write_aliases
from tfx_tflite.components.destinations.ledger import Event, last_current, ledger_digest
from tfx_tflite.components.destinations.ledger_files import LedgerFiles
from tfx_tflite.components.destinations.pointer import (
    LATEST,
    SIGNED_LATEST,
    SignedPointer,
    Statement,
)
from tfx_tflite.components.destinations.state import State
from tfx_tflite.components.destinations.stores.store import Store
from tfx_tflite.components.destinations.trust import Trust, signed_latest_of
from tfx_tflite.components.destinations.verification import version_problems
from tfx_tflite.components.destinations.writing import UnfinishedError, put, reason
from tfx_tflite.components.errors import DestinationError, NotKnownError
from tfx_tflite.components.presence import ABSENT


class Change:
    """A destination while its lock is held.

    Args:
        store: The destination.
        trust: Who checks and signs there.

    Raises:
        DestinationError: The destination is signed, and nobody signs; or it is not what was signed.
        NotKnownError: It cannot be read.
    """

    def __init__(self, store: Store, trust: Trust):
        _check_signer(store, trust)
        self.store = store
        self._trust = trust
        self.state = State.read(store, trust.verifier)
        # Whether the ledger may hold more than `state` knows.
        self._is_stale = False

    def settle(self) -> None:
        """Makes up for what a killed change has left undone.

        Raises:
            OSError: The destination fails.
        """
        self._cut()
        state = self.state
        if state.statement is not None and state.latest != state.pointed:
            if state.pointed:
                put(self.store, LATEST, f"{state.pointed}\n".encode("ascii"))
            else:
                # Nothing was approved yet, so nobody may take what somebody wrote there.
                self.store.delete(LATEST)
            self.state = dataclasses.replace(state, latest=state.pointed)
        self._count_releases()
        if state.pointed in state.numbers:
            self._record_release()
        self._finish_approval()
        self.write_aliases()

    def refresh(self) -> None:
        """Reads the destination again, after something failed.

        Raises:
            DestinationError: It is not what was signed.
            NotKnownError: It cannot be read.
            OSError: What the failure has left cannot be removed.
        """
        self.state = State.read(self.store, self._trust.verifier)
        self._cut()
        self._is_stale = False

    def record(self, *events: Event) -> None:
        """Appends to the ledger.

        Raises:
            OSError: The destination fails.
        """
        if not events:
            return
        if self._is_stale:
            self.refresh()
        self._is_stale = True
        files = self.state.ledger.appended(self.store, *events)
        if self.state.statement is not None:
            self._sign(self.state.statement.version, files)
        elif self._signs_before_a_release(events):
            self._sign(0, files)
        self.state = dataclasses.replace(self.state, ledger=files)
        self._is_stale = False

    def _signs_before_a_release(self, events: Sequence[Event]) -> bool:
        """Returns whether signatures begin with some events, before anything is current.

        Judgements of models that were refused before the first push must not be forgotten either.
        """
        is_new = self.state.pointed is None and not self.state.numbers
        is_judged = any(event.kind == "judged" for event in events)
        return self._trust.signer is not None and is_new and is_judged

    def point_to(self, number: int) -> str:
        """Makes a version the current one.

        Returns:
            What the user should know of; empty if there is nothing.

        Raises:
            OSError: The destination failed, and the pointer is as it was.
            UnfinishedError: The pointer was changed in part, or that cannot be told.
        """
        notes = []
        if self._trust.signer is not None:
            notes.append(self._sign(number, self.state.ledger))
        try:
            notes.append(put(self.store, LATEST, f"{number}\n".encode("ascii")))
        except OSError as error:
            if self._trust.signer is None:
                raise
            raise UnfinishedError(
                f"version {number} is signed as the current one at {self.store.uri}, but LATEST "
                f"could not be written: {reason(error)}; the next push, rollback or sign-off "
                "writes it"
            ) from error
        self.state = dataclasses.replace(self.state, latest=number)
        try:
            self._record_release()
        except (OSError, DestinationError, NotKnownError) as error:
            notes.append(f"the history does not have it yet: {reason(error)}")
        return "; ".join(filter(None, notes))

    def begin_signing(self) -> None:
        """Signs that nothing is current, at a new destination whose first version is to wait.

        What is recorded there is signed from then on. Where something is current already, that has
        no signature yet, and signing begins with the next version that becomes current.

        Raises:
            OSError: The destination fails.
        """
        state = self.state
        if self._trust.signer is None or state.statement is not None or state.pointed is not None:
            return
        self._sign(0, state.ledger)
        self.record(Event.now("signing_started", 0))

    def write_aliases(self) -> None:
        """Makes the files of aliases what the ledger says.

        Raises:
            OSError: The destination fails.
        """
        aliases = ledger.aliases(self.state.events)
        if aliases or self.state.has_alias_files:
            write_aliases(self.store, aliases)

    def remove(self, number: int) -> None:
        """Removes a version."""
        self.store.remove(str(number))
        numbers = tuple(each for each in self.state.numbers if each != number)
        self.state = dataclasses.replace(self.state, numbers=numbers)

    def finish(self) -> None:
        """Puts events together, and notes what pointer was seen; what fails is left for later."""
        with contextlib.suppress(OSError, NotKnownError):
            if not self._is_stale:
                self.state.ledger.compacted(self.store)
        note_seen(self.store.uri, self._trust, self.state)

    def _cut(self) -> None:
        """Removes events that no pointer covers: the change that wrote them stopped."""
        files = self.state.ledger.cut(self.store, len(self.state.entries))
        self.state = dataclasses.replace(self.state, ledger=files)

    def _finish_approval(self) -> None:
        """Makes a version current whose approval stopped before that."""
        approved = ledger.unfinished_approval(self.state.events)
        if approved is None or approved.version not in self.state.numbers:
            return
        verifier = self._trust.verifier
        if verifier is not None and self.state.statement is None:
            # Nobody has signed that it was approved.
            return
        if not version_problems(self.store, approved.version, verifier):
            self.point_to(approved.version)

    def _count_releases(self) -> None:
        if not any(event.kind == "releases_counted" for event in self.state.events):
            self.record(Event.now("releases_counted", self.state.releases.until))

    def _record_release(self) -> None:
        """Records what is current, and that it is signed, if the ledger does not say so."""
        events, pointed, missing = self.state.events, self.state.pointed, []
        if pointed is None:
            return
        is_told = any(event.kind == "signing_started" for event in events)
        if self.state.statement is not None and not is_told:
            missing.append(Event.now("signing_started", pointed))
        if last_current(events) != pointed:
            missing.append(Event.now("released", pointed))
        self.record(*missing)

    def _sign(self, version: int, files: LedgerFiles) -> str:
        """Replaces the signed pointer, and begins to have one where there is none."""
        signer, before = self._trust.signer, self.state.statement
        assert signer is not None
        statement = Statement(
            chain=uuid.uuid4().hex if before is None else before.chain,
            counter=1 if before is None else before.counter + 1,
            version=version,
            events=len(files.entries),
            ledger=ledger_digest(files.entries),
        )
        pointer = signer.pointer(statement)
        note = put(self.store, SIGNED_LATEST, pointer.content)
        self.state = dataclasses.replace(self.state, pointer=pointer, statement=statement)
        return note


def note_seen(uri: str, trust: Trust, state: State) -> None:
    """Notes which signed pointer was seen; one that cannot be noted is found old by fewer."""
    verifier = trust.verifier
    if verifier is None or verifier.seen is None or state.pointer is None:
        return
    assert state.statement is not None
    with contextlib.suppress(OSError, DestinationError, NotKnownError):
        verifier.seen.note(uri, state.pointer, state.statement)


def _check_signer(store: Store, trust: Trust) -> None:
    if trust.signer is not None:
        return
    if trust.verifier is not None or SignedPointer.read(store) is not ABSENT:
        raise DestinationError(
            f"{store.uri} is signed ({signed_latest_of(store.uri)}), so whatever changes it needs "
            "the key: give --signing-key, or push.signing_key in the config"
        )
