"""How far a stage has come, told from wherever it is worked on to the terminal of the run.

Those who predict, calibrate and train are threads and children of the run, or processes on other
machines. A run with somebody at a terminal names a file in the environment, which children inherit,
and everybody who finds it there appends a line whenever more is done. Without that variable, as
on other machines, nothing is told, and nothing depends on it.

Importing this loads nothing but parts of the standard library: workers import it.
"""

import contextlib
import json
import os
from dataclasses import asdict, dataclass

VARIABLE = "TFX_TFLITE_PROGRESS"
# What is counted.
EXAMPLES, CALIBRATED, PREDICTED = "examples", "examples calibrated", "examples predicted"
TRAINED, CANDIDATES, DRAWS = "training steps", "candidates", "draws"


@dataclass(frozen=True)
class Step:
    """More of something is done.

    Attributes:
        what: Of what, such as `examples predicted`.
        more: How many more.
        of: How many there are in all; None if that is not known, or was told before.
        split: The split that is worked on. Whoever tells `of` with it tells the size of the split.
        is_first: Whether what was told of it before is of no account.
        note: How it stands, in a few words; None if this is no round. Rounds are work in which
            other things are counted; what is told of those is shown beside, and not instead.
        job: The job of an engine that is at work, and how that stands; None if this tells of none.
    """

    what: str
    more: int = 0
    of: int | None = None
    split: str | None = None
    is_first: bool = False
    note: str | None = None
    job: str | None = None

    def to_line(self) -> bytes:
        """Returns the step as a line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> "Step | None":
        """Returns the step that a line is of; None if it is of none."""
        try:
            step = cls(**json.loads(line))
        except (ValueError, TypeError, RecursionError):
            return None
        return step if step._is_sound() else None

    def _is_sound(self) -> bool:
        return (
            isinstance(self.what, str)
            and type(self.more) is int
            and (self.of is None or type(self.of) is int)
            and (self.split is None or isinstance(self.split, str))
            and isinstance(self.is_first, bool)
            and (self.note is None or isinstance(self.note, str))
            and (self.job is None or isinstance(self.job, str))
        )


def tell(step: Step) -> None:
    """Tells a step to who shows the run, if somebody does."""
    path = os.environ.get(VARIABLE)
    if path is None:
        return
    # Nobody's work fails because its progress cannot be told.
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            # One write is one line, whoever else appends.
            os.write(descriptor, step.to_line())
        finally:
            os.close(descriptor)
