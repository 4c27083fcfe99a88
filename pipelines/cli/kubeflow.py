"""The commands for Kubeflow: `compile` and `submit`."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfx_tflite.pipelines.cli.config import CONFIG, SERVER_TIMEOUT, SET, load_checked
from tfx_tflite.pipelines.cli.help import examples
from tfx_tflite.pipelines.cli.outcome import errors_in_a_line
from tfx_tflite.pipelines.cli.text import say

if TYPE_CHECKING:
    from tfx_tflite.pipelines.config.config import PipelineConfig

_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object as the last line."
)


@examples(
    "tfx-tflite compile mine.yaml --output pipeline.yaml",
    "tfx-tflite compile mine.yaml --output pipeline.json",
)
@click.command("compile", short_help="Write the pipeline for Kubeflow or Vertex AI.")
@CONFIG
@SET
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="The file to write: .yaml for Kubeflow Pipelines, .json for Vertex AI.",
)
@_JSON
def compile_command(config: Path, overrides: tuple[str, ...], output: Path, as_json: bool) -> None:
    """Write the pipeline of CONFIG as a file that Kubeflow Pipelines or Vertex AI can run."""
    with errors_in_a_line(as_json):
        from tfx_tflite.pipelines.kubeflow.compile import check_suffix, compile_logged, kubeflow_of

        check_suffix(output)
        settings = load_checked(config, overrides).config
        warnings = warn_of_pipeline(settings)
        compiled = compile_logged(settings)
        compiled.write(output)
        good_for = compiled.good_for(output)
        _print_result(
            f"{output}: {settings.name} for image {kubeflow_of(settings).image}; "
            "runtime parameters: "
            + ", ".join(f"{name}={value}" for name, value in compiled.values.items())
            + f"\nchecked; good for {good_for}",
            {
                "status": "compiled",
                "output": str(output),
                "parameters": compiled.values,
                "good_for": good_for,
                "warnings": warnings,
            },
            as_json,
        )


@examples(
    "tfx-tflite submit mine.yaml --host http://localhost:8080",
    "tfx-tflite submit mine.yaml --host http://kfp --param model.trainer.train_steps=500",
)
@click.command(short_help="Run once on Kubeflow Pipelines.")
@CONFIG
@SET
@click.option("--host", required=True, metavar="URL", help="The Kubeflow Pipelines server.")
@click.option(
    "--param",
    "parameters",
    metavar="KEY=VALUE",
    multiple=True,
    help="Give a runtime parameter a value of its own for this run. Repeatable.",
)
@SERVER_TIMEOUT
@_JSON
def submit(
    config: Path,
    overrides: tuple[str, ...],
    host: str,
    parameters: tuple[str, ...],
    timeout: float | None,
    as_json: bool,
) -> None:
    """Run the pipeline of CONFIG once on Kubeflow Pipelines, and print the run's link."""
    with errors_in_a_line(as_json):
        from tfx_tflite.pipelines.kubeflow import client as kubeflow_client
        from tfx_tflite.pipelines.kubeflow import compile as kubeflow

        settings = load_checked(config, overrides).config
        values = kubeflow.given_values(settings, parameters)
        # What a run is given must be as possible as what a config says.
        settings = load_checked(config, (*overrides, *kubeflow.as_overrides(values))).config
        kubeflow.container_places(settings)
        warn_of_pipeline(settings)
        server = kubeflow_client.connect(
            kubeflow.kubeflow_of(settings), host, timeout or kubeflow_client.DEFAULT_TIMEOUT
        )
        compiled = kubeflow.compile_logged(settings)
        arguments = {**compiled.values, **{key.name: value for key, value in values.items()}}
        link = server.submit(compiled, settings, arguments)
        _print_result(link, {"status": "submitted", "run": link, "parameters": arguments}, as_json)


def warn_of_pipeline(config: "PipelineConfig") -> list[str]:
    """Prints what somebody should know of a config that becomes a pipeline, and returns the lines.

    That is what looks like a secret, the values of which are not repeated, and what has no effect.

    Args:
        config: The config.
    """
    from tfx_tflite.pipelines.config.secrets import secrets_in_pipeline

    warnings = [
        f"{key} looks like a secret; whoever can read the pipeline or its runs can read it: give "
        "containers its Kubernetes Secret, kubeflow.secrets"
        for key in secrets_in_pipeline(config)
    ]
    if config.artifacts is not None:
        warnings.append(
            "artifacts has no effect on Kubeflow, where kubeflow.pipeline_root says where they are"
        )
    for warning in warnings:
        say(f"warning: {warning}", err=True)
    return warnings


COMMANDS = (compile_command, submit)


def _print_result(text: str, document: Mapping[str, object], as_json: bool) -> None:
    """Prints what a command says at its end, in words or as one JSON object."""
    from tfx_tflite.pipelines.cli.console import print_json

    if as_json:
        print_json(document, sys.stdout)
    else:
        say(text)
