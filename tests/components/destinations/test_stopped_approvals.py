"""Wherever an approval, a rejection or an alias is stopped, it is done or not, and made up for."""

import functools
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.components.destinations.interruption import (
    NEVER,
    Act,
    DeadAfter,
    RequestsDeadAfter,
    Stopped,
    StoppedRequests,
    approve,
    destination_at,
    destination_with,
    points_of,
    push,
    push_waiting,
    reject,
    remove_alias,
    set_alias,
)
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.verification import destination_problems
from tfx_tflite.components.object_stores.requests import ObjectRequests
from tfx_tflite.components.presence import ABSENT

ACTS = {
    "waiting push": lambda sources: functools.partial(
        push_waiting, sources=sources, content=b"new"
    ),
    "approval": lambda sources: approve,
    "rejection": lambda sources: reject,
    "alias": lambda sources: set_alias,
    "alias removed": lambda sources: remove_alias,
}
SIGNED = pytest.mark.parametrize("is_signed", [False, True], ids=["unsigned", "signed"])


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    (tmp_path / "sources").mkdir()
    return tmp_path / "sources"


def prepare(to: Destination, sources: Path) -> None:
    """Makes a destination with a current version, one that waits, and an alias."""
    push(to, sources, b"a")
    push_waiting(to, sources, b"b")
    to.set_alias("shadow", to.versions()[0], "ada")


def check_stopped(to: Destination, number: int, first: int) -> None:
    """Checks what a stopped act has left, before anything makes up for it."""
    assert to.current() in (first, number)
    assert all("stopped" in problem for problem in destination_problems(to))
    kinds = [event.kind for event in to.events()]
    # Nobody reads the new version as current who was not told of the approval.
    assert to.current() == first or "approved" in kinds


def check_settled(to: Destination, number: int, first: int) -> None:
    """Checks a destination after the change that came next."""
    kinds = [event.kind for event in to.events()]
    assert destination_problems(to) == []
    assert to.current() == (number if "approved" in kinds else first)
    for name in ("champion", "shadow"):
        known, content = to.aliases().get(name), to.store.read(f"aliases/{name}")
        assert content == (ABSENT if known is None else b"%d\n" % known)


def check_again(name: str, to: Destination, act: Act) -> None:
    """Checks that what was stopped can be done again, and comes to the same."""
    kinds = [event.kind for event in to.events()]
    is_done = {
        "approval": "approved" in kinds,
        "rejection": "rejected" in kinds,
        "alias removed": "alias_removed" in kinds,
    }.get(name, False)
    if not is_done:
        act(to)
    assert destination_problems(to) == []
    kinds = [event.kind for event in to.events()]
    assert kinds.count("approved") <= 1 and kinds.count("alias_set") <= 2
    models = [to.read(version, "model.tflite") for version in to.versions()]
    assert len(models) == len({*models})
    if name == "waiting push":
        assert [to.read(each.version, "model.tflite") for each in to.waiting()] == [b"b", b"new"]


@pytest.mark.parametrize("name", ACTS)
@SIGNED
def test_stopped_at_every_step_it_is_done_or_not_and_the_next_change_makes_up_for_it(
    name: str, is_signed: bool, sources: Path, tmp_path: Path
):
    start, act = tmp_path / "start", ACTS[name](sources)
    prepare(destination_with(start, is_signed=is_signed), sources)
    first, number = destination_with(start).versions()
    points = points_of(act, start, tmp_path / "scratch", is_signed)
    assert points > 5
    # Signing adds steps, of which every other is enough here.
    for point in range(0, points, 2 if is_signed else 1):
        root = tmp_path / f"killed-{point}"
        shutil.copytree(start, root)
        with pytest.raises(Stopped):
            act(destination_with(root, DeadAfter(point), is_signed))
        to = destination_with(root, is_signed=is_signed)
        check_stopped(to, number, first)
        to.sign_off(first)
        check_settled(to, number, first)
        check_again(name, to, act)
        shutil.rmtree(root)


@SIGNED
def test_stopped_at_every_step_of_a_first_push_nothing_is_current_and_the_same_push_waits(
    is_signed: bool, sources: Path, tmp_path: Path
):
    act = ACTS["waiting push"](sources)
    points = points_of(act, tmp_path / "none", tmp_path / "scratch", is_signed)
    for point in range(0, points, 2 if is_signed else 1):
        root = tmp_path / f"killed-{point}"
        with pytest.raises(Stopped):
            act(destination_with(root, DeadAfter(point), is_signed))
        to = destination_with(root, is_signed=is_signed)
        assert to.current() is None
        act(to)
        assert to.current() is None and len(to.versions()) == 1 == len(to.waiting())
        assert destination_problems(to) == []
        approve(to)
        assert to.current() == to.versions()[0] and destination_problems(to) == []


@pytest.fixture
def uris(s3: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Places in a bucket, each of which is new."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    return (f"s3://models/{tmp_path.name}/{index}" for index in range(NEVER))


def requests_of(act: Act, uri: str, is_signed: bool, start: Callable[[Destination], None]) -> int:
    """Returns how many requests of an act change something."""
    start(destination_at(uri, ObjectRequests(uri), is_signed))
    counting = StoppedRequests(uri)
    act(destination_at(uri, counting, is_signed))
    return counting.points


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "is_signed", "step"),
    [("approval", True, 2), ("alias", True, 3), ("waiting push", False, 3)],
)
def test_stopped_before_any_request_to_a_store_it_is_done_or_not(
    name: str, is_signed: bool, step: int, uris: Iterator[str], sources: Path
):
    act = ACTS[name](sources)
    start = functools.partial(prepare, sources=sources)
    points = requests_of(act, next(uris), is_signed, start)
    assert points >= 3
    for point in range(0, points, step):
        uri = next(uris)
        to = destination_at(uri, ObjectRequests(uri), is_signed, lifetime=0.2)
        start(to)
        first, number = to.versions()
        with pytest.raises(Stopped):
            act(destination_at(uri, RequestsDeadAfter(uri, point), is_signed))
        check_stopped(to, number, first)
        to.sign_off(first)
        check_settled(to, number, first)
        check_again(name, to, act)
