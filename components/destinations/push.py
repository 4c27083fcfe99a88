"""A push: files are staged and published, the pointer is changed, old versions are removed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from tfx_tflite.components.artifact_layout import MANIFEST_FILE, MODEL_FILE
from tfx_tflite.components.destinations import ledger, retention
from tfx_tflite.components.destinations.change import Change
from tfx_tflite.components.destinations.ledger import Event, JudgedModel
from tfx_tflite.components.destinations.manifest import (
    Description,
    FileEntry,
    Manifest,
    ModelEntry,
    SmokeTest,
)
from tfx_tflite.components.destinations.numbers import next_number
from tfx_tflite.components.destinations.reading import Reading, read_file, version_path
from tfx_tflite.components.destinations.trust import Trust
from tfx_tflite.components.destinations.verification import SIGNATURE_FILE, version_problems
from tfx_tflite.components.destinations.writing import reason
from tfx_tflite.components.digests import bytes_digest, file_digest
from tfx_tflite.components.errors import DestinationError, NotKnownError, PushError, listed

# From the judgements that were counted before, the oldest first, to the one that is made now.
Judge: TypeAlias = Callable[[Sequence[JudgedModel]], JudgedModel]


@dataclass(frozen=True)
class Candidate:
    """A model to push.

    Attributes:
        files: The files to ship, by their names below the version.
        digests: What each of them must be, by the same names.
        description: What is known of the model, for the manifest.
        compared_with: The current version that it was found to be no worse than, 0 if there was
            none; None if it was not compared with what is pushed.
        judge: Returns the judgement of the model beside those that were made before, for the
            ledger; None if judgements are not counted.
    """

    files: Mapping[str, Path]
    digests: Mapping[str, str]
    description: Description
    compared_with: int | None = None
    judge: Judge | None = None


@dataclass(frozen=True)
class PushedVersion:
    """What came of a push.

    Attributes:
        number: The version that holds the model.
        uri: Where it is.
        outcome: `pushed`; `present`, where it is there already and current; `waiting`, where it is
            there already and waits; `withdrawn`, where it is there but the destination was rolled
            back from it, and `rejected`, where somebody rejected it, which a push leaves alone.
        note: What the user should know of beside; empty if there is nothing.
        waits: Whether it becomes current once somebody approves it.
    """

    number: int
    uri: str
    outcome: Literal["pushed", "present", "waiting", "withdrawn", "rejected"]
    note: str = ""
    waits: bool = False

    @property
    def is_there(self) -> bool:
        """Whether it is at the destination to be used, or to be approved."""
        return self.outcome not in ("withdrawn", "rejected")

    def with_note(self, note: str) -> "PushedVersion":
        """Returns the same with another note after those that there are."""
        return replace(self, note="; ".join(filter(None, [self.note, note])))


@dataclass(frozen=True)
class Push:
    """A push of one model.

    Attributes:
        change: The destination, under its lock.
        trust: Who checks and signs there.
        candidate: The model.
        force: Whether to push it though it is there already.
        keep: How many of the newest versions stay; None keeps all.
        trial: As of `Destination.push`.
        approval: Whether somebody has to approve the model before it becomes current.
    """

    change: Change
    trust: Trust
    candidate: Candidate
    force: bool
    keep: int | None
    trial: Callable[[Path], SmokeTest] | None
    approval: bool = False

    def run(self) -> PushedVersion:
        """Makes the model the current version or one that waits, and removes old ones.

        Raises:
            OSError, DestinationError, NotKnownError, PushError: The model was not pushed.
            UnfinishedError: It was in part, or that cannot be told.
        """
        try:
            pushed = self._pushed()
        except OSError as error:
            if error.errno not in retention.FULL or not self._made_room():
                raise
            pushed = self._pushed()
        if self.keep is None or not pushed.is_there:
            return pushed
        try:
            retention.prune(self.change, self.keep)
        except (OSError, DestinationError, NotKnownError) as error:
            # That is no reason to call the push failed.
            return pushed.with_note(f"old versions could not be removed: {reason(error)}")
        return pushed

    def _made_room(self) -> bool:
        """Removes from a full disk what would go after this push, and returns whether any went."""
        if self.keep is None:
            return False
        self.change.refresh()
        return bool(retention.prune(self.change, self.keep - 1))

    def _pushed(self) -> PushedVersion:
        self.change.settle()
        self._check_judgement()
        present = None if self.force else self._present()
        if present is not None:
            return present
        self._check_compared()
        number = self._publish()
        if self.approval:
            return self._waiting(number, "pushed")
        note = self.change.point_to(number)
        return PushedVersion(number, self._path(number), "pushed", note)

    def _present(self) -> PushedVersion | None:
        """Returns the version that holds the model already, and makes it current if it should."""
        state, reading = self.change.state, self._reading()
        current = reading.current()
        if current is not None and self._holds(current):
            note = "" if state.latest == current else self.change.point_to(current)
            found = PushedVersion(current, self._path(current), "present", note)
            return found.with_note(self._missing_files(current))
        withdrawn = reading.withdrawn(state.numbers)
        for number in reversed(state.numbers):
            if number in withdrawn and self._is_of(number):
                note = (
                    f"version {number} holds this model, but the destination was rolled back from "
                    f"it; {current} stays; use --force to push it, or roll back to {number}"
                )
                return PushedVersion(number, self._path(number), "withdrawn", note)
            if number > (current or 0) and self._holds(number) and self._is_as_asked(number):
                # It waits, or a push was killed between the version and what is done about it.
                self._check_compared()
                if self.approval:
                    found = self._waiting(number, "waiting")
                    return found.with_note(self._missing_files(number))
                note = self.change.point_to(number)
                return PushedVersion(number, self._path(number), "present", note)
        return self._rejected()

    def _is_as_asked(self, number: int) -> bool:
        """Returns whether a version waits, or waits not, as this push would have it."""
        if not self.approval:
            return self._reading().manifest(number).approval is None
        state = self.change.state
        decision = ledger.decisions(state.events).get(number)
        return (
            self._reading().manifest(number).approval == "required"
            and number not in state.releases
            and (decision is None or decision.kind != "rejected")
        )

    def _waiting(self, number: int, outcome: Literal["pushed", "waiting"]) -> PushedVersion:
        """Records that a version waits, and with what its model was compared last."""
        change, compared_with = self.change, self.candidate.compared_with
        known = ledger.waiting(change.state.events).get(number)
        if known is None or compared_with not in (None, known.compared_with):
            change.begin_signing()
            change.record(Event.now("waiting", number, compared_with=compared_with))
        return PushedVersion(number, self._path(number), outcome, waits=True)

    def _rejected(self) -> PushedVersion | None:
        digest = self.candidate.digests[MODEL_FILE]
        event = ledger.rejections(self.change.state.events).get(digest)
        if event is None:
            return None
        note = (
            f"version {event.version} holds this model, but {event.by or 'somebody'} rejected it"
            f"{f': {event.note}' if event.note else ''}; use --force to push it all the same"
        )
        return PushedVersion(event.version, self._path(event.version), "rejected", note)

    def _missing_files(self, number: int) -> str:
        """Returns what is said of files that would be shipped today and that a version lacks."""
        own = self._reading().manifest(number).files
        missing = sorted(self.candidate.digests.keys() - own.keys())
        if not missing:
            return ""
        return (
            f"version {number} holds this model without {listed(missing)}; use --force to push "
            "all of it"
        )

    def _check_judgement(self) -> None:
        """Counts the judgement, and checks that it still holds beside those made meanwhile."""
        if self.candidate.judge is None:
            return
        judged = count(self.change, self.candidate.judge)
        if judged.blessed:
            return
        failed = next((rule for rule in judged.rules if rule.p_value >= rule.level), None)
        why = "another run refused it meanwhile"
        if failed is not None:
            why = (
                f"by now this is look {failed.look} at it, where {failed.rule.partition(':')[0]} "
                f"must hold at a level of {failed.level:.2g}, and its p-value is "
                f"{failed.p_value:.2g}; evaluate it on more examples"
            )
        raise PushError(
            f"the model was not pushed: other judgements were counted at {self.change.store.uri} "
            f"since it was judged, and {why}"
        )

    def _check_compared(self) -> None:
        current, compared_with = self._reading().current() or 0, self.candidate.compared_with
        if compared_with not in (None, current):
            raise PushError(
                f"the model was not pushed: it was compared with {_named(compared_with)} "
                f"at {self.change.store.uri}, but {_named(current)} is current by now; run again"
            )

    def _is_of(self, number: int) -> bool:
        """Returns whether a version is of the model; of a damaged one its bytes tell."""
        store, digest = self.change.store, self.candidate.digests[MODEL_FILE]
        try:
            return self._reading().manifest(number).model.digest == digest
        except DestinationError:
            pass
        try:
            return bytes_digest(read_file(store, number, MODEL_FILE)) == digest
        except DestinationError:
            return False

    def _holds(self, number: int) -> bool:
        """Returns whether a version is whole, of the model, and signed where it is to be."""
        return self._is_of(number) and not version_problems(
            self.change.store, number, self.trust.verifier
        )

    def _publish(self) -> int:
        """Makes a new version and returns its number; nothing points to it yet."""
        store, signer = self.change.store, self.trust.signer
        with store.stage() as staged:
            files = self._ship(staged)
            smoke_test = self.trial(staged) if self.trial is not None else None
            number = next_number(self._reading())
            known = self.candidate.description
            versions = {**known.versions, **_versions(smoke_test)}
            manifest = Manifest(
                version=number,
                pushed_at=ledger.utc_now(),
                model=ModelEntry(**files[MODEL_FILE].model_dump()),
                files=files,
                smoke_test=smoke_test,
                approval="required" if self.approval else None,
                **{**dict(known), "versions": versions},
            )
            content = (manifest.to_json() + "\n").encode("utf-8")
            if signer is not None:
                store.write(staged / SIGNATURE_FILE, signer.signature(content) + b"\n")
            store.write(staged / MANIFEST_FILE, content)
            store.publish(staged, str(number))
        state = self.change.state
        self.change.state = replace(state, numbers=tuple(sorted({*state.numbers, number})))
        return number

    def _ship(self, staged: Path) -> dict[str, FileEntry]:
        """Copies the files and returns their digests and sizes, read from the copies."""
        found = {}
        for name, source in sorted(self.candidate.files.items()):
            target = staged / name
            self.change.store.copy(source, target)
            digest = file_digest(target)
            if digest != self.candidate.digests[name]:
                raise PushError(
                    f"the model was not pushed: {source} changed since it was blessed: it is "
                    f"{digest}, expected {self.candidate.digests[name]}"
                )
            found[name] = FileEntry(digest=digest, size_bytes=target.stat().st_size)
        return found

    def _reading(self) -> Reading:
        return Reading(self.change.store, self.change.state)

    def _path(self, number: int) -> str:
        return version_path(self.change.store, number)


def count(change: Change, judge: Judge) -> JudgedModel:
    """Counts a judgement in the ledger, once however often it is asked for, and returns it.

    Args:
        change: The destination, under its lock.
        judge: As of `Candidate`.

    Raises:
        OSError: The destination fails.
    """
    past = ledger.judgements(change.state.events)
    judged = judge(past)
    if not any(judged.repeats(other) for other in past):
        change.record(Event.now("judged", 0, judged=judged))
    return judged


def _versions(smoke_test: SmokeTest | None) -> dict[str, str]:
    """Returns the entries of `Manifest.versions` that say what a model was tried with."""
    if smoke_test is None:
        return {}
    return {"smoke_test": str(smoke_test.runtime), "machine": smoke_test.machine}


def _named(number: int | None) -> str:
    return f"version {number}" if number else "no version"
