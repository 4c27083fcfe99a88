"""The schedule of a config as a recurring run on Kubeflow Pipelines, found again by its name."""

import hashlib
import json
from pathlib import Path
from typing import Any

from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines import kubeflow_client
from tfx_tflite.pipelines.config import PipelineConfig, ScheduleConfig
from tfx_tflite.pipelines.kubeflow import (
    CompiledPipeline,
    compile_logged,
    container_places,
    kubeflow_of,
)

_SHOWN_RUNS = 10


def apply(config: PipelineConfig, host: str, config_path: Path) -> str:
    """Creates the recurring run of a config's schedule, or brings it up to date.

    What has not changed is left alone, and what was paused stays so. The API cannot change a
    recurring run, so another takes its place; it starts runs only once the old one is gone.

    Args:
        config: The config.
        host: The server's URL.
        config_path: The config's file.

    Returns:
        A line that says what was done.

    Raises:
        ConfigError: There is no schedule, Kubeflow cannot keep it, or the pipeline is not complete.
        ServerError: The server cannot be reached or refuses it.
    """
    cron = kubeflow_cron(_schedule_of(config), kubeflow_of(config).time_zone)
    container_places(config)
    server = _connect(config, host)
    compiled = compile_logged(config)
    description = f"{config_path.name}, tfx-tflite {_digest(compiled, config, cron)}"
    existing = server.recurring_runs(config.name)
    paused = bool(existing) and not any(_is_enabled(run) for run in existing)
    same = [run for run in existing if run.description == description]
    if same:
        current, done = same[0], "unchanged"
    else:
        current = server.create_recurring_run(
            compiled, config, cron, description, enabled=not existing
        )
        done = "updated" if existing else "created"
    for run in existing:
        if run.recurring_run_id != current.recurring_run_id:
            server.delete(run)
    if not paused and not _is_enabled(current):
        _start(server, current, config)
    state = "; paused, --resume starts it" if paused else ""
    return f"{config.name}: {done}, {cron!r} in {_zone(config)}{state}: {_link(server, current)}"


def _start(server: kubeflow_client.Server, recurring_run: Any, config: PipelineConfig) -> None:
    try:
        server.resume(recurring_run)
    except kubeflow_client.ServerError as error:
        raise kubeflow_client.ServerError(
            f"{config.name} was brought up to date but is paused, --resume starts it: {error}"
        ) from error


def list_runs(config: PipelineConfig, host: str) -> list[str]:
    """Returns a line for the recurring run of a config and for each of its last runs.

    Args:
        config: The config.
        host: The server's URL.

    Raises:
        ServerError: The server cannot be reached or refuses it.
    """
    server = _connect(config, host)
    lines = []
    for recurring in server.recurring_runs(config.name):
        state = "enabled" if _is_enabled(recurring) else "paused"
        cron = recurring.trigger.cron_schedule.cron if recurring.trigger else "?"
        lines.append(
            f"{config.name}: {state}, {cron!r} in {_zone(config)}: {_link(server, recurring)}"
        )
        for run in server.runs_of(recurring, _SHOWN_RUNS):
            when = run.scheduled_at or run.created_at
            lines.append(
                f"  {kubeflow_client.rfc3339(when)} {(run.state or 'pending').lower()}: "
                + server.link(f"runs/details/{run.run_id}")
            )
    return lines or [f"{config.name}: not scheduled at {host}"]


def pause(config: PipelineConfig, host: str) -> str:
    """Stops the recurring run of a config from starting runs, and returns a line that says so.

    Args:
        config: The config.
        host: The server's URL.

    Raises:
        ServerError: There is none, or the server cannot be reached or refuses it.
    """
    server = _connect(config, host)
    for run in _found(server, config, host):
        server.pause(run)
    return f"{config.name}: paused"


def resume(config: PipelineConfig, host: str) -> str:
    """Lets the recurring run of a config start runs again, and returns a line that says so.

    Args:
        config: The config.
        host: The server's URL.

    Raises:
        ServerError: There is none, or the server cannot be reached or refuses it.
    """
    server = _connect(config, host)
    # Where an update was cut short there are two; the newest is what was asked for last.
    *older, newest = _found(server, config, host)
    for run in older:
        server.delete(run)
    server.resume(newest)
    return f"{config.name}: resumed"


def delete(config: PipelineConfig, host: str) -> str:
    """Deletes the recurring run of a config, and returns a line that says so; its runs stay.

    Args:
        config: The config.
        host: The server's URL.

    Raises:
        ServerError: There is none, or the server cannot be reached or refuses it.
    """
    server = _connect(config, host)
    for run in _found(server, config, host):
        server.delete(run)
    return f"{config.name}: deleted; what it has run stays"


def kubeflow_cron(schedule: ScheduleConfig, cluster_zone: str) -> str:
    """Returns a schedule's cron expression as Kubeflow takes it: six fields, seconds first.

    Args:
        schedule: The schedule, with the five fields of crontab.
        cluster_zone: The zone that the cluster reads cron expressions in.

    Raises:
        ConfigError: The zone is another.
    """
    if schedule.time_zone != cluster_zone:
        raise ConfigError(
            f"schedule.time_zone: Kubeflow reads cron expressions in its cluster's zone, "
            f"{cluster_zone} (kubeflow.time_zone), not in {schedule.time_zone}; use that here"
        )
    return f"0 {schedule.expression}"


def _schedule_of(config: PipelineConfig) -> ScheduleConfig:
    if config.schedule is None:
        raise ConfigError("schedule: this section is needed, with a cron; see docs/config.md")
    return config.schedule


def _zone(config: PipelineConfig) -> str:
    return kubeflow_of(config).time_zone


def _connect(config: PipelineConfig, host: str) -> kubeflow_client.Server:
    return kubeflow_client.connect(kubeflow_of(config), host)


def _found(server: kubeflow_client.Server, config: PipelineConfig, host: str) -> list[Any]:
    found = server.recurring_runs(config.name)
    if not found:
        raise kubeflow_client.ServerError(f"{config.name} is not scheduled at {host}")
    return found


def _is_enabled(recurring_run: Any) -> bool:
    return recurring_run.status == "ENABLED"


def _link(server: kubeflow_client.Server, recurring_run: Any) -> str:
    return server.link(f"recurringrun/details/{recurring_run.recurring_run_id}")


def _digest(compiled: CompiledPipeline, config: PipelineConfig, cron: str) -> str:
    """Returns a digest of all that a recurring run is made of."""
    schedule, kubeflow = _schedule_of(config), kubeflow_of(config)
    content = [
        compiled.job,
        compiled.platform,
        compiled.values,
        cron,
        kubeflow_client.rfc3339(schedule.start),
        kubeflow_client.rfc3339(schedule.end),
        schedule.catch_up,
        kubeflow.experiment,
        kubeflow.service_account,
    ]
    text = json.dumps(content, sort_keys=True)
    return "sha256:" + hashlib.sha256(text.encode("utf-8")).hexdigest()
