"""Reading a config file, with errors that name the file, the line and the key."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tfx_tflite.components.digests import file_digest
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.components.report.document import Provenance
from tfx_tflite.components.settings import Location, children_of, mistakes, parts_of
from tfx_tflite.pipelines.config.config import PipelineConfig

_Container = CommentedMap | CommentedSeq

# Somebody may have written a password there, which must not be repeated.
_SECRET = (("metadata",), ("kubeflow", "env"), ("kubeflow", "secrets"))


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Returns the config in a YAML file.

    Args:
        path: The file; paths in it are relative to its directory.
        overrides: `key=value` pairs that replace or add values: the key dotted, with a number for
            a list's entry (`gate.rules.0.max_drop`), the value in YAML.

    Raises:
        ConfigError: The file cannot be read or the config is wrong; one line for each mistake.
    """
    document = _read(Path(path))
    overridden = [_override(document, text) for text in overrides]
    try:
        config = PipelineConfig.model_validate(
            document, context={"base": Path(path).resolve().parent}
        )
    except ValidationError as error:
        raise ConfigError(_explain(Path(path), document, overridden, error)) from error
    config.came_from(
        Provenance(
            pipeline=config.name,
            config=str(path),
            config_digest=file_digest(path),
            overrides=tuple(map(without_secret, overrides)),
        )
    )
    return config


def _read(path: Path) -> CommentedMap:
    try:
        document = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a text file in UTF-8") from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: not YAML: {error.problem}{_hint(error)}") from error
    except (YAMLError, ValueError) as error:
        # A date that is none is the one, and a number that is none.
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if not isinstance(document, CommentedMap):
        raise ConfigError(f"{path}: expected a mapping of keys, see docs/config.md")
    return document


def _hint(error: MarkedYAMLError) -> str:
    # What begins with * is an alias in YAML, which a cron expression is not meant to be.
    return "; quote text that begins with *" if "scanning an alias" in str(error.context) else ""


def _override(document: CommentedMap, text: str) -> tuple[str, ...]:
    """Applies one `key=value` and returns the key's path."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ConfigError(f"--set {text!r}: expected key=value")
    try:
        parsed = YAML(typ="rt").load(value)
    except (YAMLError, ValueError) as error:
        raise ConfigError(f"--set {key}: the value is not YAML") from error
    *parents, last = key.split(".")
    node: _Container = document
    for part in parents:
        node = _descend(node, part, key)
    if isinstance(node, CommentedSeq):
        node[_index(node, last, key)] = parsed
    else:
        node[last] = parsed
    return tuple(key.split("."))


def _descend(node: _Container, part: str, key: str) -> _Container:
    if isinstance(node, CommentedSeq):
        child = node[_index(node, part, key)]
    else:
        if node.get(part) is None:
            node[part] = CommentedMap()
        child = node[part]
    if not isinstance(child, _Container):
        raise ConfigError(f"--set {key}: {part!r} has a value, not keys of its own")
    return child


def _index(node: CommentedSeq, part: str, key: str) -> int:
    if not part.isdecimal() or int(part) >= len(node):
        raise ConfigError(f"--set {key}: {part!r} is not an entry of a list of {len(node)}")
    return int(part)


def _explain(
    path: Path,
    document: CommentedMap,
    overridden: Iterable[tuple[str, ...]],
    error: ValidationError,
) -> str:
    """Returns a line for each key that is wrong: where it is, its name, what is wrong with it."""
    set_keys = {parts_of(".".join(key)) for key in overridden}
    return "\n".join(
        ": ".join(
            [_where(path, document, set_keys, location)]
            + ([".".join(map(str, location))] if location else [])
            + [message]
        )
        for location, message in mistakes(document, error, _known_keys, _is_secret).items()
    )


def _is_secret(location: Location) -> bool:
    return any(location[: len(key)] == key for key in _SECRET)


def without_secret(override: str) -> str:
    """Returns a `key=value` as it may be shown, without a value that may hold a secret."""
    key, _, _ = override.partition("=")
    holds = any(secret[: len(parts_of(key))] == parts_of(key) for secret in _SECRET)
    return f"{key}=…" if holds or _is_secret(parts_of(key)) else override


def _where(path: Path, document: CommentedMap, set_keys: set[Location], location: Location) -> str:
    if any(location[: len(key)] == key for key in set_keys):
        return "--set"
    number = _line_number(document, location)
    return f"{path}:{number}" if number else str(path)


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
