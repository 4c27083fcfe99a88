"""What was done at a destination beside pushes, of which the manifests tell: one file an event."""

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError

from tfx_tflite.components.destinations.manifest import Text
from tfx_tflite.components.documents import Part
from tfx_tflite.components.errors import DestinationError


def _short(text: str) -> str:
    if len(text) > 500:
        raise ValueError("is longer than 500 characters")
    return text


def utc_now() -> str:
    """Returns this moment as manifests, the ledger and records of runs write it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


Kind = Literal["rolled_back", "signed_off", "sign_off_withdrawn", "removed"]


class Event(Part):
    """Something that was done to a version.

    Attributes:
        kind: What was done; `rolled_back` is about the version that was made the current one.
        version: To which version.
        at: When, in UTC.
        instead_of: For `rolled_back`: which version was current before.
        digest: For `removed`: the model's.
        scheme: For `removed`: the model's.
        pushed_at: For `removed`: when it was pushed.
        note: Why, in the words of who did it.
    """

    kind: Kind
    version: int = Field(ge=1)
    at: Text
    instead_of: int | None = None
    digest: Text | None = None
    scheme: Text | None = None
    pushed_at: Text | None = None
    note: Annotated[Text, AfterValidator(_short)] | None = None

    @classmethod
    def now(cls, kind: Kind, version: int, **details: str | int | None) -> "Event":
        """Returns an event of this moment.

        Raises:
            DestinationError: The note cannot be kept.
        """
        try:
            return cls.model_validate(
                {"kind": kind, "version": version, "at": utc_now(), **details}
            )
        except ValidationError as error:
            first = error.errors()[0]
            reason = first["msg"].removeprefix("Value error, ")
            raise DestinationError(f"{first['loc'][0]}: {reason}; nothing was changed") from error


def signed_off(events: Iterable[Event]) -> set[int]:
    """Returns the versions that are signed off.

    Args:
        events: In the order in which they happened.
    """
    found: set[int] = set()
    for event in events:
        if event.kind == "signed_off":
            found.add(event.version)
        elif event.kind == "sign_off_withdrawn":
            found.discard(event.version)
    return found


def withdrawn(events: Iterable[Event]) -> set[int]:
    """Returns the versions that were rolled back from, and not made current by hand since.

    Args:
        events: In the order in which they happened.
    """
    found: set[int] = set()
    for event in events:
        if event.kind == "rolled_back" and event.instead_of is not None:
            found.update(range(event.version + 1, event.instead_of + 1))
            found.discard(event.version)
    return found
