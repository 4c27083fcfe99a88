"""Tests of one model's own value, against SciPy and against bootstraps done otherwise."""

import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm, rankdata
from scipy.stats import t as student

from tests.components.judgement.statistics.moments import moments_of
from tfx_tflite.components.judgement.metrics.metric_sums import WeightedSums
from tfx_tflite.components.judgement.statistics.paired_tests import examples_to_settle
from tfx_tflite.components.judgement.statistics.value_tests import (
    area_interval,
    mean_interval,
    mean_of_shares_interval,
    score_interval,
    share_interval,
)

GENERATOR = np.random.default_rng(8)


def alone(values):
    """Moments of values beside a model without any loss."""
    return moments_of(values, np.zeros(len(values)))


# --- Shares ---


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
@pytest.mark.parametrize(("examples", "counted"), [(1, 0), (1, 1), (50, 50), (200, 183), (200, 0)])
def test_the_bounds_of_a_share_are_scipys_exact_ones(
    examples: int, counted: int, confidence: float
):
    # SciPy's interval has two sides, and each bound half of what is missing.
    both = binomtest(counted, examples).proportion_ci(2 * confidence - 1, method="exact")
    up = share_interval(examples, counted, 1, 0.9, confidence)
    assert (-up.upper, -up.lower) == pytest.approx((both.low, both.high), abs=1e-12)
    down = share_interval(examples, counted, -1, 0.1, confidence)
    assert (down.lower, down.upper) == pytest.approx((both.low, both.high), abs=1e-12)


@pytest.mark.parametrize("counted", [0, 120, 183, 200])
def test_the_p_values_of_a_share_are_scipys(counted: int):
    found = share_interval(200, counted, 1, 0.9, 0.95)
    assert found.p_blessed == pytest.approx(binomtest(counted, 200, 0.9, "greater").pvalue)
    assert found.p_refused == pytest.approx(binomtest(counted, 200, 0.9, "less").pvalue)
    mirrored = share_interval(200, counted, -1, 0.9, 0.95)
    assert (mirrored.p_blessed, mirrored.p_refused) == (found.p_refused, found.p_blessed)


@pytest.mark.parametrize("limit", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("examples", [50, 200, 1000])
def test_a_share_of_exactly_the_limit_is_blessed_in_at_most_5_percent(examples: int, limit: float):
    """By enumeration, so there is no chance in it."""
    counts = np.arange(examples + 1)
    blessed = [share_interval(examples, int(n), 1, limit, 0.95).p_blessed < 0.05 for n in counts]
    assert binom.pmf(counts, examples, limit)[blessed].sum() <= 0.05


@pytest.mark.parametrize("counted", [170, 185, 186, 195])
def test_a_bound_and_its_p_value_say_the_same_of_a_share(counted: int):
    found = share_interval(200, counted, 1, 0.9, 0.95)
    assert (found.upper < -0.9) == (found.p_blessed < 0.05)
    assert (found.lower > -0.9) == (found.p_refused < 0.05)


@pytest.mark.parametrize(
    ("examples", "counted", "limit", "confidence"),
    [(0, 0, 0.9, 0.95), (10, 11, 0.9, 0.95), (10, 5, 1.1, 0.95), (10, 5, 0.9, 0.5)],
)
def test_counts_that_cannot_be_are_refused(
    examples: int, counted: int, limit: float, confidence: float
):
    with pytest.raises(ValueError, match="expected"):
        share_interval(examples, counted, 1, limit, confidence)


# --- Means ---


def test_the_bounds_of_a_mean_are_student_s_if_it_is_not_skewed():
    values = np.concatenate([half := GENERATOR.normal(size=200), -half]) + 3.0
    found = mean_interval(alone(values), -1, 3.5, 0.95)
    reach = student.ppf(0.95, 399) * values.std(ddof=1) / math.sqrt(400)
    assert found.drop == pytest.approx(values.mean())
    # A little wider, as samples understate skewness, and may lack one more value like these.
    assert values.mean() + reach <= found.upper <= values.mean() + 1.2 * reach
    assert found.method.startswith("t, corrected")


def test_a_mean_that_is_better_higher_is_the_same_turned_around():
    values = GENERATOR.exponential(size=100)
    down, up = (mean_interval(alone(values), sign, 1.0, 0.9) for sign in (-1, 1))
    assert (up.drop, up.lower, up.upper) == (-down.drop, -down.upper, -down.lower)
    assert (up.p_blessed, up.p_refused) == (down.p_refused, down.p_blessed)


def test_a_root_has_the_verdict_and_the_roots_of_the_bounds_of_its_mean():
    squares = GENERATOR.normal(size=300) ** 2
    mean = mean_interval(alone(squares), -1, 1.21, 0.95)
    root = mean_interval(alone(squares), -1, 1.1, 0.95, is_root=True)
    assert root.p_blessed == pytest.approx(mean.p_blessed)
    assert (root.drop, root.lower, root.upper) == pytest.approx(
        tuple(math.sqrt(value) for value in (mean.drop, mean.lower, mean.upper))
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_values_that_are_all_the_same_bound_nothing(sign: int):
    found = mean_interval(alone(np.full(50, 0.25)), sign, sign * 9.0, 0.95)
    assert (found.p_blessed, found.p_refused, found.upper) == (1.0, 1.0, math.inf)


def test_examples_that_are_all_right_are_as_sure_as_a_share_of_the_effective_number():
    found = mean_of_shares_interval(alone(np.ones(50)), 40.0, 1, 0.9, 0.95, is_correctness=True)
    exact = share_interval(40, 40, 1, 0.9, 0.95)
    assert (found.upper, found.p_blessed) == (exact.upper, exact.p_blessed)
    assert found.examples == 50


def test_shares_of_positions_are_judged_by_their_spread_if_they_have_one():
    shares = GENERATOR.beta(9, 1, size=80)
    found = mean_of_shares_interval(alone(shares), 80, 1, 0.85, 0.95, is_correctness=False)
    assert found == mean_interval(alone(shares), 1, 0.85, 0.95, best=1.0)


@pytest.mark.parametrize(("examples", "is_enough"), [(90, False), (150, True)])
def test_few_values_do_not_show_that_there_are_no_worse_ones(examples: int, is_enough: bool):
    """The tests that have an end know what may be missing, and others do not."""
    values = GENERATOR.normal(0.1, 0.01, size=examples)
    assert (mean_interval(alone(values), -1, 0.2, 0.95).p_blessed < 0.05) == is_enough
    assert mean_interval(alone(values), -1, 0.2, 0.95).p_blessed >= 0.97**examples
    assert mean_interval(alone(values), -1, 0.2, 0.95, best=0.0).p_blessed < 0.05


def test_a_weighted_accuracy_of_exactly_the_limit_is_rarely_blessed():
    """With few mistakes, where their spread alone would be far too sure."""
    generator = np.random.default_rng(6)
    blessed = 0
    for _ in range(2000):
        weights, right = generator.exponential(size=50), generator.random(50) < 0.97
        terms = np.stack(WeightedSums.terms(weights, np.ones(50), right.astype(float), 1.0))
        sums = WeightedSums(50, terms.sum(axis=1), 1.0)
        moments = sums.own_moments()
        found = mean_of_shares_interval(moments, sums.effective, 1, 0.97, 0.95, True)
        blessed += found.p_blessed < 0.05
    assert blessed / 2000 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)


def test_advice_of_more_examples_knows_that_bad_ones_may_be_unseen():
    """Their spread alone would ask for hardly any more."""
    values = GENERATOR.normal(0.1, 0.01, size=50)
    found = mean_interval(alone(values), -1, 0.2, 0.95)
    assert found.p_blessed > 0.05
    more = examples_to_settle(found, 0.2, 0.95)
    assert 0.97 ** (50 + more) <= 0.025 < 0.97 ** (49 + more)
    enough = mean_interval(alone(np.resize(values, 50 + more)), -1, 0.2, 0.95)
    assert enough.p_blessed < 0.05


# --- Scores ---


def auc_of(scores, positive) -> float:
    ranks = rankdata(scores)
    count = positive.sum()
    below = ranks[positive].sum() - count * (count + 1) / 2
    return float(below / (count * (len(scores) - count)))


def test_the_bounds_of_an_auc_are_near_those_of_a_bootstrap_that_draws_examples():
    """A multinomial bootstrap with quantiles, where the product's is Poisson with moments."""
    generator = np.random.default_rng(3)
    positive = generator.random(800) < 0.4
    scores = generator.normal(size=800) + 1.2 * positive
    rows = generator.integers(800, size=(1000, 800))
    drawn = np.array([auc_of(scores[row], positive[row]) for row in rows])
    poisson = generator.poisson(1, size=(200, 800))
    replicates = np.array([auc_of(np.repeat(scores, w), np.repeat(positive, w)) for w in poisson])
    value = auc_of(scores, positive)
    counts = {"examples": 800, "negatives": (~positive).sum(), "positives": positive.sum()}
    found = area_interval(value, replicates, 0.75, 0.95, **counts)
    assert -found.upper == pytest.approx(np.quantile(drawn, 0.05), abs=0.004)
    assert -found.lower == pytest.approx(np.quantile(drawn, 0.95), abs=0.004)


@pytest.mark.parametrize("positives", [10, 25, 100])
def test_an_auc_without_a_mistake_is_not_certain(positives: int):
    """All replicates of a sample that is ranked without a mistake are 1."""
    found = area_interval(
        1.0,
        np.ones(200),
        0.999,
        0.95,
        examples=2 * positives,
        negatives=positives,
        positives=positives,
    )
    assert found.p_blessed > 0.05 and found.upper > -0.999


def test_the_score_test_of_an_auc_is_that_of_hanley_and_mcneil_s_error():
    """Newcombe's method 5, by hand: 30 negatives, 20 positives, an AUC of 0.9 against 0.8."""
    found = area_interval(
        0.9, np.full(200, 0.9), 0.8, 0.95, examples=50, negatives=30, positives=20
    )
    spread = 1 + 24 * (0.2 / 1.2 + 0.8 / 1.8)
    error = math.sqrt(0.8 * 0.2 * spread / 600)
    assert found.p_blessed == pytest.approx(norm.sf(0.1 / error))
    lowest = -found.upper
    spread = 1 + 24 * ((1 - lowest) / (2 - lowest) + lowest / (1 + lowest))
    error = math.sqrt(lowest * (1 - lowest) * spread / 600)
    assert (0.9 - lowest) / error == pytest.approx(norm.ppf(0.95))


def test_a_metric_of_counts_keeps_the_uncertainty_of_one_more_mistake():
    found = score_interval(1.0, np.ones(200), 1, 0.98, 0.95, examples=50, grain=0.02)
    assert found.p_blessed > 0.05
    assert score_interval(1.0, np.ones(200), 1, 0.8, 0.95, examples=50, grain=0.02).p_blessed < 0.05
