"""What was done at a destination beside pushes, of which the manifests tell: one file an event."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from tfx_tflite.components.destinations.manifest import Text


def _short(text: str) -> str:
    if len(text) > 500:
        raise ValueError("is longer than 500 characters")
    return text


Kind = Literal["rolled_back", "signed_off", "sign_off_withdrawn", "removed"]


class Event(BaseModel):
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

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: Kind
    version: int = Field(ge=1)
    at: Text
    instead_of: int | None = None
    digest: Text | None = None
    scheme: Text | None = None
    pushed_at: Text | None = None
    note: Annotated[Text, AfterValidator(_short)] | None = None


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


def withdrawn(events: Iterable[Event], current: int | None) -> range:
    """Returns the numbers of the versions that the current one was rolled back from.

    Args:
        events: In the order in which they happened.
        current: The version that is current.
    """
    back = [event for event in events if event.kind == "rolled_back"]
    if not back or back[-1].version != current or back[-1].instead_of is None:
        return range(0)
    return range(current + 1, back[-1].instead_of + 1)
