"""Levels that add up: over looks at one question, and over retrains."""

import itertools
import math
from fractions import Fraction

import pytest

from tfx_tflite.components.judgement.statistics.spending import look_level, night_level


def test_looks_add_up_to_the_level_and_never_above_it():
    levels = [look_level(0.05, look) for look in range(1, 10_001)]
    assert levels == sorted(levels, reverse=True)
    # 1/2 + 1/6 + 1/12 + … + 1/(n (n+1)) = 1 - 1/(n+1)
    assert math.fsum(levels) == pytest.approx(0.05 * (1 - 1 / 10_001), rel=1e-12)


@pytest.mark.parametrize("look", [0, -1])
def test_looks_count_from_1(look: int):
    with pytest.raises(ValueError, match=f"look of 1 or more, received {look}"):
        look_level(0.05, look)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 5.0, math.nan])
def test_a_level_is_a_probability(level: float):
    with pytest.raises(ValueError, match="expected alpha above 0 and below 1"):
        look_level(level, 1)
    with pytest.raises(ValueError, match="expected budget above 0 and below 1"):
        night_level(level, 365, 0.0, False)


def levels_of(blessed: tuple[bool, ...], budget: float, over: int) -> list[float]:
    levels, was_blessed = [0.0], False
    for is_blessed in blessed:
        levels.append(night_level(budget, over, levels[-1], was_blessed))
        was_blessed = is_blessed
    return levels[1:]


def test_a_refused_night_keeps_its_level_from_the_next():
    assert levels_of((False,) * 3, 0.05, 365) == [0.05 / 365] * 3


def test_a_streak_of_blessings_collects_the_whole_budget():
    assert levels_of((True,) * 365, 0.05, 365)[-1] == pytest.approx(0.05)


def test_no_history_puts_more_than_the_budget_at_risk():
    """Whichever models are bad, the levels they are judged at before the first false push add up.

    All histories of six nights, by all choices of which models are at the bound. The worst case is
    that p-values exclude each other, so that the probability of a false push is the sum of the
    levels (Bonferroni) of the bad ones; a good one is blessed always.
    """
    for is_bad in itertools.product((False, True), repeat=6):
        blessed = tuple(not bad for bad in is_bad)
        levels = levels_of(blessed, 0.06, 6)
        at_risk = sum(level for level, bad in zip(levels, is_bad, strict=True) if bad)
        assert at_risk <= 0.06 * (1 + 1e-12)
        if is_bad[-1]:
            assert Fraction(at_risk).limit_denominator(10_000) == Fraction(6, 100)


def test_a_budget_is_over_at_least_one_retrain():
    with pytest.raises(ValueError, match="over 1 retrain or more, received 0"):
        night_level(0.05, 0, 0.0, False)


def test_a_previous_level_is_one():
    with pytest.raises(ValueError, match=r"previous level of 0 to 1, received 1\.5"):
        night_level(0.05, 365, 1.5, True)
