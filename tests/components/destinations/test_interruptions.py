"""Wherever a process is killed and whatever fails, a destination is whole and nothing is lost."""

import functools
import random
import re
import shutil
from pathlib import Path

import pytest

from tests.components.destinations import interruption
from tests.components.destinations.interruption import (
    TRUST,
    StoppedOperations,
    destination_with,
    killed_at,
    leave_orphan,
    make_candidate,
    points_of,
    push,
    push_many,
    roll_back,
    sign_off,
    start_process,
)
from tfx_tflite.components.destinations.ledger_files import LOOSE, LedgerFiles
from tfx_tflite.components.destinations.verification import destination_problems
from tfx_tflite.components.errors import DestinationError, PushError

ACTS = {
    "push": lambda sources: functools.partial(push, sources=sources, content=b"new"),
    "push_that_keeps_one": lambda sources: functools.partial(
        push, sources=sources, content=b"new", keep=1
    ),
    "push_of_an_old_model": lambda sources: functools.partial(push, sources=sources, content=b"a"),
    "rollback": lambda sources: roll_back,
    "sign_off": lambda sources: sign_off,
}


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    (tmp_path / "sources").mkdir()
    return tmp_path / "sources"


@pytest.fixture
def pushed(tmp_path: Path, sources: Path) -> Path:
    """A destination with three versions."""
    root = tmp_path / "pushed"
    for content in (b"a", b"b", b"c"):
        push(destination_with(root), sources, content)
    return root


# Each is killed at every step at a destination with an orphan and a history about to be put
# together, unsigned and signed.
LATER_ACTS = {
    "push_with_retention": lambda sources: functools.partial(
        push, sources=sources, content=b"new", keep=2
    ),
    "adoption": lambda sources: functools.partial(push, sources=sources, content=b"orphan"),
    "rollback": lambda sources: roll_back,
    "sign_off": lambda sources: sign_off,
}


def contents(root: Path) -> dict[int, bytes]:
    """Returns the model of every version, each of which must be whole."""
    destination = destination_with(root)
    for number in destination.versions():
        assert destination.problems(number) == []
    return {number: destination.read(number, "model.tflite") for number in destination.versions()}


def check_after(root: Path, before: dict[int, bytes], current: int, keeps_all: bool) -> None:
    """Checks that a destination is that of before an act or of after it."""
    found = contents(root)
    assert destination_problems(destination_with(root)) == []
    # Whatever was there is there unchanged, but for what retention removes.
    for number, content in found.items():
        assert before.get(number, content) == content
    if keeps_all:
        assert before.keys() <= found.keys()
    now = destination_with(root).current()
    assert now in found
    assert len(found.keys() - before.keys()) <= 1
    assert now == current or now not in before or now == current - 1


def check_next_push(root: Path, sources: Path) -> None:
    """Checks that the next push lands, and cleans up."""
    push(destination_with(root), sources, b"next")
    found = contents(root)
    assert found[destination_with(root).current()] == b"next"
    left = {entry.name for entry in root.iterdir() if entry.name.startswith(".")}
    assert left <= {".lock", ".history"}


@pytest.mark.parametrize("name", ACTS)
def test_killed_at_every_step_a_destination_is_that_of_before_or_after_and_the_next_push_cleans_up(
    name: str, pushed: Path, sources: Path, tmp_path: Path
):
    act = ACTS[name](sources)
    before, current = contents(pushed), destination_with(pushed).current()
    points = points_of(act, pushed, tmp_path / "scratch")
    assert points > 5
    for point in range(points):
        root = tmp_path / f"killed-{point}"
        shutil.copytree(pushed, root)
        assert killed_at(point, act, root)
        check_after(root, before, current, keeps_all="keeps_one" not in name)
        check_next_push(root, sources)
        shutil.rmtree(root)


def test_killed_at_every_step_of_a_first_push_there_is_a_version_or_none(
    sources: Path, tmp_path: Path
):
    act = functools.partial(push, sources=sources, content=b"first")
    points = points_of(act, tmp_path / "none", tmp_path / "scratch")
    for point in range(points):
        root = tmp_path / "deep" / f"killed-{point}"
        assert killed_at(point, act, root)
        assert set(contents(root).values()) <= {b"first"}
        check_next_push(root, sources)


def test_a_push_that_was_killed_before_the_pointer_is_finished_by_the_same_push(
    pushed: Path, sources: Path, tmp_path: Path
):
    act = functools.partial(push, sources=sources, content=b"new")
    outcomes = set()
    for point in range(points_of(act, pushed, tmp_path / "scratch")):
        root = tmp_path / f"killed-{point}"
        shutil.copytree(pushed, root)
        killed_at(point, act, root)
        left = [number for number, content in contents(root).items() if content == b"new"]
        act(destination_with(root))
        found = [number for number, content in contents(root).items() if content == b"new"]
        outcomes.add(bool(left))
        # Not pushed twice where it was there already, and current in any case.
        assert found == [destination_with(root).current()] and (not left or left == found)
    assert outcomes == {True, False}


@pytest.mark.parametrize("name", ACTS)
@pytest.mark.parametrize("failure", ["full_disk", "read_only", "broken"])
def test_an_error_at_any_step_is_said_and_leaves_the_old_version_current_and_intact(
    name: str, failure: str, pushed: Path, sources: Path, tmp_path: Path
):
    act = ACTS[name](sources)
    before, current = contents(pushed), destination_with(pushed).current()
    for point in range(points_of(act, pushed, tmp_path / "scratch")):
        root = tmp_path / f"failed-{point}"
        shutil.copytree(pushed, root)
        try:
            act(destination_with(root, StoppedOperations(point, getattr(interruption, failure))))
        except (PushError, DestinationError) as error:
            text = str(error)
            assert "not pushed" in text or "not changed" in text
            assert any(
                reason in text for reason in ("No space left", "Read-only", "Input/output")
            ), text
        check_after(root, before, current, keeps_all="keeps_one" not in name)
        check_next_push(root, sources)
        shutil.rmtree(root)


def test_a_destination_that_vanishes_in_the_middle_is_an_error(
    pushed: Path, sources: Path, tmp_path: Path
):
    act = functools.partial(push, sources=sources, content=b"new")
    errors = 0
    for point in range(points_of(act, pushed, tmp_path / "scratch")):
        root = tmp_path / f"vanished-{point}"
        shutil.copytree(pushed, root)
        operations = StoppedOperations(point, functools.partial(shutil.rmtree, root))
        try:
            act(destination_with(root, operations))
        except PushError as error:
            errors += 1
            # Whichever is looked at first.
            assert re.search(
                r"not pushed: (No such file or directory|the lock was removed)", str(error)
            )
    assert errors > 5


def test_pushes_from_several_processes_at_once_all_land(sources: Path, tmp_path: Path):
    root = tmp_path / "to"
    processes = [start_process(push_many, root, sources, worker) for worker in range(4)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    expected = {b"%d/%d" % (worker, index) for worker in range(4) for index in range(10)}
    found = contents(root)
    assert set(found.values()) == expected and len(found) == 40
    # Each process's own came in its own order, and the newest is current.
    for worker in range(4):
        own = [content for _, content in sorted(found.items()) if content[0] == b"%d" % worker]
        assert own == sorted(own)
    assert destination_with(root).current() == max(found)


def test_200_random_interruptions_lose_nothing(sources: Path, tmp_path: Path, record_property):
    rng = random.Random(20)
    root = tmp_path / "to"
    push(destination_with(root), sources, b"0")
    known, killed = contents(root), 0
    while killed < 200:
        name = rng.choice(["push", "push", "rollback", "sign_off"])
        act = (
            functools.partial(push, sources=sources, content=b"%d" % rng.randrange(10**6))
            if name == "push"
            else ACTS[name](sources)
        )
        if name == "rollback" and destination_with(root).current() == min(known):
            continue
        killed += killed_at(rng.randrange(40), act, root)
        found = contents(root)
        assert known.items() <= found.items()
        assert destination_problems(destination_with(root)) == []
        known = found
    push(destination_with(root), sources, b"last")
    found = contents(root)
    assert known.items() <= found.items() and found[max(found)] == b"last"
    assert destination_with(root).current() == max(found)
    record_property(
        "summary",
        f"{killed} random interruptions by kill -9: {len(found)} versions, none lost or damaged",
    )


def full_of_events(root: Path, sources: Path, is_signed: bool) -> int:
    """Makes a destination with an orphan whose next change puts its history together."""
    destination = destination_with(root, is_signed=is_signed)
    for content in (b"a", b"b", b"c"):
        push(destination, sources, content)
    while len(LedgerFiles.read(destination.store).files) < LOOSE:
        destination.sign_off(destination.versions()[1], withdraw=True)
    candidate = make_candidate(sources, b"orphan", {"golden/o.bin": b"gorphan"})
    return leave_orphan(root, candidate, TRUST if is_signed else None)


def chosen(points: int, start: int) -> list[int]:
    """Returns the points to stop at: every other, and some of the many that remove a file."""
    return [*range(start, min(points, 90), 2), *range(90 + start, points, 29)]


@pytest.mark.slow
@pytest.mark.parametrize("name", LATER_ACTS)
@pytest.mark.parametrize("is_signed", [False, True], ids=["unsigned", "signed"])
def test_killed_at_every_step_an_orphan_is_no_release_and_no_event_is_lost(
    name: str, is_signed: bool, sources: Path, tmp_path: Path
):
    start = tmp_path / "start"
    orphan = full_of_events(start, sources, is_signed)
    act = LATER_ACTS[name](sources)
    before = destination_with(start, is_signed=is_signed)
    events, released, current = before.events(), before.released(), before.current()
    points = points_of(act, start, tmp_path / "scratch", is_signed)
    after = destination_with(tmp_path / "scratch", is_signed=is_signed)
    assert len([*(tmp_path / "scratch" / ".history").iterdir()]) < LOOSE
    for point in chosen(points, start=int(is_signed)):
        root = tmp_path / f"killed-{point}"
        shutil.copytree(start, root)
        assert killed_at(point, act, root, is_signed)
        found = destination_with(root, is_signed=is_signed)
        assert found.events()[: len(events)] == events
        assert found.current() in (current, after.current()) or name.startswith("push")
        is_adopted = name == "adoption" and found.current() == orphan
        assert (orphan in found.released()) == is_adopted
        # What is said of its versions and signatures is as good as before.
        assert not [p for p in destination_problems(found) if "names" not in p and "event" not in p]
        # The next change settles what was left.
        push(found, sources, b"next")
        assert (
            destination_problems(found) == []
            and found.read(found.current(), "model.tflite") == b"next"
        )
        # Retention alone removes, and the oldest.
        gone = {*released} - {*found.versions()}
        assert gone <= ({*released[:2]} if name == "push_with_retention" else set())
        shutil.rmtree(root)
