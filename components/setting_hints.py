"""What to write instead of a value that is nearly right, for messages about settings."""

import difflib
import re
from collections.abc import Mapping
from datetime import date

from pydantic_core import ErrorDetails

_QUOTED = re.compile(r"'([^']*)'")
_PERCENT = re.compile(r"\s*([0-9.]+)\s*%\s*")
# A comma for the decimal point, or between thousands.
_DECIMAL_COMMA = re.compile(r"\s*(\d+),(\d{1,2})\s*")
_THOUSANDS = re.compile(r"\s*\d{1,3}(,\d{3})+\s*")
# An amount of memory: 16k, 16 KB, 2 MiB.
_AMOUNT = re.compile(r"\s*(\d{1,9})\s*([kKmM])(?:i?[bB])?\s*")
_BYTES = {"K": 1024, "M": 1024**2}
_UNITS = {"K": "KiB", "M": "MiB"}
_NOT_OF_A_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
_LONGEST = 40


def hint(entry: ErrorDetails) -> str:
    """Returns what to write instead of a value, to be added to a message; empty if not known.

    Args:
        entry: What pydantic says.
    """
    kind, value = entry["type"], entry["input"]
    if kind in ("enum", "literal_error"):
        return _of_choice(value, _QUOTED.findall(entry.get("ctx", {}).get("expected", "")))
    if kind.startswith("int_") and (bytes_meant := _of_bytes(entry)):
        return bytes_meant
    if kind.startswith(("float_", "int_", "finite_")):
        return _of_number(value)
    if kind == "less_than_equal":
        return _of_share(value, entry.get("ctx", {}).get("le"))
    if kind == "string_pattern_mismatch":
        return _of_name(value, entry.get("ctx", {}).get("pattern", ""))
    if kind == "string_type":
        return _of_text(value)
    if kind in ("list_type", "tuple_type"):
        is_short = isinstance(value, str) and len(value) <= _LONGEST
        if isinstance(value, Mapping):
            return "begin each entry with a dash, - "
        return f"write [{value}]" if is_short and value else ""
    return ""


def _of_choice(value: object, choices: list[str]) -> str:
    if not isinstance(value, str):
        return ""
    folded = {choice.lower().replace("-", "_"): choice for choice in choices}
    close = difflib.get_close_matches(value.lower().replace("-", "_"), folded, n=1)
    return f"did you mean {folded[close[0]]!r}?" if close else ""


def _of_bytes(entry: ErrorDetails) -> str:
    """Returns the number of bytes that an amount with a unit is; empty if it is no such amount."""
    key, value = str(entry["loc"][-1]), entry["input"]
    if not key.endswith("_bytes") or not isinstance(value, str):
        return ""
    amount = _AMOUNT.fullmatch(value)
    if amount is None:
        return ""
    number, unit = int(amount[1]), amount[2].upper()
    return f"write bytes, {number * _BYTES[unit]} for {number} {_UNITS[unit]}"


def _of_share(value: object, largest: object) -> str:
    """Returns what a percentage is as a share; empty if it is none."""
    if largest != 1 or not isinstance(value, int | float) or not 1 < value <= 100:
        return ""
    return f"write {value / 100:g} for {value:g} %"


def _of_number(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return f"write {value:.0f}"
    if not isinstance(value, str):
        return ""
    if percent := _PERCENT.fullmatch(value):
        try:
            return f"write {float(percent[1]) / 100:g}"
        except ValueError:
            return ""
    if comma := _DECIMAL_COMMA.fullmatch(value):
        return f"write {comma[1]}.{comma[2]}"
    if _THOUSANDS.fullmatch(value):
        return f"write {value.replace(',', '').strip()}"
    try:
        float(value)
    except ValueError:
        return ""
    return "write it without quotes"


def _of_name(value: object, pattern: str) -> str:
    """Returns a name with dashes for what it may not have; empty if that does not make one."""
    if not isinstance(value, str):
        return ""
    name = _NOT_OF_A_NAME.sub("-", value).strip("-")
    is_name = name != value and len(name) <= _LONGEST and re.search(pattern, name) is not None
    return f"write {name}" if is_name else ""


def _of_text(value: object) -> str:
    if value is None:
        return "give it a value, or leave the key out"
    if isinstance(value, bool):
        return "put it in quotes, or YAML takes it for true or false"
    if isinstance(value, int | float):
        return "put it in quotes, or YAML takes it for a number"
    return "put it in quotes, or YAML takes it for a date" if isinstance(value, date) else ""
