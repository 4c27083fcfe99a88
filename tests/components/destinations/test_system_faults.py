"""Kills and failing system calls at random, and that the judge of them finds what is wrong."""

import shutil
from pathlib import Path

import pytest

from tests.components.destinations.system_faults import Act, Seen, Tally, run
from tfx_tflite.components.destinations.ledger import Event

PUSH, ROLLBACK, SIGN_OFF = Act("push", b"b"), Act("roll_back"), Act("sign_off", version=1)
BEFORE = Seen(1, 1, {1: b"a"}, frozenset({1}), (Event.now("released", 1),), ())
PUSHED = Seen(2, 2, {1: b"a", 2: b"b"}, frozenset({1, 2}), BEFORE.events, ())


@pytest.mark.slow
def test_kills_and_failing_system_calls_lose_nothing_and_what_is_said_is_true(
    tmp_path: Path, record_property
):
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    tally = run(tmp_path, kills=60, faults=60, seed=7)
    assert tally.found == {"partial": [], "lost": [], "untruthful": []}
    assert tally.counts["kills"] == tally.counts["faults"] == 60
    assert tally.counts["reads meanwhile"] > 100
    record_property("summary", f"{dict(tally.counts)}")


def changed(seen: Seen, **fields: object) -> Seen:
    return Seen(**{**vars(seen), **fields})


@pytest.mark.parametrize(
    ("act", "after", "said", "kind"),
    [
        (PUSH, BEFORE, {"said": "pushed", "version": 2}, "untruthful"),
        (PUSH, changed(PUSHED, models={1: b"a", 2: b"c"}), {"said": "pushed", "version": 2},
         "untruthful"),
        (PUSH, PUSHED, {"error": "the model was not pushed: x", "is_ours": True}, "untruthful"),
        (PUSH, BEFORE, {"error": "OSError: x", "is_ours": False}, "untruthful"),
        (PUSH, changed(PUSHED, released=frozenset({1})), {"said": "pushed", "version": 2},
         "untruthful"),
        (ROLLBACK, BEFORE, {"said": "rolled back", "version": 3}, "untruthful"),
        (SIGN_OFF, BEFORE, {"said": "signed off", "version": 1}, "untruthful"),
        (SIGN_OFF, PUSHED, None, "untruthful"),
        (PUSH, changed(PUSHED, models={2: b"b"}), None, "lost"),
        (PUSH, changed(PUSHED, models={1: b"x", 2: b"b"}), None, "lost"),
        (PUSH, changed(PUSHED, events=()), None, "lost"),
        (PUSH, changed(PUSHED, problems=("x was changed",)), None, "partial"),
        (PUSH, changed(BEFORE, latest=3), None, "partial"),
        (PUSH, changed(BEFORE, latest=None), None, "partial"),
        (PUSH, changed(BEFORE, released=frozenset({1, 2}), models=PUSHED.models), None, "partial"),
    ],
)  # fmt: skip
def test_the_judge_finds_what_should_not_be(act: Act, after: Seen, said, kind: str):
    tally = Tally()
    tally.judge(act, BEFORE, after, said)
    assert tally.found[kind] and not tally.is_good


@pytest.mark.parametrize(
    ("act", "after", "said"),
    [
        (PUSH, PUSHED, {"said": "pushed", "version": 2}),
        (PUSH, PUSHED, None),
        (PUSH, BEFORE, None),
        (PUSH, BEFORE, {"error": "the model was not pushed: x", "is_ours": True}),
    ],
)
def test_the_judge_passes_what_is_as_it_should_be(act: Act, after: Seen, said):
    tally = Tally()
    tally.judge(act, BEFORE, after, said)
    assert tally.is_good
