"""The crontab that is printed, run as cron would run it."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.components.test_characters import COMMANDS
from tests.pipelines.config.test_config import MINIMAL
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines.cli.main import main
from tfx_tflite.pipelines.config.file import load_config
from tfx_tflite.pipelines.schedule import cron

SCHEDULE = "schedule: {cron: 0 6 * * mon}\n"
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


def as_vixie(command: str) -> str:
    """What Debian's cron, which is Vixie's, hands to the shell: of two backslashes it takes one."""
    text = re.sub(r"\\([%\\])|%.*", lambda match: match[1] or "%%", command, flags=re.DOTALL)
    assert "%%" not in text, "cron cuts the command off"
    return text


def log(settings) -> str:
    return (Path(settings.root) / "schedule" / "cron.log").read_text()


WORDS = [
    "plain",
    "with space",
    "100%",
    "%d%",
    "it's",
    "$HOME",
    'a"b',
    "back\\slash",
    "",
    "ü;&|",
    "\\%",
    "%\\",
    "it's 5 \\% of $(touch x)",
    "`touch x`",
    "a #b",
    "!!",
    "~",
    "*",
]


@pytest.mark.parametrize("through", [as_cron, as_vixie, str], ids=["cronie", "Vixie", "shell"])
@pytest.mark.parametrize("word", WORDS)
def test_the_command_arrives_as_it_was_whatever_is_in_it(tmp_path: Path, word: str, through):
    settings = config(tmp_path / "50% of it's")
    line = crontab(settings, sys.executable, "-c", ECHO, word)[-1]
    done = subprocess.run(["sh", "-c", through(command_of(line))], check=True, capture_output=True)
    assert json.loads(log(settings)) == [word]
    assert done.stdout == done.stderr == b""


def test_times_are_numbers_with_days_from_sunday(tmp_path: Path):
    line = crontab(config(tmp_path, cron="'*/15 8-18 * * mon-fri'"), "true")[-1]
    assert line.startswith("*/15 8-18 * * 1-5 (umask 077; mkdir")


def test_what_the_line_makes_is_its_owners_alone(tmp_path: Path):
    settings = config(tmp_path)
    command = command_of(crontab(settings, "sh", "-c", "umask")[-1])
    subprocess.run(["sh", "-c", f"umask 022; {command}"], check=True)
    made = Path(settings.root)
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert stat.S_IMODE((made / "schedule").stat().st_mode) == 0o700
    assert log(settings) == "0022\n"


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


@pytest.mark.parametrize("word", ["\\\\server\\share", "a\\\\b"])
def test_two_backslashes_are_refused_as_crons_differ(tmp_path: Path, word: str):
    with pytest.raises(ConfigError, match="two backslashes side by side"):
        cron.files(config(tmp_path), [word])


@pytest.mark.parametrize(("character", "shown"), COMMANDS.items(), ids=COMMANDS.values())
@pytest.mark.parametrize("clock", ["cron", "systemd", "airflow"])
def test_a_command_that_is_no_line_is_given_to_no_clock(
    tmp_path: Path, clock: str, character: str, shown: str
):
    """By the path of the config, or by an option that is no text of the config's."""
    config(tmp_path)
    attack = f"model.signature=a # {character}* * * * * touch x"
    arguments = ["schedule", str(tmp_path / "c.yaml"), "--on", clock, "--set", attack]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2 and "touch x" not in result.stdout
    assert result.stderr.count("\n") == 1
    link = tmp_path / f"d{character}* * * * * touch x" if character != "\0" else tmp_path / "d\n"
    link.mkdir()
    text = MINIMAL.replace("root: runs", f"root: {tmp_path}/runs")
    absolute = text.replace(": data", ": /data").replace(": model", ": /model")
    (link / "c.yaml").write_text(absolute.replace(": pushed", ": /pushed") + SCHEDULE)
    result = CliRunner().invoke(main, ["schedule", str(link / "c.yaml"), "--on", clock])
    assert result.exit_code == 2 and result.stdout == ""
    assert "may not hold the character" in result.stderr and result.stderr.count("\n") == 1


def test_debians_cron_runs_what_was_asked_for(tmp_path: Path):
    """The real one, in a name space of its own, for one tick; it takes up to a minute."""
    daemon = shutil.which("cron", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if daemon is None or os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs Debian's cron, root and unshare")
    settings = config(tmp_path / "50% of it's", cron="'* * * * *'")
    words = [word for word in WORDS if word.isascii()]
    (tmp_path / "crontab").write_text(
        "\n".join(crontab(settings, sys.executable, "-c", ECHO, *words)) + "\n"
    )
    script = Path(__file__).with_name("real_cron.sh")
    subprocess.run(
        ["unshare", "--mount", "sh", str(script), daemon, str(tmp_path / "crontab")], check=True
    )
    assert json.loads(log(settings).splitlines()[0]) == words


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
