"""The commands for Kubeflow: `compile` and `submit`."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import click

from tfx_tflite.components.errors import ConfigError, TfxTfliteError

_CONFIG = click.argument("config", type=click.Path(path_type=Path))
_SET = click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Replace a value of the config, for instance quantization.scheme=float16. Repeatable.",
)
_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object as the last line."
)


@click.command("compile")
@_CONFIG
@_SET
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="The file to write: .yaml for Kubeflow Pipelines, .json for Vertex AI.",
)
@_JSON
def compile_command(config: Path, overrides: tuple[str, ...], output: Path, as_json: bool) -> None:
    """Write the pipeline of CONFIG as Kubeflow Pipelines or Vertex AI run it."""
    with _answering(as_json) as answer:
        from tfx_tflite.pipelines.kubeflow import check_suffix, compile_logged

        check_suffix(output)
        settings = _load(config, overrides)
        compiled = compile_logged(settings)
        compiled.write(output)
        answer.give(
            f"{output}: {settings.name} for image {settings.kubeflow.image}; runtime parameters: "
            + ", ".join(f"{name}={value}" for name, value in compiled.values.items()),
            {"status": "compiled", "output": str(output), "parameters": compiled.values},
        )


@click.command()
@_CONFIG
@_SET
@click.option("--host", required=True, metavar="URL", help="The Kubeflow Pipelines server.")
@click.option(
    "--param",
    "parameters",
    metavar="KEY=VALUE",
    multiple=True,
    help="Give a runtime parameter a value of its own for this run. Repeatable.",
)
@_JSON
def submit(
    config: Path, overrides: tuple[str, ...], host: str, parameters: tuple[str, ...], as_json: bool
) -> None:
    """Run the pipeline of CONFIG once on Kubeflow Pipelines, and print the run's link."""
    with _answering(as_json) as answer:
        from tfx_tflite.pipelines import kubeflow, kubeflow_client

        settings = _load(config, overrides)
        values = kubeflow.given_values(settings, parameters)
        # What a run is given must be as possible as what a config says.
        settings = _load(config, (*overrides, *kubeflow.as_overrides(values)))
        kubeflow.container_places(settings)
        server = kubeflow_client.connect(kubeflow.kubeflow_of(settings), host)
        compiled = kubeflow.compile_logged(settings)
        arguments = {**compiled.values, **{key.name: value for key, value in values.items()}}
        link = server.submit(compiled, settings, arguments)
        answer.give(link, {"status": "submitted", "run": link, "parameters": arguments})


def _load(config: Path, overrides: tuple[str, ...]) -> Any:
    from tfx_tflite.pipelines.cli import _load_config
    from tfx_tflite.pipelines.preflight import check_files

    settings = _load_config(config, overrides)
    try:
        check_files(settings)
    except ConfigError as error:
        raise ConfigError(f"{config}: {error}") from error
    return settings


class _Answer:
    """What a command says at its end.

    Args:
        as_json: Whether one JSON object is wanted.
        stdout: Where answers go.
    """

    def __init__(self, as_json: bool, stdout: IO[str]):
        self._as_json = as_json
        self._stdout = stdout

    def give(self, text: str, document: dict[str, Any]) -> None:
        """Prints the answer."""
        from tfx_tflite.pipelines.console import print_json

        if self._as_json:
            print_json(document, self._stdout)
        else:
            click.echo(text)


@contextlib.contextmanager
def _answering(as_json: bool) -> Iterator[_Answer]:
    """Turns errors meant for the user into a line and an exit code."""
    from tfx_tflite.pipelines.cli import _fail

    try:
        yield _Answer(as_json, sys.stdout)
    except TfxTfliteError as error:
        sys.exit(_fail(error, as_json))
