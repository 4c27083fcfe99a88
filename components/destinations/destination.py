"""A destination of pushes: one directory a version, a pointer to the current one, and a ledger.

```
DESTINATION/LATEST                     the number of the current version
DESTINATION/LATEST.signed              the same and the digest of the ledger, signed
DESTINATION/VERSION/model.tflite       the model
DESTINATION/VERSION/manifest.json      what it is, with the digest of every file beside
DESTINATION/VERSION/manifest.sig       its signature
DESTINATION/VERSION/golden/            samples to try the model with
DESTINATION/aliases/NAME               the number of the version that an alias names
DESTINATION/.history/                  releases, approvals, rollbacks, removals, judgements …
```

What is signed is there if there is a key. A version is whole or it is not there, and never changes.
Whatever fails, or wherever a process is killed, readers have the versions and the pointer of before
or of after, and the next push removes what was left.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tfx_tflite.components.artifact_layout import MANIFEST_FILE, MODEL_FILE
from tfx_tflite.components.destinations import ledger
from tfx_tflite.components.destinations.aliases import alias_name, alias_path
from tfx_tflite.components.destinations.approval import (
    Approval,
    undecided_reason,
    waiting_versions,
)
from tfx_tflite.components.destinations.change import Change, note_seen
from tfx_tflite.components.destinations.ledger import Event
from tfx_tflite.components.destinations.manifest import Manifest, SmokeTest
from tfx_tflite.components.destinations.pointer import LATEST, read_latest, version_number
from tfx_tflite.components.destinations.push import Candidate, Judge, Push, PushedVersion, count
from tfx_tflite.components.destinations.reading import (
    Reading,
    read_file,
    read_manifest,
    version_path,
)
from tfx_tflite.components.destinations.settings import DEFAULT_TIMEOUT
from tfx_tflite.components.destinations.state import State, is_whole
from tfx_tflite.components.destinations.stores.store import UNFINISHED, Store, open_store
from tfx_tflite.components.destinations.trust import Trust, Verifier
from tfx_tflite.components.destinations.verification import (
    SIGNATURE_FILE,
    is_signed,
    version_problems,
)
from tfx_tflite.components.destinations.writing import UnfinishedError, reason
from tfx_tflite.components.errors import DestinationError, NotKnownError, PushError, listed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

__all__ = [
    "LATEST",
    "SIGNATURE_FILE",
    "Approved",
    "Candidate",
    "Destination",
    "PushedVersion",
    "RolledBack",
    "Trust",
]


class Approved(NamedTuple):
    """What came of an approval.

    Attributes:
        before: The version that was current; None if none was.
        after: The version that is current now.
        note: What the user should know of beside; empty if there is nothing.
    """

    before: int | None
    after: int
    note: str = ""


class RolledBack(NamedTuple):
    """What came of a rollback.

    Attributes:
        before: The version that was current by the pointer; None if it held no number.
        after: The version that it names now.
        note: What the user should know of beside; empty if there is nothing.
    """

    before: int | None
    after: int
    note: str = ""


class Destination:
    """The versions at one place.

    Args:
        store: Where they are kept.
        trust: Whose signatures they must have, and who signs. Without, nothing is checked, and a
            destination that is signed cannot be changed.
    """

    def __init__(self, store: Store, trust: Trust | None = None):
        self._store = store
        self._trust = trust or Trust()

    @classmethod
    def open(
        cls, uri: str, timeout: float = DEFAULT_TIMEOUT, trust: Trust | None = None
    ) -> "Destination":
        """Returns the destination at a path or URI; nothing is read or made yet.

        Args:
            uri: The path or URI.
            timeout: Seconds until a store that does not answer is given up.
            trust: Whose signatures must be there, and who signs.
        """
        return cls(open_store(uri, timeout), trust)

    @property
    def uri(self) -> str:
        """Where it is."""
        return self._store.uri

    @property
    def store(self) -> Store:
        """Where the versions are kept."""
        return self._store

    @property
    def verifier(self) -> Verifier | None:
        """Who checks signatures; None if nobody does."""
        return self._trust.verifier

    def path(self, number: int, name: str = "") -> str:
        """Returns where a version, or a file of it, is."""
        return version_path(self._store, number, name)

    def versions(self) -> list[int]:
        """Returns the numbers of the versions, rising."""
        return [number for number in self.numbers() if self.is_version(number)]

    def released(self) -> list[int]:
        """Returns the numbers of the versions that are or were the current one, rising.

        Raises:
            DestinationError: Pointer or ledger are not what was signed, or damaged.
            NotKnownError: The destination cannot be read.
        """
        reading = self.reading()
        return [number for number in reading.versions() if number in reading.state.releases]

    def numbers(self) -> list[int]:
        """Returns all entries that are named like versions, rising."""
        return sorted(filter(None, map(version_number, self._store.entries())))

    def is_version(self, number: int) -> bool:
        """Returns whether an entry has a manifest, without which it is not a version."""
        return is_whole(self._store, number)

    def pointer(self) -> int | None:
        """Returns the number that LATEST holds; None if it holds none, or is not there."""
        return read_latest(self._store)

    def current(self) -> int | None:
        """Returns the current version: what is signed as that, else what LATEST names.

        Where LATEST holds no number it is the newest version that was released and not rolled back
        from. None if there is no version, or the pointer names one that is not there.

        Raises:
            DestinationError: Pointer or ledger are not what was signed, or damaged.
            NotKnownError: The destination cannot be read.
        """
        pointed = self._pointed()
        while pointed is not None:
            if self.is_version(pointed):
                return pointed
            # Meanwhile a push may have gone on, and removed what was current before.
            before, pointed = pointed, self._pointed()
            if pointed == before:
                return None
        return self.reading().current()

    def _pointed(self) -> int | None:
        return self.pointer() if self.verifier is None else self.reading().state.pointed

    def reading(self) -> Reading:
        """Returns the destination as it is now, read at once and checked.

        Raises:
            DestinationError: Pointer or ledger are not what was signed, or damaged.
            NotKnownError: The destination cannot be read.
        """
        state = State.read(self._store, self.verifier)
        note_seen(self.uri, self._trust, state)
        return Reading(self._store, state)

    def damaged(self) -> list[int]:
        """Returns the numbers of versions whose manifest is missing, rising.

        One that is being pushed is not among them, nor is what another tool has put there.
        """
        found = []
        for number in self.numbers():
            entries = self._store.entries(str(number))
            if MODEL_FILE in entries and not {MANIFEST_FILE, UNFINISHED} & {*entries}:
                found.append(number)
        return found

    def manifest(self, number: int) -> Manifest:
        """Returns a version's manifest.

        Raises:
            DestinationError: It is not there, or not a manifest.
            NotKnownError: It cannot be read.
        """
        return read_manifest(self._store, number)

    def read(self, number: int, name: str) -> bytes:
        """Returns a file of a version.

        Raises:
            DestinationError: It is not there.
            NotKnownError: It cannot be read.
        """
        return read_file(self._store, number, name)

    def files(self, number: int) -> list[str]:
        """Returns the names of a version's files."""
        return self._store.files(str(number))

    def events(self) -> list[Event]:
        """Returns the ledger, in the order in which things happened.

        Raises:
            DestinationError: An event in it is damaged, or it is not what was signed.
            NotKnownError: It cannot be read.
        """
        return self.reading().state.events

    def problems(self, number: int, key: "Ed25519PublicKey | None" = None) -> list[str]:
        """Returns what is wrong with a version, each naming the file; nothing if it is whole.

        Args:
            number: The version.
            key: Whose signature it must have; None takes the verifier that the destination was
                opened with, and asks for none if there is none.

        Raises:
            NotKnownError: A file cannot be read.
        """
        verifier = self.verifier if key is None else Verifier(key)
        return version_problems(self._store, number, verifier)

    def is_signed(self, number: int) -> bool | None:
        """Returns whether a version's manifest is signed by the key; None if none is known.

        Raises:
            NotKnownError: A file cannot be read.
        """
        return None if self.verifier is None else is_signed(self._store, number, self.verifier)

    def current_problems(self, number: int) -> list[str]:
        """Returns what is wrong with the current version.

        Until the first signed push it is one that was pushed when nothing was signed yet.

        Args:
            number: The current version.

        Raises:
            DestinationError: Pointer or ledger are not what was signed, or damaged.
            NotKnownError: The destination or a file cannot be read.
        """
        has_begun = self.verifier is not None and self.reading().state.statement is not None
        return version_problems(self._store, number, self.verifier if has_begun else None)

    def push(
        self,
        candidate: Candidate,
        *,
        force: bool = False,
        keep: int | None = None,
        key: "Ed25519PrivateKey | None" = None,
        trial: Callable[[Path], SmokeTest] | None = None,
        approval: bool = False,
    ) -> PushedVersion:
        """Makes a model the current version, or one that waits until somebody approves it.

        Args:
            candidate: The model.
            force: Whether to push it though it is there already.
            keep: How many of the newest versions stay; None keeps all. The current one and those
                that are signed off stay in any case. On a full disk those that would go are
                removed before the push.
            key: What to sign with; None takes what the destination was opened with.
            trial: Is called with the directory of the files as they will be shipped, and returns
                what it was tried with, for the manifest; it raises PushError if the model does not
                do what it should.
            approval: Whether the model is to wait; even so it is not pushed where it is current.

        Raises:
            PushError: The model was not pushed, and the pointer is as it was; or, if the message
                says so, it was pushed in part or nobody knows.
        """
        trust = self._trust.signing_with(key)
        try:
            with self._changing(trust) as change:
                return Push(change, trust, candidate, force, keep, trial, approval).run()
        except UnfinishedError as error:
            raise PushError(str(error)) from error
        except (OSError, DestinationError, NotKnownError) as error:
            raise PushError(f"the model was not pushed: {reason(error)}") from error

    def count(self, judge: Judge) -> None:
        """Counts the judgement of a model that is not pushed, so that the next one knows of it.

        Args:
            judge: As of `Candidate`.

        Raises:
            PushError: It could not be counted.
        """
        try:
            with self._changing(self._trust) as change:
                change.settle()
                count(change, judge)
        except (OSError, DestinationError, NotKnownError) as error:
            raise PushError(
                f"the model was refused, but that could not be counted at {self.uri}: "
                f"{reason(error)}; run again"
            ) from error

    def check_writable(self) -> None:
        """Makes sure that it can be changed as pushes do, by keeping others from it for a moment.

        Raises:
            DestinationError: It cannot, or its store ignores conditions of writes.
        """
        try:
            with self._store.lock():
                pass
        except OSError as error:
            raise DestinationError(f"{self.uri} cannot be changed: {reason(error)}") from error

    def roll_back(
        self,
        number: int | None = None,
        note: str | None = None,
        key: "Ed25519PrivateKey | None" = None,
    ) -> RolledBack:
        """Makes another version the current one; it must have been that before.

        Args:
            number: Which; None takes the newest before the current one or, where LATEST holds no
                number, what is current without it.
            note: Why.
            key: What to sign with; None takes what the destination was opened with.

        Raises:
            DestinationError: There is no such version, it was never released, or it is not what was
                pushed; nothing was changed. Or, if the message says so, it was in part.
        """
        trust = self._trust.signing_with(key)
        with self._changed(trust) as change:
            reading = Reading(self._store, change.state)
            pointed, before = change.state.pointed, reading.current()
            if number is not None:
                target = self._released(reading, number)
            else:
                target = before if pointed is None and before else _earlier(reading, before)
            if problems := version_problems(self._store, target, trust.verifier):
                raise DestinationError(
                    f"version {target} is not what was pushed, so {before} stays: {problems[0]}"
                )
            if target != before:
                # First, so that no push takes the version for one that was left by a killed push.
                change.record(Event.now("rolled_back", target, instead_of=before, note=note))
            try:
                said = change.point_to(target) if target != pointed else ""
            except OSError as error:
                raise UnfinishedError(
                    f"{self.uri} was not changed: {reason(error)}; its history may tell of the "
                    "rollback all the same"
                ) from error
            return RolledBack(pointed, target, said)

    def approve(
        self,
        number: int,
        by: str,
        note: str | None = None,
        force: bool = False,
        key: "Ed25519PrivateKey | None" = None,
    ) -> Approved:
        """Makes a version that waits the current one.

        Args:
            number: The version.
            by: Who approves it.
            note: Why.
            force: Whether to do so though it is older than the current one, or was compared with
                another one than that.
            key: What to sign with; None takes what the destination was opened with.

        Raises:
            DestinationError: There is no such version, it does not wait, it is not what was pushed,
                or the current one has overtaken it; nothing was changed. Or, if the message says
                so, it is approved but not current yet.
        """
        trust = self._trust.signing_with(key)
        with self._changed(trust) as change:
            reading = Reading(self._store, change.state)
            known, before = self._known(reading, number), reading.current()
            said = Approval(change, trust, known, by, note).approve(force)
            return Approved(before, known, said)

    def reject(
        self,
        number: int,
        by: str,
        note: str | None = None,
        key: "Ed25519PrivateKey | None" = None,
    ) -> None:
        """Keeps a version that waits, and its model, from ever becoming current.

        Args:
            number: The version.
            by: Who rejects it.
            note: Why.
            key: What to sign with; None takes what the destination was opened with.

        Raises:
            DestinationError: There is no such version, or it does not wait.
        """
        trust = self._trust.signing_with(key)
        with self._changed(trust) as change:
            known = self._known(Reading(self._store, change.state), number)
            Approval(change, trust, known, by, note).reject()

    def waiting(self) -> list[ledger.Waiting]:
        """Returns the versions that wait and are newer than the current one, rising.

        Raises:
            DestinationError: Pointer or ledger are not what was signed, or damaged.
            NotKnownError: The destination cannot be read.
        """
        return waiting_versions(self.reading())

    def aliases(self) -> dict[str, int]:
        """Returns the version that each alias names, as the ledger has it.

        Raises:
            DestinationError: Pointer or ledger are not what was signed, or damaged.
            NotKnownError: The destination cannot be read.
        """
        return ledger.aliases(self.reading().state.events)

    def set_alias(
        self,
        name: str,
        number: int | None,
        by: str,
        key: "Ed25519PrivateKey | None" = None,
    ) -> int | None:
        """Has an alias name a version, or removes it.

        Args:
            name: The alias.
            number: The version, which must be released or wait; None removes the alias.
            by: Who does it.
            key: What to sign with; None takes what the destination was opened with.

        Returns:
            The version that it named before; None if it named none.

        Raises:
            ConfigError: No alias may have that name.
            DestinationError: There is no such version or alias, or the version is not what was
                pushed, or never was and never will be current; nothing was changed.
        """
        name, trust = alias_name(name), self._trust.signing_with(key)
        with self._changed(trust) as change:
            reading = Reading(self._store, change.state)
            known = ledger.aliases(change.state.events)
            before = known.get(name)
            if number is None:
                if before is None:
                    raise DestinationError(
                        f"{self.uri} has no alias {name}; it has: {listed(known) or 'none'}"
                    )
                change.record(Event.now("alias_removed", before, alias=name, by=by))
            elif number != before:
                self._check_may_be_named(reading, trust, number)
                change.record(Event.now("alias_set", number, alias=name, by=by))
            try:
                change.write_aliases()
            except OSError as error:
                raise UnfinishedError(
                    f"{alias_path(self._store, name)} could not be written, but the history has "
                    f"the change: {reason(error)}; the next push, rollback or sign-off writes it"
                ) from error
            return before

    def _check_may_be_named(self, reading: Reading, trust: Trust, number: int) -> None:
        known = self._known(reading, number)
        if known not in ledger.waiting(reading.state.events):
            self._released(reading, known)
        if problems := version_problems(self._store, known, trust.verifier):
            raise DestinationError(f"no alias names version {known}: {problems[0]}")

    def sign_off(
        self,
        number: int,
        note: str | None = None,
        withdraw: bool = False,
        key: "Ed25519PrivateKey | None" = None,
    ) -> None:
        """Signs a version off, so that it is never removed; or takes that back.

        Args:
            number: The version.
            note: Why.
            withdraw: Whether to take it back.
            key: What to sign the history with; None takes what the destination was opened with.

        Raises:
            DestinationError: There is no such version, it was never released, or what is to be
                signed off is not what was pushed.
        """
        trust = self._trust.signing_with(key)
        with self._changed(trust) as change:
            reading = Reading(self._store, change.state)
            known = self._known(reading, number) if withdraw else self._released(reading, number)
            if not withdraw and (problems := version_problems(self._store, known, trust.verifier)):
                raise DestinationError(f"version {number} is not signed off: {problems[0]}")
            kind: ledger.Kind = "sign_off_withdrawn" if withdraw else "signed_off"
            change.record(Event.now(kind, known, note=note))

    def _known(self, reading: Reading, number: int) -> int:
        versions = reading.versions()
        if number not in versions:
            raise DestinationError(
                f"{self.uri} has no version {number}; it has: {listed(reversed(versions))}"
            )
        return number

    def _released(self, reading: Reading, number: int) -> int:
        """Returns a number, if it is of a version that is or was the current one."""
        known = self._known(reading, number)
        if known not in reading.state.releases:
            raise DestinationError(undecided_reason(reading, known))
        return known

    @contextlib.contextmanager
    def _changing(self, trust: Trust) -> Iterator[Change]:
        """Holds the lock, with what killed pushes have left removed."""
        with contextlib.ExitStack() as stack:
            lock = self._store.lock()
            lock.__enter__()
            stack.callback(_release, lock)
            change = Change(self._store, trust)
            self._store.clean([str(number) for number in change.state.numbers])
            yield change
            change.finish()

    @contextlib.contextmanager
    def _changed(self, trust: Trust) -> Iterator[Change]:
        """As `_changing`, at a destination that must be there, with all settled."""
        if not self.versions():
            raise DestinationError(f"there is no version at {self.uri}")
        try:
            with self._changing(trust) as change:
                change.settle()
                yield change
        except (OSError, NotKnownError) as error:
            raise DestinationError(f"{self.uri} was not changed: {reason(error)}") from error


def _release(lock: contextlib.AbstractContextManager[None]) -> None:
    # What was done is done, whatever is said when the lock is given back.
    with contextlib.suppress(OSError):
        lock.__exit__(None, None, None)


def _earlier(reading: Reading, current: int | None) -> int:
    """Returns the newest version before the current one that may be gone back to."""
    uri, releases = reading.store.uri, reading.state.releases
    if current is None:
        raise DestinationError(f"{uri} has no current version; name one")
    numbers = [number for number in reading.versions() if number < current and number in releases]
    withdrawn = reading.withdrawn(numbers)
    earlier = [number for number in numbers if number not in withdrawn]
    if not earlier:
        raise DestinationError(f"{uri} has no version before {current}")
    return earlier[-1]
