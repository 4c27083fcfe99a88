"""Whether what lies at a destination is what was pushed."""

import contextlib
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tfx_tflite.components.artifact_layout import MANIFEST_FILE
from tfx_tflite.components.destinations import ledger
from tfx_tflite.components.destinations.aliases import alias_problems
from tfx_tflite.components.destinations.ledger_files import HISTORY
from tfx_tflite.components.destinations.manifest import Manifest
from tfx_tflite.components.destinations.pointer import LATEST
from tfx_tflite.components.destinations.reading import Reading, read_file, version_path
from tfx_tflite.components.destinations.state import State
from tfx_tflite.components.destinations.stores.store import Store
from tfx_tflite.components.destinations.trust import Verifier, signed_latest_of
from tfx_tflite.components.digests import bytes_digest
from tfx_tflite.components.errors import DestinationError
from tfx_tflite.components.presence import ABSENT

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from tfx_tflite.components.destinations.destination import Destination

SIGNATURE_FILE = "manifest.sig"
# Seconds that a push may take from its signed pointer to LATEST.
_BETWEEN = 0.5
_LOOKS = 5


def destination_problems(
    destination: "Destination", number: int | None = None, key: "Ed25519PublicKey | None" = None
) -> list[str]:
    """Returns what is wrong at a destination, each naming the file; nothing if all is well.

    Args:
        destination: The destination.
        number: Only this version; None takes all of them, the pointer and the history.
        key: Whose signature each version and the pointer must have; None takes the verifier that
            the destination was opened with, and asks for none if there is none.

    Raises:
        DestinationError: There is no version, or none of that number.
        NotKnownError: The destination cannot be read.
    """
    verifier = destination.verifier if key is None else Verifier(key)
    # The pointer first: what it names is there, whatever is pushed meanwhile.
    pointers = _pointer_problems(destination, verifier)
    versions, damaged = destination.versions(), destination.damaged()
    if number is not None:
        if number in damaged:
            return _without_manifest(destination, [number])
        if number not in versions:
            raise DestinationError(f"{destination.uri} has no version {number}")
        return [
            *version_problems(destination.store, number, verifier),
            *_unapproved(destination, verifier, [number]),
        ]
    if not versions and not damaged:
        raise DestinationError(f"there is no version at {destination.uri}")
    problems = {each: version_problems(destination.store, each, verifier) for each in versions}
    found = [
        problem
        for each, problems_of_one in problems.items()
        # What a push has removed meanwhile is nobody's any more.
        if problems_of_one and destination.is_version(each)
        for problem in problems_of_one
    ]
    found += _unapproved(destination, verifier, versions)
    return [*pointers, *_without_manifest(destination, damaged), *found]


def _without_manifest(destination: "Destination", damaged: list[int]) -> list[str]:
    return [f"{destination.path(number, MANIFEST_FILE)} is missing" for number in damaged]


def _pointer_problems(destination: "Destination", verifier: Verifier | None) -> list[str]:
    """Returns what is wrong with the pointer and what signs it."""
    for look in range(_LOOKS):
        if look:
            # A push or a rollback may be under way.
            time.sleep(_BETWEEN / _LOOKS)
        try:
            state = State.read(destination.store, verifier)
        except DestinationError as error:
            return [str(error)]
        problems = [
            *_latest_problems(Reading(destination.store, state)),
            *alias_problems(destination.store, ledger.aliases(state.events)),
            *(_signed_problems(destination.uri, state) if verifier is not None else []),
        ]
        if not problems:
            return []
    return problems


def _latest_problems(reading: Reading) -> list[str]:
    state, uri = reading.state, reading.store.uri
    versions = reading.versions()
    if state.latest in versions:
        return []
    is_released = any(number in state.releases for number in versions)
    is_undecided = ledger.waiting(state.events) or ledger.decisions(state.events)
    if state.latest is None and not is_released and is_undecided:
        # Nobody has approved anything yet.
        return []
    if state.latest is None:
        return [f"{uri}/{LATEST} does not name a version; `tfx-tflite rollback` can set it"]
    return [
        f"{uri}/{LATEST} names {state.latest}, which is not a whole version; `tfx-tflite rollback "
        "DEST VERSION` names another"
    ]


def _unapproved(
    destination: "Destination", verifier: Verifier | None, numbers: Iterable[int]
) -> list[str]:
    """Returns what was current without the approval that its manifest says it needs."""
    try:
        reading = Reading(destination.store, State.read(destination.store, verifier))
    except DestinationError:
        # That is said of the pointer.
        return []
    state, found = reading.state, []
    approvals = {event.version for event in state.events if event.kind == "approved"}
    for number in numbers:
        if number in approvals or (number not in state.releases and number != state.latest):
            continue
        with contextlib.suppress(DestinationError):
            if reading.manifest(number).approval == "required":
                found.append(
                    f"{version_path(reading.store, number)} is or was current, but its manifest "
                    "asks for an approval, and the history has none"
                )
    return found


def _signed_problems(uri: str, state: State) -> list[str]:
    if state.statement is None:
        return [f"{signed_latest_of(uri)} is not there: {LATEST} is not signed"]
    found = []
    if state.latest != state.pointed:
        found.append(
            f"{uri}/{LATEST} names {state.latest or 'no version'}, but "
            f"{state.pointed or 'no version'} is signed as the current one: a push or rollback was "
            "stopped, or somebody else changed it; the next push, rollback or sign-off sets it"
        )
    found += [
        f"{uri}/{HISTORY}: event {entry.id} is not covered by {signed_latest_of(uri)}: a change "
        "was stopped, or somebody else put it there; it counts for nothing, and the next push "
        "removes it"
        for entry in state.ledger.entries[state.statement.events :]
    ]
    return found


def version_problems(store: Store, number: int, verifier: Verifier | None = None) -> list[str]:
    """Returns what is wrong with one version; see `destination_problems`.

    Args:
        store: The destination.
        number: The version.
        verifier: Who checks its signature; None asks for none.

    Raises:
        NotKnownError: A file cannot be read.
    """
    path = version_path(store, number, MANIFEST_FILE)
    try:
        content = read_file(store, number, MANIFEST_FILE)
        manifest = Manifest.parse(content, path)
        names = store.files(str(number))
    except DestinationError as error:
        return [str(error)]
    found = []
    if manifest.version != number:
        found.append(f"{path} is of version {manifest.version}")
    for name in manifest.files:
        found += _file_problems(store, number, manifest, name)
    for name in sorted({*names} - {*manifest.files, MANIFEST_FILE, SIGNATURE_FILE}):
        found.append(f"{version_path(store, number, name)!r} is not in the manifest")
    if verifier is not None:
        found += _signature_problems(store, number, content, verifier)
    return found


def is_signed(store: Store, number: int, verifier: Verifier) -> bool:
    """Returns whether a version's manifest has a signature that a verifier takes.

    Raises:
        NotKnownError: A file cannot be read.
    """
    try:
        manifest = read_file(store, number, MANIFEST_FILE)
    except DestinationError:
        return False
    return not _signature_problems(store, number, manifest, verifier)


def _file_problems(store: Store, number: int, manifest: Manifest, name: str) -> list[str]:
    try:
        content = read_file(store, number, name)
    except DestinationError as error:
        return [str(error)]
    digest, expected = bytes_digest(content), manifest.files[name].digest
    if digest == expected:
        return []
    file = version_path(store, number, name)
    return [f"{file} was changed: it is {digest}, the manifest says {expected}"]


def _signature_problems(
    store: Store, number: int, manifest: bytes, verifier: Verifier
) -> list[str]:
    file = version_path(store, number, SIGNATURE_FILE)
    try:
        signature = store.read(f"{number}/{SIGNATURE_FILE}")
    except DestinationError as error:
        return [f"{error}: version {number} is not signed"]
    if signature is ABSENT:
        return [f"{file} is not there: version {number} is not signed"]
    problem = verifier.problem(manifest, signature, file, MANIFEST_FILE)
    return [] if problem is None else [problem]
