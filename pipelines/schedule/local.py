"""The clock of one machine: a scheduler in the foreground, on APScheduler.

Each tick is a run in a process of its own, in turn. The job store below the root moves on to the
next tick only when a run has ended, so that a tick that was due while the scheduler was not there,
or was killed, is still due when it comes back.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import FrameType
from typing import Any

from apscheduler.events import EVENT_JOB_REMOVED
from apscheduler.executors.base import BaseExecutor
from apscheduler.job import Job
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from sqlalchemy import URL, create_engine
from sqlalchemy.exc import DatabaseError

from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.schedule import ScheduleConfig
from tfx_tflite.pipelines.runs import file_lock
from tfx_tflite.pipelines.schedule import records
from tfx_tflite.pipelines.schedule.records import TickRecord

_JOB = "run"
# A tick that is later than this was missed.
_GRACE = timedelta(seconds=30)
# Of ticks that were missed one is made up for, so those of the last day will do.
_LOOK_BACK = timedelta(days=1)
_ENDED = "the schedule has ended"


class ScheduleTrigger(BaseTrigger):
    """The ticks of a schedule, for APScheduler.

    Args:
        schedule: The schedule.
    """

    def __init__(self, schedule: ScheduleConfig):
        self.schedule = schedule

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        """Returns the tick after `previous`, or the first one from `now` on."""
        if previous is None:
            return self.schedule.next_tick(now - timedelta(microseconds=1))
        tick = self.schedule.next_tick(previous)
        if tick is not None and tick < now - _LOOK_BACK:
            later = self.schedule.next_tick(now - _LOOK_BACK)
            if later is not None and later <= now:
                return later
        return tick


def tick(specification: str) -> None:
    """Stands for a run in the job store, which keeps no more than a name; `_InTurn` does the work.

    Args:
        specification: The schedule that the job was made for.
    """


class _InTurn(BaseExecutor):
    """Runs ticks in the scheduler's thread, and unlike a job tells a run when it was due."""

    def __init__(self, run: Callable[[datetime], None]):
        super().__init__()
        self._run = run

    def _do_submit_job(self, job: Job, run_times: list[datetime]) -> None:
        try:
            self._run(run_times[-1])
        except Exception:
            self._run_job_error(job.id, *sys.exc_info()[1:])
        else:
            self._run_job_success(job.id, [])


class LocalClock:
    """A scheduler that runs until its schedule ends or it is told to stop.

    Args:
        config: The config, with a schedule.
        command: What is run at a tick; it prints a JSON object as its last line.
        say: Prints a line.
        trigger: When to tick, instead of the config's schedule.
    """

    def __init__(
        self,
        config: PipelineConfig,
        command: Sequence[str],
        say: Callable[[str], None],
        trigger: BaseTrigger | None = None,
    ):
        assert config.schedule is not None
        self._name = config.name
        self._schedule = config.schedule
        self._root = Path(config.root)
        self._command = list(command)
        self._say = say
        self._trigger = trigger or ScheduleTrigger(config.schedule)
        self._specification = self._schedule.model_dump_json(exclude={"catch_up"})
        # May be put to from a signal handler, where an Event would deadlock.
        self._stops: queue.SimpleQueue[str] = queue.SimpleQueue()
        # Held while the run's process is made, so that a stop never misses it.
        self._guard = threading.Lock()
        self._stopping = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def directory(self) -> Path:
        """Where state and records are."""
        return self._root / "schedule"

    def serve(self) -> None:
        """Runs ticks as they come, until SIGTERM, SIGINT or the end of the schedule.

        Raises:
            BusyError: Another scheduler runs for this root.
            ConfigError: The root cannot be written.
        """
        with file_lock.held(self.directory / "scheduler.lock", "scheduler"):
            previous = {number: signal.signal(number, self._signalled) for number in _signals()}
            try:
                self._serve()
            except DatabaseError as error:
                raise ConfigError(
                    f"{self._job_store} cannot be used: {error.orig}; without the file the "
                    "schedule begins anew, and runs missed so far are forgotten"
                ) from error
            finally:
                for number, handler in previous.items():
                    signal.signal(number, handler)

    def _serve(self) -> None:
        engine = create_engine(
            URL.create("sqlite", database=str(self._job_store)),
            connect_args={"check_same_thread": False},
        )
        scheduler = BackgroundScheduler(
            jobstores={"default": SQLAlchemyJobStore(engine=engine)},
            executors={"default": _InTurn(self._tick)},
            timezone=self._schedule.zone,
        )
        scheduler.start(paused=True)
        try:
            reason = self._wait(scheduler)
        finally:
            self._stop_run()
            # Waits for the run to end and be recorded.
            scheduler.shutdown()
        self._say(f"{self._name}: {reason}")

    def _wait(self, scheduler: BackgroundScheduler) -> str:
        """Lets the scheduler run, and returns why it is to end when it is."""
        next_run = self._due(scheduler)
        if next_run is None:
            return _ENDED
        scheduler.add_listener(lambda event: self._stops.put(_ENDED), EVENT_JOB_REMOVED)
        self._say(f"{self._name}: {_when(next_run)}; records are in {self._records}")
        scheduler.resume()
        while True:
            # A signal just before the wait would end it only with the next one.
            with contextlib.suppress(queue.Empty):
                return self._stops.get(timeout=1)

    def _due(self, scheduler: BackgroundScheduler) -> datetime | None:
        """Sees to it that the job is in the store, and returns when it is due next.

        A job that is there with the same schedule stays as it is: it knows what was missed.
        """
        job = self._known_job(scheduler)
        now = datetime.now(timezone.utc)
        if job is None or job.args != (self._specification,):
            first = self._trigger.get_next_fire_time(None, now)
            if first is None:
                if job is not None:
                    scheduler.remove_job(_JOB)
                return None
            job = scheduler.add_job(
                f"{__name__}:tick",
                self._trigger,
                args=(self._specification,),
                id=_JOB,
                replace_existing=True,
                coalesce=True,
                misfire_grace_time=None,
                next_run_time=first,
            )
        elif self._schedule.catch_up and records.last_status(self._records) == "interrupted":
            job.modify(next_run_time=now)
        return job.next_run_time

    def _known_job(self, scheduler: BackgroundScheduler) -> Job | None:
        try:
            return scheduler.get_job(_JOB)
        except DatabaseError:
            raise
        except Exception as error:
            # Pickled by another version, or damaged: that may fail in any way.
            self._say(
                f"{self._name}: the schedule begins anew, its state was not readable: {error}"
            )
            scheduler.remove_job(_JOB)
            return None

    @property
    def _job_store(self) -> Path:
        return self.directory / "schedule.sqlite"

    @property
    def _records(self) -> Path:
        return self.directory / records.FILE_NAME

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if self._stopping and self._process is not None:
            # Asked a second time: no more waiting.
            os.killpg(self._process.pid, signal.SIGKILL)
        self._stops.put(f"stopped by {signal.Signals(number).name}")

    def _stop_run(self) -> None:
        with self._guard:
            self._stopping = True
            if self._process is not None:
                self._process.terminate()

    def _tick(self, scheduled: datetime) -> None:
        record = self._record_of(scheduled)
        records.append(record, self._records)
        self._say(f"{_stamp(scheduled)}  {record.summary()}")

    def _record_of(self, scheduled: datetime) -> TickRecord:
        now = datetime.now(self._schedule.zone)
        late = records.elapsed(scheduled, now)
        if late > _GRACE and not self._schedule.catch_up:
            late = timedelta(seconds=round(late.total_seconds()))
            return TickRecord(scheduled, None, now, "skipped", reason=f"missed by {late}")
        if file_lock.is_held(self._root / file_lock.RUN_LOCK):
            return TickRecord(scheduled, None, now, "skipped", reason="another run is going on")
        return self._run(scheduled, now)

    def _run(self, scheduled: datetime, started: datetime) -> TickRecord:
        log = self.directory / "last_run.log"
        try:
            exit_code, output = self._execute(log)
        except OSError as error:
            problem = f"{self._command[0]}: {error.strerror}"
            return TickRecord(scheduled, None, started, "failed", reason=problem)
        if exit_code is None:
            return TickRecord(scheduled, None, started, "interrupted")
        result = _last_json(output)
        status = str(result["status"]) if result else "failed"
        reason: str | None = None
        if status == "failed":
            reason = (result or {}).get("error") or _ending(exit_code, log)
            status = "interrupted" if self._stopping else "failed"
        ended = datetime.now(self._schedule.zone)
        return TickRecord(scheduled, started, ended, status, exit_code, reason, result)

    def _execute(self, log: Path) -> tuple[int | None, bytes]:
        """Returns the exit code (None where a stop came first) and the output of one run."""
        with log.open("wb") as errors:
            with self._guard:
                if self._stopping:
                    return None, b""
                # In a session of its own: Ctrl-C is passed on once, as SIGTERM.
                process = self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    start_new_session=True,
                )
            output, _ = process.communicate()
        with self._guard:
            self._process = None
        return process.returncode, output


def _signals() -> list[signal.Signals]:
    """Returns the signals that stop a scheduler; under nohup that of a closed terminal does not."""
    stops = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    return [number for number in stops if signal.getsignal(number) is not signal.SIG_IGN]


def _last_json(output: bytes) -> dict[str, Any] | None:
    lines = output.decode("utf-8", "replace").splitlines()
    try:
        document = json.loads(lines[-1])
    except (IndexError, ValueError):
        return None
    return document if isinstance(document, dict) and "status" in document else None


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
