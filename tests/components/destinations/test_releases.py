"""A version that never was the current one is no release, whatever is done with it."""

import json
import shutil
from pathlib import Path

import pytest

from tests.components.destinations.interruption import Stopped, StoppedAtFile, leave_orphan
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.ledger import Event, Releases, finished, withdrawn
from tfx_tflite.components.destinations.stores.local import LocalStore
from tfx_tflite.components.errors import DestinationError
from tfx_tflite.pipelines.cli.destination_history import history_of


def states(destination: Destination) -> dict[int, str]:
    return {version.version: version.state for version in history_of(destination).versions}


def as_of_before(root: Path) -> None:
    """Leaves a destination as a version of this package did that recorded no releases."""
    for file in (root / ".history").iterdir():
        if json.loads(file.read_text())["kind"] in ("released", "releases_counted"):
            file.unlink()


def test_a_rollback_goes_past_what_a_stopped_push_has_left(destination, candidate, root):
    first, second = (destination.push(candidate(content)).number for content in (b"a", b"b"))
    orphan = leave_orphan(root, candidate(b"c"))
    third = destination.push(candidate(b"d")).number
    assert first < second < orphan < third
    assert destination.roll_back()[:2] == (third, second)


def test_a_rollback_that_names_what_a_stopped_push_has_left_is_refused(
    destination, candidate, root
):
    current = destination.push(candidate(b"a")).number
    orphan = leave_orphan(root, candidate(b"b"))
    with pytest.raises(DestinationError, match=f"version {orphan} .* was never released: the push"):
        destination.roll_back(orphan)
    with pytest.raises(DestinationError, match="never released"):
        destination.sign_off(orphan)
    assert destination.current() == current


def test_the_history_shows_it_as_not_released(destination, candidate, root):
    first = destination.push(candidate(b"a")).number
    orphan = leave_orphan(root, candidate(b"b"))
    assert states(destination) == {first: "current", orphan: "not released"}
    last = destination.push(candidate(b"c")).number
    destination.roll_back()
    assert states(destination) == {first: "current", orphan: "not released", last: "rolled back"}


def test_a_push_of_the_same_model_adopts_it(destination, candidate, root):
    destination.push(candidate(b"a"))
    orphan = leave_orphan(root, candidate(b"b"))
    adopted = destination.push(candidate(b"b"))
    assert (adopted.number, adopted.outcome) == (orphan, "present")
    assert destination.current() == orphan and states(destination)[orphan] == "current"


def test_retention_never_counts_it_among_those_that_stay(destination, candidate, root):
    numbers = [destination.push(candidate(bytes([n]))).number for n in range(3)]
    orphans = [leave_orphan(root, candidate(b"orphan %d" % n)) for n in range(3)]
    # Nothing is pushed, but what is old goes: the newest two releases stay.
    destination.push(candidate(bytes([2])), keep=2)
    assert destination.versions() == [*numbers[1:], *orphans]
    # Once something newer is current, no push will finish what was left.
    last = destination.push(candidate(b"last"), keep=2).number
    assert destination.versions() == [numbers[2], last]


def test_without_latest_it_does_not_become_current(destination, candidate, root):
    first = destination.push(candidate(b"a")).number
    leave_orphan(root, candidate(b"b"))
    (root / "LATEST").write_text("oops")
    assert destination.current() == first


def test_what_a_stopped_first_push_has_left_is_no_release(destination, candidate, root):
    orphan = leave_orphan(root, candidate(b"a"))
    assert destination.versions() == [orphan]
    assert destination.current() is None and destination.released() == []
    first = destination.push(candidate(b"b")).number
    assert states(destination) == {orphan: "not released", first: "current"}
    with pytest.raises(DestinationError, match=f"no version before {first}"):
        destination.roll_back()


def test_a_push_that_stops_after_latest_has_happened(destination, candidate, root):
    first = destination.push(candidate(b"a")).number

    class AfterLatest(StoppedAtFile):
        def rename(self, source: Path, target: Path) -> None:
            super(StoppedAtFile, self).rename(source, target)
            if target.name == "LATEST":
                raise Stopped

    with pytest.raises(Stopped):
        Destination(LocalStore(root, AfterLatest("LATEST"))).push(candidate(b"b"))
    second = destination.current()
    assert states(destination) == {first: "present", second: "current"}
    # It stays a release once another one is current.
    third = destination.push(candidate(b"c")).number
    assert destination.released() == [first, second, third]
    assert destination.roll_back()[:2] == (third, second)


def test_a_rollback_that_stops_before_latest_withdraws_nothing(destination, candidate, root):
    first, second, third = (destination.push(candidate(bytes([n]))).number for n in range(3))
    with pytest.raises(Stopped):
        Destination(LocalStore(root, StoppedAtFile("LATEST"))).roll_back(first)
    assert states(destination) == {first: "present", second: "present", third: "current"}
    fourth = destination.push(candidate(b"d")).number
    assert destination.roll_back()[:2] == (fourth, third)
    assert [e.version for e in finished(destination.events()) if e.kind == "rolled_back"] == [third]


def test_of_a_destination_of_before_what_is_not_newer_than_latest_counts_as_released(
    destination, candidate, root
):
    numbers = [destination.push(candidate(bytes([n]))).number for n in range(3)]
    orphan = leave_orphan(root, candidate(b"orphan"))
    as_of_before(root)
    assert destination.released() == numbers
    last = destination.push(candidate(b"last")).number
    assert destination.released() == [*numbers, last]
    assert destination.roll_back()[:2] == (last, numbers[-1])
    assert states(destination)[orphan] == "not released"


def test_of_a_destination_of_before_what_was_rolled_back_from_counts_as_released(
    destination, candidate, root
):
    numbers = [destination.push(candidate(bytes([n]))).number for n in range(3)]
    destination.roll_back(numbers[0])
    as_of_before(root)
    assert destination.released() == numbers
    assert destination.push(candidate(bytes([2]))).outcome == "withdrawn"


@pytest.mark.parametrize("latest", [None, "garbage", "12"])
def test_of_a_destination_of_before_whose_pointer_is_lost_all_versions_count(
    destination, candidate, root, latest
):
    numbers = [destination.push(candidate(bytes([n]))).number for n in range(3)]
    as_of_before(root)
    (root / "LATEST").unlink()
    if latest is not None:
        (root / "LATEST").write_text(latest)
    assert destination.released() == numbers


def test_a_version_that_was_removed_and_put_back_is_still_a_release(destination, candidate, root):
    first = destination.push(candidate(b"a")).number
    shutil.copytree(root / str(first), root.with_name("backup"))
    second = destination.push(candidate(b"b"), keep=1).number
    root.with_name("backup").rename(root / str(first))
    assert destination.released() == [first, second]
    assert destination.roll_back()[:2] == (second, first)


def test_a_rollback_over_half_a_year_of_seconds_is_not_spelled_out():
    """It took 1.1 GB to note every second between two versions."""
    year = 31_536_000
    events = [Event.now("rolled_back", 5, instead_of=5 + year * 100)] * 1000
    assert withdrawn(events, [4, 5, 6, 5 + year, 5 + year * 100, 6 + year * 100]) == {
        6,
        5 + year,
        5 + year * 100,
    }


def test_what_is_withdrawn_is_what_setting_every_number_by_itself_would_say():
    import random

    rng = random.Random(4)
    for _ in range(300):
        events = [
            Event.now("rolled_back", rng.randint(1, 9), instead_of=rng.randint(1, 9))
            if rng.random() < 0.7
            else Event.now("released", rng.randint(1, 9))
            for _ in range(rng.randint(0, 6))
        ]
        expected: set[int] = set()
        for event in finished(events):
            if event.instead_of is not None:
                expected.update(range(event.version + 1, event.instead_of + 1))
            expected.discard(event.version)
        assert withdrawn(events, range(1, 11)) == expected


def test_a_pointer_to_nothing_does_not_make_all_numbers_releases():
    assert 7 not in Releases.of([], None, 6) and 6 in Releases.of([], None, 6)
