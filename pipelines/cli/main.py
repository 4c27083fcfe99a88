"""The command line. Nothing here loads TensorFlow or TFX until a run needs them."""

import contextlib
import functools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from tfx_tflite.components.errors import TfxTfliteError
from tfx_tflite.components.locks import only_one
from tfx_tflite.components.process_end import run_to_the_end
from tfx_tflite.pipelines.cli import destination as cli_destination
from tfx_tflite.pipelines.cli import kubeflow as cli_kubeflow
from tfx_tflite.pipelines.cli.clean import clean
from tfx_tflite.pipelines.cli.config import (
    CONFIG,
    SET,
    TIMEOUT,
    load_checked,
    say_warnings,
    with_timeout,
)
from tfx_tflite.pipelines.cli.doctor import doctor
from tfx_tflite.pipelines.cli.help import examples, sections
from tfx_tflite.pipelines.cli.init import init
from tfx_tflite.pipelines.cli.inspect import inspect
from tfx_tflite.pipelines.cli.outcome import (
    EXIT_CODES,
    errors_in_a_line,
    exit_code,
    message_of,
    no_more_stops,
    print_failure,
    stoppable,
)
from tfx_tflite.pipelines.cli.plan import plan
from tfx_tflite.pipelines.cli.schedule import schedule
from tfx_tflite.pipelines.cli.schema import schema
from tfx_tflite.pipelines.cli.text import in_a_line, printable, say
from tfx_tflite.pipelines.cli.verbosity import Verbosity
from tfx_tflite.pipelines.cli.version import VERSION
from tfx_tflite.pipelines.runs import RUN_LOCK
from tfx_tflite.pipelines.runs.temporary_folder import temporary_folder

if TYPE_CHECKING:
    from tfx_tflite.pipelines.config.preflight import Preflight

_AS_JSON = f"{__name__}.as_json"
# In so many characters it is said what a command is for.
_SHORT_HELP = 60


@contextlib.contextmanager
def _printable_messages() -> Iterator[None]:
    """Has click print what it repeats of a wrong command line as every text of others."""
    try:
        yield
    except click.ClickException as error:
        # To a type checker it is final.
        vars(error)["message"] = printable(error.message)
        raise


class _Commands(click.Group):
    """Commands that print JSON where it was asked for, also when they are called wrongly."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Takes its own arguments, and remembers whether JSON is among the others."""
        ctx.meta[_AS_JSON] = "--json" in args
        with _printable_messages():
            return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names of the commands, those that belong together beside each other."""
        return [name for _, names in sections(list(self.commands)) for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the commands in their groups."""
        width = max(map(len, self.commands))
        for title, names in sections(list(self.commands)):
            with formatter.section(title):
                formatter.write_dl(
                    [
                        (f"{name:<{width}}", self.commands[name].get_short_help_str(_SHORT_HELP))
                        for name in names
                    ]
                )

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command that the arguments name."""
        try:
            with _printable_messages():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            # Commands answer it themselves but for the moments before and after their work.
            _interrupted(ctx.meta[_AS_JSON])
        except click.UsageError as error:
            if ctx.meta[_AS_JSON]:
                print_failure(error.format_message(), None, sys.stdout)
            raise


@examples(
    "tfx-tflite validate mine.yaml",
    "tfx-tflite run mine.yaml",
    "tfx-tflite history mine.yaml",
)
@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@VERSION
def main() -> None:
    """Quantize a freshly trained model to TensorFlow Lite, prove it, and push it only then.

    Exit codes: 0 pushed (or valid, or nothing new), 3 refused by the gate, 2 wrong usage or config,
    1 failure.
    """


@examples(
    "tfx-tflite run mine.yaml",
    "tfx-tflite run mine.yaml --set quantization.scheme=float16 --json",
    "tfx-tflite run mine.yaml --quiet",
)
@main.command(short_help="Train, quantize, evaluate, and push if blessed.")
@CONFIG
@SET
@click.option(
    "--runner",
    type=click.Choice(["beam", "local"]),
    default="beam",
    show_default=True,
    help="Who runs the pipeline's stages: TFX's BeamDagRunner or its LocalDagRunner.",
)
@click.option("--quiet", "-q", is_flag=True, help="Print only the verdict, or the error.")
@click.option("--verbose", "-v", is_flag=True, help="Print the lines of the log, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line.")
@click.option(
    "--force",
    is_flag=True,
    help="Run even if there is no new data, and push even if the same model is pushed already.",
)
@click.option(
    "--no-cache",
    is_flag=True,
    help="Run every stage again, and take no results of earlier runs.",
)
@TIMEOUT
def run(
    config: Path,
    overrides: tuple[str, ...],
    runner: str,
    quiet: bool,
    verbose: bool,
    as_json: bool,
    force: bool,
    timeout: float | None,
    no_cache: bool,
) -> None:
    """Run the pipeline of CONFIG once: train, quantize, evaluate, push if blessed."""
    verbosity = _verbosity(quiet, verbose)
    with stoppable(), errors_in_a_line(as_json):
        found = load_checked(config, with_timeout(overrides, timeout))
        if not quiet:
            say_warnings(found)
        with only_one(Path(found.config.root) / RUN_LOCK, "run"), temporary_folder():
            code = _run(found, runner, as_json, force, no_cache, verbosity)
    sys.exit(code)


@examples(
    "tfx-tflite validate mine.yaml",
    "tfx-tflite validate mine.yaml --destination",
)
@main.command(short_help="Check a config and the files it names.")
@CONFIG
@SET
@click.option(
    "--destination",
    "with_destination",
    is_flag=True,
    help="Try push.destination as well, and artifacts in an object store: whether they can be read "
    "and changed as a run needs it.",
)
@TIMEOUT
def validate(
    config: Path, overrides: tuple[str, ...], with_destination: bool, timeout: float | None
) -> None:
    """Check CONFIG and the files it names, without running anything."""
    from tfx_tflite.components.uris import is_local
    from tfx_tflite.pipelines.config.trust import try_destination
    from tfx_tflite.pipelines.engines.engine import Engine
    from tfx_tflite.pipelines.runs.artifacts_place import try_place

    with errors_in_a_line():
        found = load_checked(config, with_timeout(overrides, timeout))
        settings = found.config
        scheme = settings.quantization.scheme_name
        pushes_to = f"pushes to {settings.push.destination}"
        say(f"{in_a_line(config)}: valid; {settings.name}, {scheme}, {pushes_to}")
        for line in found.lines():
            say(f"  {line}")
        if (engine := Engine.of(settings.beam)) is not None:
            say(f"  engine: {engine.description()}")
        say_warnings(found)
        if with_destination:
            say(f"  destination: {try_destination(settings)}")
            if not is_local(settings.artifacts_path):
                try_place(settings)
                say(f"  artifacts: {settings.artifacts_path} can be written and read")


@examples(
    "tfx-tflite report mine.yaml",
    "tfx-tflite report runs/mine --open",
)
@main.command(short_help="Show the report of the last run.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--open", "in_browser", is_flag=True, help="Open the page in a browser.")
def report(run: Path, in_browser: bool) -> None:
    """Show the report of the last run of RUN: a config, or the root of its runs."""
    from tfx_tflite.pipelines.cli.console import RunPrinter, last_result
    from tfx_tflite.pipelines.config.file import load_config

    with errors_in_a_line():
        root = Path(load_config(run).root) if run.suffix in (".yaml", ".yml") else run
        result = last_result(root)
        RunPrinter(sys.stdout, goes_on=False).result(result)
    if in_browser:
        click.launch(str(result.page))


for _command in (
    *cli_destination.COMMANDS,
    *cli_kubeflow.COMMANDS,
    schedule,
    clean,
    schema,
    doctor,
    init,
    inspect,
    plan,
):
    main.add_command(_command)


def _verbosity(quiet: bool, verbose: bool) -> Verbosity:
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose do not go together")
    return Verbosity.VERDICT if quiet else Verbosity.LOG if verbose else Verbosity.STAGES


def _run(
    found: "Preflight",
    runner: str,
    as_json: bool,
    force: bool,
    no_cache: bool,
    verbosity: Verbosity,
) -> int:
    from tfx_tflite.pipelines.cli.console import (
        RunPrinter,
        log_file,
        output_to_log,
        print_error,
        print_json,
        print_line,
    )
    from tfx_tflite.pipelines.cli.one_run import OneRun
    from tfx_tflite.pipelines.runs.results import FailedAfterVerdict

    settings = found.config
    log = log_file(settings.root)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    with output_to_log(log) as (stdout, stderr):
        printer = RunPrinter(stderr if as_json else stdout, verbosity=verbosity)
        one_run = OneRun(found, printer, log)
        try:
            with printer.watching(log), _tracebacks_in_log():
                result = one_run.result(runner, force, takes_from_cache=not no_cache)
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            failure = error.failure if isinstance(error, FailedAfterVerdict) else error
            message = _failure(failure)
            print_error(message, error, stderr)
            print_line(f"  the log has more: {in_a_line(log)}", stderr)
            if as_json:
                judged = error.result if isinstance(error, FailedAfterVerdict) else None
                print_failure(message, settings.quantization.scheme_name, stdout, judged, log)
            return exit_code(failure)
        no_more_stops()
        if as_json:
            # First, so that nothing that goes wrong in keeping or showing it can hide a push.
            print_json(result.to_keys(), stdout)
        one_run.show_and_keep(result)
        return EXIT_CODES[result.status]


@contextlib.contextmanager
def _tracebacks_in_log() -> Iterator[None]:
    """Prints what ends the block with its traceback, which only the log is to have."""
    try:
        yield
    except BaseException as error:
        import traceback

        with contextlib.suppress(OSError):
            traceback.print_exception(error, file=sys.stderr)
            sys.stderr.flush()
        raise


def _failure(error: BaseException) -> str:
    """Returns a failure in one line, or in two."""
    if isinstance(error, (TfxTfliteError, KeyboardInterrupt)):
        return message_of(error)
    if isinstance(error, SystemExit):
        # Whatever its code: nothing was pushed, so it is no success.
        return f"code that the config names ended the run by sys.exit({error.code!r})"
    return str(error) if type(error).__name__ == "RunFailed" else f"{type(error).__name__}: {error}"


def command_line() -> NoReturn:
    """Runs the command that the process was started with, and ends it with the exit code."""
    _open_closed_streams()
    run_to_the_end(functools.partial(main, prog_name="tfx-tflite"))


def end_interrupted(as_json: bool) -> NoReturn:
    """Ends the process after a Ctrl-C that came before there was a command to interrupt."""
    _open_closed_streams()
    run_to_the_end(functools.partial(_interrupted, as_json))


def _interrupted(as_json: bool) -> None:
    with errors_in_a_line(as_json):
        raise KeyboardInterrupt


def _open_closed_streams() -> None:
    """Opens what the process was started without, before a file gets the stream's descriptor."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            setattr(sys, name, os.fdopen(descriptor, "w", encoding="utf-8"))
