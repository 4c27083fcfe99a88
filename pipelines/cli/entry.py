"""Where the process of a command begins.

The command line takes some tenths of a second to import. A Ctrl-C in that time would end it with a
traceback, so it is noted here first, and answered as soon as there is somebody who can answer it.
This module imports next to nothing, so that Python comes to it soon.
"""

import signal
import sys
from typing import NoReturn


def command_line() -> NoReturn:
    """Runs the command that the process was started with, and ends it with the exit code."""
    noted = _NotedStop()
    from tfx_tflite.pipelines.cli import main

    noted.no_more()
    if noted.was_asked:
        main.end_interrupted("--json" in sys.argv)
    main.command_line()


class _NotedStop:
    """A Ctrl-C that is noted instead of raised; the second one ends the process at once."""

    def __init__(self) -> None:
        self.was_asked = False
        self._before = signal.getsignal(signal.SIGINT)
        # A shell has what it runs with `&` ignore Ctrl-C.
        if self._before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._note)

    def _note(self, *_: object) -> None:
        self.was_asked = True
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def no_more(self) -> None:
        """Lets Ctrl-C raise KeyboardInterrupt again."""
        signal.signal(signal.SIGINT, self._before)
