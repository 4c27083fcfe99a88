"""The local clock with commands that stand for a run; none of this loads TensorFlow or TFX."""

import itertools
import json
import os
import pickle
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.pipelines.config.test_config import MINIMAL
from tests.pipelines.schedule.scheduler import Every
from tfx_tflite.components.errors import BusyError, ConfigError, NotKnownError
from tfx_tflite.components.locks import only_one
from tfx_tflite.components.presence import ABSENT
from tfx_tflite.pipelines.config.file import load_config
from tfx_tflite.pipelines.runs import RUN_LOCK
from tfx_tflite.pipelines.schedule.local import LocalClock, ScheduleTicks
from tfx_tflite.pipelines.schedule.records import TickRecord, append, elapsed, last_tick

HERE = Path(__file__).parent
KILLS = 16
RESULT = {"status": "pushed", "pushed_to": "/pushed/1", "reasons": []}
# Prints a run's JSON and exits with the code it goes with.
RUN = f"import json, sys; print('note'); print(json.dumps({RESULT!r}))"


class Once(ScheduleTicks):
    """One tick, some time from now."""

    def __init__(self, delay: timedelta):
        self.at = datetime.now(timezone.utc) + delay

    def first(self, now: datetime) -> datetime:
        return self.at

    def after(self, previous: datetime, now: datetime) -> None:
        return None


def config(root: Path, *overrides: str):
    path = root / "c.yaml"
    path.write_text(MINIMAL + "schedule: {cron: '* * * * *'}\n")
    return load_config(path, overrides)


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def records(root: Path) -> list[dict]:
    path = root / "runs" / "schedule" / "runs.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def wait_for(condition, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


@pytest.fixture
def serve(tmp_path: Path):
    """Runs a clock until a condition holds, then stops it by a signal; returns its lines."""

    def until(condition, command, *overrides: str, ticks=None, number=signal.SIGTERM):
        lines: list[str] = []
        clock = LocalClock(
            config(tmp_path, *overrides),
            command,
            lines.append,
            ticks or Every(),
        )

        serving = True

        def stop() -> None:
            end = time.monotonic() + 20
            while not (lines and condition()) and time.monotonic() < end and serving:
                time.sleep(0.02)
            if serving:
                os.kill(os.getpid(), number)

        stopper = threading.Thread(target=stop)
        stopper.start()
        try:
            clock.serve()
        finally:
            serving = False
            stopper.join()
        return lines

    return until


def test_runs_at_every_tick_and_records_each_run(serve, tmp_path: Path):
    lines = serve(lambda: len(records(tmp_path)) >= 2, python(RUN))
    first, second, *_ = records(tmp_path)
    assert first["status"] == "pushed" and first["exit_code"] == 0 and first["result"] == RESULT
    assert first["scheduled"] <= first["started"] < first["ended"] < second["started"]
    assert first["scheduled"] < second["scheduled"]
    assert "pushed" in lines[1] and "/pushed/1" in lines[1]


def test_ends_with_one_line_on_sigterm(serve, tmp_path: Path):
    lines = serve(lambda: records(tmp_path), python(RUN))
    assert lines[-1] == "mine: stopped by SIGTERM"
    assert len(lines) == 2 + len(records(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_the_run_by_sigterm_and_records_that_it_was_interrupted(
    serve, tmp_path: Path, number: signal.Signals
):
    begun = tmp_path / "begun"
    script = (
        "import pathlib, signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(begun)!r}).write_text('x'),"
        " sys.exit(1)))\n"
        f"pathlib.Path({str(begun)!r}).touch()\n"
        "time.sleep(60)\n"
    )
    serve(begun.exists, python(script), number=number)
    assert begun.read_text() == "x"
    [record] = records(tmp_path)
    assert record["status"] == "interrupted" and record["exit_code"] == 1


def test_a_run_that_does_not_stop_is_killed_when_asked_a_second_time(serve, tmp_path: Path):
    begun = tmp_path / "begun"
    script = (
        "import pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"pathlib.Path({str(begun)!r}).touch()\n"
        "time.sleep(60)\n"
    )

    def again() -> None:
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    def when_begun() -> bool:
        if begun.exists():
            threading.Thread(target=again).start()
        return begun.exists()

    serve(when_begun, python(script))
    [record] = records(tmp_path)
    assert record["status"] == "interrupted" and record["exit_code"] == -signal.SIGKILL


@pytest.mark.parametrize(
    ("script", "exit_code", "reason"),
    [
        ('print(\'{"status": "failed", "error": "no data"}\'); raise SystemExit(1)', 1, "no data"),
        ("raise ValueError('bug')", 1, "ValueError: bug"),
        ("import os; os.abort()", -signal.SIGABRT, "ended by SIGABRT"),
        ("raise SystemExit(7)", 7, "ended with exit code 7 and without a result"),
    ],
)
def test_a_run_that_fails_is_a_record_and_the_scheduler_goes_on(
    serve, tmp_path: Path, script: str, exit_code: int, reason: str
):
    serve(lambda: len(records(tmp_path)) >= 2, python(script))
    for record in records(tmp_path)[:2]:
        assert record["status"] == "failed" and record["exit_code"] == exit_code
        assert record["reason"] == reason


def test_a_command_that_is_not_there_does_not_end_the_scheduler(serve, tmp_path: Path):
    serve(lambda: len(records(tmp_path)) >= 2, ["/nowhere/python"])
    assert {record["status"] for record in records(tmp_path)} == {"failed"}


def test_runs_never_overlap(serve, tmp_path: Path):
    script = f"import time; time.sleep(0.5)\n{RUN}"
    serve(lambda: len(records(tmp_path)) >= 3, python(script), "schedule.catch_up=true")
    found = records(tmp_path)
    for before, after in itertools.pairwise(found):
        assert before["ended"] <= after["started"]


def test_a_tick_is_skipped_while_another_process_runs_below_the_root(serve, tmp_path: Path):
    with only_one(tmp_path / "runs" / RUN_LOCK, "run"):
        lines = serve(lambda: records(tmp_path), python("raise SystemExit(9)"))
    assert records(tmp_path)[0]["status"] == "skipped"
    assert records(tmp_path)[0]["reason"] == "another run is going on"
    assert "skipped  another run is going on" in lines[1]


def test_a_second_scheduler_for_the_same_root_is_refused(serve, tmp_path: Path):
    (tmp_path / "runs").mkdir()
    with (
        only_one(tmp_path / "runs" / "schedule" / "scheduler.lock", "scheduler"),
        pytest.raises(BusyError, match=f"another scheduler is going on .*process {os.getpid()}"),
    ):
        LocalClock(config(tmp_path), python(RUN), print).serve()


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "{",
        "[]",
        '{"format": 2, "schedule": "x", "due": null}',
        "\x80\x04X",
        '{"format": 1, "schedule": "x", "due": "noon"}',
    ],
    ids=["empty", "cut", "list", "newer", "pickle", "no_time"],
)
def test_a_damaged_state_is_one_line(tmp_path: Path, damaged: str):
    directory = tmp_path / "runs" / "schedule"
    directory.mkdir(parents=True)
    (directory / "state.json").write_text(damaged)
    with pytest.raises(ConfigError, match=r"state.json cannot be used: not the state of") as error:
        LocalClock(config(tmp_path), python(RUN), print).serve()
    assert "\n" not in str(error.value) and "the schedule begins anew" in str(error.value)


@pytest.mark.parametrize("put", [lambda path: path.symlink_to("x"), os.mkfifo, Path.mkdir])
def test_only_a_regular_file_is_read_as_the_state(tmp_path: Path, put):
    directory = tmp_path / "runs" / "schedule"
    directory.mkdir(parents=True)
    put(directory / "state.json")
    with pytest.raises(ConfigError, match=r"state.json cannot be used: "):
        LocalClock(config(tmp_path), python(RUN), print).serve()


def test_a_kill_while_the_state_is_written_leaves_the_one_of_before(serve, tmp_path: Path):
    serve(lambda: records(tmp_path), python(RUN))
    directory = tmp_path / "runs" / "schedule"
    (directory / "state.new").write_text("half")
    count = len(records(tmp_path))
    serve(lambda: len(records(tmp_path)) > count, python(RUN))
    assert json.loads((directory / "state.json").read_text())["format"] == 1
    assert not (directory / "state.new").exists()


def store_of_an_earlier_version(root: Path, job_state: bytes, due: datetime) -> Path:
    """Writes the data base that the scheduler kept when it was built on APScheduler."""
    path = root / "runs" / "schedule" / "schedule.sqlite"
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as connection:
        connection.execute(
            "create table apscheduler_jobs (id varchar(191) primary key, next_run_time float, "
            "job_state blob not null)"
        )
        row = ("run", due.timestamp(), job_state)
        connection.execute("insert into apscheduler_jobs values (?, ?, ?)", row)
    connection.close()
    return path


class Executed:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path, schedule: str):
        self._arguments = (str(trace), schedule)

    def __reduce__(self):
        return os.makedirs, (self._arguments[0], 0o777, False, self._arguments[1])


def specification(root: Path) -> str:
    return config(root, "schedule.catch_up=true").schedule.model_dump_json(exclude={"catch_up"})


def test_what_an_earlier_version_knew_to_be_due_is_made_up_for(serve, tmp_path: Path):
    job = pickle.dumps({"args": (specification(tmp_path),)})
    due = datetime.now(timezone.utc) - timedelta(hours=3)
    earlier = store_of_an_earlier_version(tmp_path, job, due)
    far = Every(timedelta(days=1))
    lines = serve(lambda: records(tmp_path), python(RUN), "schedule.catch_up=true", ticks=far)
    assert "runs at once" in lines[0] and not earlier.exists()
    assert [record["scheduled"][:16] for record in records(tmp_path)] == [due.isoformat()[:16]]


def test_another_schedule_of_an_earlier_version_is_forgotten(serve, tmp_path: Path):
    due = datetime.now(timezone.utc) - timedelta(hours=3)
    earlier = store_of_an_earlier_version(tmp_path, pickle.dumps("another"), due)
    lines = serve(lambda: True, python(RUN), ticks=Every(timedelta(days=1)))
    assert "next run" in lines[0] and not earlier.exists()


def test_nothing_that_an_earlier_version_left_is_executed(serve, tmp_path: Path):
    trace = tmp_path / "executed"
    job = pickle.dumps(Executed(trace, specification(tmp_path)))
    store_of_an_earlier_version(tmp_path, job, datetime.now(timezone.utc))
    serve(lambda: records(tmp_path), python(RUN), "schedule.catch_up=true")
    assert not trace.exists()


def test_a_damaged_job_store_of_an_earlier_version_is_one_line(tmp_path: Path):
    directory = tmp_path / "runs" / "schedule"
    directory.mkdir(parents=True)
    (directory / "schedule.sqlite").write_text("not a database" * 100)
    with pytest.raises(ConfigError, match=r"schedule.sqlite cannot be used: .*not a database"):
        LocalClock(config(tmp_path), python(RUN), print).serve()


def test_time_is_counted_across_a_clock_change():
    """In one zone Python takes wall clocks off each other."""
    berlin = ZoneInfo("Europe/Berlin")
    start = datetime(2026, 10, 25, 2, 30, tzinfo=berlin)
    assert elapsed(start, start.replace(fold=1)) == timedelta(hours=1)


def test_a_closed_terminal_stops_it_as_sigterm_does(serve, tmp_path: Path):
    # Under nohup the tests have inherited that it is ignored, which the clock would keep to.
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        lines = serve(lambda: records(tmp_path), python(RUN), number=signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, inherited)
    assert lines[-1] == "mine: stopped by SIGHUP"


class Missed(ScheduleTicks):
    """A tick hours ago and then one far away."""

    def __init__(self) -> None:
        self._tick = datetime.now(timezone.utc) - timedelta(hours=3)

    def first(self, now: datetime) -> datetime:
        return self._tick

    def after(self, previous: datetime, now: datetime) -> datetime:
        return datetime(2099, 1, 1, tzinfo=timezone.utc)


def test_a_missed_tick_is_skipped_by_default(serve, tmp_path: Path):
    lines = serve(lambda: records(tmp_path), python(RUN), ticks=Missed())
    [record] = records(tmp_path)
    assert record["status"] == "skipped" and record["reason"].startswith("missed by 3:00:0")
    assert record["started"] is None and record["result"] is None
    assert "missed by" in lines[1]


def test_a_missed_tick_is_made_up_for_where_the_schedule_catches_up(serve, tmp_path: Path):
    serve(lambda: records(tmp_path), python(RUN), "schedule.catch_up=true", ticks=Missed())
    assert [record["status"] for record in records(tmp_path)] == ["pushed"]


class Minutes(ScheduleTicks):
    """The ticks of every minute, begun three hours ago."""

    def first(self, now: datetime) -> datetime | None:
        return super().first(now - timedelta(hours=3))


def test_all_missed_ticks_are_made_up_for_by_one_run(serve, tmp_path: Path):
    ticks = Minutes(config(tmp_path).schedule)
    serve(lambda: records(tmp_path), python(RUN), "schedule.catch_up=true", ticks=ticks)
    scheduled = [record["scheduled"] for record in records(tmp_path)]
    last = datetime.fromisoformat(scheduled[0])
    assert datetime.now(timezone.utc) - last < timedelta(minutes=2)
    assert len(scheduled) <= 2


def test_a_tick_that_was_missed_while_the_scheduler_was_not_there_is_known_after_a_restart(
    serve, tmp_path: Path
):
    soon = Once(timedelta(seconds=3))
    serve(lambda: True, python(RUN), "schedule.catch_up=true", ticks=soon)
    assert records(tmp_path) == []
    wait_for(lambda: datetime.now(timezone.utc) > soon.at)
    lines = serve(lambda: records(tmp_path), python(RUN), "schedule.catch_up=true", ticks=soon)
    assert "runs at once" in lines[0]
    assert [record["status"] for record in records(tmp_path)] == ["pushed"], lines


def test_another_schedule_forgets_the_ticks_of_the_old_one(serve, tmp_path: Path):
    soon = Once(timedelta(seconds=3))
    serve(lambda: True, python(RUN), "schedule.catch_up=true", ticks=soon)
    wait_for(lambda: datetime.now(timezone.utc) > soon.at)
    yearly = ["schedule.catch_up=true", "schedule.cron=0 0 1 1 *"]
    ticks = ScheduleTicks(config(tmp_path, *yearly).schedule)
    lines = serve(lambda: True, python(RUN), *yearly, ticks=ticks)
    assert "next run" in lines[0] and records(tmp_path) == []


def test_an_interrupted_run_is_made_up_for_after_a_restart(serve, tmp_path: Path):
    begun = tmp_path / "begun"
    script = f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(60)"
    far = Every(timedelta(days=1))
    ticks = Missed()
    serve(begun.exists, python(script), "schedule.catch_up=true", ticks=ticks)
    serve(lambda: len(records(tmp_path)) > 1, python(RUN), "schedule.catch_up=true", ticks=far)
    assert [record["status"] for record in records(tmp_path)] == ["interrupted", "pushed"]


def test_a_schedule_that_is_over_ends_the_scheduler(tmp_path: Path):
    lines: list[str] = []
    settings = config(tmp_path, "schedule.end=2020-01-01")
    LocalClock(settings, python(RUN), lines.append).serve()
    assert lines == ["mine: the schedule has ended"]


def test_the_scheduler_ends_after_the_last_tick(tmp_path: Path):
    lines: list[str] = []
    once = Once(timedelta(seconds=0.3))
    LocalClock(config(tmp_path), python(RUN), lines.append, once).serve()
    assert lines[-1] == "mine: the schedule has ended" and len(records(tmp_path)) == 1


def killed(root: Path, seconds: float, after: float | None = None) -> None:
    """Starts a scheduler whose runs take some time, and kills it.

    Args:
        root: Where config and root are.
        seconds: How long a run takes.
        after: Seconds of service after which it is killed; None if that is when a run has begun.
    """
    (root / "c.yaml").write_text(MINIMAL + "schedule: {cron: '* * * * *'}\n")
    run = [sys.executable, str(HERE / "noted_run.py"), str(root / "begun"), str(seconds)]
    scheduler = [sys.executable, "-m", "tests.pipelines.schedule.scheduler"]
    command = [*scheduler, str(root / "c.yaml"), *run]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        if after is None:
            wait_for(lambda: begun(root))
        else:
            time.sleep(after)
        process.kill()


def begun(root: Path) -> list[str]:
    """Returns the numbers of the processes of runs that have begun."""
    path = root / "begun"
    return path.read_text().split() if path.exists() else []


def test_a_killed_scheduler_leaves_the_lock_free_its_tick_due_and_a_record(serve, tmp_path: Path):
    killed(tmp_path, 30)
    os.kill(int(begun(tmp_path)[0]), signal.SIGKILL)
    lines = serve(
        lambda: len(records(tmp_path)) > 1, python(RUN), "schedule.catch_up=true", ticks=Missed()
    )
    assert "interrupted" in lines[0] and "runs at once" in lines[1]
    assert [record["status"] for record in records(tmp_path)] == ["interrupted", "pushed"]
    record = records(tmp_path)[0]
    assert record["reason"] == "the scheduler was killed during the run"
    # Records hold times to the millisecond.
    assert record["scheduled"] <= record["started"] < record["ended"]


def test_a_run_that_ended_without_its_scheduler_is_recorded_as_it_ended(serve, tmp_path: Path):
    killed(tmp_path, 0.3)
    output = tmp_path / "runs" / "schedule" / "last_run.out"
    wait_for(output.read_text)
    far = Every(timedelta(days=1))
    lines = serve(lambda: records(tmp_path), python(RUN), "schedule.catch_up=true", ticks=far)
    [record] = records(tmp_path)
    assert record["status"] == "pushed"
    assert record["result"]["pushed_to"] == f"/pushed/{begun(tmp_path)[0]}"
    assert "next run" in lines[1], "it is not made up for"


def test_a_run_that_goes_on_without_its_scheduler_is_said_to(serve, tmp_path: Path):
    killed(tmp_path, 30)
    with only_one(tmp_path / "runs" / RUN_LOCK, "run"):
        serve(lambda: records(tmp_path), python(RUN), ticks=Every(timedelta(days=1)))
    os.kill(int(begun(tmp_path)[0]), signal.SIGKILL)
    record = records(tmp_path)[0]
    assert record["status"] == "interrupted" and "going on without it" in record["reason"]


def test_a_kill_between_the_record_and_the_state_leaves_one_record(serve, tmp_path: Path):
    serve(lambda: records(tmp_path), python(RUN), ticks=Once(timedelta(seconds=0.1)))
    [record] = records(tmp_path)
    directory = tmp_path / "runs" / "schedule"
    started = {key: record[key] for key in ("scheduled", "started")}
    (directory / "started.json").write_text(json.dumps(started))
    state = json.loads((directory / "state.json").read_text())
    (directory / "state.json").write_text(json.dumps({**state, "due": record["scheduled"]}))
    serve(lambda: True, python(RUN), "schedule.catch_up=true", ticks=Every(timedelta(days=1)))
    assert records(tmp_path) == [record]
    assert not (directory / "started.json").exists()


def test_a_scheduler_that_is_killed_at_any_time_leaves_a_record_of_each_run(
    serve, tmp_path: Path, record_property
):
    """Of 78 runs that a killed scheduler interrupted, 19 had none."""
    clock = random.Random(0)
    for _ in range(KILLS):
        killed(tmp_path, 0.1, after=clock.uniform(0, 0.8))
    wait_for(lambda: not_running(begun(tmp_path)))
    serve(lambda: True, python(RUN), ticks=Every(timedelta(days=1)))
    found = [record for record in records(tmp_path) if record["started"]]
    assert len(found) >= len(begun(tmp_path)) > KILLS // 4
    results = {record["result"]["pushed_to"] for record in found if record["result"]}
    assert len(results) == sum(record["result"] is not None for record in found), (
        "one was told twice"
    )
    record_property("summary", f"{len(begun(tmp_path))} runs begun, {len(found)} records")


def not_running(processes: list[str]) -> bool:
    return not any(Path(f"/proc/{process}").exists() for process in processes)


@pytest.mark.parametrize("torn", [b'{"scheduled": "2026-0', b"\xff\x00", b"{}"])
def test_a_line_that_was_cut_off_is_told_and_swallows_no_other(serve, tmp_path: Path, torn: bytes):
    directory = tmp_path / "runs" / "schedule"
    directory.mkdir(parents=True)
    (directory / "runs.jsonl").write_bytes(torn)

    def lines_of() -> list[bytes]:
        return (directory / "runs.jsonl").read_bytes().splitlines()

    lines = serve(lambda: len(lines_of()) > 1, python(RUN))
    assert lines[0] == f"mine: the last line of {directory}/runs.jsonl was cut off"
    assert lines_of()[0] == torn
    assert json.loads(lines_of()[1])["status"] == "pushed"
    assert "was cut off" not in serve(lambda: True, python(RUN))[0]


def test_the_last_whole_record_counts(tmp_path: Path):
    path = tmp_path / "runs.jsonl"
    assert last_tick(path) is ABSENT
    moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
    append(TickRecord(moment, None, moment, "skipped"), path)
    with path.open("a") as file:
        file.write('{"status": "pus\n\n[]\n')
    assert last_tick(path) == (moment, "skipped")


def bytes_read() -> int:
    """Returns how many bytes this process has read so far."""
    [line] = (x for x in Path("/proc/self/io").read_text().splitlines() if x.startswith("rchar"))
    return int(line.split()[1])


def test_the_last_tick_is_found_as_fast_after_ten_times_as_many(tmp_path: Path):
    """Not so while all records were read, of all the ticks that there ever were."""
    moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
    line, read = TickRecord(moment, None, moment, "skipped", reason="x" * 400).line(), []
    for ticks in (1_000, 10_000):
        path = tmp_path / f"{ticks}.jsonl"
        path.write_text(line * ticks)
        before = bytes_read()
        assert last_tick(path) == (moment, "skipped")
        read.append(bytes_read() - before)
    assert read[1] <= 1.2 * read[0]


@pytest.mark.parametrize("characters", [10, 70_000, 200_000])
def test_a_record_of_any_length_is_the_last_one(tmp_path: Path, characters: int):
    path = tmp_path / "runs.jsonl"
    moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
    append(TickRecord(moment, None, moment, "skipped"), path)
    append(TickRecord(moment, None, moment, "failed", reason="x" * characters), path)
    assert last_tick(path) == (moment, "failed")


@pytest.mark.parametrize("file", ["runs.jsonl", "started.json"])
@pytest.mark.parametrize("put", [lambda path: path.symlink_to("x"), os.mkfifo, Path.mkdir])
def test_records_that_cannot_be_read_are_not_no_records(tmp_path: Path, file: str, put):
    directory = tmp_path / "runs" / "schedule"
    directory.mkdir(parents=True)
    put(directory / file)
    with pytest.raises(NotKnownError, match=f"cannot read {directory}/{file}"):
        last_tick(directory / file)
    with pytest.raises((NotKnownError, ConfigError), match=f"{directory}/{file}"):
        LocalClock(config(tmp_path), python(RUN), print).serve()


def test_what_the_clock_writes_is_its_owners_alone(serve, tmp_path: Path):
    serve(lambda: records(tmp_path), python(RUN))
    written = [tmp_path / "runs" / "schedule", *(tmp_path / "runs" / "schedule").iterdir()]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in written}
    locks = {name for name in modes if name.endswith(".lock")}
    assert {modes[name] for name in modes.keys() - locks - {"schedule"}} == {0o600}
    assert modes["schedule"] == 0o700
