"""The converter's process, started before anybody asks: it imports while others work.

Its imports take seconds. A run starts it as soon as a conversion is certain, and the first
`Converter` takes it. If none does, it ends with the run.

Importing this loads neither TensorFlow nor TFX.
"""

import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tfx_tflite.components.quantization.conversion.child_process import ChildProcess

# The fault handler says where it was when it crashes without a word.
COMMAND: tuple[str, ...] = (
    *(sys.executable, "-X", "faulthandler"),
    *("-m", "tfx_tflite.components.quantization.conversion.child_main"),
)


class EarlyConverter:
    """At most one process of the converter, which is started early and given away once.

    The kernel ends the process with the thread that started it, and stages may run in threads that
    end before it is taken: so it has a thread that does nothing else.

    Args:
        directory: Where the process runs.
    """

    def __init__(self, directory: Path):
        self._directory = directory
        self._thread = ThreadPoolExecutor(1, "converter")
        self._lock = threading.Lock()
        self._started: Future[ChildProcess] | None = None
        self._is_taken = False

    def start(self) -> None:
        """Starts the process, without waiting for it, unless it was started already."""
        with self._lock:
            if self._started is None:
                self._started = self._thread.submit(ChildProcess, COMMAND, self._directory)

    def take(self) -> ChildProcess | None:
        """Returns the process; None if there is none, or another has it, or it has ended."""
        with self._lock:
            if self._started is None or self._is_taken or self._started.exception() is not None:
                return None
            self._is_taken = True
        child = self._started.result()
        return child if child.is_alive() else None

    def close(self) -> None:
        """Ends the process, and waits until it is gone."""
        with self._thread, self._lock:
            self._is_taken = True
            if self._started is not None and self._started.exception() is None:
                self._started.result().close()


_early: EarlyConverter | None = None


@contextmanager
def early_converter() -> Iterator[EarlyConverter]:
    """Lets the converter's process be started before a conversion needs it, within the block.

    Yields:
        What starts the process; `take_early_converter` hands it over.
    """
    global _early
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        _early = EarlyConverter(Path(directory))
        try:
            yield _early
        finally:
            _early.close()
            _early = None


def take_early_converter() -> ChildProcess | None:
    """Returns the process that was started early, for the caller to close; None without one."""
    return None if _early is None else _early.take()
