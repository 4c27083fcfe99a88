"""What a check finds: which key of the config is wrong, why, and what to do about it."""

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tfx_tflite.components.characters import escaped
from tfx_tflite.components.errors import ConfigError, TfxTfliteError, listed

# Lines of a message.
_MOST_SHOWN = 20


@dataclass(frozen=True)
class Mistake:
    """Something that a run of a config would fail for, or that is likely not meant.

    Attributes:
        key: The key, dotted from the top of the config.
        problem: What is wrong, and what to do.
        error: What it is raised as.
        is_warning: Whether a run can go on all the same.
    """

    key: str
    problem: str
    error: type[TfxTfliteError] = ConfigError
    is_warning: bool = False


def error_of(
    mistakes: Sequence[Mistake], place: Callable[[str], str] = lambda key: ""
) -> TfxTfliteError:
    """Returns the error that says all mistakes, a line each.

    A config that is wrong is fixed by its author, damaged data may be right tomorrow: of both, the
    error is that of a config.

    Args:
        mistakes: At least one.
        place: Returns the file and line of a key, for instance `c.yaml:3`.
    """
    lines = [line_of(mistake, place) for mistake in mistakes]
    kinds = [mistake.error for mistake in mistakes]
    kind = ConfigError if ConfigError in kinds else kinds[0]
    if len(lines) > _MOST_SHOWN:
        lines[_MOST_SHOWN:] = [f"and {len(lines) - _MOST_SHOWN} more"]
    return kind("\n".join(lines))


def line_of(mistake: Mistake, place: Callable[[str], str] = lambda key: "") -> str:
    """Returns a mistake in a line: where, which key, what is wrong."""
    return escaped(": ".join(filter(None, (place(mistake.key), mistake.key, mistake.problem))))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns a hint for a name that is not known: the one that it is close to, or all there are.

    Args:
        name: What was given.
        known: What could have been given.
    """
    names = sorted(known)
    folded = {known_name.lower(): known_name for known_name in names}
    close = difflib.get_close_matches(name.lower(), folded, n=1)
    return f"did you mean {folded[close[0]]!r}?" if close else f"there are: {listed(names)}"


def is_close(name: str, known: Iterable[str]) -> bool:
    """Returns whether a name is close to another, so that it is likely a misspelling."""
    return bool(difflib.get_close_matches(name.lower(), [other.lower() for other in known], n=1))
