"""The search for the fewest edges that must stay float, whatever an evaluation costs.

Edges are in an order, the worst first. If more of them in float are never worse, the shortest
prefix that is good enough is found by doubling (1, 2, 4, …) and then halving the gap. An edge of it
may be there only because another ranked higher, so single ones are taken out again as long as there
are evaluations left. What is not monotone costs no more; the search then ends with a set that was
good enough when it was tried, and not always with the smallest one.
"""

import math
from collections.abc import Generator, Sequence
from enum import Enum
from typing import TypeVar

_Edge = TypeVar("_Edge")


class Trial(Enum):
    """What became of a set of edges that was tried."""

    GOOD = "meets the rules"
    TOO_FEW = "does not meet the rules"
    # It need not be evaluated then; with more edges it is larger still.
    TOO_LARGE = "is no smaller than what needs no search"


def most_evaluations(edges: int) -> int:
    """Returns how many evaluations a search takes at most: 2 log2(G) + 3 for G edges."""
    return int(2 * math.log2(max(edges, 1))) + 3 if edges else 0


def fewest_edges(
    order: Sequence[_Edge],
) -> Generator[tuple[_Edge, ...], Trial, tuple[_Edge, ...] | None]:
    """Yields sets of edges to be tried and returns the smallest one that is good enough.

    It is a function of what it is sent, so that a search that was interrupted goes on from its
    record: the same answers lead to the same questions.

    Args:
        order: All edges, the worst first; none of them in float is known to be too little.

    Returns:
        None if none that was tried is good enough. It takes no more than `most_evaluations`.

    Example:
        search = fewest_edges(order)
        trial = None
        try:
            while True:
                edges = search.send(trial)
                trial = evaluate(edges)
        except StopIteration as end:
            found = end.value
    """
    left = most_evaluations(len(order))
    # The longest prefix that is known to be too short, the one that is tried, and the shortest that
    # is good; all prefixes beyond `long` are good or too large.
    short, size, good = 0, 1, 0
    long = len(order) + 1
    while left and long - short > 1:
        is_doubling = long > len(order)
        size = min(size, len(order)) if is_doubling else (short + long) // 2
        trial = yield tuple(order[:size])
        left -= 1
        if trial is Trial.TOO_FEW:
            short, size = size, 2 * size
        else:
            long, good = size, size if trial is Trial.GOOD else good
    if not good:
        return None
    return (yield from _cut_back(order[:good], left))


def _cut_back(
    found: Sequence[_Edge], left: int
) -> Generator[tuple[_Edge, ...], Trial, tuple[_Edge, ...]]:
    """Yields sets without single edges and returns the smallest one that is good enough.

    The last edge stays: without it the prefix was too short.
    """
    kept = list(found)
    for edge in reversed(found[:-1]):
        if not left:
            break
        fewer = [each for each in kept if each is not edge]
        trial = yield tuple(fewer)
        left -= 1
        if trial is Trial.GOOD:
            kept = fewer
    return tuple(kept)
