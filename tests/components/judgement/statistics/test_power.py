"""How many examples are enough, against enumerations and draws done otherwise."""

import math
import time

import numpy as np
import pytest
from scipy.stats import multinomial, norm

from tfx_tflite.components.judgement.statistics.paired_tests import binary_interval
from tfx_tflite.components.judgement.statistics.power import (
    examples_for_mean,
    examples_for_share,
    power_of_mean,
    power_of_share,
)


@pytest.mark.parametrize("drop", [0.0, 0.1, -0.1])
@pytest.mark.parametrize("level", [0.05, 0.01])
def test_the_power_of_a_share_is_the_probability_of_all_outcomes_that_bless(
    level: float, drop: float
):
    """Each outcome of 60 examples, by the interval itself and SciPy's multinomial."""
    examples, discordance, margin = 60, 0.2, 0.1
    shares = [(discordance + drop) / 2, (discordance - drop) / 2, 1 - discordance]
    blessed = [
        (worse, better, examples - worse - better)
        for worse in range(examples + 1)
        for better in range(examples + 1 - worse)
        if binary_interval(examples, worse, better, margin, 1 - level).p_blessed < level
    ]
    expected = multinomial.pmf(blessed, examples, shares).sum()
    assert power_of_share(examples, discordance, margin, level, drop) == pytest.approx(expected)


def test_without_any_change_the_power_is_all_or_nothing():
    assert power_of_share(360, 0.0, 0.01, 0.05) == 0.0
    assert power_of_share(361, 0.0, 0.01, 0.05) == pytest.approx(1.0)
    assert examples_for_share(0.0, 0.01, 0.05) == 361


@pytest.mark.parametrize("level", [0.05, 0.025, 0.05 / 365])
@pytest.mark.parametrize("discordance", [0.002, 0.01, 0.05, 0.5])
def test_as_many_examples_as_needed_are_enough_and_one_fewer_are_not(
    discordance: float, level: float
):
    needed = examples_for_share(discordance, 0.01, level)
    assert power_of_share(needed, discordance, 0.01, level) >= 0.8
    assert power_of_share(needed - 1, discordance, 0.01, level) < 0.8


def test_many_examples_of_a_share_are_those_of_the_mean_of_its_drops():
    discordance, margin, level = 0.04, 0.001, 0.01
    exact = examples_for_share(discordance, margin, level)
    near = examples_for_mean(math.sqrt(discordance), margin, level, correction=0.5)
    assert exact == pytest.approx(near, rel=0.01)


def test_planning_does_not_make_anybody_wait():
    started = time.perf_counter()
    assert examples_for_share(0.05, 0.001, 0.05 / 365) > 500_000
    assert time.perf_counter() - started < 1  # A tenth of it on an idle machine.


def test_more_power_a_lower_level_and_a_closer_margin_want_more_examples():
    base = examples_for_share(0.02, 0.01, 0.05)
    assert examples_for_share(0.02, 0.01, 0.05, power=0.9) > base
    assert examples_for_share(0.02, 0.01, 0.01) > base
    assert examples_for_share(0.02, 0.005, 0.05) > base
    assert examples_for_share(0.05, 0.01, 0.05) > base


def test_the_power_of_a_mean_is_how_often_draws_are_blessed():
    generator = np.random.default_rng(0)
    examples = examples_for_mean(deviation=2.0, margin=0.3, level=0.05)
    drops = generator.normal(0, 2.0, (20_000, examples))
    bounds = drops.mean(axis=1) + norm.ppf(0.95) * drops.std(axis=1, ddof=1) / math.sqrt(examples)
    assert power_of_mean(examples, 2.0, 0.3, 0.05) == pytest.approx(0.8, abs=0.002)
    assert (bounds < 0.3).mean() == pytest.approx(0.8, abs=0.01)


def test_drops_that_are_all_zero_are_blessed_from_where_the_correction_is_within_the_margin():
    assert examples_for_mean(0.0, 0.01, 0.05, correction=0.5) == 50
    assert power_of_mean(51, 0.0, 0.01, 0.05, correction=0.5) == 1.0
    assert power_of_mean(49, 0.0, 0.01, 0.05, correction=0.5) == 0.0


@pytest.mark.parametrize("margin", [0.0, -0.1])
def test_no_number_of_examples_shows_that_there_is_no_drop_at_all(margin: float):
    for plan in (examples_for_share, examples_for_mean):
        with pytest.raises(ValueError, match="expected a margin above 0"):
            plan(0.1, margin, 0.05)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ((1.2, 0.01, 0.05), "a discordance of 0 to 1"),
        ((0.1, 0.01, 0.5), "a level above 0"),
        ((0.1, 0.01, 0.0), "a level above 0"),
        ((0.1, 0.01, 0.05, 1.0), "a power above 0"),
    ],
)
def test_what_cannot_be_planned_for_is_an_error(arguments: tuple[float, ...], what: str):
    with pytest.raises(ValueError, match=f"expected {what}"):
        examples_for_share(*arguments)


def test_a_drop_cannot_be_more_than_what_changes():
    with pytest.raises(ValueError, match=r"discordance of 0\.1, received 100 and 0\.2"):
        power_of_share(100, 0.1, 0.05, 0.05, drop=0.2)
