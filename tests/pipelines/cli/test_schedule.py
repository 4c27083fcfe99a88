"""`tfx-tflite schedule` up to its clocks."""

import importlib.util
import sys
import types
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conftest import CONFIGS
from tests.pipelines.config.test_config import MINIMAL
from tfx_tflite.pipelines.cli.main import main

MINE = MINIMAL + "schedule: {cron: 0 6 * * *}\n"


@pytest.fixture
def schedule(tmp_path: Path):
    path = tmp_path / "c.yaml"
    path.write_text(MINE)
    return lambda *options: CliRunner().invoke(main, ["schedule", str(path), *options])


@pytest.fixture
def timeouts() -> list[float]:
    """What Kubeflow was asked with."""
    return []


@pytest.fixture
def kubeflow(monkeypatch, timeouts: list[float]) -> list[tuple]:
    """A stand-in for the module that talks to Kubeflow; returns what it was asked."""
    asked: list[tuple] = []
    module = types.ModuleType("tfx_tflite.pipelines.kubeflow.recurring")

    def record(name: str, answer: object):
        def act(schedule, *arguments: object) -> object:
            asked.append((name, *schedule.place, *arguments))
            return answer

        return act

    class Schedule:
        def __init__(self, config, host: str, timeout: float):
            self.place = (config.name, host)
            timeouts.append(timeout)

    answers = {name: f"{name}d" for name in ("apply", "pause", "resume", "delete")}
    for name, answer in {**answers, "list_runs": ["one", "two"]}.items():
        setattr(Schedule, name, record(name, answer))
    vars(module)["RecurringSchedule"] = Schedule
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return asked


def test_a_config_without_a_schedule_is_told_how_to_have_one():
    arguments = ["schedule", str(CONFIGS / "diabetes.yaml"), "--on", "cron"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "diabetes.yaml: schedule: this key is needed, for instance" in result.stderr


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--on", "cron", "--host", "http://h"], "--host goes with --on kubeflow alone"),
        (["--on", "local", "--timeout", "3"], "--timeout goes with --on kubeflow alone"),
        (["--on", "local", "--pause"], "--pause goes with --on kubeflow alone"),
        (["--on", "kubeflow"], "--on kubeflow needs --host, the URL of the server"),
        (["--on", "local", "--output", "x"], "--output goes with --on cron, systemd or airflow"),
        (["--on", "cron", "--set", "schedule.cron=x"], "schedule.cron: 'x': 1 given"),
    ],
)
def test_options_that_do_not_go_together_exit_with_2(schedule, options, expected: str):
    result = schedule(*options)
    assert result.exit_code == 2 and expected in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_kubeflow_is_handed_the_config_and_the_host(schedule, kubeflow, tmp_path: Path):
    result = schedule("--on", "kubeflow", "--host", "http://h")
    assert result.exit_code == 0 and result.stdout == "applyd\n"
    assert kubeflow == [("apply", "mine", "http://h", tmp_path / "c.yaml")]


@pytest.mark.parametrize(("options", "timeout"), [([], 30.0), (["--timeout", "2.5"], 2.5)])
def test_kubeflow_is_waited_for_as_long_as_was_said(
    schedule, kubeflow, timeouts: list[float], options: list[str], timeout: float
):
    assert schedule("--on", "kubeflow", "--host", "http://h", *options).exit_code == 0
    assert timeouts == [timeout]


@pytest.mark.parametrize("action", ["pause", "resume", "delete"])
def test_kubeflow_is_handed_the_action(schedule, kubeflow, action: str):
    assert (
        schedule("--on", "kubeflow", "--host", "http://h", f"--{action}").stdout == f"{action}d\n"
    )
    assert kubeflow == [(action, "mine", "http://h")]


def test_the_runs_on_kubeflow_are_listed_a_line_each(schedule, kubeflow):
    assert schedule("--on", "kubeflow", "--host", "http://h", "--list").stdout == "one\ntwo\n"


def test_without_the_client_the_extra_is_named(schedule, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = schedule("--on", "kubeflow", "--host", "http://h")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1 and "pip install '.[kubeflow]'" in result.stderr
