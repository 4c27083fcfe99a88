"""Weighted means against NumPy, and their standard errors against what samples really do."""

import numpy as np
import pytest

from tests.components.judgement.statistics.moments import moments_of
from tfx_tflite.components.judgement.metrics.metric_sums import MetricSums, WeightedSums
from tfx_tflite.components.judgement.statistics.paired_tests import mean_interval
from tfx_tflite.components.judgement.statistics.value_tests import mean_of_shares_interval

GENERATOR = np.random.default_rng(3)
BEFORE = GENERATOR.normal(3, 1, size=400)
AFTER = BEFORE + GENERATOR.exponential(0.1, size=400)
WEIGHTS = GENERATOR.exponential(size=400) * (GENERATOR.random(400) < 0.8)


def weighted(weights, before, after, origin: float = 0.0) -> WeightedSums:
    terms = np.stack(WeightedSums.terms(weights, before, after, origin))
    return WeightedSums(len(weights), terms.sum(axis=1), origin)


ALL = weighted(WEIGHTS, BEFORE, AFTER)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_means_are_weighted(sign: int):
    drop, before = ALL.moments(sign).mean
    assert drop == pytest.approx(sign * np.average(BEFORE - AFTER, weights=WEIGHTS))
    assert before == pytest.approx(np.average(BEFORE, weights=WEIGHTS))


def test_equal_weights_are_the_paired_test_of_plain_means():
    found = weighted(np.full(400, 2.5), BEFORE, AFTER).moments(-1)
    expected = moments_of(AFTER - BEFORE, BEFORE)
    assert found.count == expected.count
    for name in ("mean", "second", "third"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9)


def test_the_linear_parts_are_those_of_the_ratio():
    mean = np.average(AFTER - BEFORE, weights=WEIGHTS)
    parts = WEIGHTS * (AFTER - BEFORE - mean) / WEIGHTS.mean()
    moments = ALL.moments(-1)
    assert moments.second[0, 0] == pytest.approx((parts**2).sum())
    assert moments.third[0, 0, 0] == pytest.approx((parts**3).sum())


def test_the_standard_error_is_that_of_samples():
    """Of 2,000 samples of 400 examples, drawn with their weights."""
    generator = np.random.default_rng(4)
    rows = generator.integers(400, size=(2000, 400))
    totals = (WEIGHTS * (AFTER - BEFORE))[rows].sum(axis=1) / WEIGHTS[rows].sum(axis=1)
    interval = mean_interval(ALL.moments(-1), 0.0, 0.95)
    assert interval.standard_error == pytest.approx(totals.std(), rel=0.05)


def test_the_upper_bound_is_too_low_as_rarely_as_the_confidence_says():
    """Weights and drops go together, as heavy examples tend to be hard ones."""
    generator = np.random.default_rng(5)
    misses = 0
    for _ in range(600):
        weights = generator.exponential(size=200)
        drops = 0.1 * weights + generator.normal(0, 0.2, size=200)
        moments = weighted(weights, np.zeros(200), drops)
        # E[w d] / E[w] with E[w^2] = 2.
        misses += mean_interval(moments.moments(-1), 0.0, 0.95).upper < 0.2
    assert misses / 600 == pytest.approx(0.05, abs=0.03)


def test_an_origin_keeps_the_digits_of_values_that_are_large_beside_their_spread():
    far = weighted(WEIGHTS, BEFORE + 1e8, AFTER + 1e8, origin=1e8 + 3).moments(-1)
    near = ALL.moments(-1)
    np.testing.assert_allclose(far.second, near.second, rtol=1e-5)
    np.testing.assert_allclose(far.third, near.third, rtol=1e-4)


def test_no_weight_bounds_nothing():
    moments = weighted(np.zeros(5), np.ones(5), np.ones(5)).moments(1)
    interval = mean_interval(moments, 0.1, 0.95)
    assert interval.p_blessed == interval.p_refused == 1.0


# --- The quantized model alone ---


def plain(before, after, origin: float = 0.0) -> MetricSums:
    terms = np.stack(MetricSums.terms(before, after, origin)).astype(np.float64)
    return MetricSums(len(before), *map(float, terms.sum(axis=1)), origin)


@pytest.mark.parametrize("origin", [0.0, 3.2])
def test_the_own_moments_are_those_of_the_quantized_values(origin: float):
    found = plain(BEFORE, AFTER, origin).own_moments()
    expected = moments_of(AFTER, np.zeros(400))
    for name in ("mean", "second", "third"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize("before", [np.nan, np.inf, 1e300])
def test_the_own_moments_do_not_depend_on_the_float_model(before: float):
    with np.errstate(all="ignore"):
        found = plain(np.full(400, before), AFTER).own_moments()
        weighted_found = weighted(WEIGHTS, np.full(400, before), AFTER).own_moments()
    np.testing.assert_array_equal(found.second, plain(BEFORE, AFTER).own_moments().second)
    np.testing.assert_array_equal(weighted_found.second, ALL.own_moments().second)


def test_the_own_moments_of_a_weighted_mean_are_those_of_its_linear_part():
    mean = np.average(AFTER, weights=WEIGHTS)
    parts = WEIGHTS * (AFTER - mean) / WEIGHTS.mean()
    found = weighted(WEIGHTS, BEFORE, AFTER, 3.0).own_moments()
    assert found.mean[0] == pytest.approx(mean)
    assert found.second[0, 0] == pytest.approx((parts**2).sum())
    assert found.third[0, 0, 0] == pytest.approx((parts**3).sum())


def test_equal_weights_have_the_own_moments_of_plain_means():
    found = weighted(np.full(400, 2.5), BEFORE, AFTER).own_moments()
    expected = plain(BEFORE, AFTER).own_moments()
    for name in ("mean", "second", "third"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9)


def test_no_weight_has_no_own_mean():
    assert np.isnan(weighted(np.zeros(3), BEFORE[:3], AFTER[:3]).own_moments().mean[0])


def test_a_value_between_0_and_1_is_no_success():
    ones = np.ones(4)
    assert plain(ones, np.array([0.0, 1.0, 1.0, 0.0])).counts_successes
    assert not plain(ones, np.array([0.0, 1.0, 0.5, 0.0])).counts_successes


@pytest.mark.parametrize("origin", [0.97, 1 / 3])
def test_values_that_are_all_the_same_have_no_spread_wherever_sums_count_from(origin: float):
    right = np.ones(400)
    alone = [
        plain(BEFORE, right, origin).own_moments(),
        weighted(WEIGHTS, BEFORE, right, origin).own_moments(),
    ]
    for found in alone:
        assert found.second[0, 0] == found.third[0, 0, 0] == 0
        assert found.mean[0] == pytest.approx(1)
        # Of shares it would show that a true share of .9999 cannot be.
        judged = mean_of_shares_interval(found, 400, 1, 0.9999, 0.95, is_correctness=False)
        assert judged.p_blessed == pytest.approx(0.9999**400)
