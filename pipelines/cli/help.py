"""What `--help` shows beside options: examples of each command, and the groups of commands."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import click

_Command = TypeVar("_Command", bound=click.Command)
# The commands in the order in which people come to need them.
SECTIONS = {
    "Runs": ("init", "validate", "plan", "run", "report", "clean"),
    "Pushed versions": ("history", "verify", "approve", "reject", "rollback", "sign-off", "alias"),
    "On a clock, on a cluster": ("schedule", "compile", "submit"),
    "Any model": ("inspect",),
    "This installation": ("doctor", "schema"),
}
_OTHERS = "More"


def examples(*lines: str) -> Callable[[_Command], _Command]:
    """Adds examples to the help of a command, each a line that may be typed as it is.

    Args:
        lines: The examples.
    """

    def with_examples(command: _Command) -> _Command:
        # The first character of the last part has click leave its lines as they are.
        shown = "\n".join(f"  {line}" for line in lines)
        command.help = f"{inspect.cleandoc(command.help or '')}\n\n\b\nExamples:\n{shown}"
        return command

    return with_examples


def sections(names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yields the titles of groups, and the commands that each has, in a readable order.

    Args:
        names: All commands that there are.
    """
    placed: set[str] = set()
    for title, members in SECTIONS.items():
        found = [name for name in members if name in names]
        placed.update(found)
        if found:
            yield title, found
    if others := sorted(set(names) - placed):
        yield _OTHERS, others
