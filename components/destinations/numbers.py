"""The number of the next version."""

import time

from tfx_tflite.components.destinations.pointer import LARGEST
from tfx_tflite.components.destinations.reading import Reading, version_path
from tfx_tflite.components.errors import DestinationError

# More seconds than any clock shows. What is named by such a number is hardly a version.
_FAR = 10**15


def next_number(reading: Reading) -> int:
    """Returns seconds since the epoch, as TFX numbers versions, but never one twice.

    Something else may be named by the largest number that there is. The next number is not counted
    up from it unless it is a version that was current.

    Raises:
        DestinationError: There is no number left.
    """
    state = reading.state
    used = {*state.numbers, *(event.version for event in state.events)}
    counted = [each for each in used if each < _FAR or _was_current(reading, each)]
    number = max(int(time.time()), *(each + 1 for each in (0, *counted)))
    while number in used:
        number += 1
    if number > LARGEST:
        raise DestinationError(
            f"no number is left for a version after {version_path(reading.store, number - 1)}; "
            "move that version away, or push to another destination"
        )
    return number


def _was_current(reading: Reading, number: int) -> bool:
    if number not in reading.state.numbers or number not in reading.state.releases:
        return False
    try:
        return reading.manifest(number).version == number
    except DestinationError:
        return False
