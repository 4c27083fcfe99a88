"""Where every command prints: texts of others reach a terminal with no command in them.

Names of models and slices, notes, paths and messages of libraries may hold control characters, with
which a terminal can be made to show something else or to do worse. Who prints with rich takes
`console.Terminal`, which goes by the same.
"""

from pathlib import Path

import click

from tfx_tflite.components.characters import escaped

# What texts of this project have, too.
_OURS = "\n\t"


def printable(text: str) -> str:
    r"""Returns a text as it is printed: control characters as `\x1b` and the like."""
    return escaped(text, _OURS)


def in_a_line(path: str | Path) -> str:
    r"""Returns a path as it is printed, an end of line in it as `\n`, too."""
    return escaped(str(path))


def say(text: str, err: bool = False, end: str = "\n") -> None:
    """Prints a text.

    Args:
        text: The text.
        err: Whether it goes to stderr.
        end: What comes after it.

    Raises:
        OSError: The stream takes no more.
    """
    click.echo(printable(text) + end, err=err, nl=False)
