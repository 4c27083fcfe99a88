"""What a scheduler remembers while it is not there: for which schedule, and when it is due next.

It is one JSON document that is renamed into place. Earlier versions kept a pickle in a data base of
SQLite; of that, only the time and the schedule's text are read, and nothing in it is executed.
"""

import contextlib
import os
import sqlite3
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from tfx_tflite.components.destinations.stores.file_operations import FileOperations
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.components.private_files import open_regular_file

FILE_NAME = "state.json"
_EARLIER = "schedule.sqlite"


class ScheduleState(BaseModel):
    """What is due.

    Attributes:
        format: The version of this document.
        schedule: The schedule that `due` belongs to, as text.
        due: The next tick; None if there is no more.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    schedule: str
    due: AwareDatetime | None


class StateFile:
    """The state in a directory.

    Args:
        directory: Where it is; it must be there.
    """

    def __init__(self, directory: Path):
        self._path = directory / FILE_NAME
        self._earlier = directory / _EARLIER

    def due(self, schedule: str) -> datetime | None:
        """Returns when a schedule is due next; None if nothing is known of it.

        Args:
            schedule: The schedule's text.

        Raises:
            ConfigError: The state cannot be read.
        """
        try:
            with os.fdopen(open_regular_file(self._path, os.O_RDONLY), "rb") as file:
                state = ScheduleState.model_validate_json(file.read())
        except FileNotFoundError:
            return self._earlier_due(schedule)
        except (OSError, ValidationError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not the state of a schedule"
            raise self._unusable(self._path, reason) from error
        return state.due if state.schedule == schedule else None

    def keep(self, schedule: str, due: datetime | None) -> None:
        """Writes down when a schedule is due next; it is on the disk when this returns.

        Raises:
            OSError: It cannot be written; what was there is as it was.
        """
        state = ScheduleState(schedule=schedule, due=due)
        beside, operations = self._path.with_suffix(".new"), FileOperations()
        operations.remove(beside)
        operations.write(beside, state.model_dump_json().encode("utf-8") + b"\n")
        beside.chmod(0o600)
        operations.rename(beside, self._path)
        # From now on it would be out of date.
        operations.remove(self._earlier)

    def _earlier_due(self, schedule: str) -> datetime | None:
        if not self._earlier.exists():
            return None
        uri = f"{self._earlier.absolute().as_uri()}?mode=ro"
        try:
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
                row = connection.execute(
                    "SELECT next_run_time, job_state FROM apscheduler_jobs WHERE id = 'run'"
                ).fetchone()
        except sqlite3.Error as error:
            raise self._unusable(self._earlier, str(error)) from error
        # The pickle has the schedule's text as it is.
        if row is None or row[0] is None or schedule.encode("utf-8") not in bytes(row[1]):
            return None
        return datetime.fromtimestamp(row[0], timezone.utc)

    def _unusable(self, path: Path, reason: str | None) -> ConfigError:
        return ConfigError(
            f"{path} cannot be used: {reason}; without the file the schedule begins anew, and runs "
            "missed so far are forgotten"
        )
