"""Spans and versions of rolling data, as TFX's ExampleGen reads them off file patterns.

A pattern has `{SPAN}` (with a width: `{SPAN:3}`) or `{YYYY}`, `{MM}` and `{DD}`, and maybe
`{VERSION}`. ExampleGen takes the newest span and its newest version, which must be the same for all
splits. This module does the same without TensorFlow, so that whether there is anything new can be
said in a moment, and finds the spans before the newest, which ExampleGen cannot.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from tfx_tflite.components.errors import ConfigError, DataError, listed
from tfx_tflite.components.presence import not_known

# The paths, below a directory, of the files that match a pattern there.
Lister = Callable[[str, str], Iterable[str]]

_SPEC = re.compile(r"\{(?P<name>SPAN|VERSION|YYYY|MM|DD)(?::(?P<width>[^}]*))?\}")
_DATE = ("YYYY", "MM", "DD")
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, order=True)
class Span:
    """One delivery of data.

    Attributes:
        number: The span; of dates, the days since 1970-01-01.
        version: Which delivery of it; None if patterns have no `{VERSION}`.
    """

    number: int
    version: int | None = None

    def __str__(self) -> str:
        """Returns it as messages name it."""
        version = "" if self.version is None else f", version {self.version}"
        return f"span {self.number}{version}"


class NoSpanError(DataError):
    """No file matches a pattern, with whatever span."""


@dataclass(frozen=True)
class SpanPattern:
    """A file pattern with placeholders.

    Attributes:
        text: The pattern, relative to where the data are.
    """

    text: str

    @classmethod
    def parse(cls, text: str) -> "SpanPattern":
        """Returns the pattern of a text.

        Raises:
            ConfigError: ExampleGen would not take its placeholders.
        """
        widths = {match["name"]: match["width"] for match in _SPEC.finditer(text)}
        names = [match["name"] for match in _SPEC.finditer(text)]
        twice = [name for name in widths if names.count(name) > 1]
        if twice:
            raise ConfigError(f"{{{twice[0]}}} is there twice in {text!r}, expected once")
        dates = [name for name in _DATE if name in widths]
        if dates and "SPAN" in widths:
            raise ConfigError(f"{text!r} has {{SPAN}} and a date, expected one of them")
        if dates and len(dates) < len(_DATE):
            raise ConfigError(
                f"{text!r} has a part of a date, expected {{YYYY}}, {{MM}} and {{DD}}"
            )
        if "VERSION" in widths and not dates and "SPAN" not in widths:
            raise ConfigError(f"{text!r} has {{VERSION}}, but neither {{SPAN}} nor a date")
        for name, width in widths.items():
            allowed = width is None or (name not in _DATE and width.isdecimal() and int(width) > 0)
            if not allowed:
                raise ConfigError(
                    f"{{{name}:{width}}} in {text!r}: expected a width like {{SPAN:3}}, "
                    "and none for dates"
                )
        return cls(text)

    @property
    def kind(self) -> frozenset[str]:
        """The names of its placeholders; none for a plain pattern."""
        return frozenset(match["name"] for match in _SPEC.finditer(self.text))

    def glob(self) -> str:
        """Returns the pattern that every span's files match."""
        # Several stars in a row are as one to TensorFlow, and an error to pathlib.
        return re.sub(r"\*+", "*", _SPEC.sub("*", self.text))

    def filled(self, span: Span) -> str:
        """Returns the pattern of one span's files, as ExampleGen fills it.

        Raises:
            DataError: A number has more digits than the placeholder's width.
        """
        day = _EPOCH + timedelta(days=span.number) if "DD" in self.kind else _EPOCH
        values = {
            "SPAN": str(span.number),
            "VERSION": str(span.version),
            "YYYY": f"{day.year:04}",
            "MM": f"{day.month:02}",
            "DD": f"{day.day:02}",
        }

        def fill(match: re.Match[str]) -> str:
            value = values[match["name"]]
            width = int(match["width"] or 0)
            if width and len(value) > width:
                raise DataError(
                    f"{match['name']} {value} has more digits than {match[0]} in {self.text!r}"
                )
            return value.zfill(width)

        return _SPEC.sub(fill, self.text)

    def span_of(self, path: str) -> Span:
        """Returns the span of a file.

        Args:
            path: Relative to where the data are.

        Raises:
            DataError: A number is none, or is not written as ExampleGen would write it.
        """
        match = re.match(self._regex(), path)
        groups = match.groupdict() if match else {}
        try:
            if "YYYY" in groups:
                year, month, day = (int(groups[name]) for name in _DATE)
                number = (date(year, month, day) - _EPOCH).days
            else:
                number = int(groups["SPAN"])
            version = int(groups["VERSION"]) if "VERSION" in groups else None
        except (KeyError, ValueError) as error:
            raise DataError(
                f"{path} matches {self.text!r}, but there is no number or date in the place of a "
                "placeholder; move it away, or make the pattern narrower"
            ) from error
        span = Span(number, version)
        written = {name: groups[name] for name in ("SPAN", "VERSION") if name in groups}
        for name, text in written.items():
            width = dict(_SPEC.findall(self.text))[name]
            value = str(number if name == "SPAN" else version)
            if text != value.zfill(int(width or 0)):
                raise DataError(
                    f"{path}: ExampleGen would look for {value!r} where there is {text!r}; write "
                    f"{{{name}:{len(text)}}} in {self.text!r}"
                )
        return span

    def _regex(self) -> str:
        """Returns a regular expression with a group for each placeholder."""
        parts, end = [], 0
        for match in _SPEC.finditer(self.text):
            width = {"YYYY": "4", "MM": "2", "DD": "2"}.get(match["name"], match["width"])
            parts += [_regex_of_glob(self.text[end : match.start()])]
            parts += [f"(?P<{match['name']}>.{{{width}}})" if width else f"(?P<{match['name']}>.*)"]
            end = match.end()
        return "".join([*parts, _regex_of_glob(self.text[end:])])


@dataclass(frozen=True)
class RollingSplits:
    """The patterns of all splits, and how far back they go.

    Attributes:
        input_base: Where the data are.
        patterns: Split name to pattern.
        rolled: The splits of which the `spans` newest are taken; of the others, the newest.
        spans: How many.
    """

    input_base: str
    patterns: Mapping[str, SpanPattern]
    rolled: frozenset[str]
    spans: int = 1

    @classmethod
    def parse(
        cls,
        input_base: str,
        patterns: Mapping[str, str],
        rolled: Iterable[str] = (),
        spans: int = 1,
    ) -> "RollingSplits":
        """Returns the splits of texts.

        Raises:
            ConfigError: A pattern is not one, or they differ in their placeholders.
        """
        parsed = {split: SpanPattern.parse(text) for split, text in patterns.items()}
        first = next(iter(parsed.values()))
        for split, pattern in parsed.items():
            if pattern.kind != first.kind:
                raise ConfigError(
                    f"split {split!r} has other placeholders ({pattern.text!r}) than "
                    f"{first.text!r}, expected the same in all splits"
                )
        return cls(input_base, parsed, frozenset(rolled), spans)

    @property
    def is_rolling(self) -> bool:
        """Whether there are placeholders at all."""
        return any(pattern.kind for pattern in self.patterns.values())

    def newest(self, glob: Lister) -> tuple[Span, ...]:
        """Returns the spans that are taken, the newest first.

        The newest span and its newest version must be the same in all splits, as ExampleGen has it.
        Of those before, the ones that all splits have are taken, in the newest version that all
        have, and gaps in the numbers are passed over.

        Args:
            glob: Lists files.

        Raises:
            NoSpanError: A split has no span.
            DataError: Splits disagree about the newest, or a number cannot be read.
        """
        found = {split: self._spans(pattern, glob) for split, pattern in self.patterns.items()}
        heads = {split: max(spans, key=_age) for split, spans in found.items()}
        head = next(iter(heads.values()))
        if any(other != head for other in heads.values()):
            text = listed(f"{span} in {split!r}" for split, span in heads.items())
            raise DataError(
                f"the newest span is not the same in all splits: {text} (below {self.input_base}); "
                "is a delivery under way?"
            )
        common = frozenset.intersection(*found.values())
        newest = {
            span.number: span for span in sorted(common, key=_age) if span.number < head.number
        }
        earlier = sorted(newest.values(), key=_age, reverse=True)
        return (head, *earlier[: self.spans - 1])

    def filled(self, spans: Iterable[Span]) -> dict[str, tuple[str, ...]]:
        """Returns the patterns of the files to take, by split.

        Args:
            spans: As `newest` returns them.
        """
        head, *earlier = spans
        return {
            split: tuple(
                pattern.filled(span)
                for span in ((head, *earlier) if split in self.rolled else (head,))
            )
            for split, pattern in self.patterns.items()
        }

    def _spans(self, pattern: SpanPattern, glob: Lister) -> frozenset[Span]:
        paths = list(glob(self.input_base, pattern.glob()))
        if not paths:
            raise NoSpanError(f"no span matches {self.input_base}/{pattern.text}")
        return frozenset(pattern.span_of(path) for path in paths)


def local_glob(directory: str, pattern: str) -> list[str]:
    """Returns the files on this machine that match a pattern, relative to the directory.

    Hidden files match too, as they do for TensorFlow's file system, which TFX lists with, and two
    stars are as one.

    Raises:
        NotKnownError: A folder that may hold some cannot be read; to pathlib and TensorFlow such a
            one is empty.
        ValueError: The pattern is empty or not relative.
    """
    if not pattern or pattern.startswith("/"):
        raise ValueError("expected a pattern that is not empty and does not start with /")
    parts = ["*" if part == "**" else part for part in pattern.strip("/").split("/")]
    if any("**" in part for part in parts):
        raise ValueError("'**' must be a whole part of the path, as in a/**/b")
    base = Path(directory)
    return sorted(path.relative_to(base).as_posix() for path in _matches(base, parts))


def _matches(directory: Path, parts: Sequence[str]) -> Iterator[Path]:
    """Yields what matches the parts of a pattern below a directory."""
    if not parts:
        yield directory
        return
    first, *rest = parts
    for name in _names(directory, first):
        yield from _matches(directory / name, rest)


def _names(directory: Path, part: str) -> list[str]:
    try:
        if not re.search(r"[*?[]", part):
            (directory / part).stat()
            return [part]
        return [entry.name for entry in directory.iterdir() if fnmatchcase(entry.name, part)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise not_known(str(directory), "list", error.strerror or str(error)) from error


def _age(span: Span) -> tuple[int, int]:
    return span.number, -1 if span.version is None else span.version


def _regex_of_glob(text: str) -> str:
    escaped = re.escape(text)
    return escaped.replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
