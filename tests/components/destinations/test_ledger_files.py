"""A long history is read in few requests, and each event is read once whatever stopped half way."""

import shutil
import threading
import time
from pathlib import Path

import pytest

from tests.components.destinations.counting import CountingStore
from tests.components.destinations.interruption import (
    StoppedOperations,
    killed_at,
    push,
)
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.ledger import Event, ledger_digest
from tfx_tflite.components.destinations.ledger_files import LOOSE, LedgerFiles
from tfx_tflite.components.destinations.stores.local import LocalStore
from tfx_tflite.components.errors import DestinationError


def write_events(root: Path, count: int, start: int = 1) -> None:
    """Writes events as an earlier version of this package did, one a file."""
    directory = root / ".history"
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + count):
        event = Event.now("removed", number)
        (directory / f"{number:020d}.json").write_text(
            event.model_dump_json(exclude_none=True) + "\n"
        )


def removed(ledger: LedgerFiles) -> list[int]:
    return [entry.event.version for entry in ledger.entries]


def history(root: Path) -> list[str]:
    return sorted(path.name for path in (root / ".history").iterdir())


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "to")


@pytest.mark.slow
def test_a_push_after_10_000_removals_reads_few_files(candidate, tmp_path: Path, record_property):
    """It read 20,005."""
    store = CountingStore(tmp_path / "to")
    destination = Destination(store)
    destination.push(candidate(b"a"))
    write_events(tmp_path / "to", 10_000)
    store.calls.clear()
    destination.push(candidate(b"b"), keep=2)
    first = store.calls.total()
    store.calls.clear()
    destination.push(candidate(b"c"), keep=2)
    second = store.calls.copy()
    while len(history(tmp_path / "to")) > 100:
        destination.push(candidate(b"d"))
    store.calls.clear()
    destination.push(candidate(b"e"), keep=2)
    later = store.calls.total()
    record_property("summary", f"requests after 10,000 removals: {first} once, then {later} a push")
    assert first < 12_000 and later < 60
    assert second["read"] < 60 and second.total() < 1_100
    assert len([event for event in destination.events() if event.kind == "removed"]) >= 10_000


def test_putting_together_10_000_events_takes_no_time_that_grows_with_their_square(
    store: LocalStore, tmp_path: Path
):
    """It took 27 s, and reading what a kill had left of it 19 s."""
    write_events(tmp_path / "to", 10_000)
    ledger = LedgerFiles.read(store)
    start = time.process_time()
    ledger.compacted(store)
    assert time.process_time() - start < 5
    # A kill after the first step leaves the events in two places.
    write_events(tmp_path / "to", 10_000)
    start = time.process_time()
    assert len(LedgerFiles.read(store).entries) == 10_000
    assert time.process_time() - start < 5


@pytest.mark.slow
def test_however_many_pushes_there_were_a_push_reads_as_many_files(candidate, tmp_path: Path):
    store = CountingStore(tmp_path / "to")
    destination = Destination(store)
    most = 0
    for number in range(3 * LOOSE):
        store.calls.clear()
        destination.push(candidate(b"%d" % number), keep=2)
        most = max(most, store.calls["read"])
    assert most < 2 * LOOSE
    events = destination.events()
    assert len([event for event in events if event.kind == "released"]) == 3 * LOOSE
    assert len(events) == len({(event.kind, event.version) for event in events})


def test_many_events_become_one_file_and_are_the_same(store: LocalStore, tmp_path: Path):
    write_events(tmp_path / "to", LOOSE + 1)
    before = LedgerFiles.read(store)
    before.compacted(store)
    assert history(tmp_path / "to") == [f"{1:020d}-{LOOSE + 1:020d}.jsonl"]
    after = LedgerFiles.read(store)
    assert after.entries == before.entries
    assert ledger_digest(after.entries) == ledger_digest(before.entries)


def test_many_such_files_become_one(store: LocalStore, tmp_path: Path):
    for part in range(20):
        write_events(tmp_path / "to", LOOSE + 1, start=1 + part * (LOOSE + 1))
        LedgerFiles.read(store).compacted(store)
        assert len(history(tmp_path / "to")) <= 17
    assert removed(LedgerFiles.read(store)) == [*range(1, 20 * (LOOSE + 1) + 1)]


def test_a_line_may_hold_any_note(store: LocalStore, tmp_path: Path):
    notes = ["a b", "ü 模型", '"quoted" \\ {x}', "\u2028 and \u0085", ""]
    ledger = LedgerFiles.read(store)
    events = [Event.now("signed_off", 1, note=note or None) for note in notes * 20]
    ledger = ledger.appended(store, *events)
    ledger.compacted(store)
    assert len(history(tmp_path / "to")) == 1
    assert [entry.event for entry in LedgerFiles.read(store).entries] == events


def test_wherever_putting_events_together_is_killed_each_is_read_once(tmp_path: Path):
    (tmp_path / "sources").mkdir()
    root = tmp_path / "to"
    push(Destination(LocalStore(root)), tmp_path / "sources", b"a")
    write_events(root, LOOSE)
    expected = LedgerFiles.read(LocalStore(root)).entries
    scratch = tmp_path / "scratch"
    shutil.copytree(root, scratch)
    operations = StoppedOperations()
    compact(Destination(LocalStore(scratch, operations)))
    assert operations.points > LOOSE
    for point in range(0, operations.points, 7):
        copy = tmp_path / f"killed-{point}"
        shutil.copytree(root, copy)
        assert killed_at(point, compact, copy)
        assert LedgerFiles.read(LocalStore(copy)).entries == expected
        # The next one removes what is in two files.
        compact(Destination(LocalStore(copy)))
        assert LedgerFiles.read(LocalStore(copy)).entries == expected
        assert len(history(copy)) == 1


def compact(destination: Destination) -> None:
    with destination.store.lock():
        LedgerFiles.read(destination.store).compacted(destination.store)


def test_who_reads_meanwhile_reads_each_event_once(store: LocalStore, tmp_path: Path):
    write_events(tmp_path / "to", 40)
    found, done = [], threading.Event()

    def read() -> None:
        while not done.is_set():
            numbers = removed(LedgerFiles.read(store))
            found.append(numbers == [*range(1, len(numbers) + 1)] and len(numbers) >= 40)

    reader = threading.Thread(target=read)
    reader.start()
    ledger = LedgerFiles.read(store)
    for number in range(41, 600):
        ledger = ledger.appended(store, Event.now("removed", number)).compacted(store)
    done.set()
    reader.join()
    assert len(found) > 5 and all(found)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-20],
        lambda text: text.replace('"removed"', '"In vented"', 1),
        lambda text: text.replace('"removed"', "7", 1),
        lambda text: "\n".join(text.split("\n")[1:]),
        lambda text: "",
        lambda text: "[]\n",
        lambda text: '{"id": 7}\n',
        lambda text: "[" * 200_000,
    ],
)
def test_a_file_of_many_events_that_is_damaged_is_named(store, tmp_path: Path, damage):
    write_events(tmp_path / "to", LOOSE + 1)
    LedgerFiles.read(store).compacted(store)
    [name] = history(tmp_path / "to")
    file = tmp_path / "to" / ".history" / name
    file.write_text(damage(file.read_text()))
    with pytest.raises(DestinationError, match=f"{name} is not an event of the history; put it"):
        LedgerFiles.read(store)


def test_other_files_beside_are_left_alone(store: LocalStore, tmp_path: Path):
    write_events(tmp_path / "to", LOOSE + 1)
    for name in ("notes.txt", "123.json", "1-2.jsonl"):
        (tmp_path / "to" / ".history" / name).write_text("mine")
    LedgerFiles.read(store).compacted(store)
    assert {"notes.txt", "123.json", "1-2.jsonl"} < {*history(tmp_path / "to")}


@pytest.mark.parametrize("count", [1, LOOSE + 1], ids=["a file each", "one file"])
def test_an_event_of_a_newer_release_asks_for_an_update(store, tmp_path: Path, count: int):
    write_events(tmp_path / "to", count)
    LedgerFiles.read(store).compacted(store)
    [name] = history(tmp_path / "to")
    file = tmp_path / "to" / ".history" / name
    file.write_text(file.read_text().replace('"removed"', '"invented"', 1))
    with pytest.raises(DestinationError, match=f"{name} tells of 'invented'.*update tfx-tflite"):
        LedgerFiles.read(store)
