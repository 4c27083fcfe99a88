"""Pages that describe JSON documents, written from their JSON Schemas."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pieces

DOCS = Path(__file__).parents[1]
# A JSON Schema, or a part of one.
Schema = Mapping[str, Any]

_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
}
_ATTRIBUTE = re.compile(r"^ {4}(\w+): ((?:.|\n {8})+)", re.MULTILINE)


def document_page(name: str, file: str) -> str:
    """Returns the page of a JSON document that this project writes.

    Args:
        name: The schema is `docs/NAME.schema.json`.
        file: What the document is called where it is written.
    """
    schema = json.loads((DOCS / f"{name}.schema.json").read_text(encoding="utf-8"))
    return pieces.page(
        f"`{file}`",
        summary(schema),
        f"Written from its JSON Schema, [{name}.schema.json](../{name}.schema.json).",
        "## Top level",
        properties_table(schema),
        *(
            f"## {title}\n\n{summary(part)}\n\n{_body(part)}"
            for title, part in sorted(schema.get("$defs", {}).items())
        ),
    )


def _body(part: Schema) -> str:
    if "enum" in part:
        return "One of: " + ", ".join(map(pieces.code, part["enum"])) + "."
    return properties_table(part) if part.get("properties") else f"Type: {type_of(part)}."


def properties_table(schema: Schema) -> str:
    """Returns a table of the keys of an object."""
    told = attributes(schema)
    return pieces.table(
        ("key", "type", "default", "meaning"),
        (
            (
                pieces.code(key),
                type_of(part),
                default_of(part, key in schema.get("required", ())),
                told.get(key, part.get("description", "")),
            )
            for key, part in schema["properties"].items()
        ),
    )


def summary(schema: Schema) -> str:
    """Returns what the docstring of a type says before it describes the attributes."""
    return str(schema.get("description", "")).partition("\nAttributes:")[0].strip()


def attributes(schema: Schema) -> dict[str, str]:
    """Returns what the docstring of a type says of each attribute."""
    described = str(schema.get("description", "")).partition("Attributes:\n")[2]
    return {name: " ".join(text.split()) for name, text in _ATTRIBUTE.findall(described)}


def default_of(part: Schema, is_needed: bool) -> str:
    """Returns the default of a key, or that it must be given."""
    if is_needed:
        return "needed"
    if part.get("default") is None:
        return "none"
    return pieces.code(json.dumps(part["default"], ensure_ascii=False))


def type_of(part: Schema) -> str:
    """Returns what a value may be, with its bounds."""
    return " or ".join(dict.fromkeys(_types(part)))


def _types(part: Schema) -> Iterator[str]:
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        yield f"[{name}](#{name.lower()})"
    elif "anyOf" in part or "oneOf" in part:
        for option in part.get("anyOf", part.get("oneOf", ())):
            yield from _types(option)
    elif "const" in part:
        yield pieces.code(json.dumps(part["const"]))
    elif "enum" in part:
        yield from map(pieces.code, part["enum"])
    elif part.get("type") == "array":
        yield f"list of {type_of(part.get('items', {}))}"
    elif part.get("type") == "object" and isinstance(part.get("additionalProperties"), Mapping):
        yield f"mapping of texts to {type_of(part['additionalProperties'])}"
    else:
        yield _named(part)


def _named(part: Schema) -> str:
    names = {
        "string": "text",
        "number": "number",
        "integer": "whole number",
        "boolean": "yes or no",
    }
    kind = str(part.get("type", "anything"))
    bounds = [text.format(_short(part[key])) for key, text in _BOUNDS.items() if key in part]
    return ", ".join([names.get(kind, kind), *bounds])


def _short(number: float) -> str:
    """Returns a bound; powers of two and ten that nobody reads as digits, as powers."""
    for base in (2, 10):
        power = round(_log(abs(number), base)) if number else 0
        if power > 6 and base**power == abs(number):
            return f"{'-' if number < 0 else ''}{base}^{power}"
    return str(number)


def _log(number: float, base: int) -> float:
    import math

    return math.log(number, base)
