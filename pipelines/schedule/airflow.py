"""The clock of Airflow: a DAG file for one config, with one task that runs the command."""

import shlex
from collections.abc import Sequence
from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from tfx_tflite.pipelines.cli.outcome import EXIT_REFUSED
from tfx_tflite.pipelines.config.config import PipelineConfig


def files(config: PipelineConfig, command: Sequence[str]) -> dict[str, str]:
    """Returns the text of the DAG file, by file name.

    Args:
        config: The config, with a schedule.
        command: What is run at a tick.
    """
    schedule = config.schedule
    assert schedule is not None
    # Airflow needs a start; without one the schedule begins when the file is written.
    start = schedule.start or datetime.now(schedule.zone).replace(second=0, microsecond=0)
    values = {
        "dag_id": f"tfx_tflite_{config.name}",
        "cron": str(schedule.expression),
        "start": start.isoformat(),
        "end": schedule.end.isoformat() if schedule.end else None,
        "time_zone": schedule.time_zone,
        "catchup": schedule.catch_up,
        "command": _template(shlex.join(command)),
        "exit_refused": EXIT_REFUSED,
    }
    environment = Environment(
        loader=PackageLoader("tfx_tflite.pipelines.schedule", ""),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    template = environment.get_template("airflow_dag.py.j2")
    # Every value is written as Python would, so nothing in it can be read as code.
    literals = {key: None if value is None else repr(value) for key, value in values.items()}
    text = template.render(name=config.name, **literals)
    return {f"tfx_tflite_{config.name}.py": text}


def _template(command: str) -> str:
    """Returns what Airflow, which takes a command for a Jinja template, makes the command of.

    It is a literal of Jinja's, which reads Python's. Nothing in a literal is an expression or a
    block, and as the text ends in braces it is not taken for the name of a template's file.
    """
    return "{{ " + repr(command) + " }}"
