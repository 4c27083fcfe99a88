"""Reading a config file, with errors that name the file, the line and the key."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from tfx_tflite.components.characters import escaped, first_command
from tfx_tflite.components.digests import bytes_digest
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.components.report.document import Provenance
from tfx_tflite.components.settings import (
    Location,
    children_of,
    index_in,
    mistakes,
    parts_of,
)
from tfx_tflite.components.uris import holds_credentials
from tfx_tflite.pipelines.checks.mistake import Mistake, error_of
from tfx_tflite.pipelines.config import yaml_text
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.plain_values import impossible_values
from tfx_tflite.pipelines.config.repairs import repaired
from tfx_tflite.pipelines.config.secrets import holds_secret

_Container = CommentedMap | CommentedSeq

# Somebody may have written a password there, which must not be repeated.
_SECRET = (("metadata",), ("kubeflow", "env"), ("kubeflow", "secrets"))
# Characters of an option in a message.
_LONGEST_SHOWN = 60


@dataclass(frozen=True)
class Reading:
    """What is made of a config file.

    Attributes:
        config: The config; what stands for a section that is wrong is made up. None if it cannot be
            told what is meant.
        mistakes: What is wrong with it.
        wrong_sections: The keys at the top whose sections are made up.
    """

    config: PipelineConfig | None
    mistakes: tuple[Mistake, ...] = ()
    wrong_sections: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ConfigFile:
    """A YAML file with a config in it, and what the command line replaces of it.

    Attributes:
        path: The file; paths in it are relative to its directory.
        data: What is in it.
        document: The same as keys and values, with what the command line replaces.
        overrides: `key=value` pairs of the command line.
        set_keys: Their keys.
    """

    path: Path
    data: bytes
    document: CommentedMap
    overrides: tuple[str, ...]
    set_keys: frozenset[Location]

    @classmethod
    def read(cls, path: str | Path, overrides: Sequence[str] = ()) -> "ConfigFile":
        """Returns what is in a file.

        Args:
            path: The file.
            overrides: `key=value` pairs that replace or add values: the key dotted, with a number
                for a list's entry (`gate.rules.0.max_drop`), the value in YAML.

        Raises:
            ConfigError: It cannot be read, is not YAML, or holds what no config does.
        """
        data = yaml_text.bytes_of(Path(path))
        shown = _in_a_line(path)
        document = _document(yaml_text.text_of(data, shown), shown)
        overridden = _set_keys([_override(document, override) for override in overrides])
        found = cls(Path(path), data, document, tuple(overrides), frozenset(overridden))
        _check_values(found)
        return found

    def config(self) -> PipelineConfig:
        """Returns the config.

        Raises:
            ConfigError: It is wrong; one line for each mistake.
        """
        reading = self.reading()
        if reading.mistakes or reading.config is None:
            raise error_of(reading.mistakes, self.place)
        return reading.config

    def reading(self) -> Reading:
        """Returns the config with all that is wrong with it.

        A key that is nearly another one is taken for that, and a section that is wrong is made up,
        so that the rest can be looked at all the same.
        """
        document, found = self.document, dict[Location, str]()
        wrong = set[str]()
        for _ in PipelineConfig.model_fields:
            try:
                config = self._validated(document)
            except ValidationError as error:
                # What follows from what was made up is no mistake.
                if not wrong:
                    found |= mistakes(document, error, _known_keys, _is_secret)
                document = repaired(document, error, _known_keys, wrong)
            else:
                told = tuple(Mistake(_dotted(key), text) for key, text in found.items())
                return Reading(config, told, frozenset(wrong))
        return Reading(None, tuple(Mistake(_dotted(key), text) for key, text in found.items()))

    def _validated(self, document: CommentedMap) -> PipelineConfig:
        base = self.path.resolve().parent
        config = PipelineConfig.model_validate(document, context={"base": base})
        config.came_from(
            Provenance(
                pipeline=config.name,
                config=str(self.path),
                config_digest=bytes_digest(self.data),
                overrides=tuple(map(without_secret, self.overrides)),
            )
        )
        return config

    def place(self, key: str) -> str:
        """Returns where a key was given: `FILE:LINE`, or `--set`."""
        location = parts_of(key) if key else ()
        if any(location[: len(given)] == given for given in self.set_keys):
            return "--set"
        number = self.line(key)
        shown = _in_a_line(self.path)
        return f"{shown}:{number}" if number else shown

    def line(self, key: str) -> int | None:
        """Returns the line, from 1, of a key or of the innermost section of it that is there."""
        return _line_number(self.document, parts_of(key) if key else ())


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Returns the config in a YAML file.

    Args:
        path: The file; paths in it are relative to its directory.
        overrides: `key=value` pairs that replace or add values, as of `ConfigFile.read`.

    Raises:
        ConfigError: The file cannot be read or the config is wrong; one line for each mistake.
    """
    return ConfigFile.read(path, overrides).config()


def _in_a_line(path: str | Path) -> str:
    """Returns a path as messages repeat it, which are a line each."""
    return escaped(str(path))


def _dotted(location: Location) -> str:
    return ".".join(map(str, location))


def _document(text: str, path: str | Path) -> CommentedMap:
    document = yaml_text.parsed(text, str(path))
    if not isinstance(document, CommentedMap):
        raise ConfigError(f"{path}: expected a mapping of keys, see docs/config.md")
    return document


def _check_values(file: ConfigFile) -> None:
    """Checks that what a document holds can be in a config at all.

    Raises:
        ConfigError: It cannot; one line for each mistake.
    """
    found = [
        Mistake(_dotted(location), problem)
        for location, problem in impossible_values(file.document)
    ]
    if found:
        raise error_of(found, file.place)


def _override(document: CommentedMap, text: str) -> tuple[str, ...]:
    """Applies one `key=value` and returns the key's path."""
    key, equals, value = text.partition("=")
    parts = key.split(".")
    if not key or not equals:
        shown = "" if holds_credentials(text) else f" '{_shown(text)}'"
        raise ConfigError(f"--set{shown}: expected key=value")
    if character := first_command(key):
        raise ConfigError(f"--set {_shown(key)}: no key holds the character {character}")
    if len(parts) > yaml_text.MAX_LEVELS:
        raise ConfigError(f"--set {_shown(key)}: no key has more than {yaml_text.MAX_LEVELS} parts")
    try:
        parsed = yaml_text.parsed(value, f"--set {_shown(key)}")
    except yaml_text.NotYAMLError as error:
        raise ConfigError(f"--set {_shown(key)}: the value is not YAML") from error
    *parents, last = parts
    node: _Container = document
    for part in parents:
        node = _descend(node, part, key)
    if isinstance(node, CommentedSeq):
        node[_index(node, last, key)] = parsed
    else:
        node[last] = parsed
    return tuple(parts)


def _descend(node: _Container, part: str, key: str) -> _Container:
    if isinstance(node, CommentedSeq):
        child = node[_index(node, part, key)]
    else:
        if node.get(part) is None:
            node[part] = CommentedMap()
        child = node[part]
    if not isinstance(child, _Container):
        raise ConfigError(f"--set {_shown(key)}: '{_shown(part)}' has a value, not keys of its own")
    return child


def _index(node: CommentedSeq, part: str, key: str) -> int:
    index = index_in(part)
    if index is None or index >= len(node):
        raise ConfigError(
            f"--set {_shown(key)}: '{_shown(part)}' is not an entry of a list of {len(node)}"
        )
    return index


def _shown(text: str) -> str:
    """Returns a part of a command line as a message repeats it."""
    return escaped(text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…")


def _set_keys(overridden: Iterable[tuple[str, ...]]) -> set[Location]:
    return {parts_of(".".join(key)) for key in overridden}


def _is_secret(location: Location) -> bool:
    return any(location[: len(key)] == key for key in _SECRET)


def without_secret(override: str) -> str:
    """Returns a `key=value` as it may be shown, without a value that may hold a secret."""
    key, _, value = override.partition("=")
    if holds_secret(key, yaml_text.parsed(value, "--set")):
        return f"{key}=…"
    holds = any(secret[: len(parts_of(key))] == parts_of(key) for secret in _SECRET)
    return f"{key}=…" if holds or _is_secret(parts_of(key)) else override


def _line_number(document: CommentedMap, location: Sequence[str | int]) -> int | None:
    """Returns the line, from 1, of the innermost part of a location that is in the file."""
    number = None
    node: object = document
    for part in location:
        children = children_of(node)
        if part not in children or not isinstance(node, _Container):
            break
        marks = node.lc.data or {}
        if part in marks:
            number = marks[part][0] + 1
        node = children[part]
    return number


def _known_keys(location: Sequence[str | int]) -> list[str]:
    """Returns the keys that the section at a location may have."""
    fields = _fields_of([PipelineConfig])
    parts = iter(location)
    for part in parts:
        if isinstance(part, int):
            continue
        annotation = fields[part].annotation if part in fields else None
        fields = _fields_of(_models_in(annotation))
        if get_origin(annotation) is dict:
            # What the user calls a section is no key of ours.
            next(parts, None)
    return list(fields)


def _fields_of(models: Iterable[type[BaseModel]]) -> dict[str, FieldInfo]:
    """Returns the fields by key of a section that may be of several kinds, such as a rule."""
    return {
        field.alias or name: field for model in models for name, field in model.model_fields.items()
    }


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    arguments = getattr(annotation, "__args__", ())
    return [model for argument in arguments for model in _models_in(argument)]
