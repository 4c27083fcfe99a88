"""Tests over whole groups: against those of single examples, by hand, and by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from tests.components.judgement.statistics.moments import moments_of
from tfx_tflite.components.judgement.statistics import paired_tests, value_tests
from tfx_tflite.components.judgement.statistics.group_tests import (
    GroupSums,
    mean_interval,
    own_mean_interval,
    own_share_interval,
    share_interval,
)
from tfx_tflite.components.judgement.statistics.paired_tests import binary_interval

GENERATOR = np.random.default_rng(3)


def groups_of(f, q, group) -> GroupSums:
    """The sums of examples, by a loop."""
    sums = {name: np.zeros(3) for name in group}
    for before, after, name in zip(f, q, group, strict=True):
        sums[name] += (1, before, after)
    return GroupSums(*np.array([sums[name] for name in sorted(sums)]).T)


def shares(f, q, group, margin: float, sign: int = 1):
    f, q = np.asarray(f, float), np.asarray(q, float)
    worse, better = np.sum(sign * (f - q) > 0), np.sum(sign * (f - q) < 0)
    return share_interval(groups_of(f, q, group), int(worse), int(better), sign, margin, 0.95)


# --- Moments ---


def test_the_error_of_a_ratio_is_cochrans():
    """Equation 6.13 and 9.13: sum of (y - R m)² over G (G - 1) and the square of the mean size."""
    sizes = np.array([3.0, 5.0, 2.0, 10.0])
    drops = np.array([1.0, -1.0, 0.0, 4.0])
    groups = GroupSums(sizes, drops + 1, np.ones(4))
    ratio = drops.sum() / sizes.sum()
    expected = math.sqrt(np.sum((drops - ratio * sizes) ** 2) / 3 / 4) / sizes.mean()
    found = mean_interval(groups, 1, margin=1.0, confidence=0.95)
    assert found.drop == ratio
    moments = groups.moments(1)
    assert moments.less(0.0).standard_error == pytest.approx(expected)
    assert (found.examples, found.unit) == (4, "groups")


def test_the_error_is_that_of_a_bootstrap_of_whole_groups():
    sizes = GENERATOR.integers(1, 30, 400).astype(float)
    drops = GENERATOR.normal(0.2, 1.0, 400) * sizes + GENERATOR.normal(0, 1, 400)
    weights = GENERATOR.poisson(1, (2_000, 400))
    replicates = weights @ drops / (weights @ sizes)
    moments = GroupSums(sizes, drops, np.zeros(400)).moments(1)
    assert moments.less(0.0).standard_error == pytest.approx(replicates.std(), rel=0.06)


@pytest.mark.parametrize("is_root", [False, True])
def test_groups_of_one_example_have_the_interval_of_examples(is_root: bool):
    f = GENERATOR.normal(size=300) ** 2
    q = f * GENERATOR.uniform(0.9, 1.2, 300)
    found = mean_interval(GroupSums(np.ones(300), f, q), -1, 0.2, 0.95, None, is_root)
    moments = moments_of(q - f, f)
    expected = paired_tests.mean_interval(moments.of_roots() if is_root else moments, 0.2, 0.95)
    for name in ("drop", "lower", "upper", "p_blessed", "p_refused", "standard_error"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-6), name
    own = own_mean_interval(GroupSums(np.ones(300), f, q), -1, 1.3, 0.95, is_root)
    alone = value_tests.mean_interval(moments_of(q, np.zeros(300)), -1, 1.3, 0.95, is_root)
    assert (own.lower, own.upper) == pytest.approx((alone.lower, alone.upper))


def test_examples_that_are_copied_tell_no_more():
    """What an ignored grouping does: ten copies of each make the error three times too small."""
    f = GENERATOR.exponential(size=200)
    q = f + GENERATOR.normal(0, 0.1, 200)
    copies = np.repeat(np.arange(200), 10)
    found = mean_interval(groups_of(f[copies], q[copies], copies), -1, 0.05, 0.95)
    once = mean_interval(GroupSums(np.ones(200), f, q), -1, 0.05, 0.95)
    assert found.upper == pytest.approx(once.upper)
    ignored = paired_tests.mean_interval(moments_of((q - f)[copies], f[copies]), 0.05, 0.95)
    assert ignored.upper - ignored.drop < 0.4 * (found.upper - found.drop)


# --- Shares ---


def test_groups_that_change_as_a_whole_tell_as_much_as_one_example_each():
    group = np.repeat(np.arange(100), 10)
    changed = np.isin(group, [3, 50, 51])
    found = shares(np.ones(1_000), ~changed, group, margin=0.1)
    assert found.p_blessed >= binary_interval(100, 3, 0, 0.1, 0.95).p_blessed - 1e-12
    assert found.p_blessed > 100 * binary_interval(1_000, 30, 0, 0.1, 0.95).p_blessed


def test_no_change_tells_as_much_as_there_are_groups():
    """A group may change as a whole: 34 groups of any size bless against 10 points, 33 do not."""
    for count, is_enough in ((33, False), (34, True)):
        group = np.repeat(np.arange(count), 50)
        found = shares(np.ones(len(group)), np.ones(len(group)), group, margin=0.1)
        assert (found.p_blessed < 0.05) == (found.upper < 0.1) == is_enough
        own = own_share_interval(
            groups_of(np.ones(len(group)), np.ones(len(group)), group),
            len(group), 1, 0.9, 0.95,
        )  # fmt: skip
        exact = value_tests.share_interval(count, count, 1, 0.9, 0.95)
        assert own.p_blessed == pytest.approx(exact.p_blessed)


def test_many_changes_that_are_spread_evenly_tell_nearly_as_much_as_alone():
    group = np.tile(np.arange(200), 10)
    worse = GENERATOR.random(2_000) < 0.2
    found = shares(np.ones(2_000), ~worse, group, margin=0.25)
    alone = binary_interval(2_000, int(worse.sum()), 0, 0.25, 0.95)
    assert alone.upper < found.upper < alone.upper + 0.3 * (alone.upper - alone.drop)


def test_a_share_that_is_better_lower_is_the_same_turned_around():
    group = np.repeat(np.arange(40), 5)
    f = GENERATOR.random(200) < 0.3
    q = f ^ (GENERATOR.random(200) < 0.1)
    up, down = shares(f, q, group, 0.05), shares(~f, ~q, group, 0.05, sign=-1)
    assert (up.lower, up.upper) == pytest.approx((down.lower, down.upper))
    high = own_share_interval(groups_of(f, q, group), int(q.sum()), 1, 0.2, 0.95)
    low = own_share_interval(groups_of(f, ~q, group), int((~q).sum()), -1, 0.8, 0.95)
    assert (high.lower + high.drop * 0, high.p_blessed) == pytest.approx(
        (low.lower - 1, low.p_blessed)
    )


def test_a_bound_and_its_p_value_say_the_same():
    for _ in range(200):
        sizes = GENERATOR.integers(1, 12, 30)
        lost, won = GENERATOR.binomial(sizes, 0.1), GENERATOR.binomial(1, 0.1, 30)
        groups = GroupSums(sizes.astype(float), lost.astype(float), won.astype(float))
        found = share_interval(groups, int(lost.sum()), int(won.sum()), 1, 0.12, 0.95)
        assert (found.upper < 0.12) == (found.p_blessed < 0.05)
        assert (found.lower > 0.12) == (found.p_refused < 0.05)
        assert found.lower <= found.drop <= found.upper


# --- Rates ---


def drawn(generator, count: int, size: int, alike: float, worse: float) -> np.ndarray:
    """Whether each example of each group got worse; the share of a group is beta-distributed."""
    if alike == 1:
        return np.repeat(generator.random((count, 1)) < worse, size, axis=1)
    spread = (1 - alike) / alike
    share = generator.beta(worse * spread, (1 - worse) * spread, (count, 1))
    return generator.random((count, size)) < share


@pytest.mark.parametrize("alike", [0.1, 0.3, 1.0])
def test_a_model_at_the_margin_is_pushed_at_most_5_percent_of_the_time(alike: float):
    """20 groups of 10; a test of 200 examples would push 13 to 88 %."""
    generator, margin = np.random.default_rng(11), 0.2
    pushed = np.zeros(2)
    for _ in range(300):
        lost = drawn(generator, 20, 10, alike, margin).sum(axis=1)
        groups = GroupSums(np.full(20, 10.0), np.full(20, 10.0), 10.0 - lost)
        found = share_interval(groups, int(lost.sum()), 0, 1, margin, 0.95)
        ignored = binary_interval(200, int(lost.sum()), 0, margin, 0.95)
        pushed += np.array([found.p_blessed, ignored.p_blessed]) < 0.05
    assert pushed[0] / 300 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)
    assert pushed[1] / 300 > 0.1


def test_a_mean_at_the_margin_is_pushed_at_most_5_percent_of_the_time():
    generator, pushed = np.random.default_rng(12), 0
    for _ in range(300):
        shared, own = generator.normal(size=(20, 1)), generator.normal(size=(20, 10))
        drops = math.sqrt(0.3) * shared + math.sqrt(0.7) * own
        groups = GroupSums(np.full(20, 10.0), np.zeros(20), drops.sum(axis=1))
        pushed += mean_interval(groups, -1, 0.0, 0.95).p_blessed < 0.05
    assert pushed / 300 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


# --- What cannot be ---


def test_without_any_example_nothing_is_known():
    empty = GroupSums(np.zeros(0), np.zeros(0), np.zeros(0))
    for found in (
        share_interval(empty, 0, 0, 1, 0.1, 0.95),
        own_share_interval(empty, 0, 1, 0.9, 0.95),
        mean_interval(empty, 1, 0.1, 0.95),
        own_mean_interval(empty, 1, 0.1, 0.95),
    ):
        assert (found.p_blessed, found.p_refused, found.unit) == (1.0, 1.0, "groups")


def test_one_group_bounds_no_mean():
    found = mean_interval(GroupSums(np.array([50.0]), np.ones(1), np.ones(1)), -1, 9.0, 0.95)
    assert (found.p_blessed, found.upper) == (1.0, math.inf)


def test_counts_that_are_not_those_of_the_groups_are_refused():
    groups = GroupSums(np.full(2, 5.0), np.full(2, 5.0), np.full(2, 4.0))
    with pytest.raises(ValueError, match="2 examples, received 0 worse and 2 better"):
        share_interval(groups, 0, 2, 1, 0.1, 0.95)


def test_sums_of_other_groups_are_refused():
    with pytest.raises(ValueError, match=r"received shapes \(2,\), \(3,\) and \(2,\)"):
        GroupSums(np.ones(2), np.ones(3), np.ones(2))


def test_the_exact_bound_of_a_share_is_the_binomial_one_at_an_effect_of_one():
    """Groups of one example: the score and binomial tests themselves, beside the groups' sums."""
    f, q = np.ones(500), np.r_[np.zeros(12), np.ones(488)]
    own = own_share_interval(GroupSums(np.ones(500), f, q), 488, 1, 0.95, 0.95)
    p_value = stats.binomtest(488, 500, 0.95, "greater").pvalue
    assert own.p_blessed == pytest.approx(p_value, rel=0.01) or own.p_blessed > p_value
