"""The config as an argument of commands."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tfx_tflite.pipelines.cli.text import say

if TYPE_CHECKING:
    from tfx_tflite.pipelines.config.preflight import Preflight

# What click decorates.
_Command = TypeVar("_Command", bound=Callable[..., Any])
CONFIG = click.argument("config", type=click.Path(path_type=Path))
SET = click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Replace a value of the config, for instance quantization.scheme=float16. Repeatable.",
)


def _timeout(what: str) -> Callable[[_Command], _Command]:
    return click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True, max=3600),
        metavar="SECONDS",
        help=f"How long to wait for an answer from {what}.  [default: 30]",
    )


# The default of destinations that no config stands for.
TIMEOUT = _timeout("an object store")
SERVER_TIMEOUT = _timeout("a Kubeflow Pipelines server")


def with_timeout(overrides: tuple[str, ...], timeout: float | None) -> tuple[str, ...]:
    """Returns the overrides of a config with a timeout for its destination, if there is one."""
    return overrides if timeout is None else (*overrides, f"push.timeout={timeout:g}")


def load_checked(config: Path, overrides: tuple[str, ...]) -> "Preflight":
    """Returns a config that was checked, and what was found of it; see `checks/table.py`.

    Args:
        config: The file.
        overrides: As of `--set`.

    Raises:
        ConfigError: It is wrong, or does not go with its files, its model or its data; a line for
            each mistake.
        DataError: The data are damaged.
        NotKnownError: A place that it names cannot be read.
    """
    from tfx_tflite.pipelines.checks.table import checked
    from tfx_tflite.pipelines.config.file import ConfigFile

    return checked(ConfigFile.read(config, overrides))


def say_warnings(found: "Preflight") -> None:
    """Prints what of a config is likely not meant, though it can be run."""
    for warning in found.warnings:
        say(f"warning: {warning}", err=True)
