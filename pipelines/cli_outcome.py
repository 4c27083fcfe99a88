"""How commands end: their exit codes, and errors in a line instead of a traceback."""

import contextlib
import sys
from collections.abc import Iterator
from typing import IO

import click

from tfx_tflite.components.errors import ConfigError, TfxTfliteError

EXIT_PUSHED = 0
EXIT_NOTHING_NEW = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3


@contextlib.contextmanager
def errors_in_a_line(as_json: bool = False) -> Iterator[None]:
    """Ends the command where what it encloses raises an error meant for the user.

    Args:
        as_json: Whether the failure is printed as a JSON object, too.
    """
    try:
        yield
    except TfxTfliteError as error:
        click.echo(f"error: {error}", err=True)
        if as_json:
            print_failure(str(error), None, sys.stdout)
        sys.exit(exit_code(error))


def exit_code(error: BaseException) -> int:
    """Returns the exit code for an error."""
    return EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILED


def print_failure(error: str, scheme: str | None, stream: IO[str]) -> None:
    """Prints a failure as a JSON object with the keys of a run's result.

    Args:
        error: What is wrong.
        scheme: The config's; None where there is no config.
        stream: Where to.
    """
    from tfx_tflite.pipelines.console import print_json

    print_json(
        {
            "status": "failed",
            "scheme": scheme,
            "rules": [],
            "size_bytes": {"float": None, "quantized": None},
            "pushed_to": None,
            "report": None,
            "error": error,
        },
        stream,
    )
