"""What a config with mistakes was likely meant to be, so that the rest of it can be checked."""

import copy
from collections.abc import Callable, Sequence

from pydantic import ValidationError
from ruamel.yaml.comments import CommentedMap

from tfx_tflite.components.settings import Location, children_of, location_in, suggestion

# What stands for sections that are wrong or missing. No check looks at them.
_MADE_UP = {
    "name": "unnamed",
    "root": ".",
    "data": {"builtin": "digits"},
    "model": {"saved_model": "."},
    "evaluation": {"label": "label", "metrics": ["AUC"]},
    "gate": {"rules": [{"max_size_ratio": 1.0}]},
    "push": {"destination": "."},
}


def repaired(
    document: CommentedMap,
    error: ValidationError,
    known_in: Callable[[Location], Sequence[str]],
    wrong: set[str],
) -> CommentedMap:
    """Returns a config without the mistakes that were found.

    Args:
        document: Its keys and values.
        error: What pydantic found.
        known_in: Returns the keys that a section may have, by its place.
        wrong: The sections that are made up; those that are now are added.
    """
    found = copy.deepcopy(document)
    for entry in error.errors():
        location = location_in(document, entry)
        if entry["type"] == "extra_forbidden" and location:
            _rename(found, location, suggestion(location[-1], known_in(location[:-1])))
    for entry in error.errors():
        location = location_in(document, entry)
        is_there_now = entry["type"] == "missing" and _is_in(found, location)
        if entry["type"] != "extra_forbidden" and not is_there_now:
            sections = [str(location[0])] if location else list(_MADE_UP)
            for section in sections:
                wrong.add(section)
                found.pop(section, None)
                if section in _MADE_UP:
                    found[section] = copy.deepcopy(_MADE_UP[section])
    return found


def _rename(document: CommentedMap, location: Location, name: str | None) -> None:
    """Takes a key away, or calls it by the name that it nearly has."""
    *above, last = location
    section: object = document
    for part in above:
        section = children_of(section).get(part)
    if isinstance(section, CommentedMap) and last in section:
        value = section.pop(last)
        if name is not None:
            section.setdefault(name, value)


def _is_in(document: object, location: Location) -> bool:
    for part in location:
        children = children_of(document)
        if part not in children:
            return False
        document = children[part]
    return True
