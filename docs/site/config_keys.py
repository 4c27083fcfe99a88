"""The page of the config's keys: types and defaults from the code, sentences from `config.md`.

A key that the code has and `config.md` does not describe is a warning, which fails a strict build.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pieces
import schemas

from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.schema import rows_of

_log = logging.getLogger("mkdocs.hooks.config_keys")

INTRODUCTION = """Every key of the config file, with type, bounds and default as the code has them.
[The config](../config.md) explains them at more length. Dots separate the levels of a key, and `[]`
stands for each entry of a list."""


def page() -> str:
    """Returns the page."""
    schema = PipelineConfig.model_json_schema()
    rows = rows_of((schemas.DOCS / "config.md").read_text(encoding="utf-8"))
    known = {key: _relocated(text) for key, text in rows.items()}
    return pieces.page("Config keys", INTRODUCTION, *_sections(schema, known))


def _sections(schema: schemas.Schema, known: Mapping[str, str]) -> Iterator[str]:
    rows: dict[str, list[tuple[str, str, str, str]]] = {}
    for key, part, is_needed in keys(schema):
        text = _described(key, known)
        if not text:
            _log.warning("docs/config.md does not describe the key %s", key)
        kind = _type(part, schema["$defs"])
        row = (pieces.code(key), kind, schemas.default_of(part, is_needed), text)
        rows.setdefault(key.partition(".")[0].partition("[")[0], []).append(row)
    header = ("key", "type", "default", "meaning")
    single = [row for group in rows.values() if len(group) == 1 for row in group]
    yield pieces.table(header, single)
    for section, group in rows.items():
        if len(group) > 1:
            yield f"## `{section}`\n\n{pieces.table(header, group)}"


def keys(schema: schemas.Schema) -> Iterator[tuple[str, schemas.Schema, bool]]:
    """Yields every key of the config, dotted from the top, its schema, and whether it is needed."""
    seen: set[str] = set()
    for key, part, is_needed in _keys(schema, schema["$defs"], ""):
        if key not in seen:
            seen.add(key)
            yield key, part, is_needed


def _keys(
    schema: schemas.Schema, definitions: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, schemas.Schema, bool]]:
    for name, part in schema.get("properties", {}).items():
        key = prefix + name
        inner = list(_objects(part, definitions))
        if not inner or _is_also_plain(part):
            yield key, part, name in schema.get("required", ())
        for step, definition in inner:
            yield from _keys(definition, definitions, f"{key}{step}.")


def _objects(
    part: schemas.Schema, definitions: Mapping[str, Any]
) -> Iterator[tuple[str, schemas.Schema]]:
    """Yields the objects that a value may be or hold, each with how to get to it."""
    if "$ref" in part:
        definition = definitions[part["$ref"].rpartition("/")[2]]
        if definition.get("properties"):
            yield "", definition
    for option in part.get("anyOf", ()):
        yield from _objects(option, definitions)
    if part.get("type") == "array":
        for step, definition in _objects(part.get("items", {}), definitions):
            yield f"[]{step}", definition
    if isinstance(part.get("additionalProperties"), Mapping):
        for step, definition in _objects(part["additionalProperties"], definitions):
            yield f".NAME{step}", definition


def _is_also_plain(part: schemas.Schema) -> bool:
    """Returns whether a value may be a plain one instead of an object, or is a list of objects."""
    kinds = {option.get("type") for option in part.get("anyOf", ())} - {None, "null"}
    return bool(kinds) or part.get("type") in ("array", "object")


def _described(key: str, known: Mapping[str, str]) -> str:
    """Returns the text of a key, or says which key above it has one; empty if none has."""
    if key in known:
        return known[key]
    above = key
    while "." in above:
        above = above.rpartition(".")[0].removesuffix("[]")
        # A section alone does not describe its keys.
        if "." in above and above in known:
            return f"See `{above}`."
    return ""


def _type(part: schemas.Schema, definitions: Mapping[str, Any]) -> str:
    """Returns a type without links, as the page has no sections for types."""

    def plain(match: re.Match[str]) -> str:
        definition = definitions[match[1]]
        if "enum" in definition:
            return " or ".join(map(pieces.code, definition["enum"]))
        return "a mapping of keys" if definition.get("properties") else "any value"

    text = re.sub(r"\[(\w+)\]\(#\w+\)", plain, schemas.type_of(part))
    return " or ".join(dict.fromkeys(text.split(" or "))).removesuffix(" or null")


def _relocated(text: str) -> str:
    """Returns a text with its links to pages made right for a page one folder down."""
    return re.sub(r"\]\((?=[\w-]+\.md)", "](../", re.sub(r"\]\(#", "](../config.md#", text))
