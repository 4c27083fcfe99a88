"""What a scheduler writes down of each tick: a line of JSON."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from pydantic import JsonValue

FILE_NAME = "runs.jsonl"


@dataclass(frozen=True)
class TickRecord:
    """What came of a tick.

    Attributes:
        scheduled: When it was due.
        started: When its run began; None if there was none.
        ended: When that ended, or when the tick was skipped.
        status: That of the run (`pushed`, `refused`, `nothing_new`, `failed`), `interrupted` where
            the scheduler was stopped in the middle, or `skipped`.
        exit_code: The run's; negative where a signal ended it.
        reason: Why there was no run, or why it failed.
        result: The JSON that the run printed.
    """

    scheduled: datetime
    started: datetime | None
    ended: datetime
    status: str
    exit_code: int | None = None
    reason: str | None = None
    result: Mapping[str, JsonValue] | None = None

    def line(self) -> str:
        """Returns the record as one line of JSON."""
        document = asdict(self)
        for key in ("scheduled", "started", "ended"):
            moment = document[key]
            document[key] = moment and moment.isoformat(timespec="milliseconds")
        return json.dumps(document, allow_nan=False) + "\n"

    def summary(self) -> str:
        """Returns it in a line for people."""
        return "  ".join(part for part in (self.status, self._elapsed(), self._outcome()) if part)

    def _elapsed(self) -> str:
        if not self.started:
            return ""
        return f"{elapsed(self.started, self.ended).total_seconds():.1f} s"

    def _outcome(self) -> str:
        if self.reason is not None:
            return self.reason.splitlines()[0]
        if self.result is None:
            return ""
        reasons = self.result.get("reasons")
        first = reasons[0] if isinstance(reasons, list) and reasons else ""
        return str(self.result.get("pushed_to") or first)


def elapsed(start: datetime, end: datetime) -> timedelta:
    """Returns the time between two moments, which Python takes off the clock in one zone."""
    return end.astimezone(timezone.utc) - start.astimezone(timezone.utc)


def append(record: TickRecord, path: Path) -> None:
    """Adds a record to a file; it is on the disk when this returns."""
    with path.open("a", encoding="utf-8") as file:
        file.write(record.line())
        file.flush()
        os.fsync(file.fileno())


def last_status(path: Path) -> str | None:
    """Returns the status in the last record of a file; None if there is no whole one."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return str(json.loads(lines[-1])["status"])
    except (FileNotFoundError, IndexError, ValueError, KeyError):
        return None
