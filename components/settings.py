"""Settings: frozen typed values of configs and components, and what is said of a mistake in them.

The rooms define the settings whose values are theirs, with all defaults and bounds. A config is
composed of them, and a component has its part of them as JSON in one execution property. Nothing
here needs more than pydantic.
"""

import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from typing_extensions import Self

from tfx_tflite.components.errors import ConfigError, listed
from tfx_tflite.components.setting_hints import hint
from tfx_tflite.components.uris import holds_credentials, is_local, without_credentials

# The execution property that holds a component's settings.
PROPERTY = "settings"
# Errors whose message says all; to others what was received is added.
_SELF_EXPLAINED = frozenset(
    {
        *("elsewhere", "extra_forbidden", "missing", "too_short", "unexpected_keyword_argument"),
        "value_error",
    }
)
# A key that there is none of, among settings and among the fields of a dataclass.
_UNKNOWN = frozenset({"extra_forbidden", "unexpected_keyword_argument"})
_LONGEST_SHOWN = 60
_INDEX_DIGITS = 9

# Where something is in a document: keys and indices.
Location = tuple[str | int, ...]


class Settings(BaseModel):
    """The base of all settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def of(cls, *sections: BaseModel, **others: object) -> Self:
        """Returns the settings that sections of a config have, by the names of their fields.

        Args:
            *sections: Settings that have some of these among theirs; later ones win.
            **others: Values that no section has, or not as they are.
        """
        found = {
            name: getattr(section, name)
            for section in sections
            for name in cls.model_fields.keys() & type(section).model_fields.keys()
        }
        return cls.model_validate({**found, **others})

    @classmethod
    def given(cls, settings: Self | None, options: Mapping[str, object]) -> Self:
        """Returns what a component was given: its settings, or their fields as keyword arguments.

        Args:
            settings: The settings; None if there are only keyword arguments.
            options: The keyword arguments.

        Raises:
            ConfigError: Both were given, or a value is not possible.
        """
        if settings is None:
            return cls._checked(options)
        if options:
            raise ConfigError(f"give settings or {listed(options)}, not both")
        return settings

    @classmethod
    def from_property(cls, exec_properties: Mapping[str, object]) -> Self:
        """Returns the settings that a component's execution properties hold.

        Raises:
            ConfigError: They are not there, or a value is not possible.
        """
        if PROPERTY not in exec_properties:
            raise ConfigError(
                f"there is no execution property {PROPERTY!r}, but {listed(exec_properties)}; "
                "compile the pipeline anew with the version that runs it"
            )
        return cls._checked(str(exec_properties[PROPERTY]))

    @classmethod
    def _checked(cls, values: Mapping[str, object] | str) -> Self:
        try:
            if isinstance(values, str):
                return cls.model_validate_json(values)
            return cls.model_validate(dict(values))
        except ValidationError as error:
            document = json.loads(values) if isinstance(values, str) else values
            raise ConfigError(cls._explained(document, error)) from error

    @classmethod
    def _explained(cls, document: object, error: ValidationError) -> str:
        """Returns what is wrong with each value of a document."""
        found = mistakes(document, error, lambda section: () if section else list(cls.model_fields))
        return "; ".join(
            ": ".join(filter(None, [".".join(map(str, location)), message]))
            for location, message in found.items()
        )

    def to_property(self) -> str:
        """Returns the settings as an execution property holds them."""
        return self.model_dump_json()


def problem(key: str, text: str) -> PydanticCustomError:
    """Returns an error about another key than the one whose validator finds it.

    Args:
        key: The key, dotted from the top of the config.
        text: What is wrong with it.
    """
    return PydanticCustomError("elsewhere", "{problem}", {"key": key, "problem": text})


def mistakes(
    document: object,
    error: ValidationError,
    known_in: Callable[[Location], Sequence[str]],
    is_secret: Callable[[Location], bool] = lambda location: False,
) -> dict[Location, str]:
    """Returns what is wrong in a document, by place, with what was received there.

    Args:
        document: Keys and values, as they were given.
        error: What pydantic found.
        known_in: Returns the keys that a section may have, by its place.
        is_secret: Whether what was received at a place must not be repeated.
    """
    messages: dict[Location, list[str]] = {}
    values: dict[Location, str] = {}
    misspelt = set(_misspelt(document, error, known_in))
    places = [location_in(document, entry) for entry in error.errors()]
    for entry, location in zip(error.errors(), places, strict=True):
        if entry["type"] == "missing" and location in misspelt:
            # It is there, by another name, which is said already.
            continue
        if entry["type"] == "too_short" and any(_is_below(place, location) for place in places):
            # There are entries, but wrong ones.
            continue
        messages.setdefault(location, []).append(_mistake(entry, known_in(location[:-1])))
        if not is_secret(location):
            values[location] = values.get(location, "") or _received(entry, known_in(location))
    return {
        location: " or ".join(dict.fromkeys(found)) + values.get(location, "")
        for location, found in messages.items()
    }


def _is_below(place: Location, section: Location) -> bool:
    return place != section and place[: len(section)] == section


def _misspelt(
    document: object, error: ValidationError, known_in: Callable[[Location], Sequence[str]]
) -> Iterator[Location]:
    """Yields where keys were to be that have another name which is nearly theirs."""
    for entry in error.errors():
        if entry["type"] in _UNKNOWN:
            *section, name = location_in(document, entry)
            meant = suggestion(name, known_in(tuple(section)))
            if meant is not None:
                yield (*section, meant)


def suggestion(name: str | int, known: Sequence[str]) -> str | None:
    """Returns the key that another one is likely a misspelling of, None if it is of none."""
    return next(iter(difflib.get_close_matches(str(name), known, n=1)), None)


def _mistake(entry: ErrorDetails, known: Sequence[str]) -> str:
    """Returns what is wrong with a value.

    Args:
        entry: What pydantic says.
        known: The keys that may stand where an unknown one does.
    """
    kind = entry["type"]
    if kind in _UNKNOWN:
        meant = suggestion(entry["loc"][-1], known)
        if meant is not None:
            return f"unknown key; did you mean {meant!r}?"
        return f"unknown key; expected one of: {listed(known, 20)}" if known else "unknown key"
    if kind == "missing":
        return "this key is needed, see docs/config.md"
    if kind == "too_short":
        return "expected at least one entry"
    if kind in ("tuple_type", "list_type"):
        return "expected a list"
    if kind in ("model_type", "dict_type", "model_attributes_type", "dataclass_type"):
        if entry["input"] is None:
            return "is empty; give it keys, or leave it out"
        return "expected keys of its own"
    if kind == "string_pattern_mismatch":
        return f"expected text of the form {entry.get('ctx', {}).get('pattern')}"
    message = entry["msg"].removeprefix("Value error, ")
    if kind in ("value_error", "elsewhere"):
        return message
    return message.replace("Input should be", "expected").rstrip(".")


def location_in(document: object, entry: ErrorDetails) -> Location:
    """Returns where in a document a mistake is.

    Args:
        document: Keys and values, as they were given.
        entry: What pydantic says; not all steps to its place are keys, some are union members.
    """
    if entry["type"] == "elsewhere":
        return parts_of(entry["ctx"]["key"])
    location = entry["loc"]
    path: list[str | int] = []
    node = document
    for index, part in enumerate(location):
        if part == "[key]":
            # Not the value, but what it is called.
            continue
        children = children_of(node)
        last = index == len(location) - 1
        if part in children or (last and isinstance(node, Mapping)):
            path.append(part)
        node = children.get(part, node)
    return tuple(path)


def parts_of(key: str) -> Location:
    """Returns the parts of a dotted key, as numbers what are indices."""
    parts = key.split(".")
    indices = map(index_in, parts)
    return tuple(
        part if index is None else index for part, index in zip(parts, indices, strict=True)
    )


def index_in(part: str) -> int | None:
    """Returns the index that a part of a key is; None if it is none.

    Python refuses to read a number of thousands of digits, and no list is that long.
    """
    return int(part) if part.isdecimal() and len(part) <= _INDEX_DIGITS else None


def children_of(node: object) -> Mapping[str | int, object]:
    """Returns what a part of a document holds, by key or index."""
    if isinstance(node, list):
        return dict(enumerate(node))
    return node if isinstance(node, Mapping) else {}


def _received(entry: ErrorDetails, known: Sequence[str]) -> str:
    """Returns what was given, to be added to a message; nothing if that says all.

    Args:
        entry: What pydantic says.
        known: The keys that a section at this place may have.
    """
    if entry["type"] in _SELF_EXPLAINED:
        return ""
    value = entry["input"]
    if value is None and entry["type"] in ("model_type", "dict_type", "model_attributes_type"):
        return ""
    text = str(value) if isinstance(value, date) else repr(value)
    if holds_credentials(text):
        return ""
    if isinstance(value, Mapping | list):
        text = "a mapping" if isinstance(value, Mapping) else "a list"
    shown = text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "…"
    keys = f"its keys are {listed(known, 20)}" if entry["type"] == "model_type" and known else ""
    return "; ".join(filter(None, (f", received {shown}", hint(entry), keys)))


def absolute(path: str, info: ValidationInfo) -> str:
    """Returns a path made absolute against `base` of the validation context; URIs as they are.

    Raises:
        ValueError: There is no such user, a loop of links, or a URI with credentials.
    """
    if not is_local(path):
        return without_credentials(path)
    base = (info.context or {}).get("base", Path.cwd())
    try:
        return str((Path(base) / Path(path).expanduser()).resolve())
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{path!r} is not a path: {error}") from error


def _local(path: str) -> str:
    if not is_local(path):
        raise ValueError("expected a path on this machine")
    return path


AnyPath = Annotated[str, Field(min_length=1), AfterValidator(absolute)]
LocalPath = Annotated[AnyPath, AfterValidator(_local)]
# Not "200" or true.
Count = Annotated[int, Field(strict=True, ge=1, le=10**9)]
