"""A command that gets Ctrl-C while it is imported.

Run it as `python -m tests.pipelines.cli.stopped_early MODULE TIMES COMMAND …`: the signal comes, so
often, when MODULE is about to be imported.
"""

import os
import signal
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

from tfx_tflite.pipelines.cli.entry import command_line


class StoppingFinder(MetaPathFinder):
    """Finds nothing, and sends this process Ctrl-C when it is asked for a module."""

    def __init__(self, name: str, times: int):
        self._name, self._times = name, times

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        if name == self._name:
            self._name = ""
            for _ in range(self._times):
                os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    sys.meta_path.insert(0, StoppingFinder(sys.argv.pop(1), int(sys.argv.pop(1))))
    command_line()
