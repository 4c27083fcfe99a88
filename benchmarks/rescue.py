"""The search for a recipe that brings int8 back, against what others offer, on the same nets.

The nets are those of the bed that plain int8 fails (`tests/components/quantization_tuner/bed`).
The peers are the best of litert-quantizer's static recipes, and TensorFlow's documented recipe of
leaving the worst layers in float, which its quantization debugger ranks. All sides have the same
calibration examples, choose on the same tuning examples, and are compared on the eval split, which
none of them saw.

A side is ahead where its figure is better by more than half a point. Within that it is ahead if
its model computes in integers and the other's does not (or takes and gives them as well, and the
other's does not), or else if it is no larger. No figure counts as
better than the float model's, since a rescue is after the float model's answers.

Exits with 0 only if the search is ahead of each peer on nine of ten nets and, with `--seeds`,
within half a point for each of the nets that are trained again.

    python benchmarks/rescue.py --litert PYTHON [--seeds 5] [NET …]

PYTHON is that of an environment with litert-quantizer: `uv venv DIRECTORY; uv pip install --python
DIRECTORY/bin/python litert-quantizer==0.11.0`.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1]))

from absl import logging
from rescue_peers import (
    Arithmetic,
    Net,
    Result,
    arithmetic_of,
    best_of,
    cpu_seconds,
    litert_recipes,
    without_the_worst_layers,
)

from tests.components.quantization_tuner.bed import nets
from tests.components.quantization_tuner.bed.cases import ALLOWED, AWKWARD, CASES
from tests.components.quantization_tuner.bed.record import float_tflite
from tests.components.quantization_tuner.searching import task
from tfx_tflite.components.quantization_tuner.search import search

OURS, LITERT, EXCLUDED = "the search", "litert-quantizer", "worst layers float"
# What is asked of the nets of other seeds.
RETRAINED = ("rescaled_mobile_net", "swish", "hard_swish")
# On how many of the nets the search must be ahead.
SHARE_AHEAD = 0.9
Side = Callable[[Net], Result]


def ladder(net: Net) -> Result:
    """Returns what the search finds; what is all integer comes first on its ladder."""
    start = cpu_seconds()
    with tempfile.TemporaryDirectory() as directory:
        found = search(task(net.case, Path(directory), net.content, integer_only=False))
    cpu, content = cpu_seconds() - start, found.models.quantized
    return Result(
        net.eval(content),
        len(content),
        arithmetic_of(content),
        cpu,
        found.report.evaluations,
        found.report.choice.what,
    )


def sides(litert: Path) -> Mapping[str, Side]:
    """Returns the search and its peers."""
    return {
        OURS: ladder,
        LITERT: lambda net: best_of(net, litert_recipes(litert)),
        EXCLUDED: lambda net: best_of(net, without_the_worst_layers),
    }


@dataclass(frozen=True)
class Row:
    """What each side made of a net."""

    net: Net
    float_score: float
    results: Mapping[str, Result]

    def is_ahead(self, peer: str) -> bool:
        """Returns whether the search is ahead of a peer, or equal and no larger."""
        ours, theirs = self.results[OURS], self.results[peer]
        lead = self._score(ours) - self._score(theirs)
        if abs(lead) > ALLOWED:
            return lead > 0
        if ours.arithmetic != theirs.arithmetic:
            return ours.arithmetic > theirs.arithmetic
        return ours.size <= theirs.size

    def _score(self, result: Result) -> float:
        return min(result.score, self.float_score)

    @property
    def is_rescued(self) -> bool:
        """Whether the search ends within half a point of the float model."""
        return self.results[OURS].score >= self.float_score - ALLOWED

    def lines(self) -> Iterator[str]:
        """Yields the row's lines of the table."""
        yield f"{self.net.name}: float {self.float_score:.4f}, {len(self.net.content):,} bytes"
        for name, found in self.results.items():
            kind = found.arithmetic.name.lower().replace("_", " ")
            said = "" if name == OURS else f"  {'ahead' if self.is_ahead(name) else 'BEHIND'}"
            yield (
                f"  {name:18} {found.score:8.4f} {found.size:8,} bytes  {kind:15} "
                f"{found.cpu:6.1f} CPU-s {found.evaluations:3} evaluations{said:8}  {found.how}"
            )


def row(net: Net, by: Mapping[str, Side]) -> Row:
    """Returns what each side makes of a net, and prints it."""
    found = Row(net, net.eval(net.content), {name: side(net) for name, side in by.items()})
    print("\n".join(found.lines()), flush=True)
    return found


def retrained(seeds: int) -> Iterator[Net]:
    """Yields nets that are trained, and damaged, from other seeds than those of the bed."""
    for name in RETRAINED:
        for seed in range(1, seeds):
            content = float_tflite(nets.trained(getattr(nets, name), seed))
            yield Net(CASES[name], content, f"{name}, seed {seed}")


def verdict(rows: Sequence[Row]) -> bool:
    """Prints on how many nets the search is ahead of each peer; returns whether that is enough."""
    holds = True
    for peer in (LITERT, EXCLUDED):
        ahead = sum(each.is_ahead(peer) for each in rows)
        is_enough = ahead >= SHARE_AHEAD * len(rows)
        holds &= is_enough
        said = "holds" if is_enough else "DOES NOT HOLD"
        print(f"ahead of {peer} on {ahead} of {len(rows)} (at least nine of ten): {said}")
    rescued = [each.results[OURS] for each in rows if each.is_rescued]
    integer = sum(each.arithmetic is Arithmetic.INTEGERS for each in rescued)
    print(
        f"within half a point of float: {len(rescued)} of {len(rows)}, {integer} of these all "
        "integer"
    )
    return holds


def main() -> int:
    """Prints the table and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--litert", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("nets", nargs="*", metavar="NET", help="all by default")
    arguments = parser.parse_args()
    logging.set_verbosity(logging.ERROR)
    by = sides(arguments.litert)
    chosen = [case for case in AWKWARD if not arguments.nets or case.name in arguments.nets]
    found = [row(Net(case, case.float_tflite, case.name), by) for case in chosen]
    holds = verdict(found)
    again = [row(net, {OURS: ladder}) for net in retrained(arguments.seeds)]
    if again:
        rescued = sum(each.is_rescued for each in again)
        print(f"of other seeds within half a point: {rescued} of {len(again)}")
        holds &= rescued == len(again)
    return int(not holds)


if __name__ == "__main__":
    sys.exit(main())
