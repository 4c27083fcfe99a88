"""Weighted means against NumPy, and their standard errors against what samples really do."""

import json

import numpy as np
import pytest

from tfx_tflite.components.judgement.metrics.weighted_means import WeightedMoments
from tfx_tflite.components.judgement.statistics.paired_tests import PairedMoments, mean_interval

GENERATOR = np.random.default_rng(3)
BEFORE = GENERATOR.normal(3, 1, size=400)
AFTER = BEFORE + GENERATOR.exponential(0.1, size=400)
WEIGHTS = GENERATOR.exponential(size=400) * (GENERATOR.random(400) < 0.8)


def of(rows: slice | np.ndarray = slice(None)) -> WeightedMoments:
    return WeightedMoments.of(WEIGHTS[rows], BEFORE[rows], AFTER[rows])


@pytest.mark.parametrize("sign", [1, -1])
def test_the_means_are_weighted(sign: int):
    drop, before = of().paired(sign).mean
    assert drop == pytest.approx(sign * np.average(BEFORE - AFTER, weights=WEIGHTS))
    assert before == pytest.approx(np.average(BEFORE, weights=WEIGHTS))


def test_equal_weights_are_the_paired_test_of_plain_means():
    found = WeightedMoments.of(np.full(400, 2.5), BEFORE, AFTER).paired(-1)
    expected = PairedMoments.from_arrays(AFTER - BEFORE, BEFORE)
    assert found.count == expected.count
    for name in ("mean", "second", "third"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9)


def test_the_linear_parts_are_those_of_the_ratio():
    mean = np.average(AFTER - BEFORE, weights=WEIGHTS)
    parts = WEIGHTS * (AFTER - BEFORE - mean) / WEIGHTS.mean()
    moments = of().paired(-1)
    assert moments.second[0, 0] == pytest.approx((parts**2).sum())
    assert moments.third[0, 0, 0] == pytest.approx((parts**3).sum())


def test_the_standard_error_is_that_of_samples():
    """Of 2,000 samples of 400 examples, drawn with their weights."""
    generator = np.random.default_rng(4)
    rows = generator.integers(400, size=(2000, 400))
    totals = (WEIGHTS * (AFTER - BEFORE))[rows].sum(axis=1) / WEIGHTS[rows].sum(axis=1)
    interval = mean_interval(of().paired(-1), 0.0, 0.95)
    assert interval.standard_error == pytest.approx(totals.std(), rel=0.05)


def test_the_upper_bound_is_too_low_as_rarely_as_the_confidence_says():
    """Weights and drops go together, as heavy examples tend to be hard ones."""
    generator = np.random.default_rng(5)
    misses = 0
    for _ in range(600):
        weights = generator.exponential(size=200)
        drops = 0.1 * weights + generator.normal(0, 0.2, size=200)
        moments = WeightedMoments.of(weights, np.zeros(200), drops)
        # E[w d] / E[w] with E[w^2] = 2.
        misses += mean_interval(moments.paired(-1), 0.0, 0.95).upper < 0.2
    assert misses / 600 == pytest.approx(0.05, abs=0.03)


@pytest.mark.parametrize("parts", [2, 7])
def test_parts_add_up_to_the_whole(parts: int):
    found = of(slice(0))
    for rows in np.array_split(np.random.default_rng(parts).permutation(400), parts):
        found = found + of(rows)
    for name in ("mean", "second", "third"):
        np.testing.assert_allclose(
            getattr(found.moments, name), getattr(of().moments, name), rtol=1e-9, atol=1e-9
        )


def test_no_weight_bounds_nothing():
    moments = WeightedMoments.of(np.zeros(5), np.ones(5), np.ones(5)).paired(1)
    interval = mean_interval(moments, 0.1, 0.95)
    assert interval.p_blessed == interval.p_refused == 1.0


def test_survives_json():
    again = WeightedMoments.from_json(json.loads(json.dumps(of().to_json())))
    np.testing.assert_array_equal(again.moments.third, of().moments.third)
