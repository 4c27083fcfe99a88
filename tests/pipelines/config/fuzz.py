"""Configs that nobody would write, read as `validate` reads them.

By hand, for longer than the test suite does:

    python -m tests.pipelines.config.fuzz 10000
"""

import copy
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from ruamel.yaml import YAML

from tests.conftest import CONFIGS
from tfx_tflite.components.errors import TfxTfliteError
from tfx_tflite.pipelines.cli.config import load_checked
from tfx_tflite.pipelines.config.config import PipelineConfig

SHIPPED = sorted(CONFIGS.glob("*.yaml"))
# What YAML reads as something of its own.
_MARKS = [b"&a ", b"*a", b"!!map ", b"<<: ", b"- ", b"? ", b"\t", b"|\n", b"%", b"\xef\xbb\xbf"]
# Seconds that the reading of one may take on a busy machine, and lines of its refusal.
_AT_ONCE = 20.0
_MOST_LINES = 100

Location = tuple[str | int, ...]


def keys_of(model: type[BaseModel], prefix: Location = ()) -> Iterator[Location]:
    """Yields where the keys of a section and of all sections in it are."""
    for name, field in model.model_fields.items():
        location = (*prefix, field.alias or name)
        yield location
        for section in sections_in(field.annotation):
            yield from keys_of(section, location)


def sections_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    arguments = getattr(annotation, "__args__", ())
    return [section for argument in arguments for section in sections_in(argument)]


KEYS = sorted(set(keys_of(PipelineConfig)), key=str)
_DOCUMENTS = [YAML(typ="safe").load(path.read_text(encoding="utf-8")) for path in SHIPPED]
_WORDS = st.sampled_from(
    [
        *{str(part) for key in KEYS for part in key},
        *("digits", "int8", "each", "pushed", "train", "eval", "tfrecord", "csv", "AUC", "UTC"),
        *("* * * * *", "0 6 * * mon", "span-{SPAN}/*", "{SPAN}", "{", "**", "[", "..", "~nobody"),
        *(
            "s3://",
            "s3://b/c",
            "gs://b",
            "://",
            "s3://user:pw@b/c",
            "2026-02-30",
            "9" * 400,
            "0x1g",
        ),
        *(
            "--runner=X",
            "--",
            "{{$}}",
            "{{ x }}",
            "\0",
            "\x1b[2J",
            "\ud800",
            "a/" * 3000,
            "A" * 5000,
        ),
    ]
)
_NUMBERS = st.one_of(
    st.integers(-3, 300),
    st.sampled_from([2**31, 2**63, 2**64, 2**64 - 1, 10**400, -1, 0, 0.5, 1e308, 1e-320]),
    st.floats(),
)
_SCALARS = st.one_of(st.none(), st.booleans(), _NUMBERS, _WORDS, st.text(max_size=30))
VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(_WORDS | st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def places_in(node: object, prefix: Location = ()) -> Iterator[Location]:
    """Yields where something is in a document."""
    entries = node.items() if isinstance(node, dict) else []
    entries = enumerate(node) if isinstance(node, list) else entries
    for key, value in entries:
        yield (*prefix, key)
        yield from places_in(value, (*prefix, key))


def put(document: object, location: Location, value: object) -> None:
    """Sets something in a document; where no section is, one is made."""
    node = document
    for part in location[:-1]:
        if isinstance(node, list) and not isinstance(part, int):
            return
        inner = node.get(part) if isinstance(node, dict) else node[part]
        if not isinstance(inner, dict | list) or (isinstance(inner, list) and not inner):
            inner = node[part] = {}
        node = inner[0] if isinstance(inner, list) and isinstance(inner[0], dict) else inner
    if isinstance(node, list) and not isinstance(location[-1], int):
        node.append(value)
    elif isinstance(node, dict | list):
        node[location[-1]] = value


def take(document: object, location: Location) -> None:
    """Removes something from a document."""
    node = document
    for part in location[:-1]:
        node = node[part]
    del node[location[-1]]


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Shipped configs with values and keys that were put in, changed and taken away."""
    document = copy.deepcopy(draw(st.sampled_from(_DOCUMENTS)))
    for _ in range(draw(st.integers(1, 4))):
        places = list(places_in(document)) or [("name",)]
        action = draw(st.sampled_from(["change", "take", "add", "move"]))
        place = draw(st.sampled_from(places))
        if action == "change":
            put(document, place, draw(VALUES))
        elif action == "take" and places != [("name",)]:
            take(document, place)
        elif action == "add":
            put(document, draw(st.sampled_from(KEYS)), draw(VALUES))
        else:
            put(document, place, copy.deepcopy(document))
    # JSON is YAML, and can write down each half of a character.
    return json.dumps(document)


@st.composite
def garbled(draw: st.DrawFn) -> bytes:
    """The text of shipped configs with bytes that were put in, changed and taken away."""
    data = bytearray(draw(st.sampled_from(SHIPPED)).read_bytes())
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 30))] = draw(
            st.binary(max_size=12)
            | st.sampled_from(
                [b"&a ", b"*a", b"!!map ", b"<<: ", b"- ", b"? ", b"\t", b"|\n", b"%"]
            )
        )
    return bytes(data)


@st.composite
def overrides(draw: st.DrawFn) -> tuple[str, ...]:
    """Options of `--set`."""
    options = []
    for _ in range(draw(st.integers(0, 2))):
        key = ".".join(map(str, draw(st.sampled_from(KEYS))))
        key = draw(st.sampled_from([key, f"{key}.0", f"gate.rules.0.{key}", "", "."]))
        value = draw(st.text(max_size=20) | VALUES.map(json.dumps))
        options.append(f"{key}={value}")
    return tuple(options)


class Reading:
    """Reads configs in a directory of its own, and counts what came of them.

    Args:
        directory: It has the files that shipped configs name.
    """

    def __init__(self, directory: Path):
        self.counts = Counter[str]()
        self._path = directory / "config.yaml"
        for file in CONFIGS.glob("*.py"):
            shutil.copy(file, directory)

    def read(self, data: bytes, options: tuple[str, ...]) -> None:
        """Reads a config as `validate` does; what is raised beside errors for users is raised."""
        self._path.write_bytes(data)
        start = time.monotonic()
        try:
            list(load_checked(self._path, options).lines())
        except TfxTfliteError as error:
            self._check_message(str(error))
            self.counts[type(error).__name__] += 1
        else:
            self.counts["valid"] += 1
        assert time.monotonic() - start < _AT_ONCE

    def _check_message(self, message: str) -> None:
        lines = message.splitlines()
        assert 1 <= len(lines) <= _MOST_LINES
        assert all(len(line) < 20_000 for line in lines)


def fuzz(directory: Path, examples: int) -> Counter[str]:
    """Reads so many configs, and returns how many were valid or were refused with which error.

    Args:
        directory: An empty one.
        examples: How many.
    """
    reading = Reading(directory)

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(documents().map(str.encode), garbled()), overrides())
    def read(data: bytes, options: tuple[str, ...]) -> None:
        reading.read(data, options)

    read()
    return reading.counts


def main() -> None:
    """Prints what came of as many configs as the command line says."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        counts = fuzz(Path(directory), int(sys.argv[1]))
    found = ", ".join(f"{number:,} {name}" for name, number in counts.most_common())
    print(f"{counts.total():,} configs in {time.monotonic() - start:.0f} s: {found}")


if __name__ == "__main__":
    main()
