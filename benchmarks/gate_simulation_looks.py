"""Looks at the same question and nights in a row, for `gate_simulation.py`.

Right-or-wrong metrics only: their counts can be drawn for thousands of histories at once, and the
levels do not know which test they are used with.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from tfx_tflite.components.judgement.statistics.paired_tests import (
    CONTINUITY_CORRECTION,
    DropInterval,
    examples_to_settle,
    score_p_value,
)
from tfx_tflite.components.judgement.statistics.power import examples_for_share
from tfx_tflite.components.judgement.statistics.spending import look_level, night_level

ALPHA = 0.05
MARGIN = 0.01
LOOKS = 8
# A person who is told to label more than so many gives up.
MOST_EXAMPLES = 10**8

# From a look's number, the examples and who got worse and better to whether it is a blessing.
Rule = Callable[[int, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


# --- Looks ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Looked:
    """What came of some histories of looks.

    Attributes:
        blessed: Whether each ended with a blessing.
        examples: How many examples each had used up by its end.
    """

    blessed: np.ndarray
    examples: np.ndarray

    def examples_for(self, share: float) -> float:
        """Returns with how many examples so large a share of the histories is blessed."""
        used = np.sort(np.where(self.blessed, self.examples, np.inf))
        return float(used[math.ceil(share * len(used)) - 1])


def fixed(look: int, n: np.ndarray, worse: np.ndarray, better: np.ndarray) -> np.ndarray:
    """Each look as if it were the only one."""
    return score_p_value(n, worse, better, MARGIN) < ALPHA


def spent(look: int, n: np.ndarray, worse: np.ndarray, better: np.ndarray) -> np.ndarray:
    """The gate: alpha over k (k + 1) for look k."""
    return score_p_value(n, worse, better, MARGIN) < look_level(ALPHA, look)


def anytime(first: int) -> Rule:
    """Returns an anytime-valid bound whose mixture is tuned to the first look.

    One-sided asymptotic confidence sequence of a normal mixture (Waudby-Smith, Arbour, Sinha,
    Kennedy and Ramdas 2024, Annals of Statistics 52:2613), with the same variance and continuity
    correction as the score test's.
    """
    rho_2 = (-2 * math.log(ALPHA) + math.log(1 - 2 * math.log(ALPHA))) / first

    def blessed(look: int, n: np.ndarray, worse: np.ndarray, better: np.ndarray) -> np.ndarray:
        share = (worse + better + 0.5) / n
        variance = np.maximum(share, MARGIN) - ((worse - better) / n) ** 2
        mixture = n * rho_2 + 1
        width = np.sqrt(
            2 * variance * mixture / (n**2 * rho_2) * np.log(1 + np.sqrt(mixture) / (2 * ALPHA))
        )
        return (worse - better + CONTINUITY_CORRECTION) / n + width < MARGIN

    return blessed


def histories(
    rule: Rule,
    level_of: Callable[[int], float],
    first: int,
    changed: float,
    drop: float,
    count: int,
    rng: np.random.Generator,
    power: float = 0.5,
) -> Looked:
    """Returns what comes of looking again with as many more examples as the report advises.

    Args:
        rule: Who is blessed.
        level_of: The level that the advice is for, by the look that follows.
        first: The number of examples at the first look.
        changed: The true share of examples that change.
        drop: The true drop.
        count: How many histories.
        rng: Draws the examples.
        power: Of the advice.
    """
    shares = [(changed + drop) / 2, (changed - drop) / 2, 1 - changed]
    n, more = np.zeros(count, np.int64), np.full(count, first, np.int64)
    worse, better = np.zeros(count, np.int64), np.zeros(count, np.int64)
    blessed, goes_on = np.zeros(count, bool), np.ones(count, bool)
    for look in range(1, LOOKS + 1):
        drawn = rng.multinomial(np.where(goes_on, more, 0), shares)
        worse, better, n = worse + drawn[:, 0], better + drawn[:, 1], n + drawn.sum(axis=1)
        now = goes_on & rule(look, n, worse, better)
        blessed |= now
        # A refusal at the level of the look ends it, too.
        is_refused = score_p_value(n, better, worse, -MARGIN) < level_of(look)
        goes_on &= ~now & ~is_refused
        following = level_of(look + 1)
        for index in np.flatnonzero(goes_on):
            advised = _advised(
                int(n[index]), int(worse[index]), int(better[index]), following, power
            )
            goes_on[index] = 0 < advised < MOST_EXAMPLES
            more[index] = advised
    return Looked(blessed, n)


def _advised(examples: int, worse: int, better: int, level: float, power: float) -> int:
    """Returns how many more examples are advised; 0 if none would do."""
    drop = (worse - better) / examples
    # As `binary_interval` has it, without its bounds, which take a search each.
    variance = max((worse + better) / examples, MARGIN) - drop**2
    seen = DropInterval(
        drop,
        0.0,
        0.0,
        1.0,
        1.0,
        examples,
        math.sqrt(variance / examples),
        "",
        CONTINUITY_CORRECTION,
    )
    return examples_to_settle(seen, MARGIN, 1 - level, power) or 0


def bold(look: int) -> float:
    """Returns the level of a look that is not protected."""
    return ALPHA


def careful(look: int) -> float:
    """Returns the level of a look that is protected."""
    return look_level(ALPHA, look)


def look_rates(
    firsts: Iterable[int], changes: Iterable[float], count: int, rng: np.random.Generator
) -> Iterable[tuple[str, tuple[float, ...]]]:
    """Yields false pushes of the gate, of an anytime-valid bound, and without protection.

    Where fewer change than the margin, no drop can be as large.
    """
    for first in firsts:
        for changed in (share for share in changes if share >= MARGIN):
            rates = [
                histories(rule, level, first, changed, MARGIN, count, rng).blessed.mean()
                for rule, level in (
                    (spent, careful),
                    (anytime(first), careful),
                    (fixed, bold),
                )
            ]
            name = f"{first:6d} examples at first, {100 * changed:g} % change"
            yield name, tuple(map(float, rates))


def look_costs(
    changes: Iterable[float], count: int, rng: np.random.Generator
) -> Iterable[tuple[str, tuple[float, ...]]]:
    """Yields what 80 % power costs at no drop, as multiples of one unprotected test's examples.

    The gate's, if the first look has as many as that test; the gate's, if the first look has as
    many as `tfx-tflite plan` says; the gate's with advice that settles it with 80 % instead of one
    half; and an anytime-valid bound's. Each may be lower by its Monte-Carlo error, three standard
    errors of the 80 %.
    """
    share = 0.8 - 3 * math.sqrt(0.8 * 0.2 / count)
    for changed in changes:
        alone = examples_for_share(changed, MARGIN, ALPHA)
        planned = examples_for_share(changed, MARGIN, look_level(ALPHA, 1))
        costs = [
            histories(rule, careful, first, changed, 0.0, count, rng, power).examples_for(share)
            for rule, first, power in (
                (spent, alone, 0.5),
                (spent, planned, 0.5),
                (spent, alone, 0.8),
                (anytime(alone), alone, 0.5),
            )
        ]
        name = f"{100 * changed:g} % change, one test has {alone} examples"
        yield name, tuple(cost / alone for cost in costs)


# --- Nights ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Nights:
    """A year of retrains.

    Attributes:
        name: What it is.
        good: The share of retrains that lose nothing; the others are exactly at the bound.
        shared: The share of the outcomes that are the same every night, as on one eval split.
        examples: How many examples each is judged on.
        changed: Which share of them changes.
    """

    name: str
    good: float = 0.0
    shared: float = 0.0
    examples: int = 5_000
    changed: float = 0.02


YEARS = (
    Nights("at the bound, fresh eval split"),
    Nights("at the bound, same eval split, half of the changes the same", shared=0.5),
    Nights("at the bound, same eval split, nearly the same model", shared=0.95),
    Nights("half good, fresh eval split", good=0.5),
    Nights("9 of 10 good, fresh eval split", good=0.9),
    Nights("9 of 10 good, same eval split", good=0.9, shared=0.5),
)


def p_values(
    year: Nights, over: int, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the p-values of so many retrains and which of them are good, both (count, over).

    What is the same every night is drawn once a history, for the part of the examples whose
    outcome does not depend on the night's model.
    """
    is_good = rng.random((count, over)) < year.good
    always = round(year.examples * year.shared)
    drop = np.where(is_good, 0.0, MARGIN)
    worse_share, better_share = (year.changed + drop) / 2, (year.changed - drop) / 2
    worse = rng.binomial(year.examples - always, worse_share)
    better = rng.binomial(year.examples - always, better_share)
    if always:
        # By the place of a night in the distribution of the shared part: the same for all nights.
        place = rng.random((count, 1))
        for good, of_drop in ((True, 0.0), (False, MARGIN)):
            net = of_drop * always + _normal(place) * math.sqrt(always * year.changed)
            # As whole examples around their mean, half of the changes either way.
            half = round(always * year.changed / 2)
            got_worse = np.maximum(np.round(half + net / 2), 0).astype(np.int64)
            got_better = np.maximum(np.round(half - net / 2), 0).astype(np.int64)
            worse = worse + np.where(is_good == good, got_worse, 0)
            better = better + np.where(is_good == good, got_better, 0)
    return score_p_value(year.examples, worse, better, MARGIN), is_good


def _normal(place: np.ndarray) -> np.ndarray:
    return np.asarray(ndtri(place))


def budget_levels(over: int) -> np.ndarray:
    """Returns the level after a streak of 0, 1, 2, … blessings."""
    levels = [night_level(ALPHA, over, 0.0, False)]
    while len(levels) < over:
        levels.append(night_level(ALPHA, over, levels[-1], True))
    return np.array(levels)


def night_rates(
    years: Iterable[Nights], over: int, count: int, rng: np.random.Generator
) -> Iterable[tuple[str, tuple[float, ...]]]:
    """Yields how often a year has a false push, and which share of good models is pushed.

    Rates: any false push with the budget, by plain Bonferroni, and without protection; then good
    models pushed with the budget, by plain Bonferroni and without.
    """
    levels = budget_levels(over)
    for year in years:
        p, is_good = p_values(year, over, count, rng)
        pushed = np.zeros(p.shape, bool)
        streak = np.zeros(count, int)
        for night in range(over):
            pushed[:, night] = p[:, night] < levels[streak]
            streak = np.where(pushed[:, night], streak + 1, 0)
        found = (pushed, p < levels[0], p < ALPHA)
        rates = [float((one & ~is_good).any(axis=1).mean()) for one in found]
        rates += [float(one[is_good].mean()) if is_good.any() else math.nan for one in found]
        yield year.name, tuple(rates)


def prices(changes: Iterable[float]) -> Iterable[tuple[str, tuple[int, ...]]]:
    """Yields how many examples a good model needs for 80 %, one night alone and within a budget.

    A lone night, the first of 30 and of 365, and one after 30 blessings in a budget over 365.
    """
    streak = budget_levels(365)[30]
    for changed in changes:
        needed = [
            examples_for_share(changed, MARGIN, level)
            for level in (ALPHA, ALPHA / 30, ALPHA / 365, float(streak))
        ]
        yield f"{100 * changed:g} % of examples change", tuple(needed)
