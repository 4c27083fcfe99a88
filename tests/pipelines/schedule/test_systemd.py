"""The unit files, as systemd itself reads them where it is installed."""

import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner

from tests.pipelines.schedule.test_cron import config
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines.cli.main import main
from tfx_tflite.pipelines.schedule import systemd
from tfx_tflite.pipelines.schedule.cron_expression import CronExpression

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def units(settings, *command: str) -> tuple[str, str]:
    service, timer = systemd.files(settings, command or ("/bin/true",)).values()
    return service, timer


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 6 * * mon-fri", ["Mon,Tue,Wed,Thu,Fri *-*-* 06:00:00 UTC"]),
        ("30 */12 1 jan *", ["*-01-01 00,12:30:00 UTC"]),
        ("5 * * * *", ["*-*-* *:05:00 UTC"]),
        ("0 0 13 * fri", ["Fri *-*-* 00:00:00 UTC", "*-*-13 00:00:00 UTC"]),
    ],
)
def test_ticks_become_calendar_events(cron: str, expected: list[str]):
    assert list(systemd.calendar_events(CronExpression.parse(cron), "UTC")) == expected


@needs_systemd
@pytest.mark.parametrize(
    "cron", ["0 6 * * mon-fri", "*/20 8-18/5 1,15 jan-mar *", "0 0 13 * fri", "59 23 29 2 *"]
)
def test_systemd_ticks_when_the_expression_does(cron: str):
    expression = CronExpression.parse(cron)
    zone = ZoneInfo("Europe/Berlin")
    base = datetime(2026, 1, 10, 12, tzinfo=zone)
    expected, moment = [], base
    for _ in range(8):
        moment = expression.next_after(moment, zone)
        expected.append(moment)
    found = set()
    for event in systemd.calendar_events(expression, "Europe/Berlin"):
        done = subprocess.run(
            [
                "systemd-analyze",
                "calendar",
                "--iterations=8",
                "--base-time=2026-01-10 11:00 UTC",
                event,
            ],
            capture_output=True,
            text=True,
            check=True,
            env={"TZ": "UTC", "LC_ALL": "C"},
        )
        for line in done.stdout.splitlines():
            label, _, value = line.strip().partition(": ")
            if label in ("Next elapse", "(in UTC)") or label.startswith("Iter"):
                day, time, *_ = value.split()[1:]
                found.add(datetime.fromisoformat(f"{day} {time}").replace(tzinfo=ZoneInfo("UTC")))
    assert sorted(found)[:8] == expected


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path):
    settings = config(tmp_path, start="2026-01-01", end="2027-01-01", catch_up="true")
    names = systemd.files(settings, ["/bin/echo", 'a "b" $HOME 100% \\x'])
    for name, text in names.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *(str(tmp_path / name) for name in names)],
        capture_output=True,
        text=True,
    )
    assert [line for line in done.stderr.splitlines() if "tfx-tflite-mine" in line] == []


@needs_systemd
@pytest.mark.parametrize("name", ["plain", "with space", "100%", "ü", "a;b", "#", "{x}", "a=b"])
def test_systemd_finds_the_program_whatever_is_in_its_path(tmp_path: Path, name: str):
    program = tmp_path / name / "python"
    program.parent.mkdir()
    shutil.copy("/bin/true", program)
    assert problems(tmp_path, str(program), "$HOME", "100%") == []


@needs_systemd
@pytest.mark.parametrize("name", ["$HOME", 'a"b', "it's", "back\\slash"])
def test_a_program_that_systemd_does_not_find_is_refused(tmp_path: Path, name: str):
    program = tmp_path / name / "python"
    program.parent.mkdir()
    shutil.copy("/bin/true", program)
    with pytest.raises(ConfigError, match="systemd runs no program with"):
        units(config(tmp_path), str(program))


@needs_systemd
@pytest.mark.parametrize("word", ["a\\", "'", '"', "%n", "${PATH}", ";", "\\x41", "\\n[Unit]", ""])
def test_systemd_reads_every_word_as_one(tmp_path: Path, word: str):
    assert problems(tmp_path, "/bin/true", word, "last") == []


def problems(directory: Path, *command: str) -> list[str]:
    """Returns what systemd finds wrong with the units of a command."""
    units_of = systemd.files(config(directory), command)
    for name, text in units_of.items():
        (directory / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *(str(directory / name) for name in units_of)],
        capture_output=True,
        text=True,
    )
    return [line for line in done.stderr.splitlines() if "tfx-tflite-mine" in line]


def test_words_are_quoted_as_systemd_reads_them(tmp_path: Path):
    service, _ = units(config(tmp_path), "/bin/echo", 'a "b"', "$HOME", "100%", "back\\slash")
    line = next(line for line in service.splitlines() if line.startswith("ExecStart="))
    assert line == r'ExecStart="/bin/echo" "a \"b\"" "$$HOME" "100%%" "back\\slash"'


def test_a_refused_model_is_no_failure_of_the_service(tmp_path: Path):
    service, _ = units(config(tmp_path))
    assert "Type=oneshot" in service and "SuccessExitStatus=3" in service


@pytest.mark.parametrize("catch_up", ["true", "false"])
def test_missed_ticks_are_made_up_for_as_the_schedule_says(tmp_path: Path, catch_up: str):
    assert f"Persistent={catch_up}\n" in units(config(tmp_path, catch_up=catch_up))[1]


def test_units_are_written_where_asked(tmp_path: Path):
    config(tmp_path)
    arguments = ["schedule", str(tmp_path / "c.yaml"), "--on", "systemd"]
    result = CliRunner().invoke(main, [*arguments, "--output", str(tmp_path / "units")])
    assert result.exit_code == 0, result.stderr
    names = sorted(path.name for path in (tmp_path / "units").iterdir())
    assert names == ["tfx-tflite-mine.service", "tfx-tflite-mine.timer"]
