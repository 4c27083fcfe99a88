import itertools
import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, stats

from tests.components.judgement.statistics.moments import moments_of
from tfx_tflite.components.judgement.statistics.paired_tests import (
    DropInterval,
    PairedMoments,
    area_grain,
    binary_interval,
    bootstrap_interval,
    examples_to_settle,
    holm,
    mean_interval,
    score_p_value,
)


@pytest.fixture(autouse=True)
def no_numerical_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# --- binary_interval ------------------------------------------------------------------------------


def outcomes(examples: int) -> list[tuple[int, int]]:
    return [
        (w, b) for w, b in itertools.product(range(examples + 1), repeat=2) if w + b <= examples
    ]


def probability_of(examples: int, chosen: list[tuple[int, int]], drop: float, changed: float):
    p_worse, p_better = (changed + drop) / 2, (changed - drop) / 2
    counts = [(w, b, examples - w - b) for w, b in chosen]
    return stats.multinomial.pmf(counts, examples, [p_worse, p_better, 1 - changed]).sum()


def random_binary_cases(number: int):
    rng = np.random.default_rng(0)
    for _ in range(number):
        examples = int(10 ** rng.uniform(0, 6))
        changed = min(examples, int(rng.exponential(0.1 * examples)))
        worse = int(rng.integers(0, changed + 1))
        margin = float(rng.choice([-0.01, 0, 0.005, 0.01, 0.05, 0.5]))
        yield examples, worse, changed - worse, margin, float(rng.choice([0.8, 0.9, 0.95, 0.99]))


def test_a_drop_is_positive_where_the_quantized_model_is_worse():
    interval = binary_interval(1_000, worse=35, better=10, margin=0.01, confidence=0.95)
    assert interval.drop == pytest.approx(0.025)
    assert 0.01 < interval.lower < 0.02 < 0.03 < interval.upper < 0.04
    assert interval.p_refused < 0.05 < 0.95 < interval.p_blessed
    assert interval.examples == 1_000


def test_blesses_a_small_drop_on_many_examples_only():
    few = binary_interval(300, worse=3, better=3, margin=0.01, confidence=0.95)
    many = binary_interval(3_000, worse=30, better=30, margin=0.01, confidence=0.95)
    assert few.upper > 0.01 > many.upper
    assert few.p_blessed > 0.05 > many.p_blessed


@pytest.mark.parametrize("margin", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("examples", [20, 45])
def test_pushes_at_most_5_percent_of_the_models_that_are_as_bad_as_the_margin(examples, margin):
    blessed = [
        (worse, better)
        for worse, better in outcomes(examples)
        if binary_interval(examples, worse, better, margin, 0.95).upper < margin
    ]
    for changed in np.linspace(margin, 0.9, 40):
        assert probability_of(examples, blessed, margin, changed) <= 0.05


def test_does_not_bless_on_no_change_where_that_is_likely_at_the_margin():
    # Tango's test as published does, and would push 6.7 % of the models half a point worse.
    assert (1 - 0.005) ** 540 > 0.066
    assert score_p_value(540, 0, 0, drop=0.005, correction=0) < 0.05
    assert binary_interval(540, 0, 0, margin=0.005, confidence=0.95).p_blessed > 0.05


def test_no_change_on_361_examples_rules_out_a_drop_of_one_point():
    assert binary_interval(360, 0, 0, margin=0.01, confidence=0.95).upper > 0.01
    assert binary_interval(361, 0, 0, margin=0.01, confidence=0.95).upper < 0.01


def test_reproduces_the_published_interval_of_tango_without_the_correction():
    # Complete response before and after therapy (Cavo et al. 2012), 161 pairs, 6 and 16 of them
    # discordant: 95 % interval -0.1240 to -0.0054 in R's contingencytables, version 3.0.
    assert score_p_value(161, 6, 16, drop=-0.0054, correction=0) == pytest.approx(0.025, abs=1e-4)
    assert score_p_value(161, 16, 6, drop=0.1240, correction=0) == pytest.approx(0.025, abs=1e-4)


def test_is_mcnemars_test_at_a_margin_of_zero_without_the_correction():
    p_value = score_p_value(100, 5, 15, drop=0.0, correction=0)
    assert p_value == pytest.approx(stats.norm.cdf((5 - 15) / math.sqrt(5 + 15)))


@pytest.mark.parametrize(
    ("worse", "better", "drop"), [(3, 1, 0.05), (0, 4, 0.1), (9, 20, -0.2), (1, 0, 0.3)]
)
def test_uses_the_likeliest_share_of_changes_at_the_margin(worse, better, drop):
    examples = 50

    def surprise(better_share: float) -> float:
        shares = [better_share + drop, better_share, 1 - drop - 2 * better_share]
        counts = [worse, better, examples - worse - better]
        return -stats.multinomial.logpmf(counts, examples, np.maximum(shares, 1e-300))

    least, most = max(0.0, -drop), (1 - drop) / 2
    share = optimize.minimize_scalar(
        surprise, bounds=(least, most), method="bounded", options={"xatol": 1e-12}
    ).x
    deviation = math.sqrt(examples * (2 * share + drop - drop**2))
    expected = stats.norm.cdf((worse - better - examples * drop) / deviation)
    assert score_p_value(examples, worse, better, drop, 0) == pytest.approx(expected, abs=1e-5)


def test_bounds_and_p_values_of_shares_agree():
    for examples, worse, better, margin, confidence in random_binary_cases(2_000):
        interval = binary_interval(examples, worse, better, margin, confidence)
        assert (interval.upper < margin) == (interval.p_blessed < 1 - confidence)
        assert (interval.lower > margin) == (interval.p_refused < 1 - confidence)


def test_bounds_of_shares_enclose_the_drop_and_stay_shares():
    for case in random_binary_cases(500):
        interval = binary_interval(*case)
        assert -1 <= interval.lower <= interval.drop <= interval.upper <= 1


def test_swapping_the_models_mirrors_the_interval():
    one = binary_interval(200, 7, 3, margin=0.02, confidence=0.9)
    other = binary_interval(200, 3, 7, margin=-0.02, confidence=0.9)
    assert (one.drop, one.lower, one.upper) == (-other.drop, -other.upper, -other.lower)
    assert (one.p_blessed, one.p_refused) == (other.p_refused, other.p_blessed)


@pytest.mark.parametrize("examples", [1, 2, 5, 30])
def test_one_more_example_that_got_worse_never_helps(examples):
    for worse, better in outcomes(examples - 1):
        interval = binary_interval(examples, worse, better, 0.05, 0.95)
        with_one_more_worse = binary_interval(examples, worse + 1, better, 0.05, 0.95)
        with_one_more_better = binary_interval(examples, worse, better + 1, 0.05, 0.95)
        assert with_one_more_better.upper <= interval.upper <= with_one_more_worse.upper
        assert with_one_more_better.lower <= interval.lower <= with_one_more_worse.lower
        if with_one_more_worse.p_blessed < 0.5:
            assert with_one_more_better.p_blessed <= interval.p_blessed
            assert interval.p_blessed <= with_one_more_worse.p_blessed


def test_a_wider_margin_is_easier_to_bless_and_harder_to_refuse():
    margins = np.linspace(-1, 1, 201)
    intervals = [binary_interval(100, 6, 2, margin, 0.95) for margin in margins]
    assert np.all(np.diff([interval.p_blessed for interval in intervals]) <= 0)
    assert np.all(np.diff([interval.p_refused for interval in intervals]) >= 0)


def test_more_confidence_widens_the_interval():
    cautious = binary_interval(100, 6, 2, margin=0.01, confidence=0.99)
    bold = binary_interval(100, 6, 2, margin=0.01, confidence=0.9)
    assert cautious.lower < bold.lower < bold.upper < cautious.upper


@pytest.mark.parametrize("examples", [1, 20, 1_000_000])
def test_everything_got_worse(examples):
    interval = binary_interval(examples, examples, 0, margin=0.01, confidence=0.95)
    assert interval.drop == interval.upper == 1
    assert interval.p_blessed > 0.9


@pytest.mark.parametrize("examples", [20, 1_000_000])
def test_everything_got_better(examples):
    interval = binary_interval(examples, 0, examples, margin=0.0, confidence=0.95)
    assert interval.drop == interval.lower == -1
    assert interval.p_blessed < 0.05 < interval.p_refused


def test_one_example_settles_nothing():
    for worse, better in [(0, 0), (1, 0), (0, 1)]:
        interval = binary_interval(1, worse, better, margin=0.01, confidence=0.95)
        assert interval.p_blessed > 0.05
        assert interval.p_refused > 0.05


def test_no_change_never_proves_that_there_is_no_drop_at_all():
    interval = binary_interval(1_000_000, 0, 0, margin=0.0, confidence=0.95)
    assert interval.p_blessed == interval.p_refused == 1


def test_many_examples_have_the_bounds_of_the_normal_distribution():
    interval = binary_interval(10**6, 10_000, 9_000, margin=0.001, confidence=0.95)
    error = math.sqrt(19_000 - 1_000**2 / 10**6) / 10**6
    assert interval.standard_error == pytest.approx(error, rel=1e-3)
    assert interval.upper == pytest.approx(0.001 + 1.645 * error, rel=0.01)
    assert interval.lower == pytest.approx(0.001 - 1.645 * error, rel=0.01)


def test_the_standard_error_is_above_zero_even_where_nothing_changed():
    assert binary_interval(100, 0, 0, margin=0.01, confidence=0.95).standard_error > 0


@pytest.mark.parametrize("counts", [(0, 0, 0), (10, -1, 0), (10, 0, -1), (10, 6, 5)])
def test_refuses_counts_that_do_not_fit(counts):
    with pytest.raises(ValueError, match=f"received {counts[0]} examples, {counts[1]} worse"):
        binary_interval(*counts, margin=0.01, confidence=0.95)


@pytest.mark.parametrize("confidence", [0.5, 1.0, 95, math.nan])
def test_refuses_a_confidence_out_of_range(confidence):
    with pytest.raises(ValueError, match=r"confidence above 0\.5 and below 1"):
        binary_interval(10, 1, 1, margin=0.01, confidence=confidence)


def test_refuses_a_margin_in_percent():
    with pytest.raises(ValueError, match=r"margin of -1 to 1 .* received 5"):
        binary_interval(10, 1, 1, margin=5, confidence=0.95)


# --- PairedMoments and mean_interval --------------------------------------------------------------


def moments(drop, float_value=None) -> PairedMoments:
    drop = np.asarray(drop, float)
    return moments_of(drop, drop if float_value is None else float_value)


def test_moments_keep_their_digits_where_means_are_large():
    rng = np.random.default_rng(2)
    drop = rng.exponential(size=1_000)
    far = moments(drop + 1e8)
    near = moments(drop)
    assert far.second[0, 0] == pytest.approx(near.second[0, 0], rel=1e-6)
    assert far.third[0, 0, 0] == pytest.approx(near.third[0, 0, 0], rel=1e-5)


def paired_losses(skewed: float) -> tuple[np.ndarray, np.ndarray]:
    """Losses of both models, whose differences are skewed to the side of the sign."""
    rng = np.random.default_rng(3)
    before = rng.lognormal(size=60)
    return before, before + skewed * rng.exponential(0.1, size=60)


def test_blessing_is_the_paired_t_test_where_no_drop_is_far_above_the_rest():
    before, after = paired_losses(skewed=-1)
    of = moments(after - before, before)
    interval = mean_interval(of, margin=-0.08, confidence=0.95, typical=0.0)
    expected = stats.ttest_rel(after, before + -0.08, alternative="less")
    assert interval.p_blessed == pytest.approx(expected.pvalue)
    assert interval.upper == pytest.approx(
        stats.ttest_rel(after, before, alternative="less").confidence_interval(0.95).high
    )


def test_refusing_is_the_paired_t_test_where_no_drop_is_far_below_the_rest():
    before, after = paired_losses(skewed=1)
    of = moments(after - before, before)
    interval = mean_interval(of, margin=0.08, confidence=0.95, typical=0.0)
    expected = stats.ttest_rel(after, before + 0.08, alternative="greater")
    assert interval.p_refused == pytest.approx(expected.pvalue)
    assert interval.lower == pytest.approx(
        stats.ttest_rel(after, before, alternative="greater").confidence_interval(0.95).low
    )


def test_blessing_is_more_cautious_than_the_t_test_where_a_few_examples_are_spoilt():
    before, after = paired_losses(skewed=1)
    interval = mean_interval(moments(after - before, before), margin=0.15, confidence=0.95)
    plain = stats.ttest_rel(after, before + 0.15, alternative="less")
    assert interval.p_blessed > 1.2 * plain.pvalue


def test_corrects_for_skewness_as_hall_does():
    drop = np.random.default_rng(4).exponential(size=40)
    margin, n = 1.4, len(drop)
    statistic = (drop.mean() - margin) / stats.sem(drop)
    # One standard error is added to the skewness.
    a = stats.skew(drop) / math.sqrt(n) + math.sqrt(6) / n
    corrected = ((1 + a * statistic / 3) ** 3 - 1) / a + a / 6
    interval = mean_interval(moments(drop), margin, 0.95, typical=0.0, rests_on_few=False)
    assert interval.p_blessed == pytest.approx(stats.t.cdf(corrected, n - 1))


def test_the_number_of_examples_that_carry_the_drop_limits_the_degrees_of_freedom():
    drop = np.random.default_rng(4).exponential(size=40)
    skewness = stats.skew(drop) / math.sqrt(40)
    interval = mean_interval(moments(drop), 1.4, 0.95, typical=0.0)
    many = mean_interval(moments(drop), 1.4, 0.95, typical=0.0, rests_on_few=False)
    assert interval.carried_by == pytest.approx(1 / skewness**2)
    # The same statistic, and another distribution of it.
    statistic = stats.t.ppf(many.p_blessed, 39)
    expected = stats.t.cdf(statistic, 0.5 / skewness**2)
    assert interval.p_blessed == pytest.approx(expected)
    assert interval.p_refused == many.p_refused


@pytest.mark.parametrize("spoilt", [1, 6, 40])
def test_so_many_examples_as_are_spoilt_alike_carry_a_drop(spoilt):
    drop = np.zeros(1_000)
    drop[:spoilt] = 0.7
    interval = mean_interval(moments(drop, np.ones(1_000)), 0.1, 0.95)
    assert interval.carried_by == pytest.approx(spoilt, rel=0.15)


def test_keeps_to_5_percent_where_the_t_test_alone_does_not():
    rng = np.random.default_rng(5)
    ours = alone = 0
    for drop in rng.exponential(size=(3_000, 50)):
        ours += mean_interval(moments(drop), margin=1.0, confidence=0.95).p_blessed < 0.05
        alone += stats.t.cdf((drop.mean() - 1) / stats.sem(drop), 49) < 0.05
    assert ours / 3_000 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 3_000)
    assert alone / 3_000 > 0.07


def test_bounds_and_p_values_of_means_agree():
    rng = np.random.default_rng(6)
    for _ in range(500):
        n, confidence = int(rng.integers(2, 60)), float(rng.choice([0.8, 0.95, 0.99]))
        drop = rng.choice([-1, 1]) * rng.lognormal(0, rng.uniform(0.01, 2), n)
        margin = float(drop.mean() + rng.normal(0, 2) * stats.sem(drop))
        interval = mean_interval(moments(drop), margin, confidence)
        assert interval.lower <= interval.drop <= interval.upper
        assert (interval.upper < margin) == (interval.p_blessed < 1 - confidence)
        assert (interval.lower > margin) == (interval.p_refused < 1 - confidence)


def test_a_relative_margin_is_a_share_of_the_float_models_mean():
    rng = np.random.default_rng(7)
    before = rng.lognormal(size=500)
    drop = 0.03 * before + rng.normal(0, 0.02, 500)
    of = moments_of(drop, before)
    assert mean_interval(of, 0.0, 0.95, relative=0.05).p_blessed < 0.01
    assert mean_interval(of, 0.0, 0.95, relative=0.01).p_refused < 0.01


def test_a_relative_margin_allows_for_the_float_models_own_uncertainty():
    rng = np.random.default_rng(8)
    before = rng.lognormal(size=100)
    drop = 0.05 * before + rng.normal(0, 0.05, 100)
    interval = mean_interval(moments_of(drop, before), 0.0, 0.95, relative=0.06)
    of_excess = mean_interval(moments(drop - 0.06 * before, before), 0.0, confidence=0.95)
    assert interval.p_blessed == pytest.approx(of_excess.p_blessed)


def test_bounds_stay_those_of_the_drop_under_a_relative_margin():
    before, after = paired_losses(skewed=1)
    of = moments(after - before, before)
    absolute = mean_interval(of, 0.1, 0.95)
    relative = mean_interval(of, 0.0, 0.95, relative=0.1)
    assert (relative.lower, relative.upper) == (absolute.lower, absolute.upper)


def test_the_drop_of_a_root_mean_square_is_bounded_by_the_delta_method():
    rng = np.random.default_rng(18)
    before = rng.normal(0, 1, 2_000) ** 2
    after = before * rng.uniform(0.9, 1.3, 2_000)
    of = moments(after - before, before).of_roots()
    interval = mean_interval(of, 0.1, 0.95, typical=0.0)
    drop = math.sqrt(after.mean()) - math.sqrt(before.mean())
    assert interval.drop == pytest.approx(drop)
    weights = rng.poisson(1, (2_000, 2_000))
    replicates = np.sqrt(after @ weights / weights.sum(axis=0)) - np.sqrt(
        before @ weights / weights.sum(axis=0)
    )
    assert interval.standard_error == pytest.approx(replicates.std(), rel=0.1)


def test_the_root_of_a_mean_of_nothing_bounds_nothing():
    interval = mean_interval(moments([0.1, 0.2, 0.4], np.zeros(3)).of_roots(), 1.0, 0.95)
    assert (interval.p_blessed, interval.p_refused) == (1, 1)


def test_a_relative_margin_of_a_negative_metric_is_a_share_of_its_size():
    drop, value = np.array([0.1, 0.2, 0.15, 0.12]), np.array([-9.0, -11.0, -10.0, -10.5])
    of = moments_of(drop, value)
    mirrored = moments_of(drop, -value)
    assert mean_interval(of, 0.0, 0.95, relative=0.05).p_blessed == pytest.approx(
        mean_interval(mirrored, 0.0, 0.95, relative=0.05).p_blessed
    )


@pytest.mark.parametrize("drop", [[], [0.1]])
def test_fewer_than_two_examples_bound_no_mean(drop):
    interval = mean_interval(moments(drop), margin=1.0, confidence=0.95)
    assert (interval.lower, interval.upper) == (-math.inf, math.inf)
    assert (interval.p_blessed, interval.p_refused) == (1, 1)


@pytest.mark.parametrize("examples", [2, 7, 50])
def test_equal_drops_are_not_certain(examples):
    """Two examples with the same drop had p-values of 0 and 1."""
    interval = mean_interval(moments([0.1] * examples, np.full(examples, 1.0)), 0.12, 0.95)
    assert interval.p_blessed > 0.05 and interval.upper > 0.12
    refused = mean_interval(moments([0.1] * examples, np.full(examples, 1.0)), 0.09, 0.95)
    assert refused.p_refused > 0.05 and refused.lower < 0.09


def test_what_rounding_leaves_of_equal_drops_is_neither_spread_nor_skewness():
    """Sums of ten drops of 0.1 leave 1e-17, whose skewness may be anything."""
    noise = np.array([1e-16, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    exact, rounded = (
        mean_interval(moments(0.1 + extra, np.ones(10)), 0.12, 0.95) for extra in (0 * noise, noise)
    )
    assert rounded.upper == pytest.approx(exact.upper)
    assert rounded.carried_by is None


def test_drops_that_are_all_zero_are_blessed_as_if_one_typical_loss_were_missing():
    """As 361 examples without a change bless against one point: there each counts 1, here 0.5."""

    def of(examples):
        return mean_interval(moments(np.zeros(examples), np.full(examples, 0.5)), 0.01, 0.95)

    share = binary_interval(180, 0, 0, margin=0.02, confidence=0.95)
    assert of(180).p_blessed == pytest.approx(share.p_blessed, abs=0.006)
    assert of(160).p_blessed > 0.05 > of(200).p_blessed
    assert (of(160).upper > 0.01) and (of(200).upper < 0.01)


def test_one_more_example_is_as_bad_as_the_root_mean_square_of_the_losses():
    before = np.array([0.0, 0.0, 3.0, 4.0])
    assert moments(np.zeros(4), before).typical() == pytest.approx(2.5)
    assert moments(before * 2, before).typical() == pytest.approx(5.0)


def test_of_shares_one_more_example_loses_what_is_missing_to_1():
    shares = np.array([1.0, 1.0, 0.7, 0.6])
    assert moments(np.zeros(4), shares).typical(best=1.0) == pytest.approx(0.25)
    assert moments(np.zeros(4), np.ones(4)).typical(best=1.0) == 1.0


def test_one_more_example_moves_the_root_of_a_mean_by_the_delta_method():
    squares = np.random.default_rng(19).normal(size=500) ** 2
    root = moments(np.zeros(500), squares).of_roots()
    more = np.append(squares, squares.mean() + math.sqrt((squares**2).mean()))
    moved = math.sqrt(more.mean()) - math.sqrt(squares.mean())
    assert root.typical() / 500 == pytest.approx(moved, rel=0.02)


def test_where_no_example_loses_anything_only_their_number_counts():
    """None in 98 does not exclude that 3 % are bad, and none in 99 does."""
    few, enough = (mean_interval(moments(np.zeros(n)), 0.1, 0.95) for n in (98, 99))
    assert few.p_blessed == pytest.approx(0.97**98) and few.p_blessed > 0.05
    assert enough.p_blessed < 0.05 and enough.upper == 0.0


def test_equal_drops_of_exactly_the_margin_settle_nothing():
    interval = mean_interval(moments([0.1] * 7), margin=0.1, confidence=0.95)
    assert interval.p_blessed > 0.5 and interval.p_refused > 0.5


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_a_number_bounds_nothing(bad):
    with np.errstate(invalid="ignore"):
        interval = mean_interval(moments([0.1, bad, 0.2]), margin=1.0, confidence=0.95)
    assert (interval.lower, interval.upper) == (-math.inf, math.inf)
    assert (interval.p_blessed, interval.p_refused) == (1, 1)


# --- bootstrap_interval ---------------------------------------------------------------------------


def bootstrapped_mean(values: np.ndarray, replicates: int = 20_000) -> np.ndarray:
    weights = np.random.default_rng(11).poisson(1, (len(values), replicates))
    return values @ weights / weights.sum(axis=0)


def test_the_bootstrap_of_a_mean_comes_close_to_its_t_test():
    drop = np.random.default_rng(12).exponential(size=300)
    expected = mean_interval(moments(drop), 1.1, 0.95, typical=0.0, rests_on_few=False)
    interval = bootstrap_interval(
        drop.mean(), bootstrapped_mean(drop), 1.1, 0.95, examples=len(drop)
    )
    assert interval.standard_error == pytest.approx(expected.standard_error, rel=0.05)
    assert interval.upper == pytest.approx(expected.upper, abs=0.1 * expected.standard_error)
    assert interval.lower == pytest.approx(expected.lower, abs=0.1 * expected.standard_error)
    assert interval.p_blessed == pytest.approx(expected.p_blessed, rel=0.1)


def test_bounds_and_p_values_of_replicates_agree():
    rng = np.random.default_rng(13)
    for _ in range(300):
        replicates = rng.lognormal(0, rng.uniform(0.1, 1), 200)
        replicates[: rng.integers(0, 12)] = np.nan
        margin, confidence = float(rng.uniform(0, 4)), float(rng.choice([0.9, 0.95]))
        grain = float(rng.choice([0, 0.01, 1.0]))
        interval = bootstrap_interval(
            1.0, replicates, margin, confidence, examples=100, grain=grain
        )
        assert interval.lower <= interval.drop <= interval.upper
        assert (interval.upper < margin) == (interval.p_blessed < 1 - confidence)
        assert (interval.lower > margin) == (interval.p_refused < 1 - confidence)


def test_replicates_without_a_value_count_against_any_verdict():
    replicates = np.random.default_rng(14).normal(0, 0.01, 200)
    sure = bootstrap_interval(0.0, replicates, 0.1, 0.95, examples=500)
    replicates[:8] = np.nan
    unsure = bootstrap_interval(0.0, replicates, 0.1, 0.95, examples=500)
    assert sure.p_blessed < 0.001
    assert 0.04 < unsure.p_blessed < 0.05
    assert unsure.lower < sure.lower < sure.upper < unsure.upper < 0.1
    replicates[:10] = np.nan
    nothing = bootstrap_interval(0.0, replicates, 0.1, 0.95, examples=500)
    assert (nothing.lower, nothing.upper) == (-math.inf, math.inf)
    assert nothing.p_blessed >= 0.05


@pytest.mark.parametrize("defined", [0, 1])
def test_hardly_any_replicate_with_a_value_bounds_nothing(defined):
    replicates = np.full(100, np.nan)
    replicates[:defined] = 0.0
    interval = bootstrap_interval(0.0, replicates, 0.1, 0.95, examples=500)
    assert (interval.lower, interval.upper) == (-math.inf, math.inf)
    assert (interval.p_blessed, interval.p_refused) == (1, 1)


def test_a_metric_that_is_not_a_number_bounds_nothing():
    interval = bootstrap_interval(math.nan, np.zeros(100), 0.1, 0.95, examples=500)
    assert (interval.p_blessed, interval.p_refused) == (1, 1)


def test_replicates_that_all_agree_are_not_taken_for_certainty():
    interval = bootstrap_interval(0.0, np.zeros(199), 0.1, 0.95, examples=500)
    assert (interval.lower, interval.upper) == (0, 0)
    assert interval.p_blessed == pytest.approx(1 / 200)


def test_no_mistake_among_20_is_no_proof_that_there_are_none():
    """The exact bound of a share with no mistake among 20 is 1 - 0.05 ** (1 / 20) = 0.14."""
    interval = bootstrap_interval(0.0, np.zeros(200), 0.1, 0.95, examples=20, grain=1 / 20)
    assert 0.14 < interval.upper < 0.25
    assert interval.p_blessed > 0.05


def test_a_grain_that_is_small_beside_the_spread_changes_hardly_anything():
    replicates = np.random.default_rng(17).normal(0, 0.01, 200)
    without, fine = (
        bootstrap_interval(0.0, replicates, 0.1, 0.95, examples=500, grain=grain).upper
        for grain in (0.0, 0.0002)
    )
    assert without < fine < 1.05 * without


def test_few_examples_of_the_rarer_class_have_few_degrees_of_freedom():
    replicates = np.random.default_rng(20).normal(0, 0.01, 200)
    few, all_of_them = (
        bootstrap_interval(0.0, replicates, 0.1, 0.95, examples=500, units=units, is_symmetric=True)
        for units in (10, None)
    )
    assert few.standard_error == all_of_them.standard_error
    assert few.upper > stats.t.ppf(0.95, 9) * few.standard_error
    assert all_of_them.upper < 1.05 * stats.t.ppf(0.95, 199) * few.standard_error


def test_one_more_example_of_an_area_is_ranked_as_badly_as_is_typical():
    """Twice the grain is the most that a root mean square of the wrong ranks can be."""
    rng = np.random.default_rng(21)
    negative, positive = rng.normal(size=2_000), rng.normal(2.0, size=2_000)
    wrong = (negative[None] > positive[:, None]).mean(axis=1)
    root_mean_square = math.sqrt((wrong**2).mean())
    assert root_mean_square / 2_000 < 2 * area_grain(1 - wrong.mean(), 2_000)
    assert root_mean_square / 2_000 == pytest.approx(area_grain(1 - wrong.mean(), 2_000), rel=0.25)


@pytest.mark.parametrize(("area", "rarer"), [(1.0, 10), (math.nan, 10), (0.9, 0)])
def test_an_area_without_a_mistake_or_a_class_has_no_grain(area, rarer):
    assert area_grain(area, rarer) == 0.0


@pytest.mark.parametrize("positives", [0.5, 0.1])
def test_an_area_with_40_examples_of_the_rarer_class_errs_rarely(positives):
    """An AUC of 0.99, where the bootstrap of all examples pushed 8 to 13 %."""
    rng, pushed, data_sets = np.random.default_rng(22), 0, 150
    n = round(40 / positives)
    is_positive = np.arange(n) < 40
    true_drop = stats.norm.cdf(3.29 / math.sqrt(2)) - stats.norm.cdf(3.29 / math.sqrt(2.5))
    for _ in range(data_sets):
        before = 3.29 * is_positive + rng.normal(size=n)
        after = before + 0.5 * rng.normal(size=n)
        wins = [(s[:40, None] > s[40:]).astype(float) for s in (before, after)]
        weights = rng.poisson(1, (n, 200)).astype(float)
        total = weights[:40].sum(axis=0) * weights[40:].sum(axis=0)
        replicates = (weights[:40] * ((wins[0] - wins[1]) @ weights[40:])).sum(axis=0) / total
        found = bootstrap_interval(
            wins[0].mean() - wins[1].mean(),
            replicates,
            true_drop,
            0.95,
            examples=n,
            units=40,
            grain=area_grain(wins[1].mean(), 40),
        )
        pushed += found.p_blessed < 0.05
    assert pushed / data_sets <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / data_sets)


def test_a_relative_margin_of_a_bootstrap_is_a_share_of_the_float_models_value():
    rng = np.random.default_rng(15)
    float_replicates = rng.normal(-2.0, 0.1, 500)
    replicates = 0.05 * np.abs(float_replicates) + rng.normal(0, 0.001, 500)
    one, other = (
        bootstrap_interval(
            0.1,
            replicates,
            0.0,
            0.95,
            examples=1_000,
            relative=relative,
            float_value=-2.0,
            float_replicates=float_replicates,
        )
        for relative in (0.055, 0.045)
    )
    # The drop itself varies by 0.005, but its share of the float model's value hardly does.
    assert one.p_blessed < 0.001
    assert other.p_refused < 0.001
    assert one.standard_error == pytest.approx(0.005, rel=0.1)


def test_refuses_a_relative_margin_without_the_float_models_replicates():
    with pytest.raises(ValueError, match=r"needs .* 100 float_replicates, received 1\.0 and None"):
        bootstrap_interval(0.0, np.zeros(100), 0.0, 0.95, examples=9, relative=0.1, float_value=1.0)


@pytest.mark.parametrize("shape", [(1,), (5, 5)])
def test_refuses_replicates_that_are_not_a_row(shape):
    with pytest.raises(ValueError, match="two or more replicates in a row"):
        bootstrap_interval(0.0, np.zeros(shape), 0.1, 0.95, examples=500)


# --- holm and examples_to_settle ------------------------------------------------------------------


def test_holm_steps_down_until_the_first_that_is_not_rejected():
    assert holm([0.01, 0.04, 0.03, 0.005], 0.05).tolist() == [True, False, False, True]


def test_holm_of_one_hypothesis_is_the_plain_test():
    assert holm([0.05], 0.05).tolist() == [True]
    assert holm([0.051], 0.05).tolist() == [False]


def test_holm_never_rejects_what_could_not_be_tested_and_still_counts_it():
    assert holm([0.02, math.nan], 0.05).tolist() == [True, False]
    assert holm([0.03, math.nan], 0.05).tolist() == [False, False]


def test_holm_of_nothing_is_nothing():
    rejected = holm([], 0.05)
    assert rejected.shape == (0,)
    assert rejected.dtype == bool


def test_holm_keeps_the_rate_of_any_false_rejection_below_alpha():
    p_values = np.random.default_rng(16).uniform(size=(4_000, 10))
    wrong = np.mean([holm(row, 0.05).any() for row in p_values])
    assert wrong < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4_000)


def seen(examples, drop, error):
    return DropInterval(drop, -math.inf, math.inf, 1.0, 1.0, examples, error, "any")


def test_so_many_more_examples_bring_the_bound_to_the_margin():
    more = examples_to_settle(seen(1_000, 0.004, 0.005), margin=0.01, confidence=0.95)
    error = 0.005 * math.sqrt(1_000 / (1_000 + more))
    assert 0.004 + stats.norm.ppf(0.95) * error == pytest.approx(0.01, rel=1e-3)


def test_advice_for_80_percent_is_some_2_3_times_that_for_one_half():
    half, likely = (
        1_000 + examples_to_settle(seen(1_000, 0.004, 0.005), 0.01, 0.95, power)
        for power in (0.5, 0.8)
    )
    z = stats.norm.ppf([0.95, 0.8])
    assert likely / half == pytest.approx((z.sum() / z[0]) ** 2, rel=0.01)


def test_advice_of_a_bound_that_skewness_widens_brings_that_bound_to_the_margin():
    skewed = replace(seen(150, 0.002, 0.01), upper=0.152)
    assert skewed.drop + 1.96 * skewed.standard_error < 0.05
    more = examples_to_settle(skewed, margin=0.05, confidence=0.975)
    # What is added to a normal bound falls in proportion to 1/n.
    assert 150 / (150 + more) * 0.15 == pytest.approx(0.048, rel=0.01)


def test_a_drop_above_the_margin_is_settled_by_a_refusal():
    above = examples_to_settle(seen(1_000, 0.016, 0.005), margin=0.01, confidence=0.95)
    below = examples_to_settle(seen(1_000, 0.004, 0.005), margin=0.01, confidence=0.95)
    assert above == below


def test_so_many_more_examples_settle_a_share_that_never_changed():
    interval = binary_interval(100, 0, 0, margin=0.01, confidence=0.95)
    more = examples_to_settle(interval, margin=0.01, confidence=0.95)
    total = 100 + more
    assert binary_interval(total, 0, 0, margin=0.01, confidence=0.95).upper < 0.01
    assert binary_interval(total - 5, 0, 0, margin=0.01, confidence=0.95).upper > 0.01


def test_no_number_of_examples_settles_a_drop_of_exactly_the_margin():
    # 0.97 - 0.96 is 0.010000000000000009 in binary.
    exact = seen(1_000, 0.97 - 0.96, 0.005)
    assert examples_to_settle(exact, margin=0.01, confidence=0.95) is None
    assert examples_to_settle(seen(1_000, 0.0, 0.0), margin=0.0, confidence=0.95) is None


@pytest.mark.parametrize(("drop", "error"), [(0.0, math.inf), (0.0, math.nan), (math.nan, 0.1)])
def test_what_is_not_known_cannot_be_planned_for(drop, error):
    assert examples_to_settle(seen(1, drop, error), margin=0.01, confidence=0.95) is None


def test_an_undecided_verdict_wants_at_least_one_more_example():
    assert examples_to_settle(seen(1_000, 0.0, 0.001), margin=0.01, confidence=0.95) == 1
