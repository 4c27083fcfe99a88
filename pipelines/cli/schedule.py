"""`tfx-tflite schedule`: one schedule in the config, several clocks that can keep it."""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfx_tflite.components.characters import escaped, first_command
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines.cli.config import CONFIG, SERVER_TIMEOUT, SET
from tfx_tflite.pipelines.cli.help import examples
from tfx_tflite.pipelines.cli.kubeflow import warn_of_pipeline
from tfx_tflite.pipelines.cli.outcome import errors_in_a_line, stoppable
from tfx_tflite.pipelines.cli.text import say

if TYPE_CHECKING:
    from tfx_tflite.pipelines.config.config import PipelineConfig

_CLOCKS = ("local", "cron", "systemd", "airflow", "kubeflow")
_ACTIONS = ("list", "pause", "resume", "delete")


@examples(
    "tfx-tflite schedule mine.yaml --on local",
    "tfx-tflite schedule mine.yaml --on cron",
    "tfx-tflite schedule mine.yaml --on systemd --output units",
    "tfx-tflite schedule mine.yaml --on kubeflow --host http://localhost:8080 --list",
)
@click.command(short_help="Run again and again, on one of five clocks.")
@CONFIG
@click.option(
    "--on",
    "clock",
    type=click.Choice(_CLOCKS),
    required=True,
    help="local: run here in the foreground; cron, systemd, airflow: print what to install; "
    "kubeflow: create or update the recurring run.",
)
@SET
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Write instead of printing: a file for cron and airflow, a directory for systemd.",
)
@click.option("--host", help="With kubeflow: the URL of the server.")
@SERVER_TIMEOUT
@click.option("--list", "action", flag_value="list", help="With kubeflow: show its runs.")
@click.option("--pause", "action", flag_value="pause", help="With kubeflow: suspend it.")
@click.option("--resume", "action", flag_value="resume", help="With kubeflow: go on.")
@click.option("--delete", "action", flag_value="delete", help="With kubeflow: remove it.")
def schedule(
    config: Path,
    clock: str,
    overrides: tuple[str, ...],
    output: Path | None,
    host: str | None,
    timeout: float | None,
    action: str | None,
) -> None:
    """Run the pipeline of CONFIG again and again, as its `schedule` says.

    Exit codes: 0 done (or stopped), 2 wrong usage or config, 1 failure.
    """
    with errors_in_a_line():
        _check_options(clock, output, host, timeout, action)
        settings = _load(config, overrides)
        command = _run_command(config, overrides)
        if clock == "local":
            _serve(settings, command)
        elif clock == "kubeflow":
            # A stop in the middle of an update is told with what it leaves.
            with stoppable():
                _on_kubeflow(settings, config, host, timeout, action)
        else:
            module = import_module(f"tfx_tflite.pipelines.schedule.{clock}")
            _install(module.files(settings, command), clock, output)


def _check_options(
    clock: str,
    output: Path | None,
    host: str | None,
    timeout: float | None,
    action: str | None,
) -> None:
    if clock != "kubeflow" and (host or timeout or action):
        option = "--host" if host else "--timeout" if timeout else f"--{action}"
        raise ConfigError(f"{option} goes with --on kubeflow alone")
    if clock == "kubeflow" and host is None:
        raise ConfigError("--on kubeflow needs --host, the URL of the server")
    if output is not None and clock in ("local", "kubeflow"):
        raise ConfigError("--output goes with --on cron, systemd or airflow alone")


def _load(config: Path, overrides: tuple[str, ...]) -> "PipelineConfig":
    from tfx_tflite.pipelines.config.file import load_config

    settings = load_config(config, overrides)
    if settings.schedule is None:
        raise ConfigError(
            f"{config}: schedule: this key is needed, for instance "
            "`schedule: {cron: 0 6 * * mon}`; see docs/schedule.md"
        )
    return settings


def _run_command(config: Path, overrides: tuple[str, ...]) -> list[str]:
    """Returns the command that every clock runs at a tick, which works from any directory."""
    settings = [part for override in overrides for part in ("--set", override)]
    # A virtual environment's interpreter is a link that must not be followed.
    command = [
        sys.executable,
        "-m",
        "tfx_tflite.pipelines",
        "run",
        str(config.resolve()),
        *settings,
        "--json",
    ]
    for word in command:
        # What clocks are given is lines of text, and a crontab's next line is a command.
        if character := first_command(word):
            raise ConfigError(
                f"the command to schedule may not hold the character {character}, but "
                f"{escaped(word)} does; use another path or value"
            )
    return command


def _serve(settings: "PipelineConfig", command: list[str]) -> None:
    from tfx_tflite.pipelines.schedule.local import LocalClock

    LocalClock(settings, command, _say).serve()


def _say(line: str) -> None:
    from tfx_tflite.pipelines.cli.console import print_line

    # A scheduler goes on when nobody reads its lines any more.
    print_line(line, sys.stdout)


def _install(files: dict[str, str], clock: str, output: Path | None) -> None:
    if output is None:
        for number, (name, text) in enumerate(files.items()):
            title = f"{chr(10) * bool(number)}# {name}\n" if len(files) > 1 else ""
            say(f"{title}{text}", end="")
        return
    targets = {
        output / name if clock == "systemd" else output: text for name, text in files.items()
    }
    try:
        for path, text in targets.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            say(f"wrote {path}")
    except OSError as error:
        raise ConfigError(f"--output {output}: {error.strerror}") from error


def _on_kubeflow(
    settings: "PipelineConfig",
    config: Path,
    host: str | None,
    timeout: float | None,
    action: str | None,
) -> None:
    if find_spec("kfp") is None:
        raise ConfigError(
            "--on kubeflow needs the Kubeflow client: pip install '.[kubeflow]' in a checkout, "
            "see docs/install.md"
        )
    from tfx_tflite.pipelines.kubeflow.connection import DEFAULT_TIMEOUT
    from tfx_tflite.pipelines.kubeflow.recurring import RecurringSchedule

    assert host is not None
    recurring = RecurringSchedule(settings, host, timeout or DEFAULT_TIMEOUT)
    if action is None:
        warn_of_pipeline(settings)
        say(recurring.apply(config))
    elif action == "list":
        for line in recurring.list_runs():
            say(line)
    else:
        say(getattr(recurring, action)())
