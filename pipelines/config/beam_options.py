"""What `beam.args` may hold. Importing this loads Beam."""

import argparse
from collections.abc import Iterable, Sequence
from typing import NoReturn

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines.config import beam_arguments

# What brings packages to workers.
_PACKAGES = ("sdk_container_image", "extra_packages", "requirements_file", "setup_file")


def check_beam_args(args: Sequence[str], implied: Sequence[str] = ()) -> None:
    """Checks that Beam knows every option, because it ignores those that it does not.

    `validate` checks the names of options and runners without Beam; here are the values, too.

    Args:
        args: As in the config's `beam.args`.
        implied: The arguments that stand before them, which the other keys of `beam` stand for.

    Raises:
        ConfigError: It does not know one, an option's value is none that it takes, or Dataflow is
            not told where its workers have this package from.
    """
    runners = tuple(map(str, StandardOptions.KNOWN_RUNNER_NAMES))
    # Beam itself ends the process if it is asked for help.
    _refuse_first(beam_arguments.problems([a for a in args if a in ("-h", "--help")], (), runners))
    known: list[str] = []

    def see_options(parser: argparse.ArgumentParser) -> None:
        known.extend(parser._option_string_actions)
        # Beam would end the process.
        parser.error = _refuse  # type: ignore[method-assign]

    options = PipelineOptions([*implied, *args])
    values = options.get_all_options(add_extra_args_fn=see_options)
    _refuse_first(beam_arguments.problems(args, known, runners, implied))
    name = options.view_as(StandardOptions).runner or ""
    runner = beam_arguments.runner_named(name, runners) or ""
    if runner.endswith("DataflowRunner") and not any(values.get(name) for name in _PACKAGES):
        raise ConfigError(
            "beam.args: Dataflow's workers need this package; give them an image that has it, "
            "--sdk_container_image, or see docs/beam.md"
        )


def _refuse_first(problems: Iterable[str]) -> None:
    for found in problems:
        _refuse(found)


def _refuse(message: object) -> NoReturn:
    raise ConfigError(f"beam.args: {message}")
