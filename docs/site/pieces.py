"""Small pieces of Markdown that the generated pages share."""

import re
from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines)


def cell(text: str) -> str:
    """Returns a text as the cell of a table needs it: on one line, with its pipes escaped."""
    return " ".join(text.split()).replace("|", "\\|")


def code(text: object) -> str:
    """Returns a text that is shown as code; nothing for an empty one."""
    return f"`{text}`" if str(text) else ""


def page(title: str, *blocks: str) -> str:
    """Returns a page of blocks below a title."""
    return "\n\n".join([f"# {title}", *filter(None, blocks)]) + "\n"


def unlinked(text: str) -> str:
    """Returns a text whose links to types are names, for a page that has no sections for them."""
    return re.sub(r"\[(\w+)\]\(#\w+\)", r"`\1`", text)
