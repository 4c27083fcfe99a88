"""The command line in a process that is sent SIGTERM as soon as Flink works on its first job."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path

from tfx_tflite.pipelines.cli.entry import command_line

LOGS = "TEST_LOGS"
# What Flink, inside the job server, says of a job.
_AT_WORK = "switched from state CREATED to RUNNING"
_PAUSE = 0.1


def variables(logs: Path) -> Mapping[str, str]:
    """Returns what tells the process where the job server's log will be."""
    return {LOGS: str(logs)}


def main() -> None:
    """Runs the command."""
    logs = Path(os.environ.pop(LOGS))

    def look(*_: object) -> None:
        if any(_AT_WORK in log.read_text() for log in logs.glob("*.job-server.log")):
            signal.setitimer(signal.ITIMER_REAL, 0)
            os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _PAUSE, _PAUSE)
    command_line()
