"""The config as an argument of commands."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines.cli.text import in_a_line

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
        help=f"How long {what} that does not answer is waited for.  [default: 30]",
    )


# The default of destinations that no config stands for.
TIMEOUT = _timeout("an object store")
SERVER_TIMEOUT = _timeout("a Kubeflow Pipelines server")


def with_timeout(overrides: tuple[str, ...], timeout: float | None) -> tuple[str, ...]:
    """Returns the overrides of a config with a timeout for its destination, if there is one."""
    return overrides if timeout is None else (*overrides, f"push.timeout={timeout:g}")


def load_checked(config: Path, overrides: tuple[str, ...]) -> "Preflight":
    """Returns a config whose files are there, and what was found of them.

    Args:
        config: The file.
        overrides: As of `--set`.

    Raises:
        ConfigError: It is wrong, or a file that it names is not there.
    """
    from tfx_tflite.pipelines.config.file import load_config
    from tfx_tflite.pipelines.config.preflight import inspect

    settings = load_config(config, overrides)
    try:
        return inspect(settings)
    except ConfigError as error:
        raise ConfigError(f"{in_a_line(config)}: {error}") from error
