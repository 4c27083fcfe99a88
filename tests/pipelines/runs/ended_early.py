"""The command line in a process that is sent a signal after a while, in the middle of its run."""

import os
import signal
from collections.abc import Mapping

from tfx_tflite.pipelines.cli.entry import command_line

# Which signal comes, and after how many seconds.
SIGNAL, AFTER = "TEST_SIGNAL", "TEST_SIGNAL_AFTER"


def variables(number: signal.Signals, seconds: float) -> Mapping[str, str]:
    """Returns what tells the process when to be sent a signal."""
    return {SIGNAL: str(int(number)), AFTER: str(seconds)}


def main() -> None:
    """Runs the command."""
    number = int(os.environ.pop(SIGNAL))
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), number))
    signal.setitimer(signal.ITIMER_REAL, float(os.environ.pop(AFTER)))
    command_line()
