"""Whether what lies at a destination is what was pushed."""

import base64
import binascii
from typing import TYPE_CHECKING

from tfx_tflite.components.artifact_layout import MANIFEST_FILE
from tfx_tflite.components.destinations.destination import LATEST, SIGNATURE_FILE, Destination
from tfx_tflite.components.destinations.manifest import Manifest
from tfx_tflite.components.digests import bytes_digest
from tfx_tflite.components.errors import DestinationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def destination_problems(
    destination: Destination, number: int | None = None, key: "Ed25519PublicKey | None" = None
) -> list[str]:
    """Returns what is wrong at a destination, each naming the file; nothing if all is well.

    Args:
        destination: The destination.
        number: Only this version; None takes all of them and the pointer.
        key: Whose signature each version must have; None asks for none.

    Raises:
        DestinationError: There is no version, or none of that number.
    """
    # The pointer first: what it names is there, whatever is pushed meanwhile.
    pointer = destination.pointer()
    versions, damaged = destination.versions(), destination.damaged()
    if number is not None:
        if number in damaged:
            return _without_manifest(destination, [number])
        if number not in versions:
            raise DestinationError(f"{destination.uri} has no version {number}")
        return version_problems(destination, number, key)
    if not versions and not damaged:
        raise DestinationError(f"there is no version at {destination.uri}")
    problems = {each: version_problems(destination, each, key) for each in versions}
    found = [
        problem
        for each, problems_of_one in problems.items()
        # What a push has removed meanwhile is nobody's any more.
        if problems_of_one and destination.is_version(each)
        for problem in problems_of_one
    ]
    return [
        *_pointer_problems(destination, pointer, versions),
        *_without_manifest(destination, damaged),
        *found,
    ]


def _without_manifest(destination: Destination, damaged: list[int]) -> list[str]:
    return [f"{destination.path(number, MANIFEST_FILE)} is missing" for number in damaged]


def _pointer_problems(
    destination: Destination, pointer: int | None, versions: list[int]
) -> list[str]:
    if pointer in versions:
        return []
    file = f"{destination.uri}/{LATEST}"
    if pointer is None:
        return [f"{file} does not name a version; `tfx-tflite rollback` can set it"]
    return [
        f"{file} names {pointer}, which is not a whole version; `tfx-tflite rollback DEST VERSION` "
        "names another"
    ]


def version_problems(
    destination: Destination, number: int, key: "Ed25519PublicKey | None" = None
) -> list[str]:
    """Returns what is wrong with one version; see `destination_problems`."""
    try:
        content = destination.read(number, MANIFEST_FILE)
        manifest = Manifest.parse(content, destination.path(number, MANIFEST_FILE))
        names = destination.files(number)
    except DestinationError as error:
        return [str(error)]
    found = []
    if manifest.version != number:
        file = destination.path(number, MANIFEST_FILE)
        found.append(f"{file} is of version {manifest.version}")
    for name in manifest.files:
        found += _file_problems(destination, number, manifest, name)
    for name in sorted({*names} - {*manifest.files, MANIFEST_FILE, SIGNATURE_FILE}):
        found.append(f"{destination.path(number, name)!r} is not in the manifest")
    return (
        found if key is None else [*found, *_signature_problems(destination, number, content, key)]
    )


def _file_problems(
    destination: Destination, number: int, manifest: Manifest, name: str
) -> list[str]:
    try:
        content = destination.read(number, name)
    except DestinationError as error:
        return [str(error)]
    digest, expected = bytes_digest(content), manifest.files[name].digest
    if digest == expected:
        return []
    file = destination.path(number, name)
    return [f"{file} was changed: it is {digest}, the manifest says {expected}"]


def _signature_problems(
    destination: Destination, number: int, manifest: bytes, key: "Ed25519PublicKey"
) -> list[str]:
    from tfx_tflite.components.destinations.keys import is_signed_by

    file = destination.path(number, SIGNATURE_FILE)
    try:
        text = destination.read(number, SIGNATURE_FILE)
    except DestinationError:
        return [f"{file} is not there: version {number} is not signed"]
    try:
        signature = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        return [f"{file} is not a signature in base64"]
    if is_signed_by(key, manifest, signature):
        return []
    return [f"{file} is not a signature of {MANIFEST_FILE} by this key"]
