"""The JSON Schema of the config, made from its settings, for editors that complete and check.

What a key means is said in `docs/config.md` alone. `key_descriptions.json` holds the sentences of
that page, since an installed package has no docs. After a change of the settings or of the page:

    python -m tfx_tflite.pipelines.config.schema
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from tfx_tflite.pipelines.checks import known_names
from tfx_tflite.pipelines.config.config import PipelineConfig

_DESCRIPTIONS = Path(__file__).with_name("key_descriptions.json")
_DOCS = Path(__file__).parents[2] / "docs"
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_METRIC = "MetricConfig"
_ROW = re.compile(
    r"^\|\s*\**(`[^|]*`)\**\s*\|(?:[^|\\]|\\.)*\|((?:[^|\\]|\\.)*)\|\s*$", re.MULTILINE
)
_NAME = re.compile(r"`([\w.\[\]]+)`")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_STRONG = re.compile(r"`|\*\*")

# A JSON Schema, or a part of one.
Schema: TypeAlias = dict[str, object]


def config_schema() -> str:
    """Returns the JSON Schema (draft 2020-12) of a config in YAML."""
    known: Mapping[str, str] = json.loads(_DESCRIPTIONS.read_text(encoding="utf-8"))
    schema: Schema = PipelineConfig.model_json_schema()
    definitions = schema["$defs"]
    assert isinstance(definitions, dict)
    for definition in definitions.values():
        _tidy(definition)
    _tidy(schema)
    _describe(schema, definitions, known, "", set())
    schema["title"] = "A pipeline of tfx-tflite"
    schema["description"] = "One YAML file a model; paths are relative to the file."
    return json.dumps({"$schema": _DRAFT, **schema}, indent=1, ensure_ascii=False) + "\n"


def _tidy(part: object) -> None:
    """Takes away what pydantic adds for people who read Python, and adds short forms."""
    if isinstance(part, list):
        for entry in part:
            _tidy(entry)
    if not isinstance(part, dict):
        return
    # A title is the name of a class or of the key itself.
    if isinstance(part.get("title"), str):
        del part["title"]
    if isinstance(part.get("description"), str):
        part["description"] = " ".join(part["description"].split("\n\n")[0].split())
    # The defaults of a section are those of its keys.
    if "$ref" in part or part.get("default", "") is None:
        part.pop("default", None)
    if part.get("items") == {"$ref": f"#/$defs/{_METRIC}"}:
        named = {"enum": list(known_names.usual_metrics())}
        part["items"] = {"anyOf": [named, {"type": "string"}, part["items"]]}
    for entry in part.values():
        _tidy(entry)


def _describe(
    part: Schema,
    definitions: Mapping[str, Schema],
    known: Mapping[str, str],
    prefix: str,
    seen: set[str],
) -> None:
    """Adds what each key of a section means, and of the sections in it.

    Args:
        part: The section's schema.
        definitions: The schemas that others refer to.
        known: What keys mean, by their names from the top.
        prefix: The section's name from the top, with a dot.
        seen: Sections that are described; several keys may have one in common.
    """
    properties = part.get("properties", {})
    assert isinstance(properties, dict)
    for name, inner in properties.items():
        key = prefix + name
        found = list(_references(inner))
        if key in known or not found:
            inner["description"] = _meaning(key, known)
        for step, reference in found:
            if reference not in seen:
                seen.add(reference)
                _describe(definitions[reference], definitions, known, f"{key}{step}.", seen)


def _meaning(key: str, known: Mapping[str, str]) -> str:
    """Returns what a key means, or else what the key of its name above or its section does."""
    if key in known:
        return known[key]
    section, _, name = key.rpartition(".")
    above = section.rpartition(".")[0]
    if f"{above}.{name}" in known:
        return known[f"{above}.{name}"]
    return _meaning(section.removesuffix("[]"), known) if section else ""


def _references(part: object, step: str = "") -> Iterator[tuple[str, str]]:
    """Yields the sections that a value may be or hold, each with how to get to it."""
    if not isinstance(part, dict):
        return
    if "$ref" in part:
        yield step, str(part["$ref"]).rpartition("/")[2]
    for option in part.get("anyOf", ()):
        yield from _references(option, step)
    yield from _references(part.get("items"), f"{step}[]")
    yield from _references(part.get("additionalProperties"), step)


def descriptions(page: str) -> dict[str, str]:
    """Returns what `docs/config.md` says of each key, as plain text.

    Args:
        page: Its text.
    """
    return {name: _STRONG.sub("", _LINK.sub(r"\1", text)) for name, text in rows_of(page).items()}


def rows_of(page: str) -> dict[str, str]:
    """Returns what `docs/config.md` says of each key, in Markdown.

    Args:
        page: Its text.
    """
    found: dict[str, str] = {}
    for names, text in _ROW.findall(page):
        first, *others = _NAME.findall(names)
        section = first.rpartition(".")[0]
        # `a.b`, `c` in one row are a.b and a.c.
        for name in (first, *(other if "." in other else f"{section}.{other}" for other in others)):
            if text.strip():
                found[name.strip(".")] = text.strip()
    return found


def write() -> None:
    """Writes the descriptions and the schema where they are kept."""
    known = descriptions((_DOCS / "config.md").read_text(encoding="utf-8"))
    text = json.dumps(known, indent=1, ensure_ascii=False) + "\n"
    _DESCRIPTIONS.write_text(text, encoding="utf-8")
    (_DOCS / "config.schema.json").write_text(config_schema(), encoding="utf-8")


if __name__ == "__main__":
    write()
