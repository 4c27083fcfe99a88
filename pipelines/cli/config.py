"""The config as an argument of commands."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfx_tflite.components.errors import ConfigError

if TYPE_CHECKING:
    from tfx_tflite.pipelines.config.preflight import Preflight

CONFIG = click.argument("config", type=click.Path(path_type=Path))
SET = click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Replace a value of the config, for instance quantization.scheme=float16. Repeatable.",
)


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
        raise ConfigError(f"{config}: {error}") from error
