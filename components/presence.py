"""What a look at a place finds: something, nothing, or that it cannot be told.

The three must not be mistaken for each other: a store that is away for a minute is not an empty
one, and a database that is down does not say that a pipeline never ran. So something is absent only
where the place itself said so, which is `ABSENT`, and not None or an empty list, which mean other
things elsewhere; the type checker sees to it that a caller decides what to do then. What could be
neither found nor said to be absent is raised as `NotKnownError`.
"""

import enum
from typing import Final, Literal, TypeAlias, TypeVar

from tfx_tflite.components.errors import NotKnownError

_T = TypeVar("_T")


class Absence(enum.Enum):
    """The answer of a place that it does not hold what was looked for."""

    ABSENT = enum.auto()

    def __bool__(self) -> Literal[False]:
        return False


ABSENT: Final = Absence.ABSENT
# What a look returns; it raises NotKnownError where neither can be told.
Presence: TypeAlias = _T | Literal[Absence.ABSENT]


def not_known(place: str, operation: str, reason: str) -> NotKnownError:
    """Returns the error that it is not known what a place holds.

    Args:
        place: The path or URI, without credentials.
        operation: What was tried, as a verb: `read`, `list`.
        reason: What the place said.
    """
    return NotKnownError(f"cannot {operation} {place}: {reason}")
