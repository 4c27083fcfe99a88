"""Aliases: names for versions beside LATEST, such as `champion` and `shadow`.

```
DESTINATION/aliases/NAME    the number of the version that it names, a line of text
```

They have a directory of their own, so that no name can be taken for a version, for LATEST or for
what is hidden, and one listing finds them all. A file is for whoever reads it by itself. What
counts is the ledger, which is signed at a signed destination: an event is recorded first, and the
file is written after it. Whatever differs is put right by the next change (`Change.settle`).
"""

import posixpath
import re
from collections.abc import Iterator, Mapping

from tfx_tflite.components.destinations.pointer import ALIASES, LATEST
from tfx_tflite.components.destinations.stores.store import Store
from tfx_tflite.components.destinations.writing import put
from tfx_tflite.components.errors import ConfigError, DestinationError
from tfx_tflite.components.presence import ABSENT, Presence

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def alias_name(name: str) -> str:
    """Returns a name that an alias may have.

    Raises:
        ConfigError: It may not.
    """
    if _NAME.fullmatch(name) is None:
        raise ConfigError(
            f"{name!r} is not the name of an alias: expected a letter from a to z, then at most 62 "
            "letters, digits, - or _"
        )
    if name == LATEST.lower():
        raise ConfigError(
            "no alias is called latest, which is the current version; it is set by pushes, "
            "`tfx-tflite approve` and `tfx-tflite rollback`"
        )
    return name


def alias_path(store: Store, name: str) -> str:
    """Returns where an alias is."""
    return f"{store.uri.rstrip('/')}/{ALIASES}/{name}"


def write_aliases(store: Store, aliases: Mapping[str, int]) -> None:
    """Makes the files those of some aliases.

    What nobody could have called an alias, or what is no file, is somebody else's and stays.

    Args:
        store: The destination, under its lock.
        aliases: The versions by their aliases.

    Raises:
        OSError: The destination fails.
        NotKnownError: It cannot be read.
    """
    for name, number in _differing(store, aliases):
        if number is not None:
            put(store, _file(name), _content(number))
        elif isinstance(_found(store, name), bytes):
            store.delete(_file(name))


def alias_problems(store: Store, aliases: Mapping[str, int]) -> list[str]:
    """Returns what is wrong with the files of aliases, each naming the file.

    Args:
        store: The destination.
        aliases: The versions by their aliases, as the ledger has them.

    Raises:
        NotKnownError: The destination cannot be read.
    """
    return [
        f"{alias_path(store, name)} is not what the history says: "
        + ("there is no such alias" if number is None else f"{name} is version {number}")
        + "; a change was stopped, or somebody else changed it; the next push, rollback or "
        "sign-off sets it"
        for name, number in _differing(store, aliases)
    ]


def _differing(store: Store, aliases: Mapping[str, int]) -> Iterator[tuple[str, int | None]]:
    """Yields the names whose files are not right, with the version that each is of, if any."""
    for name, number in aliases.items():
        if _found(store, name) != _content(number):
            yield name, number
    for name in store.entries(ALIASES):
        if name not in aliases and _NAME.fullmatch(name):
            yield name, None


def _found(store: Store, name: str) -> Presence[bytes]:
    try:
        return store.read(_file(name))
    except DestinationError:
        # Something is there that is no file.
        return ABSENT


def _file(name: str) -> str:
    return posixpath.join(ALIASES, name)


def _content(number: int) -> bytes:
    return f"{number}\n".encode("ascii")
