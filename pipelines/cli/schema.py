"""`tfx-tflite schema`: the JSON Schema of configs, for editors."""

from pathlib import Path

import click

from tfx_tflite.pipelines.cli.help import examples
from tfx_tflite.pipelines.cli.outcome import errors_in_a_line
from tfx_tflite.pipelines.cli.text import say


@examples(
    "tfx-tflite schema",
    "tfx-tflite schema --output config.schema.json",
)
@click.command(short_help="Print the JSON Schema of configs, for editors.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write it to FILE instead of printing it.",
)
def schema(output: Path | None) -> None:
    """Print the JSON Schema of configs, by which an editor completes and checks them.

    Editors with the YAML language server read it where the first line of a config names it:

    \b
        tfx-tflite schema --output config.schema.json
        # yaml-language-server: $schema=config.schema.json
    """  # noqa: D301  # The mark of click for lines that stay as they are.
    with errors_in_a_line():
        from tfx_tflite.pipelines.config.schema import config_schema

        if output is None:
            say(config_schema(), end="")
        else:
            output.write_text(config_schema(), encoding="utf-8")
