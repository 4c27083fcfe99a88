"""What a scheduler writes down of each tick: a line of JSON."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import BinaryIO, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    JsonValue,
    TypeAdapter,
    ValidationError,
)

from tfx_tflite.components.presence import ABSENT, Presence, not_known
from tfx_tflite.components.private_files import open_regular_file

FILE_NAME = "runs.jsonl"
_STARTED = "started.json"
# So many bytes are read at once: most records have fewer.
_BLOCK = 1 << 16
_RECORD = TypeAdapter(dict[str, JsonValue])
_Record = TypeVar("_Record")


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
        waits = "  waits for approval" if self.result.get("waits_for_approval") else ""
        return str(self.result.get("pushed_to") or first) + waits


def elapsed(start: datetime, end: datetime) -> timedelta:
    """Returns the time between two moments, which Python takes off the clock in one zone."""
    return end.astimezone(timezone.utc) - start.astimezone(timezone.utc)


class _Tick(BaseModel):
    """What is asked of a record afterwards."""

    scheduled: AwareDatetime
    status: str


class StartedTick(BaseModel):
    """A tick whose run has begun; it is written down before, and removed when there is a record.

    Attributes:
        scheduled: When it was due.
        started: When its run began.
    """

    model_config = ConfigDict(frozen=True)

    scheduled: AwareDatetime
    started: AwareDatetime


def append(record: TickRecord, path: Path) -> None:
    """Adds a record to a file; it is on the disk when this returns.

    Raises:
        OSError: It cannot be written, or is not a regular file.
    """
    end_torn_line(path)
    _write(path, os.O_APPEND, record.line())


def end_torn_line(path: Path) -> bool:
    """Ends a last line that was cut off, so that it does not swallow the next one.

    Args:
        path: A file of records; it need not be there.

    Returns:
        Whether there was one.

    Raises:
        OSError: The file cannot be read or written, or is not a regular file.
    """
    try:
        descriptor = open_regular_file(path, os.O_RDWR | os.O_APPEND)
    except FileNotFoundError:
        return False
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        is_torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        if is_torn:
            file.write(b"\n")
            os.fsync(descriptor)
    return is_torn


def last_tick(path: Path) -> Presence[tuple[datetime, str]]:
    """Returns when the tick of the last whole record of a file was due, and its status.

    Raises:
        NotKnownError: The file cannot be read, which does not mean that there were no runs.
    """
    tick = _last_whole(path, _Tick.model_validate_json)
    return ABSENT if tick is ABSENT else (tick.scheduled, tick.status)


def last_record(path: Path) -> Presence[dict[str, JsonValue]]:
    """Returns the last whole record of a file, as it was written.

    Raises:
        NotKnownError: The file cannot be read, which does not mean that there were no runs.
    """
    return _last_whole(path, _RECORD.validate_json)


def _last_whole(path: Path, parse: Callable[[bytes], _Record]) -> Presence[_Record]:
    """Returns the last line of a file that can be read as a record."""
    try:
        with os.fdopen(open_regular_file(path, os.O_RDONLY), "rb") as file:
            for line in _lines_from_the_end(file):
                with contextlib.suppress(ValidationError):
                    return parse(line)
    except FileNotFoundError:
        return ABSENT
    except OSError as error:
        raise not_known(str(path), "read", error.strerror or str(error)) from error
    return ABSENT


def _lines_from_the_end(file: BinaryIO) -> Iterator[bytes]:
    """Yields the lines of a file, the last one first.

    The file has a record of each tick that there ever was, and each tick reads only the last one.
    """
    start, begun = file.seek(0, os.SEEK_END), b""
    while start:
        size = min(start, _BLOCK)
        start -= size
        file.seek(start)
        first, *lines = (file.read(size) + begun).split(b"\n")
        yield from reversed(lines)
        # The line goes on before this block, unless the file begins here.
        begun = first
    yield begun


def write_started(tick: StartedTick, directory: Path) -> None:
    """Writes down that a run begins; it is on the disk when this returns.

    Raises:
        OSError: It cannot be written.
    """
    _write(directory / _STARTED, os.O_TRUNC, tick.model_dump_json() + "\n")


def started_tick(directory: Path) -> Presence[StartedTick]:
    """Returns the tick whose run has begun and has no record.

    Raises:
        NotKnownError: That cannot be told.
    """
    text = _read(directory / _STARTED)
    if text is ABSENT:
        return ABSENT
    try:
        return StartedTick.model_validate_json(text)
    except ValidationError:
        # It was cut off, and the run begins only when it is whole.
        return ABSENT


def remove_started(directory: Path) -> None:
    """Removes what `write_started` wrote.

    Raises:
        OSError: It cannot be removed.
    """
    (directory / _STARTED).unlink(missing_ok=True)


def _write(path: Path, flags: int, text: str) -> None:
    with os.fdopen(open_regular_file(path, os.O_WRONLY | os.O_CREAT | flags), "wb") as file:
        file.write(text.encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> Presence[bytes]:
    try:
        with os.fdopen(open_regular_file(path, os.O_RDONLY), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return ABSENT
    except OSError as error:
        raise not_known(str(path), "read", error.strerror or str(error)) from error
