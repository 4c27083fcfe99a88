"""The DAG file, run against stand-ins that have the parameters of Airflow 2's own classes."""

import subprocess
import sys
import types
from datetime import datetime
from pathlib import Path

import pytest

from tests.pipelines.schedule.test_cron import config
from tfx_tflite.pipelines.schedule import airflow


class Dag:
    def __init__(self, dag_id, *, schedule, start_date, end_date, catchup, max_active_runs, tags):
        vars(self).update({key: value for key, value in locals().items() if key != "self"})
        self.tasks: list[Task] = []

    def __enter__(self):
        Task.dag = self
        return self

    def __exit__(self, *_):
        Task.dag = None


class Task:
    dag: Dag | None = None

    def __init__(self, *, task_id, bash_command, skip_on_exit_code):
        vars(self).update({key: value for key, value in locals().items() if key != "self"})
        assert Task.dag is not None
        Task.dag.tasks.append(self)


class Moment(datetime):
    def in_timezone(self, name):
        return self, name


@pytest.fixture
def dag(tmp_path: Path, monkeypatch):
    """Writes a DAG file, runs it and returns the DAG."""
    made: list[Dag] = []

    def make(*arguments, **options) -> Dag:
        made.append(Dag(*arguments, **options))
        return made[-1]

    modules = {
        "airflow": {"DAG": make},
        "airflow.operators": {},
        "airflow.operators.bash": {"BashOperator": Task},
        "pendulum": {"parse": lambda text, tz: Moment.fromisoformat(text)},
    }
    for name, members in modules.items():
        module = types.ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)

    def run(*command: str, **schedule: str) -> Dag:
        [text] = airflow.files(config(tmp_path, **schedule), command or ("true",)).values()
        exec(compile(text, "dag.py", "exec"), {})
        return made[-1]

    return run


def test_one_run_at_a_time_of_one_task(dag):
    found = dag()
    assert found.dag_id == "tfx_tflite_mine" and found.max_active_runs == 1
    [task] = found.tasks
    assert task.task_id == "run"


def test_ticks_are_in_the_zone_of_the_schedule(dag):
    found = dag(time_zone="Asia/Tokyo", start="2026-01-01 06:00", end="2026-02-01")
    assert found.schedule == "0 6 * * 1"
    start, zone = found.start_date
    assert start.isoformat() == "2026-01-01T06:00:00+09:00" and zone == "Asia/Tokyo"
    assert found.end_date[0].isoformat() == "2026-02-01T00:00:00+09:00"


def test_without_start_and_end_it_begins_now_and_has_no_end(dag):
    found = dag()
    start, _ = found.start_date
    assert abs((datetime.now(start.tzinfo) - start).total_seconds()) < 120
    assert found.end_date is None


@pytest.mark.parametrize("catch_up", [True, False])
def test_catches_up_as_the_schedule_says(dag, catch_up: bool):
    assert dag(catch_up=str(catch_up).lower()).catchup is catch_up


def test_a_refused_model_is_skipped_not_failed(dag):
    assert dag().tasks[0].skip_on_exit_code == 3


@pytest.mark.parametrize(
    "word",
    [
        "it's",
        'a"b',
        "{{ ds }}",
        "{% if %}",
        "\\n",
        "run.sh",
        "{% raw %}",
        "{% endraw %}{{ 7 * 7 }}",
        "'}}{{ 7 * 7 }}",
        '" }}{{ 7 * 7 }}',
        "{#",
        "\\u007b\\x7b",
        "ü 東",
        "back\\\\slash\\",
    ],
)
def test_the_command_arrives_as_it_was_whatever_is_in_it(dag, word: str):
    from jinja2 import Environment

    command = dag("printf", "%s", word).tasks[0].bash_command
    assert not command.endswith((".sh", ".bash"))
    rendered = Environment().from_string(command).render()
    assert subprocess.run(["bash", "-c", rendered], capture_output=True, text=True).stdout == word


def test_the_file_imports_neither_tfx_nor_this_package(tmp_path: Path):
    [text] = airflow.files(config(tmp_path), ["true"]).values()
    imports = [line for line in text.splitlines() if line.startswith(("import", "from"))]
    assert [line.split()[1].split(".")[0] for line in imports] == ["pendulum", "airflow", "airflow"]
