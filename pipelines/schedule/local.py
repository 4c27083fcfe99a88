"""The clock of one machine: a scheduler in the foreground.

Each tick is a run in a process of its own, in turn. The state below the root moves on to the next
tick only when a run has ended, so that a tick that was due while the scheduler was not there, or
was killed, is still due when it comes back. That a run begins is written down
before it does, so that a run whose scheduler was killed has a record as well.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import FrameType
from typing import IO

from pydantic import JsonValue, TypeAdapter
from pydantic_core import from_json

from tfx_tflite.components.errors import ConfigError
from tfx_tflite.components.locks import is_locked, only_one
from tfx_tflite.components.presence import ABSENT
from tfx_tflite.components.private_files import open_regular_file
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.schedule import ScheduleConfig
from tfx_tflite.pipelines.runs import RUN_LOCK
from tfx_tflite.pipelines.schedule import records
from tfx_tflite.pipelines.schedule.records import StartedTick, TickRecord
from tfx_tflite.pipelines.schedule.state import StateFile

# A tick that is later than this was missed.
_GRACE = timedelta(seconds=30)
# Of ticks that were missed one is made up for, so those of the last day will do.
_LOOK_BACK = timedelta(days=1)
# Records hold times to the millisecond.
_SAME = timedelta(milliseconds=2)
# The clock of the machine may be set while the scheduler waits: it looks again after this, seconds.
_LOOK = 1.0
# Bytes, of which each signal writes one.
_MANY = 1024
_ENDED = "the schedule has ended"
_RESULT = TypeAdapter(dict[str, JsonValue])


class ScheduleTicks:
    """The ticks of a schedule; of those that were missed long ago it leaves out all but one.

    Args:
        schedule: The schedule.
    """

    def __init__(self, schedule: ScheduleConfig):
        self._schedule = schedule

    def first(self, now: datetime) -> datetime | None:
        """Returns the first tick from `now` on; None if there is none."""
        return self._schedule.next_tick(now - timedelta(microseconds=1))

    def after(self, previous: datetime, now: datetime) -> datetime | None:
        """Returns the tick after `previous`; None if there is none."""
        tick = self._schedule.next_tick(previous)
        if tick is not None and tick < now - _LOOK_BACK:
            later = self._schedule.next_tick(now - _LOOK_BACK)
            if later is not None and later <= now:
                return later
        return tick


class LocalClock:
    """A scheduler that runs until its schedule ends or it is told to stop.

    Args:
        config: The config, with a schedule.
        command: What is run at a tick; it prints a JSON object as its last line.
        say: Prints a line.
        ticks: When to run, instead of the config's schedule.
    """

    def __init__(
        self,
        config: PipelineConfig,
        command: Sequence[str],
        say: Callable[[str], None],
        ticks: ScheduleTicks | None = None,
    ):
        assert config.schedule is not None
        self._name = config.name
        self._schedule = config.schedule
        self._root = Path(config.root)
        self._command = list(command)
        self._say = say
        self._ticks = ticks or ScheduleTicks(config.schedule)
        self._specification = self._schedule.model_dump_json(exclude={"catch_up"})
        self._state = StateFile(self.directory)
        self._stop: str | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def directory(self) -> Path:
        """Where state and records are."""
        return self._root / "schedule"

    def serve(self) -> None:
        """Runs ticks as they come, until SIGTERM, SIGINT or the end of the schedule.

        Raises:
            BusyError: Another scheduler runs for this root.
            ConfigError: The root cannot be written, or the state that was left there is damaged.
            NotKnownError: The records cannot be read.
        """
        with (
            only_one(self.directory / "scheduler.lock", "scheduler"),
            self._handling_signals(),
        ):
            self._say(f"{self._name}: {self._serve()}")

    @contextlib.contextmanager
    def _handling_signals(self) -> Iterator[None]:
        # A signal writes to the one, which ends a wait for the other at once.
        waker, self._wakened = socket.socketpair()
        with waker, self._wakened:
            waker.setblocking(False)
            previous_waker = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
            previous = {number: signal.signal(number, self._signalled) for number in _signals()}
            try:
                yield
            finally:
                for number, handler in previous.items():
                    signal.signal(number, handler)
                signal.set_wakeup_fd(previous_waker)

    def _serve(self) -> str:
        """Runs ticks, and returns why there are no more."""
        self._recover()
        due = self._first_due()
        if due is not None:
            self._say(f"{self._name}: {_when(due)}; records are in {self._records}")
        while due is not None and self._comes(due):
            now = datetime.now(timezone.utc)
            scheduled = self._last_until(due, now)
            self._tick(scheduled)
            due = self._ticks.after(scheduled, now)
            self._keep(due)
        return self._stop or _ENDED

    def _first_due(self) -> datetime | None:
        """Returns when a run is due: what is known of the same schedule knows what was missed."""
        now = datetime.now(timezone.utc)
        due = self._state.due(self._specification)
        last = records.last_tick(self._records)
        if due is None:
            due = self._ticks.first(now)
        elif last is not ABSENT and last[1] == "interrupted":
            due = now if self._schedule.catch_up else self._after_record(last[0], due, now)
        elif last is not ABSENT:
            due = self._after_record(last[0], due, now)
        try:
            self._state.keep(self._specification, due)
        except OSError as error:
            raise ConfigError(f"{error.filename} cannot be written: {error.strerror}") from error
        return due

    def _after_record(self, recorded: datetime, due: datetime, now: datetime) -> datetime | None:
        """Returns the next tick if there is a record of the one that is due already."""
        return self._ticks.after(due, now) if _is_same(recorded, due) else due

    def _recover(self) -> None:
        """Ends a line that was cut off, and records the run of a scheduler that was killed.

        Raises:
            ConfigError: The records cannot be written.
            NotKnownError: They cannot be read.
        """
        try:
            if records.end_torn_line(self._records):
                self._say(f"{self._name}: the last line of {self._records} was cut off")
            started = records.started_tick(self.directory)
            if started is ABSENT:
                return
            last = records.last_tick(self._records)
            is_recorded = last is not ABSENT and _is_same(last[0], started.scheduled)
            if not is_recorded:
                self._append(self._record_of_killed(started))
            records.remove_started(self.directory)
        except OSError as error:
            raise ConfigError(f"{error.filename} cannot be used: {error.strerror}") from error

    def _record_of_killed(self, started: StartedTick) -> TickRecord:
        """Returns what came of a run whose scheduler was killed: it may have come to its end."""
        now = datetime.now(self._schedule.zone)
        result = self._last_result()
        status, reason = "interrupted", "the scheduler was killed during the run"
        if is_locked(self._root / RUN_LOCK):
            reason = "the scheduler was killed; another run, or this one, is going on without it"
        elif result is not None:
            status, reason = str(result["status"]), "the scheduler was killed before it was noted"
        return TickRecord(
            started.scheduled, started.started, now, status, reason=reason, result=result
        )

    def _comes(self, due: datetime) -> bool:
        """Waits for a tick, and returns whether it came before the scheduler was stopped."""
        while self._stop is None:
            left = (due - datetime.now(timezone.utc)).total_seconds()
            if left <= 0:
                return True
            if select.select([self._wakened], [], [], min(left, _LOOK))[0]:
                self._wakened.recv(_MANY)
        return False

    def _last_until(self, due: datetime, now: datetime) -> datetime:
        """Returns the last tick that has come by now; it stands for all that came before."""
        tick: datetime | None = due
        while tick is not None and tick <= now:
            due, tick = tick, self._ticks.after(tick, now)
        return due

    def _keep(self, due: datetime | None) -> None:
        try:
            self._state.keep(self._specification, due)
        except OSError as error:
            # The next tick is another try.
            self._say(f"{self._name}: {error.filename} cannot be written: {error.strerror}")

    @property
    def _records(self) -> Path:
        return self.directory / records.FILE_NAME

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        is_first = self._stop is None
        self._stop = self._stop or f"stopped by {signal.Signals(number).name}"
        if self._process is None:
            return
        if is_first:
            self._process.terminate()
        else:
            # No more waiting.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _tick(self, scheduled: datetime) -> None:
        try:
            self._append(self._record_of(scheduled))
            records.remove_started(self.directory)
        except OSError as error:
            self._say(f"{_stamp(scheduled)}  {error.filename}: {error.strerror}")

    def _append(self, record: TickRecord) -> None:
        records.append(record, self._records)
        self._say(f"{_stamp(record.scheduled)}  {record.summary()}")

    def _record_of(self, scheduled: datetime) -> TickRecord:
        now = datetime.now(self._schedule.zone)
        late = records.elapsed(scheduled, now)
        if late > _GRACE and not self._schedule.catch_up:
            late = timedelta(seconds=round(late.total_seconds()))
            return TickRecord(scheduled, None, now, "skipped", reason=f"missed by {late}")
        if is_locked(self._root / RUN_LOCK):
            return TickRecord(scheduled, None, now, "skipped", reason="another run is going on")
        if self._stop is not None:
            return TickRecord(scheduled, None, now, "interrupted")
        return self._run(scheduled, now)

    def _run(self, scheduled: datetime, started: datetime) -> TickRecord:
        # The result of the run before it must not be taken for its own.
        self._output.unlink(missing_ok=True)
        records.write_started(StartedTick(scheduled=scheduled, started=started), self.directory)
        log = self.directory / "last_run.log"
        try:
            exit_code = self._execute(log)
        except OSError as error:
            problem = f"{self._command[0]}: {error.strerror}"
            return TickRecord(scheduled, None, started, "failed", reason=problem)
        result = self._last_result()
        status = str(result["status"]) if result else "failed"
        reason: str | None = None
        if status == "failed":
            message = (result or {}).get("error")
            reason = str(message) if message else _ending(exit_code, log)
            status = "interrupted" if self._stop is not None else "failed"
        ended = datetime.now(self._schedule.zone)
        return TickRecord(scheduled, started, ended, status, exit_code, reason, result)

    def _execute(self, log: Path) -> int:
        """Returns the exit code of one run; its output is in files, whatever becomes of this."""
        with _new_file(log) as errors, _new_file(self._output) as output:
            # In a session of its own: Ctrl-C is passed on once, as SIGTERM.
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
            self._process = process
            if self._stop is not None:
                # A signal that came before this knew of no process.
                process.terminate()
            process.wait()
        self._process = None
        return process.returncode

    @property
    def _output(self) -> Path:
        return self.directory / "last_run.out"

    def _last_result(self) -> dict[str, JsonValue] | None:
        """Returns the JSON that the last run printed at its end; None if it did not come to it."""
        try:
            with os.fdopen(open_regular_file(self._output, os.O_RDONLY), "rb") as file:
                return _last_json(file.read())
        except FileNotFoundError:
            return None


def _is_same(one: datetime, other: datetime) -> bool:
    return abs(records.elapsed(one, other)) < _SAME


def _new_file(path: Path) -> IO[bytes]:
    """Opens a file in place of another, which a run without a scheduler may still be writing."""
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    return os.fdopen(open_regular_file(path, flags), "wb")


def _signals() -> list[signal.Signals]:
    """Returns the signals that stop a scheduler; under nohup that of a closed terminal does not."""
    stops = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    return [number for number in stops if signal.getsignal(number) is not signal.SIG_IGN]


def _last_json(output: bytes) -> dict[str, JsonValue] | None:
    lines = output.decode("utf-8", "replace").splitlines()
    try:
        document = _RESULT.validate_python(from_json(lines[-1], allow_inf_nan=False))
    except (IndexError, ValueError):
        return None
    return document if "status" in document else None


def _ending(exit_code: int, log: Path) -> str:
    """Returns how a run ended that printed no result."""
    if exit_code < 0:
        return f"ended by {signal.Signals(-exit_code).name}"
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1] if lines else f"ended with exit code {exit_code} and without a result"


def _when(moment: datetime) -> str:
    return "runs at once" if moment <= datetime.now(timezone.utc) else f"next run {_stamp(moment)}"


def _stamp(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="seconds")
