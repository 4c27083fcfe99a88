"""What `beam.args` may hold. Importing this loads Beam."""

import argparse
import difflib
from collections.abc import Sequence
from typing import NoReturn

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from tfx_tflite.components.errors import ConfigError, listed

# Their job servers have options of their own, which Beam asks them for when a job is submitted.
_RUNNERS_WITH_JOB_SERVER = ("PortableRunner", "FlinkRunner", "SparkRunner")
_HELP = ("-h", "--help")
# What brings packages to workers.
_PACKAGES = ("sdk_container_image", "extra_packages", "requirements_file", "setup_file")
# How alike an option of a job server and one of Beam's must be to be taken for a misspelling.
_MISSPELLED = 0.85


def check_beam_args(args: Sequence[str]) -> None:
    """Checks that Beam knows every option, because it ignores those that it does not.

    Args:
        args: As in the config's `beam.args`.

    Raises:
        ConfigError: It does not know one, an option's value is none that it takes, or Dataflow is
            not told where its workers have this package from.
    """
    for argument in args:
        # It would print them all and end the process, with the exit code of a push.
        if argument in _HELP:
            raise ConfigError(f"beam.args: {argument} is for a command line; see docs/beam.md")
    known: list[str] = []

    def see_options(parser: argparse.ArgumentParser) -> None:
        known.extend(parser._option_string_actions)
        # Beam would end the process.
        parser.error = _refuse  # type: ignore[method-assign]

    options = PipelineOptions(list(args))
    values = options.get_all_options(add_extra_args_fn=see_options)
    runner = _runner(options.view_as(StandardOptions).runner or "")
    served = runner.endswith(_RUNNERS_WITH_JOB_SERVER)
    for name in (argument.partition("=")[0] for argument in args if argument.startswith("-")):
        if name in known:
            continue
        close = difflib.get_close_matches(name, known, 1, _MISSPELLED if served else 0.6)
        if close or not served:
            hint = f"did you mean {close[0]}?" if close else "see docs/beam.md"
            raise ConfigError(f"beam.args: Beam has no option {name}; {hint}")
    if runner.endswith("DataflowRunner") and not any(values.get(name) for name in _PACKAGES):
        raise ConfigError(
            "beam.args: Dataflow's workers need this package; give them an image that has it, "
            "--sdk_container_image, or see docs/beam.md"
        )


def _runner(name: str) -> str:
    """Returns a runner's name as Beam writes it, which takes it without `Runner`, in any case."""
    known = {runner.lower(): runner for runner in StandardOptions.KNOWN_RUNNER_NAMES}
    for spelling in (name.lower(), f"{name.lower()}runner"):
        if spelling in known:
            return str(known[spelling])
    # A class of one's own is named by its path.
    if not name or "." in name:
        return name
    close = difflib.get_close_matches(name.lower(), known, 1)
    hint = f"did you mean {known[close[0]]}?" if close else f"it has: {listed(known.values(), 20)}"
    raise ConfigError(f"beam.args: Beam has no runner {name!r}; {hint}")


def _refuse(message: object) -> NoReturn:
    raise ConfigError(f"beam.args: {message}")
