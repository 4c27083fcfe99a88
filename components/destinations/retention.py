"""Which versions go, and how they are removed."""

import contextlib
import errno

from tfx_tflite.components.destinations import ledger
from tfx_tflite.components.destinations.change import Change
from tfx_tflite.components.destinations.ledger import Event
from tfx_tflite.components.destinations.reading import Reading
from tfx_tflite.components.errors import DestinationError

# A disk without room, or a user who may take no more of it.
FULL = (errno.ENOSPC, errno.EDQUOT)


def expendable(reading: Reading, keep: int) -> list[int]:
    """Returns the versions that may go, rising.

    The newest ones are counted among those that were released, so that what a stopped push left
    takes nobody's place. Such a leftover goes once a newer version is current, as no push finishes
    it any more.

    Args:
        reading: The destination.
        keep: How many of the newest versions stay. The current one, those that are signed off or
            that an alias names, and those that wait and are newer than the current one stay in any
            case.
    """
    versions, state = reading.versions(), reading.state
    released = [number for number in versions if number in state.releases]
    current = reading.current()
    named = {*ledger.signed_off(state.events), *ledger.aliases(state.events).values()}
    stay = {*released[max(len(released) - keep, 0) :], current, *named}
    gone = {number for number in released if number not in stay}
    leftovers = {
        number
        for number in versions
        if number not in state.releases and number not in stay and number < (current or 0)
    }
    return sorted(gone | leftovers)


def prune(change: Change, keep: int) -> list[int]:
    """Removes the versions that may go, and returns them.

    Raises:
        OSError: The destination fails.
    """
    reading = Reading(change.store, change.state)
    gone = expendable(reading, keep)
    told = {event.version for event in change.state.events if event.kind == "removed"}
    events = [_removal(reading, number) for number in gone if number not in told]
    try:
        # First, so that the history remembers what is not there any more.
        change.record(*events)
    except OSError as error:
        if error.errno not in FULL or not gone:
            raise
        # There is room for a note only once something is gone.
        change.remove(gone[0])
        change.record(*events)
    for number in gone:
        if number in change.state.numbers:
            change.remove(number)
    return gone


def _removal(reading: Reading, number: int) -> Event:
    known: dict[str, str | int | None] = {}
    with contextlib.suppress(DestinationError):
        manifest = reading.manifest(number)
        known = {
            "digest": manifest.model.digest,
            "scheme": manifest.scheme,
            "pushed_at": manifest.pushed_at,
        }
    return Event.now("removed", number, **known)
