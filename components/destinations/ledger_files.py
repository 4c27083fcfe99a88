"""The files that the ledger is kept in: an event a file, and segments of many.

```
DESTINATION/.history/ID.json           one event
DESTINATION/.history/FIRST-LAST.jsonl  the events from one id to another, one a line
```

Whoever changes the destination puts the events of many files into one, so that a push reads few
files however much has happened. The segment is written first, and the files that it holds are
removed after that. So after a kill some events are in two files, which readers take once, and the
next change removes what is superfluous.
"""

import json
import posixpath
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import JsonValue, ValidationError

from tfx_tflite.components.destinations.ledger import KINDS, Entry, Event
from tfx_tflite.components.destinations.stores.store import Store
from tfx_tflite.components.destinations.writing import put
from tfx_tflite.components.errors import DestinationError
from tfx_tflite.components.presence import ABSENT, not_known

HISTORY = ".history"
_EVENT = re.compile(r"([0-9]{20})\.json")
_KIND = re.compile(r"[a-z][a-z_]{0,60}")
_SEGMENT = re.compile(r"([0-9]{20})-([0-9]{20})\.jsonl")
# So many files of one event, or segments, stay as they are.
LOOSE, SEGMENTS = 64, 16
# So many files are removed at once: in a bucket each takes a request, and somebody waits.
_REMOVED_AT_ONCE = 1000
# A long directory is not listed at one moment: what moves meanwhile may be missed.
_LISTED_AT_ONCE = 500
_TRIES = 20


@dataclass(frozen=True)
class _File:
    """A file of the ledger, and between which ids its events lie."""

    name: str
    first: str
    last: str

    @classmethod
    def of(cls, name: str) -> "_File | None":
        if match := _EVENT.fullmatch(name):
            return cls(name, match[1], match[1])
        if match := _SEGMENT.fullmatch(name):
            return cls(name, match[1], match[2])
        return None

    @property
    def is_segment(self) -> bool:
        return self.name.endswith(".jsonl")

    def holds(self, other: "_File") -> bool:
        return self.first <= other.first and other.last <= self.last


@dataclass(frozen=True)
class LedgerFiles:
    """The ledger as it was read.

    Attributes:
        entries: All events, in the order in which they happened, each once.
        files: The files that hold them, in the same order.
        superfluous: Files whose events are in one of these, too.
    """

    entries: tuple[Entry, ...]
    files: tuple[_File, ...]
    superfluous: tuple[_File, ...]

    @classmethod
    def read(cls, store: Store) -> "LedgerFiles":
        """Returns the ledger in a store.

        Raises:
            DestinationError: A file of it is damaged.
            NotKnownError: It cannot be read.
        """
        for _ in range(_TRIES):
            names = _names(store)
            found = sorted(filter(None, map(_File.of, names)), key=lambda file: file.first)
            segments = [file for file in found if file.is_segment]
            superfluous = dict.fromkeys(
                file
                for file in found
                if any(other is not file and other.holds(file) for other in segments)
            )
            files = tuple(file for file in found if file not in superfluous)
            entries = _entries(store, files)
            if entries is not None:
                return cls(entries, files, tuple(superfluous))
        raise not_known(_place(store, ""), "read", "it changes all the time")

    def appended(self, store: Store, *events: Event) -> "LedgerFiles":
        """Writes events and returns the ledger with them.

        Raises:
            OSError: The first that could not be written, and those after it, are not there.
            UnfinishedError: That cannot be told.
        """
        entries, files = [*self.entries], [*self.files]
        last = max((int(file.last) for file in (*files, *self.superfluous)), default=0)
        for event in events:
            # In the order of the ledger even where clocks go backwards.
            last = max(time.time_ns(), last + 1)
            file = _File.of(f"{last:020d}.json")
            assert file is not None
            content = event.model_dump_json(exclude_none=True) + "\n"
            name = posixpath.join(HISTORY, file.name)
            put(store, name, content.encode("utf-8"), is_new=True)
            entries.append(Entry(file.first, _line(file.first, content), event))
            files.append(file)
        return LedgerFiles(tuple(entries), tuple(files), self.superfluous)

    def cut(self, store: Store, count: int) -> "LedgerFiles":
        """Removes all events but the first ones and returns the ledger without them."""
        if count == len(self.entries):
            return self
        ids = {entry.id for entry in self.entries[count:]}
        gone = dict.fromkeys(file for file in self.files if file.first in ids)
        _remove(store, gone)
        files = tuple(file for file in self.files if file not in gone)
        return LedgerFiles(self.entries[:count], files, self.superfluous)

    def compacted(self, store: Store) -> "LedgerFiles":
        """Puts events into one file where there are many, and removes what is superfluous."""
        many = self._to_be_one()
        if not many:
            return LedgerFiles(self.entries, self.files, _fewer(store, self.superfluous))
        first, last = many[0].first, many[-1].last
        segment = _File(f"{first}-{last}.jsonl", first, last)
        lines = [entry.line for entry in self.entries if first <= entry.id <= last]
        content = "".join(f"{line}\n" for line in lines).encode("utf-8")
        store.replace(posixpath.join(HISTORY, segment.name), content)
        moved = frozenset(many)
        rest = tuple(file for file in self.files if file not in moved)
        superfluous = _fewer(store, (*self.superfluous, *many))
        return LedgerFiles(self.entries, (*rest, segment), superfluous)

    def _to_be_one(self) -> tuple[_File, ...]:
        loose = tuple(file for file in self.files if not file.is_segment)
        if len(loose) <= LOOSE:
            return ()
        return self.files if len(self.files) - len(loose) >= SEGMENTS else loose


def _names(store: Store) -> list[str]:
    names = store.entries(HISTORY)
    while len(names) > _LISTED_AT_ONCE:
        again = store.entries(HISTORY)
        if again == names:
            break
        names = again
    return names


def _entries(store: Store, files: Iterable[_File]) -> tuple[Entry, ...] | None:
    """Returns the events in some files, by their ids; None if one of the files is gone."""
    found: dict[str, Entry] = {}
    for file in files:
        content = store.read(posixpath.join(HISTORY, file.name))
        if content is ABSENT:
            return None
        try:
            for entry in _parsed(file, content.decode("utf-8")):
                found[entry.id] = entry
        except UnknownKindError as error:
            raise DestinationError(
                f"{_place(store, file.name)} tells of {error.kind!r}, which this version of "
                "tfx-tflite does not know: a newer one wrote it; update tfx-tflite"
            ) from error
        except (ValidationError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DestinationError(
                f"{_place(store, file.name)} is not an event of the history; put it back, or "
                "remove it if what it tells of may be forgotten"
            ) from error
    return tuple(found[each] for each in sorted(found))


class UnknownKindError(Exception):
    """An event of a kind that this version of the package does not know.

    Args:
        kind: What its writer called it.
    """

    def __init__(self, kind: str):
        super().__init__(kind)
        self.kind = kind


def _event(document: JsonValue) -> Event:
    kind = document.get("kind") if isinstance(document, dict) else None
    if isinstance(kind, str) and _KIND.fullmatch(kind) and kind not in KINDS:
        raise UnknownKindError(kind)
    return Event.model_validate(document)


def _parsed(file: _File, content: str) -> list[Entry]:
    if not file.is_segment:
        return [Entry(file.first, _line(file.first, content), _event(json.loads(content)))]
    entries = []
    for line in filter(None, content.split("\n")):
        document = json.loads(line)
        event = _event(document["event"])
        entries.append(Entry(str(document["id"]), line, event))
    if not entries or (entries[0].id, entries[-1].id) != (file.first, file.last):
        raise ValueError("it does not hold the events of its name")
    return entries


def _line(entry_id: str, content: str) -> str:
    # A line of JSON has no line breaks but between its tokens.
    return f'{{"id":"{entry_id}","event":{" ".join(content.split(chr(10))).strip()}}}'


def _fewer(store: Store, superfluous: tuple[_File, ...]) -> tuple[_File, ...]:
    """Removes superfluous files and returns those that are left for the next change."""
    _remove(store, superfluous[:_REMOVED_AT_ONCE])
    return superfluous[_REMOVED_AT_ONCE:]


def _remove(store: Store, files: Iterable[_File]) -> None:
    for file in files:
        store.delete(posixpath.join(HISTORY, file.name))


def _place(store: Store, name: str) -> str:
    return posixpath.join(store.uri, HISTORY, name).rstrip("/")
