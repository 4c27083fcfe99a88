"""Kills and failing system calls at random, and that the judge of them finds what is wrong."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.components.destinations.system_faults import Act, Seen, Tally
from tfx_tflite.components.destinations.ledger import Event

ROOT = Path(__file__).parents[3]
PUSH, ROLLBACK, SIGN_OFF = Act("push", b"b"), Act("roll_back"), Act("sign_off", version=1)
BEFORE = Seen(1, 1, {1: b"a"}, frozenset({1}), (Event.now("released", 1),), ())
PUSHED = Seen(2, 2, {1: b"a", 2: b"b"}, frozenset({1, 2}), BEFORE.events, ())


@pytest.mark.slow
def test_kills_and_failing_system_calls_lose_nothing_and_what_is_said_is_true(record_property):
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    # In a process of its own: it forks, which threads of other tests' libraries do not survive.
    program = [sys.executable, "-m", "tests.components.destinations.system_faults"]
    arguments = ["--kills", "60", "--faults", "60", "--seed", "7"]
    ran = subprocess.run([*program, *arguments], capture_output=True, text=True, cwd=ROOT)
    counts = dict(line.split(": ", 1) for line in ran.stdout.splitlines() if ": " in line)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert [counts[name] for name in ("partial", "lost", "untruthful")] == ["0"] * 3
    assert counts["kills"] == counts["faults"] == "60"
    assert int(counts["reads meanwhile"]) > 100
    record_property("summary", f"{counts}")


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
