"""Errors that a user can act on: each is one or two lines that say what, where and what to do.

They cross process and Beam worker boundaries as text, so `user_error_in` finds them again in a
traceback that a runner has wrapped into an exception of its own.
"""

import re
from collections.abc import Iterator


class TfxTfliteError(Exception):
    """A failure that is explained to the user by its message alone, without a traceback."""


class ConfigError(TfxTfliteError, ValueError):
    """The config or the command line is wrong; nothing was run."""


class DataError(TfxTfliteError):
    """The examples cannot be used: empty, corrupt, or not what the model's signature needs."""


class ModelError(TfxTfliteError):
    """A model cannot be used: not there, without the signature named, damaged or made to harm."""


class ConversionError(TfxTfliteError):
    """TensorFlow Lite could not convert the model, or the result breaks the scheme's promise."""


class EvaluationError(TfxTfliteError):
    """Float and quantized model cannot be compared as configured."""


class PushError(TfxTfliteError):
    """The model was not pushed: not blessed, changed since, or the destination failed."""


class DestinationError(TfxTfliteError):
    """A destination of pushes, or a version at it, is not what it should be."""


class NotKnownError(TfxTfliteError):
    """A place could not be read, so it is not known what it holds; that is not "nothing".

    It is no DestinationError or DataError, so that who passes over a damaged thing does not pass
    over one that could not be looked at.
    """


class ArtifactError(TfxTfliteError):
    """The files of an artifact are not those that the stage that made it left there."""


class StoreError(TfxTfliteError):
    """The object store that artifacts are in refuses to keep something, or fails."""


class DocumentError(TfxTfliteError):
    """A file that an earlier stage or run wrote is damaged."""


class BusyError(TfxTfliteError):
    """Another process is at work where this one was to begin; nothing was run."""


class EngineError(TfxTfliteError):
    """An engine that does the stages' work, or its job server, cannot be reached or has failed."""


class MetadataError(TfxTfliteError):
    """The store of ML Metadata cannot be reached or refuses the login."""


# All that are above.
_ERRORS = {cls.__name__: cls for cls in TfxTfliteError.__subclasses__()}

# The last line of a traceback. Beam appends where in its graph the error was raised.
_TRACEBACK_LINE = re.compile(
    rf"^{re.escape(__name__)}\.(?P<name>\w+): (?P<message>.*(?:\n(?!Traceback|\s*$|During).*)?)",
    re.MULTILINE,
)
# The same of any exception.
_RAISED = re.compile(r"^([A-Za-z_][\w.]*(?:Error|Exception|Interrupt)): (.+)$", re.MULTILINE)
_BEAM_SUFFIX = re.compile(r"\s*\[while running .*", re.DOTALL)


def user_error_in(error: BaseException) -> TfxTfliteError | None:
    """Returns the first error meant for the user that caused `error`, or None.

    Args:
        error: Any exception; its causes, contexts and message text are searched.
    """
    for link in chain(error):
        if isinstance(link, TfxTfliteError):
            return type(link)(_BEAM_SUFFIX.sub("", str(link)))
    for link in chain(error):
        for match in _TRACEBACK_LINE.finditer(str(link)):
            if match["name"] in _ERRORS:
                return _ERRORS[match["name"]](_BEAM_SUFFIX.sub("", match["message"]).rstrip())
    return None


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yields an exception, and what caused it or what it was raised from."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def telling_line(message: str) -> str:
    """Returns the line of an exception's message that says most: TensorFlow's first is often none.

    Args:
        message: `str` of an exception, maybe with a traceback inside.
    """
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if not lines:
        return ""
    if not lines[0].endswith(":"):
        return lines[0]
    noise = ("File ", "Traceback", "*", "^", "[[{{node")
    telling = [line for line in lines if not line.startswith(noise)]
    return telling[-1] if telling else lines[-1]


def in_one_line(error: BaseException) -> str:
    """Returns an exception in one line: the innermost in a traceback that its message wraps.

    Args:
        error: Any exception; that of a Beam runner has the worker's traceback as its message.
    """
    text = str(error)
    raised = _RAISED.findall(text)
    if raised:
        kind, message = raised[-1]
        return f"{kind.rpartition('.')[2]}: {message.split(' [while running')[0]}"
    line = telling_line(text)
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def listed(names: object, limit: int = 8) -> str:
    """Returns names as a short comma-separated list for a message; 'none' if there are none.

    Args:
        names: An iterable of anything printable.
        limit: How many are spelled out before the rest is only counted.
    """
    items = [str(name) for name in names]  # type: ignore[attr-defined]
    shown = ", ".join(items[:limit]) or "none"
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"
