"""A scheduler for tests that kill it; its arguments are a config and the command of a run."""

import sys
from datetime import datetime, timedelta

from tfx_tflite.pipelines.config.file import load_config
from tfx_tflite.pipelines.schedule.local import LocalClock, ScheduleTicks


class Every(ScheduleTicks):
    """A tick every so often.

    Args:
        interval: How often.
    """

    def __init__(self, interval: timedelta = timedelta(seconds=0.2)):
        self._interval = interval

    def first(self, now: datetime) -> datetime:
        """Returns the first tick."""
        return now + self._interval

    def after(self, previous: datetime, now: datetime) -> datetime:
        """Returns the next tick."""
        return previous + self._interval


def say(line: str) -> None:
    """Prints a line at once."""
    print(line, flush=True)


if __name__ == "__main__":
    LocalClock(load_config(sys.argv[1]), sys.argv[2:], say, Every()).serve()
