"""The sums of one metric over the examples of a slice, and what they say of two models' means.

Only sums cross between workers, so that no example is kept, and they are exact (`exact_sums`), so
that no order of the batches changes a digit. In products the float model's value counts from an
origin near its mean: products of the values themselves would lose all their digits if the mean is
large beside the spread.

Only NumPy and SciPy are imported here, because workers import this module.
"""

import itertools
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.judgement.statistics.paired_tests import PairedMoments


@dataclass(frozen=True)
class MetricSums:
    """The sums of one metric on one slice of examples that all count the same.

    Attributes:
        examples: The number of examples.
        f: The sum of the float model's values; `q` of the quantized model's.
        d: The sum of the differences q - f; `dd` to `fff` sums of products of d and f - origin.
        worse: How often the quantized model's value is lower; `better` how often it is higher.
        qq: The sum of the squares of q - origin; `qqq` of its cubes.
        between: How often the quantized model's value is neither 0 nor 1.
        origin: A number near the mean of f, and of q, from which products count.
    """

    COLUMNS: ClassVar[int] = 15

    examples: int
    f: float
    q: float
    d: float
    dd: float
    df: float
    ff: float
    ddd: float
    ddf: float
    dff: float
    fff: float
    worse: float
    better: float
    qq: float
    qqq: float
    between: float
    origin: float = 0.0

    @classmethod
    def terms(cls, f: Array, q: Array, origin: float) -> list[Array]:
        """Returns what each example adds to the sums, an array of shape (n,) for each in turn."""
        d, g, h = q - f, f - origin, q - origin
        dd, gg, hh = d * d, g * g, h * h
        paired = [f, q, d, dd, d * g, gg, dd * d, dd * g, d * gg, gg * g, d < 0, d > 0]
        return [*paired, hh, hh * h, (q != 0) & (q != 1)]

    @property
    def weight(self) -> float:
        """How much the examples count together, which is their number."""
        return self.examples

    @property
    def effective(self) -> float:
        """How many examples of one weight tell as much, which is their number."""
        return self.examples

    @property
    def counts_changes(self) -> bool:
        """Whether each example that changed did so by 1: labels between 0 and 1 change less."""
        return self.dd == self.worse + self.better

    @property
    def counts_successes(self) -> bool:
        """Whether the quantized model's value is 0 or 1 on each example."""
        return self.between == 0

    def own_moments(self) -> PairedMoments:
        """Returns the moments of the quantized model's value alone, as a drop from 0.

        They are those of a loss beside a float model without any, and do not depend on what the
        float model's values are.
        """
        n = self.examples
        total = self.q - n * self.origin
        mean = total / n if n else math.nan
        second = self.qq - n * mean**2
        third = self.qqq - 3 * mean * self.qq + 2 * n * mean**3
        return _alone(n, mean, self.origin, _Spread(second, third, n))

    def moments(self, sign: int) -> PairedMoments:
        """Returns the moments of drop and float value.

        Args:
            sign: 1 if higher is better, so that the drop is f - q, else -1.
        """
        flip = -sign
        n = self.examples
        # Of the drop and of f less the origin.
        mean = np.array([flip * self.d, self.f - n * self.origin]) / n
        second = np.array([[self.dd, flip * self.df], [flip * self.df, self.ff]])
        cubes = np.array([flip * self.ddd, self.ddf, flip * self.dff, self.fff])
        # Entry (i, j, k) is the sum with i + j + k factors f.
        third = cubes[np.indices((2, 2, 2)).sum(axis=0)]
        pairs = np.einsum("i,jk->ijk", mean, second)
        return PairedMoments(
            count=n,
            mean=mean + np.array([0.0, self.origin]),
            second=second - n * np.outer(mean, mean),
            third=third
            - pairs
            - pairs.transpose(1, 0, 2)
            - pairs.transpose(1, 2, 0)
            + 2 * n * np.einsum("i,j,k->ijk", mean, mean, mean),
        )


@dataclass(frozen=True)
class _Spread:
    """How values spread about their mean.

    Attributes:
        second: The sum of the squares of what they are away from it; `third` of the cubes.
        squares: The sum of the squares of their weights, which is their number without.
    """

    second: float
    third: float
    squares: float


def _alone(count: int, mean: float, origin: float, spread: _Spread) -> PairedMoments:
    """Returns moments of a drop whose float values are 0.

    Args:
        count: How many values there are.
        mean: Their mean, counted from the origin.
        origin: See `MetricSums`.
        spread: About the mean.
    """
    # Of values that are all the same, what is left is rounding, and no spread.
    rounding = _ROUNDING * abs(mean) * (abs(mean) + abs(origin)) * spread.squares
    is_spread = spread.second > rounding
    second, third = (spread.second, spread.third) if is_spread else (0.0, 0.0)
    return PairedMoments(
        count=count,
        mean=np.array([mean + origin, 0.0]),
        second=np.array([[second, 0.0], [0.0, 0.0]]),
        third=third * np.eye(1, 8).reshape(2, 2, 2),
    )


# The relative error of sums over many batches, a thousand roundings.
_ROUNDING = 1000 * float(np.finfo(float).eps)
_PAIRS = tuple(itertools.combinations_with_replacement(range(3), 2))
_TRIPLES = tuple(itertools.combinations_with_replacement(range(3), 3))
# Where in these the product of some parts is, whatever their order.
_PAIR_AT = np.array([[_PAIRS.index((min(i, j), max(i, j))) for j in range(3)] for i in range(3)])
_TRIPLE_AT = np.array(
    [_TRIPLES.index((*sorted(parts),)) for parts in itertools.product(range(3), repeat=3)]
).reshape(3, 3, 3)


# The powers of w h and of w in the products that the quantized model's own value needs.
_OWN = ((1, 0), (2, 0), (1, 1), (3, 0), (2, 1), (1, 2))


@dataclass(frozen=True, eq=False)
class WeightedSums:
    """The sums of one metric on one slice of examples that count differently.

    A weighted mean is a ratio of two sums, sum(w v) / sum(w), and the weights are as random as the
    values. Its error is that of its linear part (Cochran 1977, Sampling Techniques, 3rd edition,
    chapter 6; Särndal, Swensson and Wretman 1992, Model Assisted Survey Sampling, section 5.6): to
    the first order the mean moves as the plain mean of n / sum(w) * w (v - mean), whose variance,
    and skewness, come from the examples. With equal weights it is the paired t-test of plain means.

    Attributes:
        examples: The number of examples.
        totals: The sums of what `terms` gives, in that order, float64 of shape (COLUMNS,).
        origin: A number near the mean of f, and of q, from which products count.
    """

    COLUMNS: ClassVar[int] = 5 + len(_PAIRS) + len(_TRIPLES) + len(_OWN)

    examples: int
    totals: Array
    origin: float = 0.0

    @classmethod
    def terms(cls, weights: Array, f: Array, q: Array, origin: float) -> list[Array]:
        """Returns what each example adds to the sums, an array of shape (n,) for each in turn.

        These are w f, w q, then w, w d and w g, and all products of two and of three of the last
        three, with d = q - f and g = f - origin. At last come w h with h = q - origin, and its
        products with itself and with w.

        Args:
            weights: Shape (n,), 0 or more.
            f: The float model's values, shape (n,).
            q: The quantized model's.
            origin: A number near the mean of f.
        """
        parts = (weights, weights * (q - f), weights * (f - origin))
        pairs = [parts[i] * parts[j] for i, j in _PAIRS]
        triples = [parts[i] * parts[j] * parts[k] for i, j, k in _TRIPLES]
        own = weights * (q - origin)
        powers = [own**value * weights**weight for value, weight in _OWN]
        return [weights * f, weights * q, *parts, *pairs, *triples, *powers]

    @property
    def f(self) -> float:
        """The sum of the float model's values, each times its weight."""
        return float(self.totals[0])

    @property
    def q(self) -> float:
        """The sum of the quantized model's values, each times its weight."""
        return float(self.totals[1])

    @property
    def weight(self) -> float:
        """How much the examples count together."""
        return float(self.totals[2])

    @property
    def effective(self) -> float:
        """How many examples of one weight tell as much (Kish 1965, Survey Sampling)."""
        squares = float(self.totals[5])
        return self.weight**2 / squares if squares else 0.0

    def own_moments(self) -> PairedMoments:
        """Returns the moments of the linear part of the quantized model's value, as a drop from 0.

        They do not depend on what the float model's values are.
        """
        if not self.weight:
            return _alone(0, math.nan, 0.0, _Spread(0.0, 0.0, 0.0))
        products = self.totals[-len(_OWN) :]
        value, value_2, value_weight, value_3, value_2_weight, value_weight_2 = map(float, products)
        weight_2, weight_3 = float(self.totals[5]), float(self.totals[5 + len(_PAIRS)])
        mean = value / self.weight
        # Of w h - mean w, whose sum is 0, over the mean of w.
        second = value_2 - 2 * mean * value_weight + mean**2 * weight_2
        third = (
            value_3 - 3 * mean * value_2_weight + 3 * mean**2 * value_weight_2 - mean**3 * weight_3
        )
        slope = self.examples / self.weight
        spread = _Spread(second * slope**2, third * slope**3, weight_2 * slope**2)
        return _alone(self.examples, mean, self.origin, spread)

    def moments(self, sign: int) -> PairedMoments:
        """Returns the moments of the linear parts of drop and float value.

        Args:
            sign: 1 if higher is better, so that the drop is f - q, else -1.
        """
        if not self.weight:
            return PairedMoments(0, np.full(2, np.nan), np.zeros((2, 2)), np.zeros((2, 2, 2)))
        d, g = self.totals[3:5] / self.weight
        # From (w, w d, w g) to (-sign w (d - mean), w (g - mean)) / mean w, whose sums are 0.
        slopes = np.array([[sign * d, -sign, 0.0], [-g, 0.0, 1.0]]) * self.examples / self.weight
        pairs, triples, _ = np.split(self.totals[5:], [len(_PAIRS), len(_PAIRS) + len(_TRIPLES)])
        return PairedMoments(
            count=self.examples,
            mean=np.array([-sign * d, g + self.origin]),
            second=slopes @ pairs[_PAIR_AT] @ slopes.T,
            third=np.einsum("ijk,ai,bj,ck->abc", triples[_TRIPLE_AT], slopes, slopes, slopes),
        )
