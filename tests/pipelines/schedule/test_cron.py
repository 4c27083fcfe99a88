"""The crontab that is printed, run as cron would run it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.pipelines.config.test_config import MINIMAL
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines.cli.main import main
from tfx_tflite.pipelines.config.file import load_config
from tfx_tflite.pipelines.schedule import cron

# Prints what it was given.
ECHO = "import json, sys; print(json.dumps(sys.argv[1:]))"


def config(directory: Path, **schedule: str):
    path = directory / "c.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {"cron": "'0 6 * * mon'", **schedule}
    text = "".join(f"  {key}: {value}\n" for key, value in settings.items())
    path.write_text(f"{MINIMAL}schedule:\n{text}")
    return load_config(path)


def crontab(settings, *command: str) -> list[str]:
    [text] = cron.files(settings, command).values()
    return text.splitlines()


def command_of(line: str) -> str:
    return line.split(maxsplit=5)[5]


def as_cron(command: str) -> str:
    """What cron hands to the shell: up to a bare `%`, with the escaped ones freed."""
    return re.split(r"(?<!\\)%", command)[0].replace("\\%", "%")


def log(settings) -> str:
    return (Path(settings.root) / "schedule" / "cron.log").read_text()


@pytest.mark.parametrize("through", [as_cron, str], ids=["cron", "shell"])
@pytest.mark.parametrize(
    "word",
    ["plain", "with space", "100%", "%d%", "it's", "$HOME", 'a"b', "back\\slash", "", "ü;&|"],
)
def test_the_command_arrives_as_it_was_whatever_is_in_it(tmp_path: Path, word: str, through):
    settings = config(tmp_path / "50% of it's")
    line = crontab(settings, sys.executable, "-c", ECHO, word)[-1]
    done = subprocess.run(["sh", "-c", through(command_of(line))], check=True, capture_output=True)
    assert json.loads(log(settings)) == [word]
    assert done.stdout == done.stderr == b""


def test_times_are_numbers_with_days_from_sunday(tmp_path: Path):
    line = crontab(config(tmp_path, cron="'*/15 8-18 * * mon-fri'"), "true")[-1]
    assert line.startswith("*/15 8-18 * * 1-5 mkdir")


def test_runs_never_overlap(tmp_path: Path):
    settings = config(tmp_path)
    command = command_of(crontab(settings, "sh", "-c", "echo begun; sleep 5")[-1])
    first = subprocess.Popen(["sh", "-c", command], start_new_session=True)
    while not (tmp_path / "runs/schedule/cron.log").exists() or "begun" not in log(settings):
        assert first.poll() is None
    assert subprocess.run(["sh", "-c", command]).returncode == 1
    assert log(settings) == "begun\n"
    os.killpg(first.pid, 15)
    first.wait()


@pytest.mark.parametrize(
    ("window", "runs"),
    [
        ({"start": "2020-01-01", "end": "2090-01-01"}, True),
        ({"start": "2090-01-01"}, False),
        ({"end": "2020-01-01"}, False),
    ],
)
def test_start_and_end_hold(tmp_path: Path, window: dict[str, str], runs: bool):
    settings = config(tmp_path, **window)
    command = command_of(crontab(settings, "echo", "run")[-1])
    for text in (command, as_cron(command)):
        subprocess.run(["sh", "-c", text])
    assert (tmp_path / "runs/schedule/cron.log").exists() == runs


def test_another_zone_than_this_machines_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(cron, "get_localzone_name", lambda: "Europe/Berlin")
    assert "CRON_TZ=Asia/Tokyo" in crontab(config(tmp_path, time_zone="Asia/Tokyo"), "true")
    here = crontab(config(tmp_path, time_zone="Europe/Berlin"), "true")
    assert not any("CRON_TZ" in line for line in here)
    monkeypatch.setattr(cron, "get_localzone_name", lambda: "Etc/UTC")
    assert not any("CRON_TZ" in line for line in crontab(config(tmp_path), "true"))


def test_the_zone_of_the_one_who_asks_is_not_that_of_cron(tmp_path: Path):
    config(tmp_path, time_zone="Pacific/Chatham")
    command = [sys.executable, "-m", "tfx_tflite.pipelines", "schedule", str(tmp_path / "c.yaml")]
    done = subprocess.run(
        [*command, "--on", "cron"],
        capture_output=True,
        text=True,
        env={**os.environ, "TZ": "Pacific/Chatham"},
    )
    assert "CRON_TZ=Pacific/Chatham" in done.stdout


def test_says_that_cron_does_not_catch_up(tmp_path: Path):
    assert "cron does not make up" in crontab(config(tmp_path, catch_up="true"), "true")[1]


def test_a_command_that_is_too_long_for_cron_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="cron takes 998"):
        cron.files(config(tmp_path), ["x" * 1000])


def test_the_printed_line_runs_this_config_from_anywhere(tmp_path: Path):
    settings = config(tmp_path / "my configs")
    arguments = ["schedule", str(tmp_path / "my configs/c.yaml"), "--on", "cron"]
    result = CliRunner().invoke(main, [*arguments, "--set", "name=other name%"])
    assert result.exit_code == 2 and "name: " in result.stderr
    result = CliRunner().invoke(main, [*arguments, "--set", "model.saved_model=no where%"])
    assert result.exit_code == 0
    line = result.stdout.splitlines()[-1]
    assert sys.executable in line and line.startswith("0 6 * * 1 ")
    done = subprocess.run(["sh", "-c", as_cron(command_of(line))], cwd="/")
    assert done.returncode == 2
    assert "model.saved_model: there is no file" in log(settings)
    assert "no where%/saved_model.pb" in log(settings)
