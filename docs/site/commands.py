"""The page of the command line, written from the commands themselves."""

import inspect
from collections.abc import Iterator

import click
import pieces

from tfx_tflite.pipelines.cli.main import main

INTRODUCTION = (
    """Written from the commands themselves; `tfx-tflite COMMAND --help` prints the same."""
)


def page() -> str:
    """Returns the page."""
    context = click.Context(main, info_name="tfx-tflite")
    return pieces.page("Command line", INTRODUCTION, *_sections(main, context))


def _sections(command: click.Command, context: click.Context) -> Iterator[str]:
    heading = "##" if context.parent else "## All commands:"
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"{heading} `{context.command_path}`"
    yield f"```\n{usage}\n```"
    yield _help(command)
    yield _options(command, context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None and not inner.hidden:
                yield from _sections(inner, click.Context(inner, parent=context, info_name=name))


def _help(command: click.Command) -> str:
    """Returns the help of a command; what must keep its line breaks is shown as it is."""
    blocks = inspect.cleandoc(command.help or "").split("\n\n")
    return "\n\n".join(
        "```\n" + block.removeprefix("\b\n") + "\n```" if block.startswith("\b") else block
        for block in blocks
    )


def _options(command: click.Command, context: click.Context) -> str:
    options = [
        option
        for option in command.get_params(context)
        if isinstance(option, click.Option) and not option.hidden
    ]
    rows = [record for option in options if (record := option.get_help_record(context))]
    return pieces.table(("option", "meaning"), ((pieces.code(name), text) for name, text in rows))
