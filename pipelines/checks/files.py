"""Checks of paths on this machine: whether files are there, and folders can be written."""

import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tfx_tflite.components.errors import ConfigError, EngineError, NotKnownError
from tfx_tflite.pipelines.checks.mistake import Mistake


def kind_of_path(key: str, path: str) -> Iterator[Mistake]:
    """Checks that a path leads to what has bytes: a pipe would be waited for without an end."""
    try:
        mode = Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        yield Mistake(key, f"{path} is a link to what is not there")
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        yield Mistake(key, f"{path} is not a regular file")


def is_file(key: str, path: str) -> Iterator[Mistake]:
    """Checks that a path leads to a file that can be read."""
    try:
        if Path(path).exists() and (found := list(kind_of_path(key, path))):
            yield from found
            return
        with Path(path).open("rb"):
            pass
    except (FileNotFoundError, NotADirectoryError):
        yield Mistake(key, f"there is no file {path}")
    except IsADirectoryError:
        yield Mistake(key, f"{path} is a directory, expected a file")
    except OSError as error:
        yield Mistake(key, f"cannot read {path}: {error.strerror}", NotKnownError)


def is_writable(key: str, path: str) -> Iterator[Mistake]:
    """Checks that a folder can be written, or made."""
    existing = Path(path)
    try:
        while not existing.exists():
            existing = existing.parent
        if not existing.is_dir():
            yield Mistake(key, f"{existing} is not a directory")
            return
        # Asking is not enough: to root everything seems writable.
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        yield Mistake(key, f"{existing} cannot be written: {error.strerror}")


def keyed(error: ConfigError | NotKnownError | EngineError) -> Mistake:
    """Returns an error whose message begins with its key as a mistake."""
    key, _, problem = str(error).partition(": ")
    return Mistake(key, problem, type(error))
