"""YAML as configs are written in it: what a person would write, and bounded in every direction.

A document is looked at event by event before anything is built of it, so that neither thousands of
levels nor aliases of aliases of aliases cost more than a line that refuses them.
"""

import io
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    NodeEvent,
    ScalarEvent,
)

from tfx_tflite.components.characters import escaped
from tfx_tflite.components.errors import ConfigError

# No config that somebody wrote is near these.
MAX_LEVELS = 50
MAX_VALUES = 100_000
_MAX_BYTES = 1 << 20
# Characters of a name or a tag in a message.
_SHOWN = 60
_TAGS = {None, *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "timestamp"))}


class NotYAMLError(ConfigError):
    """A text is not YAML."""


def bytes_of(path: Path) -> bytes:
    """Returns what is in a config file.

    Raises:
        ConfigError: It is not a regular file, cannot be read or is too large.
    """
    shown = escaped(str(path))
    try:
        # A pipe would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigError(f"{shown}: not a regular file")
            data = file.read(_MAX_BYTES + 1)
    except ConfigError:
        raise
    except OSError as error:
        raise ConfigError(f"{shown}: {error.strerror}") from error
    except ValueError as error:
        # A path with a NUL in it.
        raise ConfigError(f"{shown}: {error}") from error
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{shown}: has more than {_MAX_BYTES:,} bytes, which no config has")
    return data


def text_of(data: bytes, place: str) -> str:
    """Returns the text that a config file's bytes are, without a mark of byte order.

    Raises:
        ConfigError: They are not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{place}: not a text file in UTF-8") from error


def parsed(text: str, place: str) -> object:
    """Returns what a text in YAML stands for.

    Args:
        text: The text.
        place: Where it is, for messages: a file, or an option.

    Raises:
        NotYAMLError: It is not YAML.
        ConfigError: It is none that a config is written in.
    """
    try:
        _check_events(text, place)
        document: object = YAML(typ="rt").load(text)
    except ConfigError:
        raise
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        # Values of a key that is there twice are left out, as they may be secrets.
        problem = str(error.problem).partition(" with value")[0]
        raise NotYAMLError(f"{place}:{line}: not YAML: {problem}{_hint(error)}") from error
    except YAMLError as error:
        raise NotYAMLError(f"{place}: not YAML: {str(error).splitlines()[0]}") from error
    except (ValueError, OverflowError, ArithmeticError) as error:
        # A date that is none is the one, and a number that is none.
        raise NotYAMLError(f"{place}: not YAML: {error}") from error
    except TypeError as error:
        # What can be no key of a dict.
        raise NotYAMLError(f"{place}: a key is a mapping or a list, expected text") from error
    return document


# What to do about what YAML's parser says, by a part of that.
_HINTS = {
    # What begins with * is an alias in YAML, which a cron expression is not meant to be.
    "scanning an alias": "quote text that begins with *",
    r"'\t'": "indent with spaces, YAML takes no tabs",
    "duplicate key": "keep one of the two",
    "expected '<document start>'": "a key is followed by a colon and a space",
    "could not find expected ':'": "a key is followed by a colon and a space",
    "mapping values are not allowed here": "quote text with a colon in it, write a space after "
    "the colon of a key, and indent keys of one section alike",
    "expected <block end>": "indent the keys of one section alike",
    "'%'": "quote text that begins with %",
    "'@'": "quote text that begins with @",
    "'`'": "quote text that begins with `",
}


def _hint(error: MarkedYAMLError) -> str:
    said = f"{error.context} {error.problem}"
    return next((f"; {hint}" for part, hint in _HINTS.items() if part in said), "")


@dataclass
class _Size:
    """How much a document holds, if every alias is written out.

    Attributes:
        open: The anchors of what has begun and not ended, and how many values it has so far.
        named: How many values an anchor stands for.
    """

    open: list[tuple[str | None, int]] = field(default_factory=lambda: [(None, 0)])
    named: dict[str, int] = field(default_factory=dict)

    @property
    def levels(self) -> int:
        return len(self.open) - 1

    def add(self, values: int) -> None:
        anchor, before = self.open[-1]
        self.open[-1] = (anchor, before + values)

    def begin(self, anchor: str | None) -> None:
        # Not known before its end: an alias to what it stands in has none.
        self.named.pop(str(anchor), None)
        self.open.append((anchor, 1))

    def end(self) -> None:
        anchor, values = self.open.pop()
        if anchor is not None:
            self.named[anchor] = values
        self.add(values)


def _check_events(text: str, place: str) -> None:
    """Checks a document's depth, size and tags.

    Raises:
        ConfigError: No config has them.
        YAMLError: It is not YAML.
    """
    size = _Size()
    for event in YAML(typ="rt").parse(io.StringIO(text)):
        where = f"{place}:{event.start_mark.line + 1}"
        if isinstance(event, NodeEvent):
            _check_tag(event, where)
        if isinstance(event, AliasEvent):
            if event.anchor not in size.named:
                raise ConfigError(
                    f"{where}: *{escaped(event.anchor[:_SHOWN])} names nothing before it"
                )
            size.add(size.named[event.anchor])
        elif isinstance(event, ScalarEvent):
            size.add(1)
            if event.anchor is not None:
                size.named[event.anchor] = 1
        elif isinstance(event, CollectionStartEvent):
            size.begin(event.anchor)
        elif isinstance(event, CollectionEndEvent):
            size.end()
        if size.levels > MAX_LEVELS:
            raise ConfigError(f"{where}: more than {MAX_LEVELS} levels, which no config has")
        if any(values > MAX_VALUES for _, values in size.open):
            raise ConfigError(f"{where}: more than {MAX_VALUES:,} values, which no config has")


def _check_tag(event: NodeEvent, where: str) -> None:
    tag = getattr(event, "tag", None)
    if tag not in _TAGS:
        shown = escaped(str(tag)[:_SHOWN])
        raise ConfigError(f"{where}: the tag {shown} has no place in a config")
