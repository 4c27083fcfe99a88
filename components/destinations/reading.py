"""Reading a destination: its versions, which is current, and what each of them is."""

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass

from tfx_tflite.components.artifact_layout import MANIFEST_FILE
from tfx_tflite.components.destinations import ledger
from tfx_tflite.components.destinations.manifest import Manifest
from tfx_tflite.components.destinations.state import State, is_whole
from tfx_tflite.components.destinations.stores.store import Store
from tfx_tflite.components.errors import DestinationError
from tfx_tflite.components.presence import ABSENT


def version_path(store: Store, number: int, name: str = "") -> str:
    """Returns where a version, or a file of it, is."""
    return posixpath.join(store.uri, str(number), name).rstrip("/")


def read_file(store: Store, number: int, name: str) -> bytes:
    """Returns a file of a version.

    Raises:
        DestinationError: It is not there.
        NotKnownError: It cannot be read.
    """
    content = store.read(posixpath.join(str(number), name))
    if content is ABSENT:
        raise DestinationError(f"there is no {version_path(store, number, name)}")
    return content


def read_manifest(store: Store, number: int) -> Manifest:
    """Returns a version's manifest.

    Raises:
        DestinationError: It is not there, or not a manifest.
        NotKnownError: It cannot be read.
    """
    content = read_file(store, number, MANIFEST_FILE)
    return Manifest.parse(content, version_path(store, number, MANIFEST_FILE))


@dataclass(frozen=True)
class Reading:
    """A destination as it was read at once.

    Attributes:
        store: The destination.
        state: Its pointer, ledger and names of versions.
    """

    store: Store
    state: State

    def versions(self) -> list[int]:
        """Returns the numbers of the versions, rising."""
        return [number for number in self.state.numbers if is_whole(self.store, number)]

    def current(self) -> int | None:
        """Returns the current version; None if there is none, or the pointer's is not there."""
        pointed = self.state.pointed
        if pointed is not None:
            return pointed if is_whole(self.store, pointed) else None
        # Only where LATEST holds no number, and nothing is signed.
        return None if self.state.statement is not None else self._newest_release()

    def _newest_release(self) -> int | None:
        numbers = [number for number in self.state.numbers if number in self.state.releases]
        withdrawn = self.withdrawn(numbers)
        return next(
            (
                number
                for number in reversed(numbers)
                if number not in withdrawn and is_whole(self.store, number)
            ),
            None,
        )

    def withdrawn(self, numbers: Iterable[int]) -> set[int]:
        """Returns those of some versions that were current, and were rolled back from."""
        released = [number for number in numbers if number in self.state.releases]
        return ledger.withdrawn(self.state.settled, released)

    def manifest(self, number: int) -> Manifest:
        """Returns a version's manifest; see `read_manifest`."""
        return read_manifest(self.store, number)
