"""Pushes, rollbacks and sign-offs through a connection with random faults, and what they lost.

`python -m tests.components.destinations.stores.random_faults --pushes 500 --seed 1` prints how many
acts went through, and how many lost a version, left something half, or said what is not true.
"""

import argparse
import itertools
import random
import sys
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.components.destinations.stores.acts import (
    TIMEOUT,
    Done,
    act_with_faults,
    with_two_versions,
)
from tests.components.destinations.stores.faults import Fault, FaultyProxy
from tests.components.destinations.stores.seaweedfs.server import SeaweedFS, running

# Two of three are pushes; all of them keep few versions, so that looking at them is quick.
NAMES = ("push", "push_that_keeps_one", "push", "push_that_keeps_one", "roll_back", "sign_off")
_REQUESTS = 40
_MOST_FAULTS = 3
# A destination is left alone after so many acts.
_ACTS_AT_ONE = 10


@dataclass
class Tally:
    """What came of acts.

    Attributes:
        acts: How many there were of each kind.
        done: How many went through.
        unknown: How many ended with "it is not known whether".
        faults: How many faults were met.
        kills: How often the server was killed.
        lost: What was lost.
        half: What was half.
        untrue: What was not true.
    """

    acts: Counter[str] = field(default_factory=Counter)
    done: int = 0
    unknown: int = 0
    faults: int = 0
    kills: int = 0
    lost: list[str] = field(default_factory=list)
    half: list[str] = field(default_factory=list)
    untrue: list[str] = field(default_factory=list)

    @property
    def pushes(self) -> int:
        return self.acts["push"] + self.acts["push_that_keeps_one"]

    def add(self, name: str, faults: dict[int, Fault], done: Done) -> None:
        self.acts[name] += 1
        self.done += not done.failed
        self.unknown += "it is not known whether" in done.said
        self.faults += sum(point < done.requests for point in faults)
        where = f"{name} with {faults} said {done.said!r}"
        self.lost += [f"{where}: {number}" for number in done.lost(name)]
        self.half += [f"{where}: {problem}" for problem in done.half]
        self.untrue += [f"{where}: {problem}" for problem in filter(None, [done.untrue(name)])]

    def line(self) -> str:
        """Returns all in a line."""
        others = sum(self.acts.values()) - self.pushes
        return (
            f"{self.pushes} pushes and {others} rollbacks and sign-offs, {self.faults} faults, "
            f"the server killed {self.kills} times: {self.done} went through, of {self.unknown} "
            f"it was said to be unknown; {len(self.lost)} lost, {len(self.half)} half, "
            f"{len(self.untrue)} untrue messages"
        )


def random_acts(
    server: SeaweedFS, sources: Path, pushes: int, seed: int, tally: Tally, kill_every: int
) -> None:
    """Acts until there were so many pushes.

    Args:
        server: The store.
        sources: A directory for files.
        pushes: How many pushes.
        seed: Of what happens.
        tally: Is told what came of each act.
        kill_every: In how many acts the server is killed once, and started again.
    """
    rng = random.Random(seed)
    with FaultyProxy(server.port, too_late=TIMEOUT) as proxy:
        for index in itertools.count():
            if tally.pushes >= pushes:
                return
            uri = f"s3://models/{seed}-{index // _ACTS_AT_ONE}"
            if index % _ACTS_AT_ONE == 0:
                with_two_versions(server, uri, sources)
            name = rng.choice(NAMES)
            faults = {
                rng.randrange(_REQUESTS): rng.choice(list(Fault))
                for _ in range(rng.randint(1, _MOST_FAULTS))
            }
            is_killed = bool(kill_every) and index % kill_every == kill_every - 1
            tally.kills += is_killed
            killing = _killing(server, rng.uniform(0.01, 0.3)) if is_killed else None
            model = b"%d" % rng.getrandbits(60)
            done = act_with_faults(name, model, faults, proxy, server, uri, sources, killing)
            if _is_nothing_to_do(name, done):
                continue
            tally.add(name, faults, done)


def _is_nothing_to_do(name: str, done: Done) -> bool:
    """Returns whether there was only one version, so that there was no way back."""
    return name == "roll_back" and done.before.current == min(done.before.models)


def _killing(server: SeaweedFS, delay: float) -> threading.Timer:
    return threading.Timer(delay, server.restart)


def main() -> None:
    """Acts, and prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pushes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kill-every", type=int, default=25)
    arguments = parser.parse_args()
    tally = Tally()
    with tempfile.TemporaryDirectory() as directory, running(Path(directory)) as server:
        random_acts(
            server,
            Path(directory),
            arguments.pushes,
            arguments.seed,
            tally,
            arguments.kill_every,
        )
    print(tally.line())
    for problem in (*tally.lost, *tally.half, *tally.untrue):
        print(problem)
    sys.exit(bool(tally.lost or tally.half or tally.untrue))


if __name__ == "__main__":
    main()
