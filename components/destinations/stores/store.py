"""What a destination is kept in: a local directory, or an object store."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from tfx_tflite.components.errors import ConfigError
from tfx_tflite.components.presence import Presence
from tfx_tflite.components.uris import is_local, without_credentials

# In a version's directory while it is being written or removed on stores without a rename, so that
# nothing else is taken for one that was left.
UNFINISHED = ".unfinished"


class UnknownOutcomeError(OSError):
    """A write was sent, but it could not be found out whether it was done."""


class Store(Protocol):
    """Files below one place. Names are relative to it, with `/` between their parts.

    A method that reads raises NotKnownError if it cannot tell what is there: the store is away,
    denies it, or says what cannot be understood. Every other raises OSError if the store fails.
    """

    uri: str

    def entries(self, directory: str = "") -> list[str]:
        """Returns the names in a directory; none only if the store says that there are none."""

    def files(self, directory: str) -> list[str]:
        """Returns the files below a directory, relative to it; none as of `entries`."""

    def read(self, name: str) -> Presence[bytes]:
        """Returns a file's bytes, or ABSENT if the store says that it is not there.

        Raises:
            DestinationError: Something is there that is no file.
        """

    def lock(self) -> AbstractContextManager[None]:
        """Keeps others from changing the destination; waits while they do.

        Raises:
            TimeoutError: Others held it too long.
        """

    def clean(self, versions: Sequence[str]) -> None:
        """Removes what killed pushes have left, under the lock.

        Args:
            versions: The entries that are named like versions.
        """

    def stage(self) -> AbstractContextManager[Path]:
        """Yields a new local directory to prepare a version in; it is gone afterwards."""

    def copy(self, source: Path, target: Path) -> None:
        """Copies a local file into a staged directory."""

    def write(self, target: Path, content: bytes) -> None:
        """Writes a file of a staged directory."""

    def publish(self, staged: Path, version: str) -> None:
        """Makes a staged directory a version, which readers see whole or not at all."""

    def create(self, name: str, content: bytes) -> None:
        """Writes a new file, which readers see whole or not at all.

        Raises:
            OSError: There is one of that name; UnknownOutcomeError if it cannot be told whether it
                was written.
        """

    def replace(self, name: str, content: bytes) -> None:
        """Writes a file in place of the one that was there when it was read first under the lock.

        Readers see one of the two.

        Raises:
            OSError: Another process has changed it since; UnknownOutcomeError as of `create`.
        """

    def delete(self, name: str) -> None:
        """Removes a file, or finds it gone."""

    def remove(self, version: str) -> None:
        """Removes a version, which readers see whole or not at all."""


def open_store(uri: str, timeout: float) -> Store:
    """Returns the store of a destination; nothing is read or made yet.

    Args:
        uri: A path on this machine, or the URI of an object store.
        timeout: Seconds until an object store that does not answer is given up.

    Raises:
        ConfigError: The URI holds credentials.
    """
    try:
        without_credentials(uri)
    except ValueError as error:
        raise ConfigError(f"the destination's URI {error}") from error
    if is_local(uri) or uri.startswith("file://"):
        from tfx_tflite.components.destinations.stores.local import LocalStore

        return LocalStore(Path(uri.removeprefix("file://")))
    from tfx_tflite.components.destinations.stores.objects import ObjectStore
    from tfx_tflite.components.object_stores.requests import ObjectRequests

    return ObjectStore(uri, ObjectRequests(uri, timeout))
