"""Writing a file at a destination so that what is said of it afterwards is true."""

from tfx_tflite.components.destinations.stores.store import Store, UnknownOutcomeError
from tfx_tflite.components.errors import DestinationError, NotKnownError


class UnfinishedError(DestinationError):
    """A change took effect in part, or it is not known whether it did; the message says all."""


def put(store: Store, name: str, content: bytes, is_new: bool = False) -> str:
    """Writes a file, and returns what went wrong once it was there; nothing if all went well.

    A file may be in place though writing it ended with an error: its directory could not be flushed
    to disk, or the answer of a store was lost. So the file is looked at.

    Args:
        store: The destination.
        name: The file's.
        content: Its bytes.
        is_new: Whether there must be none of that name.

    Raises:
        OSError: It was not written.
        UnfinishedError: That cannot be told.
    """
    try:
        if is_new:
            store.create(name, content)
        else:
            store.replace(name, content)
    except UnknownOutcomeError as error:
        raise UnfinishedError(
            f"it is not known whether {store.uri}/{name} was changed: {error.strerror}; look at it "
            f"later with `tfx-tflite history {store.uri}`"
        ) from error
    except OSError as error:
        if not _is_there(store, name, content, error):
            raise
        return f"{name} is written, but may not last: {reason(error)}"
    return ""


def _is_there(store: Store, name: str, content: bytes, failure: OSError) -> bool:
    try:
        return store.read(name) == content
    except NotKnownError as error:
        raise UnfinishedError(
            f"it is not known whether {store.uri}/{name} was changed: {reason(failure)}, and "
            f"now: {error}"
        ) from error
    except DestinationError:
        # Something is there that is no file.
        return False


def reason(error: Exception) -> str:
    """Returns what an error says, for messages."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
