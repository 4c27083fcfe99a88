"""How commands end: their exit codes, and errors in a line instead of a traceback."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tfx_tflite.components.characters import escaped
from tfx_tflite.components.errors import ConfigError, TfxTfliteError
from tfx_tflite.pipelines.runs.results import RunResult

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3
# Of runs that came to an end, by their status.
EXIT_CODES = {"pushed": 0, "nothing_new": 0, "refused": EXIT_REFUSED}
_STOPS = (signal.SIGTERM, signal.SIGINT)
INTERRUPTED = "interrupted; run again to go on from the last finished stage"


@contextlib.contextmanager
def errors_in_a_line(as_json: bool = False) -> Iterator[None]:
    """Ends the command where what it encloses raises an error meant for the user.

    A disk or file that fails it is one, and so is Ctrl-C.

    Args:
        as_json: Whether the failure is printed as a JSON object, too.
    """
    try:
        yield
    except BrokenPipeError:
        # Nobody reads on, which click ends quietly.
        raise
    except (TfxTfliteError, OSError, KeyboardInterrupt) as error:
        message = message_of(error)
        from tfx_tflite.pipelines.cli.console import print_error

        print_error(message, error, sys.stderr)
        if as_json:
            print_failure(message, None, sys.stdout)
        sys.exit(exit_code(error))


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Makes a scheduler's stop (SIGTERM) as orderly as Ctrl-C while the block runs."""
    before = {number: signal.getsignal(number) for number in _STOPS}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def no_more_stops() -> None:
    """Lets neither SIGTERM nor Ctrl-C end what is left of a `stoppable` block."""
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)


def message_of(error: BaseException) -> str:
    """Returns what the user is told of an error that needs no log to be understood."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, OSError) and error.strerror:
        named = "" if error.filename is None else f": {escaped(str(error.filename))}"
        return f"{error.strerror}{named}"
    return str(error)


def exit_code(error: BaseException) -> int:
    """Returns the exit code for an error."""
    return EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILED


def print_failure(
    error: str,
    scheme: str | None,
    stream: IO[str],
    judged: RunResult | None = None,
    log: Path | None = None,
) -> None:
    """Prints a failure as a JSON object with the keys of a run's result.

    Args:
        error: What is wrong.
        scheme: The config's; None if there is no config.
        stream: Where to.
        judged: What the verdict was, if there was one before the failure.
        log: Where the run's log is; None if there was no run.
    """
    from tfx_tflite.pipelines.cli.console import print_json

    result = judged or RunResult(status="failed", scheme=scheme)
    logged = {} if log is None else {"log": str(log)}
    print_json({**result.to_keys(), "error": error, **logged}, stream)
