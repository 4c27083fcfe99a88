"""What `tfx-tflite doctor --json` prints."""

from typing import Literal

from tfx_tflite.components.documents import Document, Part

FORMAT = 1

State = Literal["runs", "fails", "crashes", "hangs", "not tried"]


class Feature(Part):
    """Something that can be done, if what it needs is here.

    Attributes:
        name: What it is called.
        is_here: Whether all that it needs is here.
        lacks: What is not here, and how to get it.
    """

    name: str
    is_here: bool
    lacks: tuple[str, ...] = ()


class Trial(Part):
    """Something that was tried in a process of its own.

    Attributes:
        name: What was tried.
        state: How it ended. It `crashes` if a signal ended the process, and `hangs` if the time
            limit did.
        seconds: How long it took.
        problem: What went wrong; empty if nothing did.
    """

    name: str
    state: State
    seconds: float = 0.0
    problem: str = ""


class Diagnosis(Document):
    """What was found on a machine.

    Attributes:
        format: The version of this document's form.
        generation: The release of TFX, such as `TFX 1.16`; None if it is not installed.
        is_supported: Whether this package is made for that release.
        versions: The versions of what is used; null of what is not installed.
        features: What can be done.
        trials: What was tried.
        is_well: Whether the release is supported and all that was tried runs.
    """

    kind = "a diagnosis"

    format: int = FORMAT
    generation: str | None
    is_supported: bool
    versions: dict[str, str | None]
    features: tuple[Feature, ...]
    trials: tuple[Trial, ...]
    is_well: bool


if __name__ == "__main__":
    print(Diagnosis.json_schema(), end="")
