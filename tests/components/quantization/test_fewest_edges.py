"""The search for the fewest float edges, on made-up models."""

import math
from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np
import pytest

from tfx_tflite.components.quantization.fewest_edges import Trial, fewest_edges, most_evaluations

Evaluation = Callable[[tuple[int, ...]], Trial]


def search(edges: int, evaluate: Evaluation) -> tuple[tuple[int, ...] | None, list[tuple]]:
    """Returns what is found in an order of numbered edges, and what was tried."""
    tried: list[tuple[int, ...]] = []
    asking = fewest_edges(range(edges))
    try:
        proposed = next(asking)
        while True:
            tried.append(proposed)
            proposed = asking.send(evaluate(proposed))
    except StopIteration as end:
        return end.value, tried


def needing(*edges: int) -> Evaluation:
    """A model that is good if these are float."""
    return lambda tried: Trial.GOOD if set(edges) <= set(tried) else Trial.TOO_FEW


def limited(evaluate: Evaluation, most: int) -> Evaluation:
    """The same, but with more edges it is too large."""
    return lambda tried: Trial.TOO_LARGE if len(tried) > most else evaluate(tried)


@pytest.mark.parametrize("edges", [1, 2, 3, 7, 8, 33, 100])
def test_finds_the_shortest_prefix_within_the_evaluations_that_are_allowed(edges: int):
    for last in range(edges):
        every = needing(*range(last + 1))
        found, tried = search(edges, every)
        assert found == tuple(range(last + 1))
        assert len(tried) <= most_evaluations(edges) <= 2 * math.log2(edges) + 3


def test_two_edges_of_twenty_are_found_in_three_evaluations():
    found, tried = search(20, needing(0, 1))
    assert found == (0, 1)
    # One, two, and two without the first.
    assert tried == [(0,), (0, 1), (1,)]


def test_an_edge_that_only_ranked_higher_is_cut():
    found, tried = search(20, needing(2))
    assert found == (2,)
    assert len(tried) <= most_evaluations(20)


def test_the_lower_ranked_ones_are_cut_first_as_long_as_evaluations_are_left():
    found, tried = search(8, needing(0, 4))
    assert found is not None and {0, 4} <= set(found) and len(found) < 5
    assert len(tried) == most_evaluations(8)


def test_no_set_is_good_enough():
    found, tried = search(20, needing(99))
    assert found is None
    assert tried[-1] == tuple(range(20)) and len(tried) <= most_evaluations(20)


def test_without_edges_there_is_nothing_to_try():
    assert search(0, needing()) == (None, [])


@pytest.mark.parametrize("most", [3, 4, 5, 6, 7])
def test_what_is_too_large_is_never_the_result(most: int):
    found, _ = search(20, limited(needing(0, 1, 2, 3, 4), most))
    assert found == ((0, 1, 2, 3, 4) if most >= 5 else None)


def noisy(seed: int) -> Evaluation:
    """A model that is good with many edges but for some sets of them, at random."""

    def evaluate(tried: Iterable[int]) -> Trial:
        generator = np.random.default_rng([seed, *tried])
        return Trial.GOOD if generator.random() < len(set(tried)) / 20 else Trial.TOO_FEW

    return evaluate


@pytest.mark.parametrize("seed", range(30))
def test_what_is_not_monotone_costs_no_more_and_ends_with_a_set_that_was_good(seed: int):
    found, tried = search(20, noisy(seed))
    assert len(tried) <= most_evaluations(20)
    assert found is None or (found in tried and noisy(seed)(found) is Trial.GOOD)
    if found is None:
        assert all(noisy(seed)(each) is not Trial.GOOD for each in tried)


def test_an_interrupted_search_goes_on_from_its_record():
    evaluate = needing(1, 4, 6)
    found, tried = search(20, evaluate)
    asking = fewest_edges(range(20))
    assert next(asking) == tried[0]
    for before, after in pairwise(tried):
        assert asking.send(evaluate(before)) == after
    with pytest.raises(StopIteration) as end:
        asking.send(evaluate(tried[-1]))
    assert end.value.value == found
