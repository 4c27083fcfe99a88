"""Sums against exact rational arithmetic, whatever the order and the grouping."""

import math
from fractions import Fraction

import numpy as np
import pytest

from tfx_tflite.components.judgement.statistics.exact_sums import ExactSums, exact_layers

GENERATOR = np.random.default_rng(0)
# Numbers of any size, ones and zeros, losses with heavy tails, opposites.
NUMBERS = np.stack(
    [
        GENERATOR.normal(size=2000) * 2.0 ** GENERATOR.integers(-300, 300, 2000),
        GENERATOR.integers(2, size=2000),
        GENERATOR.exponential(size=2000) ** 9,
        np.concatenate([GENERATOR.normal(size=1000), np.full(1000, 1e-320)]),
        np.zeros(2000),
    ],
    axis=1,
)


def summed(parts: list[np.ndarray]) -> np.ndarray:
    sums = [ExactSums.of(exact_layers(part)) for part in parts]
    while len(sums) > 1:
        sums = [ExactSums.merged(sums[start : start + 3]) for start in range(0, len(sums), 3)]
    return sums[0].totals()


@pytest.mark.parametrize("count", [1, 2, 33, 2000])
def test_totals_are_the_exact_sums_rounded_once(count: int):
    order = np.random.default_rng(count).permutation(len(NUMBERS))
    exact = [float(sum(map(Fraction, column))) for column in NUMBERS.T]
    assert summed(np.array_split(NUMBERS[order], count)).tolist() == exact


def test_layers_add_up_to_the_numbers():
    layers = exact_layers(NUMBERS)
    for column in range(NUMBERS.shape[1]):
        for row in range(0, len(NUMBERS), 97):
            assert math.fsum(layers[:, row, column]) == NUMBERS[row, column]


def test_a_slice_of_the_rows_is_exact_too():
    rows = np.arange(0, len(NUMBERS), 3)
    found = ExactSums.of(exact_layers(NUMBERS)[:, rows]).totals()
    assert found.tolist() == [math.fsum(column) for column in NUMBERS[rows].T]


@pytest.mark.parametrize(
    ("numbers", "total"),
    [
        ([1.0, math.inf], math.inf),
        ([math.inf, -math.inf, 1.0], math.nan),
        ([math.nan, 1.0], math.nan),
        ([1e308, 1e308], math.inf),
        ([1e300, 1.0, -1e300], 1.0),
    ],
)
def test_what_has_no_sum_says_so(numbers: list[float], total: float):
    parts = [np.array([[number]]) for number in numbers]
    for order in (parts, parts[::-1]):
        np.testing.assert_equal(summed(order), [total])


def test_of_nothing_the_sum_is_zero():
    assert ExactSums.of(exact_layers(np.zeros((0, 3)))).totals().tolist() == [0.0, 0.0, 0.0]
