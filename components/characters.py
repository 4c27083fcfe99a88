"""Characters that are no text: what a terminal, a crontab or a reader's eye takes for a command.

They are refused where a text becomes a line of a program's input, and shown escaped where a text of
others is printed.
"""

import re

# Control characters (C0, DEL, C1), Unicode's ends of line, what changes the direction of writing,
# and halves of characters, which stand for bytes that are no UTF-8.
_COMMANDS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def escaped(text: str, kept: str = "") -> str:
    r"""Returns a text with `\x1b` and the like for each such character.

    Args:
        text: Any text.
        kept: Those that stay as they are, such as the ends of lines.
    """
    return _COMMANDS.sub(lambda match: match[0] if match[0] in kept else _shown(match[0]), text)


def first_command(text: str, allowed: str = "") -> str | None:
    """Returns the first such character in a text, escaped; None if there is none.

    Args:
        text: Any text.
        allowed: Those that do not count.
    """
    found = (match[0] for match in _COMMANDS.finditer(text) if match[0] not in allowed)
    character = next(found, None)
    return None if character is None else _shown(character)


def _shown(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
