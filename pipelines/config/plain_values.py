"""What the values of a config may be at all, whatever key they are of."""

import math
from collections import deque
from collections.abc import Iterator, Mapping

from tfx_tflite.components.characters import escaped, first_command
from tfx_tflite.components.settings import Location

_MAX_BITS = 64
# Characters of a key in a message.
_SHOWN = 60
# What becomes JSON and never a line of anything, so that it may have several: a trainer's own
# settings, and variables of containers.
_MANY_LINES = (("model", "trainer", "custom_config"), ("kubeflow", "env"))
_LINES = "\n\t"


def impossible_values(document: object) -> Iterator[tuple[Location, str]]:
    """Yields what in a document can be no value of a config: where, and what is wrong with it.

    Args:
        document: Mappings, lists and values.
    """
    for location, node in nodes(document):
        if isinstance(node, Mapping):
            problems = (_key_problem(key, value) for key, value in node.items())
            yield from ((location, problem) for problem in problems if problem)
        elif problem := _value_problem(location, node):
            yield location, problem


def nodes(document: object) -> Iterator[tuple[Location, object]]:
    """Yields all mappings and values of a document, with where they are.

    Args:
        document: Mappings, lists and values.
    """
    pending = deque[tuple[Location, object]]([((), document)])
    while pending:
        location, node = pending.popleft()
        if isinstance(node, list | tuple):
            pending += [((*location, index), value) for index, value in enumerate(node)]
            continue
        yield location, node
        if isinstance(node, Mapping):
            pending += [((*location, key), value) for key, value in node.items()]


def _key_problem(key: object, value: object) -> str | None:
    if isinstance(key, int) and value is None:
        # {max_drop: 0,01} or {max_arena_bytes: 16,384}
        return (
            f"the comma before {key} begins a new key; write numbers without commas, such as 0.01 "
            "or 16384"
        )
    if not isinstance(key, str):
        return f"the key {escaped(str(key)[:_SHOWN])} is no text; put it in quotes"
    character = first_command(key)
    return character and f"the key {escaped(key[:_SHOWN])} holds the character {character}"


def _value_problem(location: Location, value: object) -> str | None:
    if isinstance(value, str):
        allowed = _LINES if any(location[: len(key)] == key for key in _MANY_LINES) else ""
        character = first_command(value, allowed)
        return character and f"holds the character {character}, which no text of a config has"
    if isinstance(value, float) and not math.isfinite(value):
        return f"expected a number, received {value}"
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        return "is a number of more than 64 bits"
    return None
