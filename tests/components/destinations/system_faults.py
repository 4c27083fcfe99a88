"""Kills and failing system calls, over everything that changes a destination.

```
python -m tests.components.destinations.system_faults --kills 1000 --faults 1000 --seed 1
```

Processes push, roll back, sign off, remove old versions and put the history together, at an
unsigned and at a signed destination. They are killed (SIGKILL) at random times, or a system call of
theirs fails (`strace -e inject`), while another process reads all the time. After each the
destination is compared with that of before and with what the process said. The counts are printed;
the program ends with 1 unless partial, lost and untruthful are 0.
"""

import argparse
import contextlib
import faulthandler
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.components.destinations.interruption import make_candidate
from tfx_tflite.components.destinations import keys, ledger, ledger_files
from tfx_tflite.components.destinations.destination import Candidate, Destination, Trust
from tfx_tflite.components.destinations.ledger import Event
from tfx_tflite.components.destinations.manifest import Manifest
from tfx_tflite.components.destinations.stores.local import LocalStore
from tfx_tflite.components.destinations.trust import Signer, Verifier
from tfx_tflite.components.digests import bytes_digest
from tfx_tflite.components.errors import TfxTfliteError

assert keys
ERRORS = ("EIO", "ENOSPC", "EROFS", "EACCES", "EDQUOT", "EMFILE", "EINTR", "ESTALE")
# How often an act makes each call, about; one of them fails.
CALLS = {
    "openat": 80,
    "read": 80,
    "write": 10,
    "fsync": 16,
    "rename": 8,
    "mkdir": 3,
    "unlink": 8,
    "unlinkat": 4,
    "rmdir": 2,
    "getdents64": 24,
    "newfstatat": 60,
    "close": 80,
    "flock": 1,
    "lseek": 40,
}
# So that the history is put together every few acts.
LOOSE, SEGMENTS = 4, 3
# Longer than most acts take.
LONGEST = 0.08
# Seconds after which an act hangs; none waits for anybody.
HANGS = 60.0


@dataclass(frozen=True)
class Act:
    """What a process does.

    Attributes:
        kind: push, roll_back or sign_off.
        content: Of a push: the model.
        keep: Of a push: how many versions stay.
        version: Of the others: which version.
        withdraw: Whether a sign-off is taken back.
    """

    kind: str
    content: bytes = b""
    keep: int | None = None
    version: int | None = None
    withdraw: bool = False

    def __str__(self) -> str:
        what = self.content[:20] or self.version or "the one before"
        how = f", keep {self.keep}" if self.keep else ", withdrawn" if self.withdraw else ""
        return f"{self.kind} {what!r}{how}"

    def candidate(self, sources: Path) -> Candidate:
        """Returns what is pushed."""
        return make_candidate(sources, self.content, {"golden/o.bin": b"g" + self.content})

    def run(self, destination: Destination, candidate: Candidate | None) -> dict[str, object]:
        """Does it, and returns what is said of it."""
        if self.kind == "push":
            assert candidate is not None
            pushed = destination.push(candidate, keep=self.keep)
            return {"said": pushed.outcome, "version": pushed.number, "note": pushed.note}
        if self.kind == "roll_back":
            done = destination.roll_back(self.version)
            return {"said": "rolled back", "version": done.after, "note": done.note}
        assert self.version is not None
        destination.sign_off(self.version, withdraw=self.withdraw)
        return {"said": "signed off", "version": self.version, "note": ""}


@dataclass(frozen=True)
class Seen:
    """A destination as it is found between two acts.

    Attributes:
        latest: What LATEST holds.
        current: The current version.
        models: The model of every version.
        released: The versions that were ever current.
        events: The history.
        problems: What is wrong with a version.
    """

    latest: int | None
    current: int | None
    models: dict[int, bytes]
    released: frozenset[int]
    events: tuple[Event, ...]
    problems: tuple[str, ...]

    @classmethod
    def of(cls, destination: Destination) -> "Seen":
        versions = destination.versions()
        return cls(
            destination.pointer(),
            destination.current(),
            {number: destination.read(number, "model.tflite") for number in versions},
            frozenset(destination.released()),
            tuple(destination.events()),
            tuple(p for number in versions for p in destination.problems(number)),
        )

    @property
    def signed_off(self) -> set[int]:
        return ledger.signed_off(self.events)


@dataclass
class Tally:
    """What was found.

    Attributes:
        counts: How often what happened.
        found: What should not be, in words, by what it is.
    """

    counts: Counter[str] = field(default_factory=Counter)
    found: dict[str, list[str]] = field(
        default_factory=lambda: {"partial": [], "lost": [], "untruthful": []}
    )

    def judge(self, act: Act, before: Seen, after: Seen, said: dict[str, object] | None) -> None:
        """Compares a destination after an act with that of before and what was said."""
        where = f"{act}: {said}"
        for problem in _partial(before, after):
            self.found["partial"].append(f"{where}: {problem}")
        for problem in _lost(act, before, after):
            self.found["lost"].append(f"{where}: {problem}")
        for problem in _untruthful(act, before, after, said):
            self.found["untruthful"].append(f"{where}: {problem}")

    @property
    def is_good(self) -> bool:
        return not any(self.found.values())


def _partial(before: Seen, after: Seen) -> Iterator[str]:
    yield from after.problems
    if before.latest is not None and after.latest not in after.models:
        yield f"LATEST names {after.latest}, which is not there"
    if before.current is not None and after.current not in after.models:
        yield f"{after.current} is current and not there"
    if not after.released <= before.released | {after.current}:
        yield f"{sorted(after.released - before.released)} became releases unseen"


def _lost(act: Act, before: Seen, after: Seen) -> Iterator[str]:
    gone = before.models.keys() - after.models.keys()
    for number, content in before.models.items():
        if after.models.get(number, content) != content:
            yield f"{number} changed"
    if gone and act.keep is None:
        yield f"{sorted(gone)} are gone"
    # What was current before may go like any other once something else is.
    if lost := gone & (before.signed_off | {after.current}):
        yield f"{sorted(map(str, lost))} are gone: current or signed off"
    # What retention keeps beside the one that is being pushed.
    newest = sorted(before.released & before.models.keys())[-((act.keep or 1) - 1) :]
    if act.keep is not None and act.keep > 1 and gone & {*newest}:
        yield f"{sorted(gone & {*newest})} are gone: among the newest"
    if after.events[: len(before.events)] != before.events:
        yield "the history is not that of before and more"


def _untruthful(
    act: Act, before: Seen, after: Seen, said: dict[str, object] | None
) -> Iterator[str]:
    changed = after.current != before.current
    if said is None:
        # It was killed: what it did is one of two things.
        if changed and act.kind == "sign_off":
            yield f"{after.current} became current"
        return
    words = str(said.get("said"))
    if "error" in said:
        yield from _untruthful_error(act, before, after, str(said["error"]))
        if not said["is_ours"]:
            yield "a traceback"
    elif words in ("pushed", "present"):
        number = said["version"]
        if (after.latest, after.current) != (number, number):
            yield f"LATEST names {after.latest}, and {after.current} is current"
        if after.models.get(int(str(number))) != act.content:
            yield "another model is there"
        if number not in after.released:
            yield "it is not recorded as released"
    elif words == "withdrawn" and changed:
        yield "the current version changed"
    elif words == "rolled back" and (after.latest, after.current) != (said["version"],) * 2:
        yield f"LATEST names {after.latest}, and {after.current} is current"
    elif words == "signed off" and (said["version"] in after.signed_off) == act.withdraw:
        yield "the history does not say so"


def _untruthful_error(act: Act, before: Seen, after: Seen, error: str) -> Iterator[str]:
    if "is not known" in error:
        return
    if "is signed as the current one" in error:
        if after.current == before.current or after.latest == after.current:
            yield "it is not so"
        return
    if act.kind == "push" and "not pushed" not in error:
        yield "it does not say that nothing was pushed"
    if after.current != before.current:
        yield f"{after.current} became current"
    if after.latest not in (before.latest, before.current):
        yield f"LATEST names {after.latest}"
    if act.kind == "sign_off" and after.signed_off != before.signed_off:
        yield "the sign-off is in the history"


def choose(rng: random.Random, seen: Seen, number: int) -> Act:
    """Returns the next act at a destination."""
    keep = rng.choice([None, 2, 3, 3, 4, 4])
    new = Act("push", b"model %d" % number * rng.choice([1, 1000]), keep)
    if seen.current is None:
        return new
    earlier = [n for n in seen.released & seen.models.keys() if n != seen.current]
    signed = sorted(seen.signed_off & seen.models.keys())
    newest = seen.models[max(seen.models)]
    acts = [new, new, new, Act("push", newest, keep), Act("push", seen.models[seen.current], keep)]
    if earlier:
        acts += [Act("roll_back", version=rng.choice(sorted(earlier)))] * 2
        acts += [Act("sign_off", version=rng.choice(sorted(earlier)))]
        if min(earlier) < seen.current:
            acts += [Act("roll_back")]
    if len(signed) > 1:
        acts += [Act("sign_off", version=signed[0], withdraw=True)] * 3
    return rng.choice(acts)


@dataclass(frozen=True)
class Place:
    """A destination and who works there."""

    root: Path
    sources: Path
    trust: Trust

    def open(self) -> Destination:
        return Destination(LocalStore(self.root, patience=5), self.trust)


class Child:
    """A process that does one act, once it is let go.

    Args:
        place: Where.
        act: What.
    """

    def __init__(self, place: Place, act: Act):
        # Not to be interrupted.
        candidate = act.candidate(place.sources) if act.kind == "push" else None
        destination = place.open()
        self._read, write = os.pipe()
        go, self._go = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._go)
            os.close(self._read)
            os.read(go, 1)
            # Says where it stands, and ends with 1.
            faulthandler.dump_traceback_later(HANGS, exit=True)
            with contextlib.suppress(BaseException):
                os.write(write, json.dumps(_outcome(destination, act, candidate)).encode())
            os._exit(0)
        os.close(write)
        os.close(go)

    def start(self) -> None:
        os.write(self._go, b"x")

    def end(self) -> tuple[dict[str, object] | None, bool]:
        """Waits; returns what it said, None if nothing, and whether it was killed."""
        os.close(self._go)
        with os.fdopen(self._read, "rb") as pipe:
            content = pipe.read()
        _, status = os.waitpid(self.pid, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            raise SystemExit(f"a process hung for {HANGS:.0f} s, where its stack says")
        return (json.loads(content) if content else None), os.WIFSIGNALED(status)


def _outcome(destination: Destination, act: Act, candidate: Candidate | None) -> dict[str, object]:
    try:
        return act.run(destination, candidate)
    except TfxTfliteError as error:
        return {"error": str(error), "is_ours": True}
    except BaseException as error:
        return {"error": f"{type(error).__name__}: {error}", "is_ours": False}


def killed(place: Place, act: Act, rng: random.Random) -> tuple[dict[str, object] | None, bool]:
    """Does an act in a process that is killed after a while; returns also whether it was."""
    child = Child(place, act)
    child.start()
    time.sleep(rng.uniform(0, LONGEST))
    os.kill(child.pid, signal.SIGKILL)
    return child.end()


def failed(place: Place, act: Act, rng: random.Random) -> tuple[dict[str, object] | None, bool]:
    """Does an act in a process of which a system call fails; returns also whether one did."""
    call = rng.choice(sorted(CALLS))
    when = rng.randint(1, CALLS[call])
    error = rng.choice(ERRORS)
    # Once, or from then on; an interrupted call Python repeats without end.
    on = "" if error == "EINTR" else rng.choice(["", "+"])
    fault = f"inject={call}:error={error}:when={when}{on}"
    child = Child(place, act)
    # Not a pipe: nobody reads it meanwhile, and a full one would stop strace and the child with it.
    trace = place.sources / "trace"
    arguments = ["strace", "-qq", "-o", str(trace), "-p", str(child.pid), "-e", f"trace={call}"]
    with subprocess.Popen([*arguments, "-e", fault], stderr=subprocess.PIPE, text=True) as strace:
        while "TracerPid:\t0" in Path(f"/proc/{child.pid}/status").read_text():
            if strace.poll() is not None:
                raise SystemExit(f"strace failed: {strace.communicate()[1]}")
            time.sleep(0.001)
        child.start()
        said, _ = child.end()
    return said, "INJECTED" in trace.read_text()


def read_on(root: Path, report: Path) -> None:
    """Reads what LATEST names, as a server does, until it is killed; notes what is not whole."""
    reads, failures, parent = 0, [], os.getppid()
    while os.getppid() == parent:
        latest = _text(root / "LATEST")
        if latest is None and not reads:
            continue
        problem = _not_whole(root / str(latest).strip())
        # What was removed meanwhile is not current any more.
        if problem and _text(root / "LATEST") == latest:
            failures.append(problem)
        reads += 1
        time.sleep(0.001)
        if reads % 50 == 0 or problem:
            beside = report.with_suffix(".new")
            beside.write_text(json.dumps({"reads": reads, "failures": failures}))
            beside.replace(report)


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


def _not_whole(version: Path) -> str | None:
    try:
        manifest = Manifest.parse((version / "manifest.json").read_bytes(), str(version))
        for name, entry in manifest.files.items():
            if bytes_digest((version / name).read_bytes()) != entry.digest:
                return f"{version}/{name} is not what was pushed"
    except (OSError, TfxTfliteError) as error:
        return str(error)
    return None


@contextlib.contextmanager
def reading(place: Place, reports: Path) -> Iterator[Path]:
    """Has a process read a destination meanwhile; yields where it notes what it found."""
    report = reports / f"{place.root.name}.json"
    pid = os.fork()
    if pid == 0:
        try:
            read_on(place.root, report)
        finally:
            os._exit(1)
    try:
        yield report
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


Way = Callable[[Place, Act, random.Random], tuple[dict[str, object] | None, bool]]


def interrupt(
    place: Place, way: Way, name: str, number: int, rng: random.Random, tally: Tally
) -> None:
    """Interrupts acts at a destination that many times, and looks after each of them."""
    seen, done = Seen.of(place.open()), 0
    while done < number:
        act = choose(rng, seen, rng.randrange(10**9))
        said, was_interrupted = way(place, act, rng)
        done += was_interrupted
        after = Seen.of(place.open())
        tally.judge(act, seen, after, said)
        tally.counts[name] += was_interrupted
        tally.counts[f"{act.kind} interrupted"] += was_interrupted
        if said is not None:
            tally.counts["said: " + str(said.get("said") or "an error")] += 1
            tally.counts["said: not known"] += "is not known" in str(said.get("error"))
            tally.counts["said: a note"] += bool(said.get("note"))
        tally.counts["files of many events"] += any(place.root.glob(".history/*.jsonl"))
        seen = after


def run(directory: Path, kills: int, faults: int, seed: int) -> Tally:
    """Interrupts acts at an unsigned and a signed destination below a directory."""
    with mock.patch.multiple(ledger_files, LOOSE=LOOSE, SEGMENTS=SEGMENTS):
        return _run(directory, kills, faults, seed)


def _run(directory: Path, kills: int, faults: int, seed: int) -> Tally:
    key = Ed25519PrivateKey.generate()
    tally, rng = Tally(), random.Random(seed)
    trusts = {"unsigned": Trust(), "signed": Trust(Verifier(key.public_key()), Signer(key))}
    for index, (name, trust) in enumerate(trusts.items()):
        place = Place(directory / name, directory / f"{name}_sources", trust)
        place.sources.mkdir()
        with reading(place, directory) as report:
            for way, what, number in ((killed, "kills", kills), (failed, "faults", faults)):
                part = number // 2 + (index == 0) * (number % 2)
                interrupt(place, way, what, part, rng, tally)
                # Models' files are not wanted any more.
                shutil.rmtree(place.sources)
                place.sources.mkdir()
            last_act = Act("push", b"last", 3)
            last = last_act.run(place.open(), last_act.candidate(place.sources))
            assert last["said"] == "pushed", last
            time.sleep(0.2)
        found = json.loads(report.read_text())
        tally.counts["reads meanwhile"] += found["reads"]
        tally.found["partial"] += found["failures"]
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.faults and shutil.which("strace") is None:
        print("strace is not installed: no system call fails", file=sys.stderr)
        arguments.faults = 0
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        tally = run(Path(directory), arguments.kills, arguments.faults, arguments.seed)
    for name, count in sorted(tally.counts.items()):
        print(f"{name}: {count}")
    for name, problems in tally.found.items():
        print(f"{name}: {len(problems)}")
        for problem in problems[:5]:
            print(f"  {problem}")
    print(f"seed {arguments.seed}, {time.monotonic() - start:.0f} s")
    return 0 if tally.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
