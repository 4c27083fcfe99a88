"""A person's word on a version that waits: it is approved, and becomes current, or rejected."""

import contextlib
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfx_tflite.components.destinations import ledger
from tfx_tflite.components.destinations.change import Change
from tfx_tflite.components.destinations.ledger import Event
from tfx_tflite.components.destinations.pointer import SignedPointer
from tfx_tflite.components.destinations.reading import Reading, version_path
from tfx_tflite.components.destinations.trust import Trust
from tfx_tflite.components.destinations.verification import version_problems
from tfx_tflite.components.destinations.writing import UnfinishedError, reason
from tfx_tflite.components.errors import DestinationError, NotKnownError, listed
from tfx_tflite.components.presence import ABSENT

if TYPE_CHECKING:
    from tfx_tflite.components.destinations.destination import Destination


def approve_command(uri: str, number: int, is_signed: bool = False) -> str:
    """Returns what is typed to approve a version.

    Args:
        uri: The destination.
        number: The version.
        is_signed: Whether a private key is needed.
    """
    key = " --signing-key KEY.pem" if is_signed else ""
    return f"tfx-tflite approve {shlex.quote(uri)} {number}{key}"


def approve_command_at(destination: "Destination", number: int) -> str:
    """Returns what is typed to approve a version at a destination."""
    is_signed = destination.verifier is not None
    if not is_signed:
        # Whoever asks may have no key, and who approves needs one all the same.
        with contextlib.suppress(DestinationError, NotKnownError):
            is_signed = SignedPointer.read(destination.store) is not ABSENT
    return approve_command(destination.uri, number, is_signed)


def waiting_versions(reading: Reading) -> list[ledger.Waiting]:
    """Returns the versions that wait and are newer than the current one, rising."""
    current = reading.current() or 0
    found = ledger.waiting(reading.state.events)
    return [found[number] for number in reading.versions() if number in found and number > current]


def undecided_reason(reading: Reading, number: int) -> str:
    """Returns why a version that was never the current one is not, and what to do."""
    uri, events = reading.store.uri, reading.state.events
    if number in ledger.waiting(events):
        return (
            f"version {number} at {uri} waits for approval; `tfx-tflite approve DEST {number}` "
            "makes it the current one"
        )
    decision = ledger.decisions(events).get(number)
    if decision is not None and decision.kind == "approved":
        return (
            f"version {number} at {uri} was approved, but that was stopped; "
            f"`tfx-tflite approve DEST {number}` finishes it"
        )
    if decision is not None:
        return f"version {number} at {uri} was rejected{_by(decision)}"
    return (
        f"version {number} at {uri} was never released: the push that made it stopped; push its "
        "model again"
    )


@dataclass(frozen=True)
class Approval:
    """A decision about one version.

    Attributes:
        change: The destination, under its lock, settled.
        trust: Who checks and signs there.
        number: The version, which is there.
        by: Who decides.
        note: Why; None if that is not said.
    """

    change: Change
    trust: Trust
    number: int
    by: str
    note: str | None

    def approve(self, force: bool) -> str:
        """Makes the version the current one.

        Args:
            force: Whether to do so though it is older than the current one, or was judged against
                another one than that.

        Returns:
            What the user should know of; empty if there is nothing.

        Raises:
            DestinationError: It may not be approved; nothing was changed.
            UnfinishedError: It is approved, and not current yet.
            OSError: The destination fails, and nothing was changed.
        """
        reading = self._reading
        current = reading.current()
        if self.number == current:
            return ""
        self._check_undecided(reading)
        if problems := version_problems(self.change.store, self.number, self.trust.verifier):
            raise DestinationError(
                f"version {self.number} is not what was pushed, so it is not approved: "
                f"{problems[0]}"
            )
        if not force:
            self._check_order(reading, current or 0)
        digest = reading.manifest(self.number).model.digest
        self._record("approved", digest, instead_of=current)
        try:
            return self.change.point_to(self.number)
        except OSError as error:
            raise UnfinishedError(
                f"version {self.number} is approved, but not current at {reading.store.uri}: "
                f"{reason(error)}; the next approval, push, rollback or sign-off makes it that"
            ) from error

    def reject(self) -> None:
        """Keeps the version, and its model, from ever becoming current.

        Raises:
            DestinationError: It may not be rejected; nothing was changed.
            OSError: The destination fails.
        """
        reading = self._reading
        self._check_undecided(reading)
        names = [
            name
            for name, number in ledger.aliases(reading.state.events).items()
            if number == self.number
        ]
        if names:
            raise DestinationError(
                f"version {self.number} is not rejected, because {listed(names)} names it; "
                "`tfx-tflite alias DEST NAME --remove` ends that"
            )
        try:
            digest = reading.manifest(self.number).model.digest
        except DestinationError:
            # Nobody could approve it anyway.
            digest = None
        self._record("rejected", digest)

    def _record(self, kind: ledger.Kind, digest: str | None, instead_of: int | None = None) -> None:
        details = {"by": self.by, "note": self.note, "digest": digest, "instead_of": instead_of}
        self.change.record(Event.now(kind, self.number, **details))

    @property
    def _reading(self) -> Reading:
        return Reading(self.change.store, self.change.state)

    def _check_undecided(self, reading: Reading) -> None:
        """Raises DestinationError unless a version waits, or an approval of it was stopped."""
        events, path = reading.state.events, version_path(reading.store, self.number)
        if self.number in reading.state.releases:
            raise DestinationError(
                f"{path} is or was the current version already; `tfx-tflite rollback DEST "
                f"{self.number}` goes back to it, and `tfx-tflite rollback DEST` to the one before"
            )
        if self.number in ledger.waiting(events):
            return
        decision = ledger.decisions(events).get(self.number)
        if decision is None:
            raise DestinationError(undecided_reason(reading, self.number))
        if decision.kind == "rejected":
            raise DestinationError(
                f"{undecided_reason(reading, self.number)}; `tfx-tflite run CONFIG --force` pushes "
                "its model once more"
            )

    def _check_order(self, reading: Reading, current: int) -> None:
        """Raises DestinationError if a version is overtaken by the current one."""
        waiting = ledger.waiting(reading.state.events).get(self.number)
        compared_with = None if waiting is None else waiting.compared_with
        if compared_with is not None and compared_with != current:
            raise DestinationError(
                f"version {self.number} is not approved: it was compared with "
                f"{_named(compared_with)} at {reading.store.uri}, but {_named(current)} is current "
                "by now; run again to have it compared with that, or use --force"
            )
        if self.number < current:
            raise DestinationError(
                f"version {self.number} is not approved: it is older than {current}, which is "
                f"current at {reading.store.uri}; use --force to put it in the place of that"
            )


def _by(decision: Event) -> str:
    return (f" by {decision.by}" if decision.by else "") + (
        f": {decision.note}" if decision.note else ""
    )


def _named(number: int) -> str:
    return f"version {number}" if number else "no version"
