"""A version that asks for approval is whole and not current until a person says so."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.components.destinations.interruption import (
    TRUST,
    Stopped,
    StoppedAtFile,
    destination_with,
    leave_orphan,
    make_candidate,
)
from tfx_tflite.components.destinations import ledger
from tfx_tflite.components.destinations.destination import (
    Candidate,
    Destination,
    PushedVersion,
    Trust,
)
from tfx_tflite.components.destinations.ledger import Event
from tfx_tflite.components.destinations.stores.local import LocalStore
from tfx_tflite.components.destinations.trust import Signer, Verifier
from tfx_tflite.components.destinations.verification import destination_problems
from tfx_tflite.components.errors import DestinationError, PushError
from tfx_tflite.pipelines.cli.destination_history import history_of

Wait = Callable[..., PushedVersion]


@pytest.fixture(params=[False, True], ids=["unsigned", "signed"])
def is_signed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def to(root: Path, is_signed: bool) -> Destination:
    """A destination with nothing at it, that is signed or is not."""
    return destination_with(root, is_signed=is_signed)


@pytest.fixture
def wait(to: Destination, candidate) -> Wait:
    """Pushes a model that has to be approved."""

    def push(content: bytes, compared_with: int | None = None, **options) -> PushedVersion:
        model = dataclasses.replace(candidate(content), compared_with=compared_with)
        return to.push(model, approval=True, **options)

    return push


def states(to: Destination) -> dict[int, str]:
    return {version.version: version.state for version in history_of(to).versions}


def latest(root: Path) -> str | None:
    file = root / "LATEST"
    return file.read_text().strip() if file.exists() else None


def test_what_waits_is_whole_and_not_current(to, wait, candidate, root):
    first = to.push(candidate(b"a")).number
    pushed = wait(b"b")
    assert (pushed.outcome, pushed.waits) == ("pushed", True)
    assert to.versions() == [first, pushed.number] and to.current() == first
    assert latest(root) == str(first) and destination_problems(to) == []
    assert to.manifest(pushed.number).approval == "required"
    assert to.manifest(first).approval is None
    assert states(to) == {first: "current", pushed.number: "waiting"}


def test_an_approval_makes_it_current_and_says_who_when_and_why(to, wait, candidate, root):
    first = to.push(candidate(b"a")).number
    number = wait(b"b").number
    assert to.approve(number, "ada", "tried on phones") == (first, number, "")
    assert to.current() == number and latest(root) == str(number)
    assert destination_problems(to) == [] and to.waiting() == []
    decision = history_of(to).versions[-1].decision
    assert (decision.decision, decision.by, decision.note) == ("approved", "ada", "tried on phones")
    assert decision.at.endswith("+00:00")
    # What can be undone as any push can.
    assert to.roll_back().after == first and states(to)[number] == "rolled back"


def test_the_first_version_of_a_destination_may_wait(to, wait, root):
    number = wait(b"a").number
    assert to.current() is None and latest(root) is None
    assert destination_problems(to) == []
    history = history_of(to)
    assert history.is_first_waiting and [each.version for each in history.waiting] == [number]
    assert to.approve(number, "ada") == (None, number, "")
    assert to.current() == number and destination_problems(to) == []


def test_the_same_model_waits_once(to, wait):
    number = wait(b"a").number
    again = wait(b"a")
    assert (again.number, again.outcome, again.waits) == (number, "waiting", True)
    assert to.versions() == [number]
    since = to.waiting()[0].since
    # Even so, force pushes it once more, and that waits too.
    forced = wait(b"a", force=True)
    assert forced.outcome == "pushed" and forced.waits and forced.number > number
    assert to.waiting()[0].since == since and len(to.waiting()) == 2


def test_what_waits_without_a_file_that_would_be_shipped_today_is_said(to, wait, candidate):
    wait(b"a")
    again = to.push(candidate(b"a", {"recipe.json": b"{}"}), approval=True)
    assert again.outcome == "waiting" and "without recipe.json; use --force" in again.note


def test_what_was_approved_is_there_already(to, wait):
    number = wait(b"a").number
    to.approve(number, "ada")
    again = wait(b"a")
    assert (again.number, again.outcome, again.waits) == (number, "present", False)


def test_a_run_that_asks_for_no_approval_pushes_a_version_that_needs_none(to, wait, candidate):
    waiting = wait(b"a").number
    pushed = to.push(candidate(b"a"))
    assert pushed.outcome == "pushed" and to.current() == pushed.number > waiting
    assert states(to)[waiting] == "overtaken" and destination_problems(to) == []


def test_several_wait_and_may_be_approved_upwards(to, wait):
    first, second, third = (wait(content).number for content in (b"a", b"b", b"c"))
    assert [each.version for each in to.waiting()] == [first, second, third]
    assert to.approve(first, "ada").after == to.current() == first
    assert to.approve(third, "ada").before == first and to.current() == third
    assert to.waiting() == [] and states(to)[second] == "overtaken"


def test_an_older_one_is_approved_only_by_force_and_then_the_newer_one_is_withdrawn(to, wait):
    older, newer = wait(b"a").number, wait(b"b").number
    to.approve(newer, "ada")
    with pytest.raises(DestinationError, match=f"it is older than {newer}, which is.*--force"):
        to.approve(older, "ada")
    assert to.current() == newer
    to.approve(older, "ada", force=True)
    assert to.current() == older and states(to)[newer] == "rolled back"
    # So no run puts it back by itself.
    assert wait(b"b").outcome == "withdrawn" and destination_problems(to) == []


def test_one_that_was_compared_with_another_version_is_approved_only_by_force(to, wait, candidate):
    first = to.push(candidate(b"a")).number
    number, other = wait(b"b", compared_with=first).number, wait(b"c").number
    assert [each.compared_with for each in to.waiting()] == [first, None]
    third = wait(b"d", compared_with=first).number
    to.approve(number, "ada")
    with pytest.raises(DestinationError, match=f"with version {first} at.*{number} is current"):
        to.approve(third, "ada")
    # One that was not compared is not held up.
    to.approve(other, "ada")
    # Judged once more, it is.
    assert wait(b"d", compared_with=other).outcome == "waiting"
    assert to.approve(third, "ada").after == to.current() == third
    fourth = wait(b"e", compared_with=third).number
    to.push(candidate(b"f"))
    to.approve(fourth, "ada", force=True)
    assert to.current() == fourth


def test_a_model_that_was_compared_with_an_old_version_does_not_even_wait(to, wait, candidate):
    first = to.push(candidate(b"a")).number
    to.push(candidate(b"b"))
    with pytest.raises(PushError, match="run again"):
        wait(b"c", compared_with=first)
    assert to.waiting() == []


def test_a_rejected_version_is_never_taken(to, wait, candidate):
    first = to.push(candidate(b"a")).number
    number = wait(b"b").number
    to.reject(number, "ada", "too slow")
    assert states(to) == {first: "current", number: "rejected"} and to.waiting() == []
    for decide in (to.approve, to.reject):
        with pytest.raises(DestinationError, match=r"was rejected by ada: too slow; .*--force"):
            decide(number, "bob")
    with pytest.raises(DestinationError, match="was rejected"):
        to.roll_back(number)
    again = wait(b"b")
    assert (again.outcome, again.number, again.waits) == ("rejected", number, False)
    assert "ada rejected it: too slow; use --force" in again.note and not again.is_there
    # Whether or not the config asks for approval.
    assert to.push(candidate(b"b")).outcome == "rejected"


def test_a_rejection_is_remembered_when_the_version_is_gone(to, wait, candidate):
    to.push(candidate(b"a"))
    number = wait(b"b").number
    to.reject(number, "ada")
    to.push(candidate(b"c"), keep=1)
    assert number not in to.versions() and wait(b"b").outcome == "rejected"
    forced = wait(b"b", force=True)
    assert forced.waits and wait(b"b").outcome == "waiting"
    to.approve(forced.number, "ada")
    to.push(candidate(b"d"))
    assert wait(b"b").outcome == "pushed"


@pytest.mark.parametrize("state", ["unknown", "orphan", "current", "earlier", "withdrawn"])
def test_nothing_but_what_waits_is_approved_or_rejected(
    state: str, to, candidate, root, is_signed: bool
):
    first, second = (to.push(candidate(content)).number for content in (b"a", b"b"))
    if state == "withdrawn":
        to.roll_back()
    orphan = leave_orphan(root, candidate(b"o"), TRUST if is_signed else None)
    number, said = {
        "unknown": (orphan + 1, "has no version"),
        "orphan": (orphan, "was never released: the push that made it stopped"),
        "current": (second, "is or was the current version already"),
        "earlier": (first, "is or was the current version already; `tfx-tflite rollback"),
        "withdrawn": (second, "is or was the current version already; `tfx-tflite rollback"),
    }[state]
    before = to.current()
    with pytest.raises(DestinationError, match=said):
        to.reject(number, "ada")
    if state == "current":
        assert to.approve(number, "ada") == (second, second, "")
    else:
        with pytest.raises(DestinationError, match=said):
            to.approve(number, "ada", force=True)
    assert to.current() == before


def test_a_damaged_version_is_not_approved(to, wait, root):
    number = wait(b"a").number
    (root / str(number) / "model.tflite").write_bytes(b"changed")
    with pytest.raises(DestinationError, match="is not what was pushed, so it is not approved"):
        to.approve(number, "ada", force=True)
    assert to.current() is None and [each.version for each in to.waiting()] == [number]


@pytest.mark.parametrize("command", ["roll_back", "sign_off"])
def test_what_waits_was_never_released(command: str, to, wait, candidate):
    to.push(candidate(b"a"))
    number = wait(b"b").number
    with pytest.raises(DestinationError, match=f"{number} at .* waits for approval"):
        getattr(to, command)(number)


def test_a_rollback_while_one_waits_leaves_it_waiting(to, wait, candidate):
    first, second = (to.push(candidate(content)).number for content in (b"a", b"b"))
    number = wait(b"c").number
    assert to.roll_back().after == first and states(to)[second] == "rolled back"
    assert to.approve(number, "ada") == (first, number, "")
    assert to.roll_back().after == first


def test_what_one_that_was_rolled_back_has_overtaken_waits_again(to, wait, candidate):
    first = to.push(candidate(b"a")).number
    number = wait(b"b").number
    to.push(candidate(b"c"))
    assert states(to)[number] == "overtaken"
    to.roll_back()
    assert states(to)[number] == "waiting" and to.approve(number, "ada").before == first


def test_retention_keeps_what_waits_and_is_newer_than_the_current_one(to, wait, candidate):
    first, second = (to.push(candidate(content)).number for content in (b"a", b"b"))
    waiting = [wait(content, keep=1).number for content in (b"c", b"d")]
    # It takes nobody's place, either.
    assert to.versions() == [second, *waiting] and first not in to.versions()
    last = to.push(candidate(b"e"), keep=1).number
    assert to.versions() == [last]


def test_without_the_key_or_with_another_nobody_approves(root, candidate):
    signed = Destination(LocalStore(root), TRUST)
    number = signed.push(candidate(b"a"), approval=True).number
    other = Ed25519PrivateKey.generate()
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    for trust, said in [
        (None, "needs the key"),
        (Trust(TRUST.verifier), "needs the key"),
        (Trust(Verifier(other.public_key()), Signer(other)), "by this key"),
    ]:
        for act in ("approve", "reject"):
            with pytest.raises(DestinationError, match=said):
                getattr(Destination(LocalStore(root), trust), act)(number, "eve")
    with pytest.raises(DestinationError, match="by this key"):
        Destination(LocalStore(root), TRUST).approve(number, "eve", key=other)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_an_approval_that_somebody_adds_to_a_signed_history_counts_for_nothing(root, candidate):
    signed = Destination(LocalStore(root), TRUST)
    number = signed.push(candidate(b"a"), approval=True).number
    event = Event.now("approved", number, by="eve")
    file = root / ".history" / f"{9 * 10**18:020d}.json"
    file.write_text(event.model_dump_json(exclude_none=True) + "\n")
    (root / "LATEST").write_text(f"{number}\n")
    assert signed.current() is None
    problems = destination_problems(signed)
    assert any("no version is signed as the current one" in problem for problem in problems)
    signed.push(candidate(b"b"), approval=True)
    assert signed.current() is None and latest(root) is None and destination_problems(signed) == []


def test_at_an_unsigned_destination_a_pointer_to_what_nobody_approved_is_told(root, candidate):
    to = destination_with(root)
    to.push(candidate(b"a"))
    number = to.push(candidate(b"b"), approval=True).number
    (root / "LATEST").write_text(f"{number}\n")
    for checked in (None, number):
        [problem] = destination_problems(to, checked)
        assert "asks for an approval, and the history has none" in problem


def test_an_unsigned_destination_becomes_signed_with_the_first_approval(root, candidate):
    before = destination_with(root).push(candidate(b"a")).number
    signed = Destination(LocalStore(root), TRUST)
    number = signed.push(candidate(b"b"), approval=True).number
    # What is current has no signature, so nothing is signed as that yet.
    assert signed.current() == before and not (root / "LATEST.signed").exists()
    assert signed.current_problems(before) == []
    assert signed.approve(number, "ada").after == signed.current() == number
    assert (root / "LATEST.signed").exists()


def stop(root: Path, is_signed: bool, name: str, act: Callable[[Destination], object]) -> None:
    """Stops a change before a file gets its name."""
    trust = TRUST if is_signed else None
    with pytest.raises(Stopped):
        act(Destination(LocalStore(root, StoppedAtFile(name)), trust))


@pytest.mark.parametrize("finished_by", ["sign_off", "push", "approve", "reject"])
def test_an_approval_that_stops_before_the_pointer_is_finished_by_the_next_change(
    finished_by: str, to, wait, candidate, root, is_signed
):
    first = to.push(candidate(b"a")).number
    number = wait(b"b").number
    if is_signed:
        # The pointer is written twice: for the event, and for the version.
        stop(root, True, "LATEST", lambda to: to.approve(number, "ada"))
        assert to.current() == number
    else:
        stop(root, False, "LATEST", lambda to: to.approve(number, "ada"))
        assert to.current() == first and states(to)[number] == "approved"
    if finished_by == "push":
        assert to.push(candidate(b"b")).outcome == "present"
    elif finished_by == "sign_off":
        to.sign_off(first)
    elif finished_by == "approve":
        assert to.approve(number, "ada").before == number
    else:
        with pytest.raises(DestinationError, match="is or was the current version"):
            to.reject(number, "ada")
    assert to.current() == number and latest(root) == str(number)
    assert destination_problems(to) == []
    assert [event.kind for event in to.events()].count("approved") == 1


def test_an_approval_that_stopped_is_not_finished_once_the_version_is_damaged(root, candidate):
    to = destination_with(root)
    first = to.push(candidate(b"a")).number
    number = to.push(candidate(b"b"), approval=True).number
    stop(root, False, "LATEST", lambda to: to.approve(number, "ada"))
    (root / str(number) / "model.tflite").write_bytes(b"changed")
    to.sign_off(first)
    assert to.current() == first
    # A newer version ends it.
    last = to.push(candidate(b"c")).number
    assert to.current() == last and ledger.unfinished_approval(to.events()) is None


def test_nobody_decides_in_more_words_than_the_history_keeps(to, wait):
    number = wait(b"a").number
    with pytest.raises(DestinationError, match="note: is longer than 500 characters; nothing was"):
        to.approve(number, "ada", "x" * 501)
    with pytest.raises(DestinationError, match="by: holds control characters"):
        to.reject(number, "a\x1bda")
    assert len(to.waiting()) == 1


def test_a_manifest_of_before_asks_for_nothing(tmp_path: Path):
    (tmp_path / "s").mkdir()
    candidate: Candidate = make_candidate(tmp_path / "s", b"a", {})
    to = destination_with(tmp_path / "to")
    number = to.push(candidate).number
    text = (tmp_path / "to" / str(number) / "manifest.json").read_text()
    (tmp_path / "to" / str(number) / "manifest.json").write_text(
        text.replace('"approval": null', '"other": null')
    )
    assert to.manifest(number).approval is None


def test_what_waits_is_not_current_where_the_history_is_lost(root, candidate):
    to = destination_with(root)
    number = to.push(candidate(b"a"), approval=True).number
    shutil.rmtree(root / ".history")
    assert to.current() is None and states(to) == {number: "not released"}
    again = to.push(candidate(b"a"), approval=True)
    assert (again.number, again.outcome) == (number, "waiting")
    assert to.approve(number, "ada").after == number


def test_a_destination_whose_only_version_was_rejected_is_as_it_should_be(to, wait):
    to.reject(wait(b"a").number, "ada")
    assert destination_problems(to) == [] and history_of(to).is_first_waiting


def test_what_is_typed_to_approve_names_a_key_where_one_is_needed(to, wait, root, is_signed):
    wait(b"a")
    # As whoever only looks opens it.
    [waiting] = history_of(Destination(LocalStore(root))).waiting
    assert waiting.approve.endswith(" --signing-key KEY.pem") == is_signed
