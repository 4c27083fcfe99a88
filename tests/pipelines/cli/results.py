"""A command whose runs come to a result without any stage, to see what becomes of the result.

Run it as `python -m tests.pipelines.cli.results WHEN run CONFIG …`; with WHEN `stopped` a scheduler
stops the command while it keeps the result.
"""

import os
import signal
import sys
from pathlib import Path

from tests.components.report.reports import REFUSED
from tfx_tflite.pipelines.cli import main, one_run
from tfx_tflite.pipelines.runs.results import RunResult

RESULT = RunResult(
    status="refused",
    scheme=REFUSED.scheme,
    examples=REFUSED.examples,
    rules=REFUSED.rules,
    reasons=REFUSED.reasons,
    size_bytes=REFUSED.size_bytes,
    report="report.json",
    page="report.html",
)


def save_and_stop(result: RunResult, log: Path) -> None:
    """Keeps a result after a stop that came too late."""
    os.kill(os.getpid(), signal.SIGTERM)
    save_result(result, log)


save_result = one_run.save_result

if __name__ == "__main__":
    when = sys.argv.pop(1)
    one_run.OneRun._run = lambda *_: RESULT
    if when == "stopped":
        one_run.save_result = save_and_stop
    main.command_line()
