"""Examples in groups, and few of a class, for `gate_simulation.py`."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from scipy.stats import expon

from tfx_tflite.components.judgement.metrics.metric_sums import MetricSums
from tfx_tflite.components.judgement.statistics.group_tests import (
    GroupSums,
    mean_interval,
    own_mean_interval,
    own_share_interval,
    share_interval,
)
from tfx_tflite.components.judgement.statistics.paired_tests import (
    area_grain,
    binary_interval,
    bootstrap_interval,
)
from tfx_tflite.components.judgement.statistics.paired_tests import (
    mean_interval as mean_of_examples,
)

CONFIDENCE = 0.95
SIZE = 10
LIKENESSES = (0.1, 0.3, 1.0)
REPLICATES = 200
MIN_CLASS = 40
Rates = tuple[str, tuple[float, ...]]


def _is_blessed(p_value: float) -> bool:
    return p_value < 1 - CONFIDENCE


# --- Right or wrong, and means, in groups ---------------------------------------------------------


def changes(
    groups: int, alike: float, worse: float, better: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns how many examples of each group get worse and better, both of shape (groups,).

    The shares of a group are Dirichlet-distributed, so that the intraclass correlation is `alike`.
    """
    shares = np.array([worse, better, 1 - worse - better])
    if alike == 1:
        drawn = rng.multinomial(1, shares, groups) * SIZE
    else:
        of_group = rng.gamma(np.maximum(shares, 1e-12) * (1 - alike) / alike, 1, (groups, 3))
        drawn = rng.multinomial(SIZE, of_group / of_group.sum(axis=1, keepdims=True))
    return drawn[:, 0], drawn[:, 1]


def grouped_shares(
    counts: Iterable[int], data_sets: int, rng: np.random.Generator
) -> Iterable[Rates]:
    """Yields false pushes of a share's drop, of its value, and of the test that ignores groups.

    The worst of several margins, because each has another share of groups that change.
    """
    for groups in counts:
        for alike in LIKENESSES:
            rates = [
                _share_rates(groups, alike, margin, extra, data_sets, rng)
                for margin, extra in ((0.02, 0.0), (0.05, 0.05), (0.1, 0.05), (0.2, 0.0))
            ]
            yield f"{groups:4d} groups, alike {alike:g}", tuple(np.max(rates, axis=0))


def _share_rates(
    groups: int, alike: float, margin: float, extra: float, data_sets: int, rng: np.random.Generator
) -> np.ndarray:
    total, blessed = groups * SIZE, np.zeros(3)
    sizes = np.full(groups, float(SIZE))
    for _ in range(data_sets):
        worse, better = changes(groups, alike, margin + extra, extra, rng)
        lost, won = int(worse.sum()), int(better.sum())
        sums = GroupSums(sizes, sizes - better, sizes - worse)
        found = share_interval(sums, lost, won, 1, margin, CONFIDENCE)
        own = own_share_interval(sums, total - lost, 1, 1 - margin - extra, CONFIDENCE)
        ignored = binary_interval(total, lost, won, margin, CONFIDENCE)
        blessed += [_is_blessed(one.p_blessed) for one in (found, own, ignored)]
    return blessed / data_sets


def grouped_means(
    counts: Iterable[int], data_sets: int, rng: np.random.Generator
) -> Iterable[Rates]:
    """Yields false pushes of a mean's drop, of its value, and of the test that ignores groups."""
    for name, mean in (("normal", 0.0), ("exponential", 1.0), ("log-normal", math.exp(0.5))):
        for groups in counts:
            for alike in LIKENESSES:
                blessed = np.zeros(3)
                for _ in range(data_sets):
                    drops = _drops(name, groups, alike, rng)
                    sums = GroupSums(
                        np.full(groups, float(SIZE)), np.zeros(groups), drops.sum(axis=1)
                    )
                    flat = drops.ravel()
                    terms = MetricSums.terms(np.zeros(len(flat)), flat, mean)
                    moments = MetricSums(len(flat), *map(np.sum, terms), mean).moments(-1)
                    found = mean_interval(sums, -1, mean, CONFIDENCE)
                    own = own_mean_interval(sums, -1, mean, CONFIDENCE)
                    ignored = mean_of_examples(moments, mean, CONFIDENCE)
                    blessed += [_is_blessed(one.p_blessed) for one in (found, own, ignored)]
                yield f"{groups:4d} groups, alike {alike:g}, {name}", tuple(blessed / data_sets)


def _drops(name: str, groups: int, alike: float, rng: np.random.Generator) -> np.ndarray:
    """Returns drops of shape (groups, SIZE): of normal numbers with a part that a group shares."""
    normal = math.sqrt(alike) * rng.normal(size=(groups, 1)) + math.sqrt(1 - alike) * rng.normal(
        size=(groups, SIZE)
    )
    if name == "exponential":
        return np.asarray(expon.isf(ndtr(-normal)))
    return np.exp(normal) if name == "log-normal" else normal


# --- AUC: of few examples of a class, and in groups -----------------------------------------------


@dataclass
class Poisson:
    """Poisson weights with mean 1, drawn once and then picked from, which is much faster.

    Attributes:
        rng: Picks.
        bank: float32 of shape (weights, REPLICATES).
    """

    rng: np.random.Generator

    def __post_init__(self) -> None:
        """Draws the bank."""
        self.bank = self.rng.poisson(1, (20_000, REPLICATES)).astype(np.float32)

    def weights(self, count: int) -> np.ndarray:
        """Returns the weights of so many units, shape (count, REPLICATES)."""
        return self.bank[self.rng.integers(len(self.bank), size=count)]


@dataclass(frozen=True)
class Areas:
    """The AUC of both models on one data set.

    Attributes:
        before: The float model's.
        after: The quantized model's.
        replicates: The drop in each replicate.
    """

    before: float
    after: float
    replicates: np.ndarray

    @classmethod
    def of(
        cls, before: np.ndarray, after: np.ndarray, positive: np.ndarray, weights: np.ndarray
    ) -> "Areas":
        """Returns the areas, from all pairs of a positive and a negative.

        Args:
            before: The float model's scores, shape (n,).
            after: The quantized model's.
            positive: Whether each is of class 1.
            weights: Of each example in each replicate, shape (n, REPLICATES).
        """
        won = [
            (scores[positive][:, None] > scores[~positive]).astype(np.float32)
            for scores in (before, after)
        ]
        of_positives, of_negatives = weights[positive], weights[~positive]
        with np.errstate(invalid="ignore", divide="ignore"):
            total = of_positives.sum(axis=0) * of_negatives.sum(axis=0)
            replicates = (of_positives * ((won[0] - won[1]) @ of_negatives)).sum(axis=0) / total
        return cls(float(won[0].mean()), float(won[1].mean()), replicates)

    def is_blessed(self, margin: float, examples: int, rarer: int) -> bool:
        """Returns whether the gate blesses, if enough examples, or groups, are of each class."""
        interval = bootstrap_interval(
            self.before - self.after,
            self.replicates,
            margin,
            CONFIDENCE,
            examples=examples,
            units=rarer,
            grain=area_grain(self.after, rarer),
        )
        return rarer >= MIN_CLASS and _is_blessed(interval.p_blessed)

    def is_blessed_at_all(self, margin: float, examples: int) -> bool:
        """Returns whether the bootstrap of all examples alone blesses."""
        interval = bootstrap_interval(
            self.before - self.after, self.replicates, margin, CONFIDENCE, examples=examples
        )
        return _is_blessed(interval.p_blessed)


def true_drop(distance: float, noise: float) -> float:
    """Returns the drop of an AUC of normal scores to which noise is added."""
    return float(ndtr(distance / math.sqrt(2)) - ndtr(distance / math.sqrt(2 * (1 + noise**2))))


DISTANCES = {0.75: 0.954, 0.9: 1.812, 0.96: 2.476, 0.99: 3.29}


def balanced_aucs(
    balances: Iterable[float], data_sets: int, rng: np.random.Generator
) -> Iterable[Rates]:
    """Yields false pushes, those of the bootstrap alone, and how often it is undecided for few.

    The number of examples is so that 50 are of the rarer class on average; the worst of two sizes
    of the quantized model's noise.
    """
    poisson = Poisson(rng)
    for balance in balances:
        for area, distance in DISTANCES.items():
            rates = [
                _auc_rates(balance, distance, noise, data_sets, poisson, rng)
                for noise in (0.2, 0.5)
            ]
            yield f"{balance:4.0%} positive, AUC {area:g}", tuple(np.max(rates, axis=0))


def _auc_rates(
    balance: float,
    distance: float,
    noise: float,
    data_sets: int,
    poisson: Poisson,
    rng: np.random.Generator,
) -> np.ndarray:
    n, margin, found = round(50 / balance), true_drop(distance, noise), np.zeros(3)
    for _ in range(data_sets):
        positive = rng.random(n) < balance
        rarer = int(min(positive.sum(), (~positive).sum()))
        if rarer < 2:
            continue
        before = distance * positive + rng.normal(size=n)
        after = before + noise * rng.normal(size=n)
        areas = Areas.of(before, after, positive, poisson.weights(n))
        found += [
            areas.is_blessed(margin, n, rarer),
            areas.is_blessed_at_all(margin, n),
            rarer < MIN_CLASS,
        ]
    return found / data_sets


def grouped_aucs(
    counts: Iterable[int], data_sets: int, rng: np.random.Generator
) -> Iterable[Rates]:
    """Yields false pushes, those that ignore the groups, and how often it is undecided for few.

    The label is the same in a group, and half of the groups are positive; scores share a part.
    """
    poisson, noise = Poisson(rng), 0.5
    for groups in counts:
        group = np.repeat(np.arange(groups), SIZE)
        for alike in LIKENESSES:
            for area in (0.75, 0.99):
                margin, found = true_drop(DISTANCES[area], noise), np.zeros(3)
                for _ in range(data_sets):
                    of_group = rng.random(groups) < 0.5
                    rarer = int(min(of_group.sum(), (~of_group).sum()))
                    if not rarer:
                        continue
                    before = DISTANCES[area] * of_group[group] + _alike(alike, group, rng)
                    after = before + noise * _alike(alike, group, rng)
                    whole = poisson.weights(groups)[group]
                    in_groups = Areas.of(before, after, of_group[group], whole)
                    alone = Areas.of(before, after, of_group[group], poisson.weights(len(group)))
                    found += [
                        in_groups.is_blessed(margin, groups, rarer),
                        alone.is_blessed(margin, len(group), rarer * SIZE),
                        rarer < MIN_CLASS,
                    ]
                yield f"{groups:4d} groups, alike {alike:g}, AUC {area:g}", tuple(found / data_sets)


def _alike(alike: float, group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    shared = rng.normal(size=group[-1] + 1)[group]
    return math.sqrt(alike) * shared + math.sqrt(1 - alike) * rng.normal(size=len(group))
