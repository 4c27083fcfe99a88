"""A destination of pushes: one directory a version, a pointer to the current one, and a ledger.

```
DESTINATION/LATEST                     the number of the current version
DESTINATION/VERSION/model.tflite       the model
DESTINATION/VERSION/manifest.json      what it is, with the digest of every file beside
DESTINATION/VERSION/manifest.sig       its signature, where a key was given
DESTINATION/VERSION/golden/            samples to try the model with
DESTINATION/.history/                  rollbacks, sign-offs and removals
```

A version is whole or it is not there, and never changes. Whatever fails, or wherever a process is
killed, readers have the versions and the pointer of before or of after, and the next push removes
what was left.
"""

import base64
import contextlib
import posixpath
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from tfx_tflite.components.artifact_layout import MANIFEST_FILE, MODEL_FILE
from tfx_tflite.components.destinations import ledger
from tfx_tflite.components.destinations.ledger import Event
from tfx_tflite.components.destinations.manifest import (
    Description,
    FileEntry,
    Manifest,
    ModelEntry,
    SmokeTest,
)
from tfx_tflite.components.destinations.settings import DEFAULT_TIMEOUT
from tfx_tflite.components.destinations.stores.store import UNFINISHED, Store, open_store
from tfx_tflite.components.digests import file_digest
from tfx_tflite.components.errors import DestinationError, NotKnownError, PushError, listed
from tfx_tflite.components.presence import ABSENT

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

LATEST = "LATEST"
SIGNATURE_FILE = "manifest.sig"
_HISTORY = ".history"
# TensorFlow Serving's versions are int64; nothing else that is named by digits is one.
_VERSION = re.compile(r"[1-9][0-9]{0,18}")
_LARGEST = 2**63 - 2
_EVENT = re.compile(r"[0-9]{20}\.json")


@dataclass(frozen=True)
class Candidate:
    """A model to push.

    Attributes:
        files: The files to ship, by their names below the version.
        digests: What each of them must be, by the same names.
        description: What is known of the model, for the manifest.
        compared_with: The current version that it was found to be no worse than, 0 if there was
            none; None if it was not compared with what is pushed.
    """

    files: Mapping[str, Path]
    digests: Mapping[str, str]
    description: Description
    compared_with: int | None = None


@dataclass(frozen=True)
class PushedVersion:
    """What came of a push.

    Attributes:
        number: The version that holds the model.
        uri: Where it is.
        outcome: `pushed`; `present`, where it is the current version already; `withdrawn`, where
            it is there but the destination was rolled back from it, which a push leaves alone.
        note: What the user should know of beside; empty if there is nothing.
    """

    number: int
    uri: str
    outcome: Literal["pushed", "present", "withdrawn"]
    note: str = ""


class Destination:
    """The versions at one place.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: Store):
        self._store = store

    @classmethod
    def open(cls, uri: str, timeout: float = DEFAULT_TIMEOUT) -> "Destination":
        """Returns the destination at a path or URI; nothing is read or made yet.

        Args:
            uri: The path or URI.
            timeout: Seconds until a store that does not answer is given up.
        """
        return cls(open_store(uri, timeout))

    @property
    def uri(self) -> str:
        """Where it is."""
        return self._store.uri

    def path(self, number: int, name: str = "") -> str:
        """Returns where a version, or a file of it, is."""
        return posixpath.join(self.uri, str(number), name).rstrip("/")

    def versions(self) -> list[int]:
        """Returns the numbers of the versions, rising."""
        return [number for number in self.numbers() if self.is_version(number)]

    def numbers(self) -> list[int]:
        """Returns all entries that are named like versions, rising."""
        entries = map(_number, self._store.entries())
        return sorted(number for number in entries if number is not None)

    def is_version(self, number: int) -> bool:
        """Returns whether an entry has a manifest, without which it is not a version."""
        return MANIFEST_FILE in self._store.entries(str(number))

    def pointer(self) -> int | None:
        """Returns the number that LATEST holds; None if it holds none, or is not there."""
        content = self._store.read(LATEST)
        if content is ABSENT:
            return None
        return _number(content.decode("ascii", "replace").strip())

    def current(self) -> int | None:
        """Returns the current version: LATEST's, or the newest where LATEST holds no number.

        None if there is no version, or LATEST names one that is not there.
        """
        pointer = self.pointer()
        while pointer is not None:
            if self.is_version(pointer):
                return pointer
            # Meanwhile a push may have gone on, and removed what was current before.
            before, pointer = pointer, self.pointer()
            if pointer == before:
                return None
        withdrawn = ledger.withdrawn(self.events())
        found = [number for number in self.versions() if number not in withdrawn]
        return found[-1] if found else None

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
        """
        return Manifest.parse(self.read(number, MANIFEST_FILE), self.path(number, MANIFEST_FILE))

    def read(self, number: int, name: str) -> bytes:
        """Returns a file of a version.

        Raises:
            DestinationError: It is not there.
            NotKnownError: It cannot be read.
        """
        content = self._store.read(posixpath.join(str(number), name))
        if content is ABSENT:
            raise DestinationError(f"there is no {self.path(number, name)}")
        return content

    def files(self, number: int) -> list[str]:
        """Returns the names of a version's files."""
        return self._store.files(str(number))

    def events(self) -> list[Event]:
        """Returns the ledger, in the order in which things happened.

        Raises:
            DestinationError: An event in it is damaged.
            NotKnownError: It cannot be read.
        """
        found = []
        for name in sorted(filter(_EVENT.fullmatch, self._store.entries(_HISTORY))):
            content = self._store.read(posixpath.join(_HISTORY, name))
            try:
                found.append(Event.model_validate_json(content or b""))
            except ValidationError as error:
                raise DestinationError(
                    f"{self.uri}/{_HISTORY}/{name} is not an event of the history; put it back, or "
                    "remove it if what it tells of may be forgotten"
                ) from error
        return found

    def problems(self, number: int, key: "Ed25519PublicKey | None" = None) -> list[str]:
        """Returns what is wrong with a version, each naming the file; nothing if it is whole.

        Args:
            number: The version.
            key: Whose signature it must have; None asks for none.
        """
        from tfx_tflite.components.destinations.verification import version_problems

        return version_problems(self, number, key)

    def push(
        self,
        candidate: Candidate,
        *,
        force: bool = False,
        keep: int | None = None,
        key: "Ed25519PrivateKey | None" = None,
        trial: Callable[[Path], SmokeTest] | None = None,
    ) -> PushedVersion:
        """Makes a model the current version.

        Args:
            candidate: The model.
            force: Whether to push it though it is there already.
            keep: How many of the newest versions stay; None keeps all. The current one and those
                that are signed off stay in any case.
            key: What to sign the manifest with.
            trial: Is called with the directory of the files as they will be shipped, and returns
                what it was tried with, for the manifest; it raises PushError if the model does not
                do what it should.

        Raises:
            PushError: The model was not pushed; the destination is as it was.
        """
        try:
            with self._changing():
                pushed = None if force else self._present(candidate, key)
                if pushed is None:
                    self._check_compared(candidate)
                    pushed = self._publish(candidate, key, trial)
                if keep is None or pushed.outcome == "withdrawn":
                    return pushed
                return self._pruned(pushed, keep)
        except (OSError, DestinationError, NotKnownError) as error:
            raise PushError(f"the model was not pushed: {_reason(error)}") from error

    def _present(
        self, candidate: Candidate, key: "Ed25519PrivateKey | None"
    ) -> PushedVersion | None:
        """Returns the version that holds a model already, and makes it current if it should."""
        current, digest = self.current(), candidate.digests[MODEL_FILE]
        signer = None if key is None else key.public_key()
        if current is not None and self._holds(current, digest, signer):
            if self.pointer() is None:
                self._point_to(current)
            return PushedVersion(current, self.path(current), "present")
        withdrawn = ledger.withdrawn(self.events())
        for number in reversed(self.versions()):
            if number in withdrawn and self._is_of(number, digest):
                note = (
                    f"version {number} holds this model, but the destination was rolled back from "
                    f"it; {current} stays; use --force to push it, or roll back to {number}"
                )
                return PushedVersion(number, self.path(number), "withdrawn", note)
            if number > (current or 0) and self._holds(number, digest, signer):
                # A push was killed between the version and the pointer.
                self._check_compared(candidate)
                self._point_to(number)
                return PushedVersion(number, self.path(number), "present")
        return None

    def _check_compared(self, candidate: Candidate) -> None:
        current = self.current() or 0
        if candidate.compared_with not in (None, current):
            raise PushError(
                f"the model was not pushed: it was compared with {_named(candidate.compared_with)} "
                f"at {self.uri}, but {_named(current)} is current by now; run again"
            )

    def _is_of(self, number: int, digest: str) -> bool:
        try:
            return self.manifest(number).model.digest == digest
        except DestinationError:
            return False

    def _holds(self, number: int, digest: str, signer: "Ed25519PublicKey | None") -> bool:
        """Returns whether a version is whole, of a model, and signed where it is to be."""
        return self._is_of(number, digest) and not self.problems(number, signer)

    def _publish(
        self,
        candidate: Candidate,
        key: "Ed25519PrivateKey | None",
        trial: Callable[[Path], SmokeTest] | None,
    ) -> PushedVersion:
        with self._store.stage() as staged:
            files = self._ship(candidate, staged)
            smoke_test = trial(staged) if trial is not None else None
            number = self._next_number()
            known = candidate.description
            versions = {**known.versions, **_versions(smoke_test)}
            manifest = Manifest(
                version=number,
                pushed_at=ledger.utc_now(),
                model=ModelEntry(**files[MODEL_FILE].model_dump()),
                files=files,
                smoke_test=smoke_test,
                **{**dict(known), "versions": versions},
            )
            content = (manifest.to_json() + "\n").encode("utf-8")
            if key is not None:
                signature = base64.b64encode(key.sign(content)) + b"\n"
                self._store.write(staged / SIGNATURE_FILE, signature)
            self._store.write(staged / MANIFEST_FILE, content)
            self._store.publish(staged, str(number))
        self._point_to(number)
        return PushedVersion(number, self.path(number), "pushed")

    def _ship(self, candidate: Candidate, staged: Path) -> dict[str, FileEntry]:
        """Copies the files and returns their digests and sizes, read from the copies."""
        found = {}
        for name, source in sorted(candidate.files.items()):
            target = staged / name
            self._store.copy(source, target)
            digest = file_digest(target)
            if digest != candidate.digests[name]:
                raise PushError(
                    f"the model was not pushed: {source} changed since it was blessed: it is "
                    f"{digest}, expected {candidate.digests[name]}"
                )
            found[name] = FileEntry(digest=digest, size_bytes=target.stat().st_size)
        return found

    def _next_number(self) -> int:
        """Returns seconds since the epoch, as TFX numbers versions, but never one twice."""
        return max(int(time.time()), *(number + 1 for number in (0, *self.numbers())))

    def _point_to(self, number: int) -> None:
        self._store.replace(LATEST, f"{number}\n".encode("ascii"))

    def _pruned(self, pushed: PushedVersion, keep: int) -> PushedVersion:
        """Removes old versions; that it cannot is no reason to call the push failed."""
        try:
            self._prune(keep)
        except (OSError, DestinationError, NotKnownError) as error:
            note = f"old versions could not be removed: {_reason(error)}"
            return PushedVersion(pushed.number, pushed.uri, pushed.outcome, note)
        return pushed

    def _prune(self, keep: int) -> None:
        versions, events = self.versions(), self.events()
        kept = {*versions[-keep:], self.current(), *ledger.signed_off(events)}
        told = {event.version for event in events if event.kind == "removed"}
        for number in versions:
            if number in kept:
                continue
            known: dict[str, str | int | None] = {}
            with contextlib.suppress(DestinationError):
                manifest = self.manifest(number)
                known = {
                    "digest": manifest.model.digest,
                    "scheme": manifest.scheme,
                    "pushed_at": manifest.pushed_at,
                }
            if number not in told:
                self._record(Event.now("removed", number, **known))
            self._store.remove(str(number))

    def roll_back(
        self, number: int | None = None, note: str | None = None
    ) -> tuple[int | None, int]:
        """Makes another version the current one.

        Args:
            number: Which; None takes the newest before the current one or, where LATEST holds no
                number, what is current without it.
            note: Why.

        Returns:
            The version that LATEST named, None if it held no number; and the one it names now.

        Raises:
            DestinationError: There is no such version, or it is not what was pushed; nothing was
                changed.
        """
        with self._changed():
            pointer, before = self.pointer(), self.current()
            if number is not None:
                target = self._known(number)
            else:
                target = before if pointer is None and before else self._earlier(before)
            if problems := self.problems(target):
                raise DestinationError(
                    f"version {target} is not what was pushed, so {before} stays: {problems[0]}"
                )
            if target != before:
                # First, so that no push takes the version for one that was left by a killed push.
                self._record(Event.now("rolled_back", target, instead_of=before, note=note))
            if target != pointer:
                self._point_to(target)
            return pointer, target

    def _earlier(self, current: int | None) -> int:
        if current is None:
            raise DestinationError(f"{self.uri} has no current version; name one")
        withdrawn = ledger.withdrawn(self.events())
        earlier = [n for n in self.versions() if n < current and n not in withdrawn]
        if not earlier:
            raise DestinationError(f"{self.uri} has no version before {current}")
        return earlier[-1]

    def _known(self, number: int) -> int:
        versions = self.versions()
        if number not in versions:
            raise DestinationError(
                f"{self.uri} has no version {number}; it has: {listed(reversed(versions))}"
            )
        return number

    def sign_off(self, number: int, note: str | None = None, withdraw: bool = False) -> None:
        """Signs a version off, so that it is never removed; or takes that back.

        Raises:
            DestinationError: There is no such version, or what is to be signed off is not what was
                pushed.
        """
        with self._changed():
            known = self._known(number)
            if not withdraw and (problems := self.problems(known)):
                raise DestinationError(f"version {number} is not signed off: {problems[0]}")
            kind: ledger.Kind = "sign_off_withdrawn" if withdraw else "signed_off"
            self._record(Event.now(kind, known, note=note))

    def _record(self, event: Event) -> None:
        names = self._store.entries(_HISTORY)
        # In the order of the ledger even where clocks go backwards.
        last = max((int(name[:20]) for name in names if name[:20].isdecimal()), default=0)
        name = f"{max(time.time_ns(), last + 1):020d}.json"
        content = event.model_dump_json(exclude_none=True) + "\n"
        self._store.replace(posixpath.join(_HISTORY, name), content.encode("utf-8"))

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Holds the lock, with what killed pushes have left removed."""
        with self._store.lock():
            self._store.clean([str(number) for number in self.numbers()])
            yield

    @contextlib.contextmanager
    def _changed(self) -> Iterator[None]:
        """As `_changing`, at a destination that must be there."""
        if not self.versions():
            raise DestinationError(f"there is no version at {self.uri}")
        try:
            with self._changing():
                yield
        except (OSError, NotKnownError) as error:
            raise DestinationError(f"{self.uri} was not changed: {_reason(error)}") from error


def _number(name: str) -> int | None:
    """Returns the version that a name is of; None if it is none."""
    number = int(name) if _VERSION.fullmatch(name) else None
    return number if number is not None and number <= _LARGEST else None


def _versions(smoke_test: SmokeTest | None) -> dict[str, str]:
    """Returns the entries of `Manifest.versions` that say what a model was tried with."""
    if smoke_test is None:
        return {}
    return {"smoke_test": str(smoke_test.runtime), "machine": smoke_test.machine}


def _named(number: int | None) -> str:
    return f"version {number}" if number else "no version"


def _reason(error: Exception) -> str:
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
