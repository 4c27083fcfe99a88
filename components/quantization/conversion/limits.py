"""What the converter's process may use."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a child process may use; past that it is stopped.

    Attributes:
        time: Seconds for one request; the import of TensorFlow counts as one of its own.
        memory: Bytes of resident memory (TensorFlow alone takes some 500 MB), or None for as much
            as there is. Address space would say nothing: TensorFlow reserves far more than it uses.
    """

    time: float = 3600.0
    memory: int | None = None
