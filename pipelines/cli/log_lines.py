"""The lines of a run's log, shown as they are written: `tfx-tflite run --verbose`."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

# Seconds between two looks.
_OFTEN = 0.2


@contextlib.contextmanager
def shown_log(log: Path, show: Callable[[str], None]) -> Iterator[None]:
    """Shows the lines that are added to a log while the block runs, all of them at its end.

    The log itself is read, not a pipe that everybody writes through: who writes never waits for a
    terminal, and the log is whole whatever becomes of it.

    Args:
        log: The file.
        show: Is called with each line, in a thread of its own.
    """
    lines = _Lines(log, show)
    has_ended = threading.Event()
    thread = threading.Thread(target=lines.follow, args=(has_ended,), name="log", daemon=True)
    thread.start()
    try:
        yield
    finally:
        has_ended.set()
        thread.join()
        lines.show_new(is_last=True)


class _Lines:
    def __init__(self, log: Path, show: Callable[[str], None]):
        self._log, self._show = log, show
        self._read = 0

    def follow(self, has_ended: threading.Event) -> None:
        while not has_ended.wait(_OFTEN):
            self.show_new()

    def show_new(self, is_last: bool = False) -> None:
        """Shows what is new, up to the last end of line, or all of it if nothing more will come."""
        with contextlib.suppress(OSError), self._log.open("rb") as file:
            file.seek(self._read)
            data = file.read()
            whole = data if is_last else data[: data.rfind(b"\n") + 1]
            self._read += len(whole)
            for line in whole.decode(errors="replace").split("\n")[: None if is_last else -1]:
                if line or not is_last:
                    self._show(as_shown(line))


def as_shown(line: str) -> str:
    """Returns what a terminal shows of a line in the end, which went back to its beginning."""
    return line.replace("\b", "").rstrip("\r").rpartition("\r")[2]
