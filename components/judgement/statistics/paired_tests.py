"""How much worse a quantized model is than its float model, and how sure that is.

Both models are run on the same examples, so every test here is a paired one. A *drop* is how much
worse the quantized model is, whichever way the metric is better: positive is worse. The gate asks
whether the drop is below a *margin* (a non-inferiority test), so every bound is one-sided.

| metric                         | here                 | false-push rate at 95 %          |
|--------------------------------|----------------------|----------------------------------|
| right or wrong on each example | `binary_interval`    | below 5 %, by enumeration        |
| the mean of a loss or an error | `mean_interval`      | at most 5 %, see there           |
| any other, such as AUC         | `bootstrap_interval` | 5 % unless few examples carry it |

The last two see only the examples that they are given. A loss that rests on one example in 100
says nothing of itself in a sample that happens to hold none of those, and no method can mend that
without a bound on the loss (Bahadur and Savage 1956, Annals of Mathematical Statistics 27:1115).
The bound that a mean has here is what the float model loses on a typical example.
`benchmarks/gate_simulation.py` measures how far this goes, and checks the column on the right.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from tfx_tflite.components.examples.tensors import Array


@dataclass(frozen=True)
class DropInterval:
    """How much worse the quantized model is than the float model, and how sure that is.

    Attributes:
        drop: The drop that was observed, in the metric's unit; positive where quantized is worse.
        lower: The one-sided lower bound of the true drop, in the metric's unit.
        upper: The one-sided upper bound of the true drop, in the metric's unit.
        p_blessed: The p-value of "the drop is the margin or more"; small is evidence to bless.
        p_refused: The p-value of "the drop is the margin or less"; small is evidence to refuse.
        examples: The number of examples that both models were run on.
        standard_error: The standard error of the drop, in the metric's unit.
        method: How the bounds and p-values were found.
        correction: The continuity correction in the bounds: how much it takes off the sum of the
            examples' drops, in the metric's unit.
        carried_by: About how many examples carry the drop, if few may: 1 over the square of the
            skewness of its sampling distribution. k examples that all have the same drop and
            others that have none make k. None if no few examples can carry it alone.
        unit: What `examples` counts: examples, or groups of them that are judged as a whole.
        changed: Which share of the examples changed, if each is right or wrong; else None.
        rarer: If the metric compares two classes: the one that fewer examples (or groups) are of,
            0 or 1, and how many. None for other metrics.
        unseen: The probability that a sample so large lacks what matters, which counts against any
            claim; see `probability_unseen`.
    """

    drop: float
    lower: float
    upper: float
    p_blessed: float
    p_refused: float
    examples: int
    standard_error: float
    method: str
    correction: float = 0.0
    carried_by: float | None = None
    unit: Literal["examples", "groups"] = "examples"
    changed: float | None = None
    rarer: tuple[int, float] | None = None
    unseen: float = 0.0

    @property
    def deviation(self) -> float:
        """The standard deviation of one example's drop, in the metric's unit."""
        return self.standard_error * math.sqrt(self.examples)

    def less(self, reference: float) -> "DropInterval":
        """Returns the interval of a drop that counts from another reference.

        Args:
            reference: By how much less each drop is then, in the metric's unit.
        """
        return replace(
            self,
            drop=self.drop - reference,
            lower=self.lower - reference,
            upper=self.upper - reference,
        )


# --- Metrics that are right or wrong on each example ---------------------------------------------

# In examples. The number of examples that got worse less that of those that got better moves in
# steps of 1, of which half is the usual correction where a normal distribution stands in for it.
CONTINUITY_CORRECTION = 0.5


def binary_interval(
    examples: float, worse: float, better: float, margin: float, confidence: float
) -> DropInterval:
    """Returns the drop of a metric that is 0 or 1 on each example, such as accuracy.

    Bounds and p-values are those of the score test of Tango (1998, Statistics in Medicine 17:891)
    with a continuity correction. The test as published would not do: with no change on any of 540
    examples it blesses against a margin of half a point, which happens 6.7 % of the time where
    half a point is the true drop. With the correction, exact enumeration finds false-push rates
    below 5 % at 95 % confidence (below 10, 1 and 0.1 % at 90, 99 and 99.9 %) at all sizes tried, 10
    to 100,000 examples, and all margins, 0 to 0.1, wherever up to 90 % of the examples change; a
    model that changes them all may reach 6 %. A wrong refusal, which pushes nothing, may reach
    5.7 %. The exact unconditional test (Hsueh, Liu and Chen 2001, Biometrics 57:478) was tried:
    its bounds are about as wide, as it must allow for a model that changes everything, and it
    costs 200 times as much.

    The upper bound is below the margin if and only if `p_blessed` is below 1 - confidence, and the
    lower bound is above it if and only if `p_refused` is.

    Args:
        examples: The number of examples, at least 1. Of examples in groups it is how many tell as
            much, which need not be a whole number; nor need the counts.
        worse: How many the float model gets right and the quantized model wrong.
        better: How many the quantized model gets right and the float model wrong.
        margin: The largest drop allowed, as a share of the examples, -1 to 1.
        confidence: The confidence of each bound, above 0.5 and below 1.

    Returns:
        The interval; its drop is (worse - better) / examples. The standard error is that of a
        true drop of `margin`, so that it is above 0 even if no example changed.

    Raises:
        ValueError: The counts do not fit each other, or margin or confidence is out of range.

    Example:
        No change on 361 examples rules out a drop of one point:

        >>> round(binary_interval(361, 0, 0, margin=0.01, confidence=0.95).upper, 5)
        0.01
    """
    _check_counts(examples, worse, better)
    _check_confidence(confidence)
    if not -1 <= margin <= 1:
        raise ValueError(f"expected a margin of -1 to 1 for a share of examples, received {margin}")
    return DropInterval(
        drop=(worse - better) / examples,
        lower=-_score_bound(examples, better, worse, confidence),
        upper=_score_bound(examples, worse, better, confidence),
        p_blessed=float(score_p_value(examples, worse, better, margin)),
        p_refused=float(score_p_value(examples, better, worse, -margin)),
        examples=round(examples),
        standard_error=float(_score_deviation(examples, worse, better, margin)) / examples,
        method="score (Tango 1998), continuity-corrected",
        correction=CONTINUITY_CORRECTION,
        changed=(worse + better) / examples,
    )


def score_p_value(
    examples: float,
    worse: float | Array,
    better: float | Array,
    drop: float,
    correction: float = CONTINUITY_CORRECTION,
) -> Array:
    """Returns the p-value of "the true drop is `drop` or more", one for each outcome.

    Below one half it falls with each example that gets better, and rises with each that gets worse.

    Args:
        examples: The number of examples.
        worse: How many got worse, integers of any shape.
        better: How many got better, integers of the same shape.
        drop: The drop that is tested, -1 to 1.
        correction: The continuity correction, in examples; 0 is the test as Tango published it.

    Returns:
        float64 of the same shape.
    """
    surprise = worse - better - examples * drop + correction
    deviation = _score_deviation(examples, worse, better, drop)
    # A deviation of 0 leaves one outcome possible: the observed one, or none like it.
    certain = np.where(surprise >= 0, 1.0, 0.0)
    return np.where(deviation > 0, ndtr(surprise / np.where(deviation > 0, deviation, 1)), certain)


def _score_deviation(
    examples: float, worse: float | Array, better: float | Array, drop: float
) -> Array:
    """Returns the standard deviation of worse - better where `drop` is the true drop.

    The share of examples that get better is its maximum-likelihood estimate under that drop, the
    larger root of 2n q² + ((2n - worse + better) drop - worse - better) q - better drop (1 - drop)
    (Tango 1998).

    Args and shapes are those of `score_p_value`; what is returned is in examples, 0 or more.
    """
    linear = (2 * examples - worse + better) * drop - worse - better
    root = np.sqrt(np.maximum(linear**2 + 8 * examples * better * drop * (1 - drop), 0))
    better_share = (root - linear) / (4 * examples)
    return np.sqrt(np.maximum(examples * (2 * better_share + drop * (1 - drop)), 0))


def _score_bound(examples: float, worse: float, better: float, confidence: float) -> float:
    """Returns the drop whose p-value is 1 - confidence, 1 if there is none."""
    if worse == examples:
        return 1.0
    critical = ndtri(confidence)

    def excess(drop: float) -> float:
        surprise = worse - better - examples * drop + CONTINUITY_CORRECTION
        return float(surprise + critical * _score_deviation(examples, worse, better, drop))

    return float(brentq(excess, (worse - better) / examples, 1, xtol=1e-13))


# --- Means of a loss or an error ------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PairedMoments:
    """What `mean_interval` needs to know of paired examples.

    Each example has a drop d (the quantized model's loss less the float model's) and a float value
    f (the float model's loss). Sums are of deviations from the mean.

    Attributes:
        count: The number of examples.
        mean: The means of d and f, float64 of shape (2,).
        second: Sums of products of two deviations, float64 of shape (2, 2).
        third: Sums of products of three deviations, float64 of shape (2, 2, 2).
        step: What `typical` returns, where it does not come from the moments.
    """

    count: int
    mean: Array
    second: Array
    third: Array
    step: float | None = None

    def typical(self, best: float = 0.0) -> float:
        """Returns how much one more example adds to the sum of the drops if it is typically bad.

        That is the root mean square of what the float model loses on an example, or of the drops
        if that is larger.

        Args:
            best: The value of a model without any loss: 0 for a loss, 1 for a share.
        """
        if self.step is not None:
            return self.step
        if not self.count:
            return 0.0
        squares = np.diagonal(self.second) / self.count + (self.mean - np.array([0.0, best])) ** 2
        return float(np.sqrt(np.max(squares))) or abs(best)

    def of_roots(self) -> "PairedMoments":
        """Returns the moments of the roots of the means, such as those of a root-mean-square error.

        By the delta method (van der Vaart 1998, Asymptotic Statistics, chapter 3): the root of a
        mean moves by the examples' deviations over twice the root. They are not finite where
        a mean is 0, so that they bound nothing there.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            before = np.sqrt(self.mean[1])
            after = np.sqrt(self.mean[1] + self.mean[0])
            slopes = np.array([[0.5 / after, 0.5 / after - 0.5 / before], [0.0, 0.5 / before]])
            return PairedMoments(
                count=self.count,
                mean=np.array([after - before, before]),
                second=slopes @ self.second @ slopes.T,
                third=np.einsum("ijk,ai,bj,ck->abc", self.third, slopes, slopes, slopes),
                step=float(self.typical() * slopes[0, 0]),
            )

    def less(self, share: float) -> "_Estimate":
        """Returns the mean of d - share * f as an estimate."""
        weights = np.array([1.0, -share])
        spread = float(weights @ self.second @ weights)
        if not math.isfinite(spread):
            spread = math.inf
        # Of drops that are all the same some units in the last place are left, and no skewness.
        elif spread <= self.count * (1e-12 * float(weights @ self.mean)) ** 2:
            spread = 0.0
        cubes = float(np.einsum("ijk,i,j,k", self.third, weights, weights, weights))
        return _Estimate(
            value=float(weights @ self.mean) if self.count else math.nan,
            standard_error=math.sqrt(max(spread, 0) / (self.count - 1) / self.count)
            if self.count > 1
            else math.inf,
            # The skewness of a mean is that of one example over the root of their number.
            skewness=cubes / spread**1.5 if 0 < spread < math.inf else 0.0,
            degrees=self.count - 1,
        )


def mean_interval(
    moments: PairedMoments,
    margin: float,
    confidence: float,
    relative: float | None = None,
    *,
    typical: float | None = None,
    unseen: float = 0.0,
    rests_on_few: bool = True,
) -> DropInterval:
    """Returns the drop of a metric that is the mean of a loss or an error.

    Bounds are those of the paired t-test or, if they are wider, of the t-test corrected for
    skewness, see `_Estimate`: quantization tends to leave most examples alone and to spoil a few,
    and there the plain t-test is far too sure. Two things are allowed for beyond that.

    One more example that is as bad as is typical may be missing from the sample. Without it two
    examples that have the same drop would be certain, and so would 50 good ones of a model that
    spoils 3 %. So the bounds keep the uncertainty of one such example, as those of a share keep
    that of one more mistake. If all drops are 0, some 3.6 L / margin examples bless at 95 %, where
    L is the root mean square of the float model's losses.

    And few examples may carry the drop, so that their number, not that of all, tells how well its
    spread is known. About 1 / a² examples carry it, where a is the skewness of the mean, and the
    degrees of freedom are at most half of that. (By Satterthwaite's rule the variance of n numbers
    has 2 n / (kurtosis - 1) degrees, which is at most 2 / a², as a kurtosis is at least the squared
    skewness and 1; the factor was found by simulation.)

    False-push rates at 95 % confidence, in %, of `benchmarks/gate_simulation.py`, which draws the
    float model's losses as exponential where the drops are spoilt examples:

    | drops of the examples     | 50 examples   | 200           | 1,000         | 5,000         |
    |---------------------------|---------------|---------------|---------------|---------------|
    | exponential               | 1.6 (t:  8.7) | 3.0 (t:  6.7) | 3.9 (t:  5.7) | 4.9 (t:  5.0) |
    | log-normal, sigma 1       | 2.7 (t: 13.4) | 3.9 (t:  9.2) | 4.1 (t:  7.5) | 3.8 (t:  5.8) |
    | log-normal, sigma 1.5     | 3.3 (t: 22)   | 4.6 (t: 15)   | 5.4 (t: 11)   | 5.2 (t:  8)   |
    | 10 % of examples spoilt   | 0.3 (t: 21.2) | 0.0 (t: 11.7) | 1.9 (t:  7.8) | 3.7 (t:  5.8) |
    | 3 % of examples spoilt    | 0.0 (t: 38)   | 0.8 (t: 19)   | 0.5 (t: 10.2) | 2.7 (t:  6.5) |

    Args:
        moments: The examples.
        margin: The largest drop allowed, in the metric's unit.
        confidence: The confidence of each bound, above 0.5 and below 1.
        relative: A share of the float model's mean that is allowed on top of the margin; None is
            0. With it the p-values test the mean of d - relative * f against the margin, since
            the float model's mean is itself uncertain; bounds remain those of the drop.
        typical: How bad one more example may be, in the metric's unit; `moments.typical()` if None,
            and 0 if another test allows for it.
        unseen: The probability that a sample lacks what matters; it counts against any claim.
        rests_on_few: Whether the number of examples that carry the drop limits the degrees of
            freedom; not if another test allows for few.

    Returns:
        The interval. Fewer than two examples bound nothing and have p-values of 1.

    Raises:
        ValueError: The confidence is out of range.
    """
    _check_confidence(confidence)
    share = (relative or 0.0) * (-1 if moments.mean[1] < 0 else 1)
    step = moments.typical() if typical is None else typical
    if typical is None and not step:
        # Nothing shows how bad an example may be, so only how many there are.
        unseen = max(unseen, probability_unseen(moments.count))
    grain = step / moments.count if moments.count and math.isfinite(step) else 0.0
    drop, excess = (
        replace(moments.less(part), grain=grain, undefined=unseen, rests_on_few=rests_on_few)
        for part in (0.0, share)
    )
    found = _interval(
        drop,
        excess,
        margin,
        confidence,
        examples=moments.count,
        method="paired t, corrected for skewness (Hall 1992)",
    )
    return replace(found, unseen=unseen)


def probability_unseen(examples: int) -> float:
    """Returns the probability that a sample holds none of 3 % of all examples.

    If nothing else tells how bad an example may be, this is the least p-value: whoever sees none in
    99 examples can exclude that 3 % are bad (Hanley and Lippman-Hand 1983, JAMA 249:1743).
    """
    return float((1 - UNSEEN_SHARE) ** examples)


# The smallest share of bad examples that a sample of losses has to exclude.
UNSEEN_SHARE = 0.03


@dataclass(frozen=True)
class _Estimate:
    """An estimate that is near enough normal, and what is known of how near.

    The skewness correction is Hall's (1992, Journal of the Royal Statistical Society B 54:221):
    T = (value - truth) / standard error, with a = its skewness, becomes
    g(T) = ((1 + a T / 3)³ - 1) / a + a / 6, which is free of skewness to the first order and
    always rises with T. Each bound and p-value is the more cautious of T's and g(T)'s, since the
    correction would otherwise narrow one of the two bounds on the strength of a noisy skewness;
    and as samples understate skewness, the a used is one standard error above the estimate.

    What a grain adds to the variance of resampled scores has not their skewness, so that the whole
    has less of it: a * standard error / root of the whole variance. By theory it were the third
    power of that; but with 50 examples of the rarer class that errs in 5.9 % instead of 5.0 %. With
    all of a the bound of an AUC at the small levels of a budget is far beyond its own replicates.

    Attributes:
        value: The estimate.
        standard_error: Its standard error; infinite where it is not known.
        skewness: The skewness of the estimate's sampling distribution.
        degrees: The degrees of freedom of the standard error, if it does not rest on few.
        undefined: The probability that there is no such estimate; it counts against any claim.
        grain: The step by which the estimate moves where it is made of counts. As in a score test
            of a Poisson count, its variance under a truth that is farther off grows by a grain for
            each grain between, and half a grain is the continuity correction.
        rests_on_few: Whether few examples with a large drop may carry the estimate, so that the
            degrees of freedom of a bound above them are at most half of `carried_by`.
    """

    value: float
    standard_error: float
    skewness: float
    degrees: float
    undefined: float = 0.0
    grain: float = 0.0
    rests_on_few: bool = False

    @property
    def carried_by(self) -> float | None:
        """About how many examples carry the estimate; None if no few can."""
        if not self.rests_on_few or not self._is_known or not self.skewness:
            return None
        return max(1 / self.skewness**2, 1.0)

    @property
    def _degrees(self) -> float:
        carried_by = self.carried_by
        if carried_by is None or self.skewness < 0:
            return self.degrees
        return min(self.degrees, carried_by / 2)

    def mirrored(self) -> "_Estimate":
        """Returns the estimate of the same with the other sign."""
        return replace(self, value=-self.value, skewness=-self.skewness)

    @property
    def _is_known(self) -> bool:
        return self.degrees >= 1 and math.isfinite(self.value + self.standard_error)

    @property
    def _is_certain(self) -> bool:
        # Equal numbers may come out with a spread of some units in the last place.
        return not self.grain and self.standard_error <= 1e-12 * abs(self.value)

    def upper(self, confidence: float) -> float:
        """Returns the one-sided upper bound."""
        level = (1 - confidence - self.undefined) / (1 - self.undefined or 1)
        if not self._is_known or level <= 0:
            return math.inf
        if self._is_certain:
            return self.value
        critical = float(stdtrit(self._degrees, level))
        farthest = self._reach(-min(critical, self._uncorrected(critical)))
        if not self._is_mixed:
            return self.value + farthest

        def excess(distance: float) -> float:
            return self._plain_p_value(self.value + distance) - level

        while excess(farthest) >= 0:
            farthest *= 2
        return self.value + float(brentq(excess, 0.0, farthest, xtol=1e-13))

    def _reach(self, critical: float) -> float:
        """Returns how far off a truth must be for its statistic to be -critical: see `p_value`."""
        linear = self.grain * (1 + critical**2)
        variance = (critical * self.standard_error) ** 2
        return (linear + math.sqrt(linear**2 - self.grain**2 + 4 * variance)) / 2

    def p_value(self, truth: float) -> float:
        """Returns the p-value of "the truth is `truth` or more"."""
        if not self._is_known:
            return 1.0
        if self._is_certain:
            plain = float(self.value >= truth or math.isclose(self.value, truth, rel_tol=1e-12))
        else:
            plain = self._plain_p_value(truth)
        return self.undefined + (1 - self.undefined) * plain

    @property
    def _is_mixed(self) -> bool:
        """Whether a grain adds to the variance what has not the estimate's skewness."""
        return self.grain > 0 and not self.rests_on_few

    def _plain_p_value(self, truth: float) -> float:
        """Returns the p-value if there is an estimate."""
        statistic = self._statistic(truth)
        a = self._cautious_skewness
        if self._is_mixed and self._variance(truth):
            a *= self.standard_error / math.sqrt(self._variance(truth))
            if statistic < 0:
                # Beyond its flat place the cubic would call a farther truth the likelier one.
                a = min(a, -3 / statistic)
        return float(stdtr(self._degrees, max(statistic, _corrected(statistic, a))))

    def _variance(self, truth: float) -> float:
        return self.standard_error**2 + self.grain * max(truth - self.value, 0.0)

    def _statistic(self, truth: float) -> float:
        surprise, variance = self.value - truth + self.grain / 2, self._variance(truth)
        return surprise / math.sqrt(variance) if variance else math.copysign(math.inf, surprise)

    @property
    def _cautious_skewness(self) -> float:
        # The standard error of the skewness of one of n normal numbers is sqrt(6 / n).
        return self.skewness + math.sqrt(6) / (self.degrees + 1)

    def _uncorrected(self, corrected: float) -> float:
        a = self._cautious_skewness
        if abs(a) < 1e-6:
            return corrected
        return 3 / a * (float(np.cbrt(1 + a * (corrected - a / 6))) - 1)


def _corrected(statistic: float, a: float) -> float:
    """Returns a statistic without the skewness a; see `_Estimate`."""
    return statistic + a * statistic**2 / 3 + a**2 * statistic**3 / 27 + a / 6


def _interval(
    drop: _Estimate,
    excess: _Estimate,
    margin: float,
    confidence: float,
    examples: int,
    method: str,
) -> DropInterval:
    """Returns the bounds of a drop, with the p-values of what exceeds its allowance."""
    return DropInterval(
        drop=drop.value,
        lower=-drop.mirrored().upper(confidence),
        upper=drop.upper(confidence),
        p_blessed=excess.p_value(margin),
        p_refused=excess.mirrored().p_value(-margin),
        examples=examples,
        # As of a score test it is that of a true drop of the margin.
        standard_error=math.sqrt(
            drop.standard_error**2 + drop.grain * max(margin - excess.value, 0.0)
        ),
        method=method,
        correction=drop.grain * examples / 2,
        carried_by=None if drop.carried_by is None else min(drop.carried_by, float(examples)),
    )


# --- Any other metric -----------------------------------------------------------------------------


def bootstrap_interval(
    drop: float,
    replicates: Array,
    margin: float,
    confidence: float,
    *,
    examples: int,
    relative: float | None = None,
    float_value: float | None = None,
    float_replicates: Array | None = None,
    grain: float = 0.0,
    units: float | None = None,
    is_symmetric: bool = False,
) -> DropInterval:
    """Returns the drop of any metric, from Poisson-bootstrap replicates of it.

    The replicates give the standard error and the skewness of the drop (Efron and Tibshirani 1993,
    An Introduction to the Bootstrap, chapter 6; Chamandy et al. 2012, Estimating Uncertainty for
    Massive Data Streams, Google, for Poisson weights); the bounds are then those of
    `mean_interval`. Their quantiles would be the more common choice, but the percentile, basic and
    bias-corrected bounds miss the skewness of a one-sided bound in the first order (Hall 1988,
    Annals of Statistics 16:927), and need thousands of replicates for the small levels of `holm`,
    where a standard error needs 200. Measured on an AUC of 0.99 with 200 positives in 400 examples:
    false-push rates of 8, 11 and 7 % against 4 % here.

    A metric of two classes knows no more than its rarer class tells, so `units` is the number of
    its examples, or of the groups that hold any of them. For an AUC with an `area_grain` and 40 of
    them or more, at most 5 % are pushed at any balance of the classes of 2 to 50 % and any AUC of
    0.75 to 0.99 (simulated). With fewer it may be 7 % at 30, 20 % at 20 and 55 % at 10, because a
    sample so small shows hardly any mistake; so `gate.min_class_examples` is 40.

    A metric that is right or wrong on each example of a subset, such as recall, belongs into
    `binary_interval`. One that is made of counts otherwise, such as precision, has a `grain`: with
    no change in 20 positives every replicate is 0, and without a grain so would be the bound.

    Args:
        drop: The drop on the examples as they are, in the metric's unit.
        replicates: The drop under each replicate's weights, float64 of shape (replicates,). NaN
            is a replicate without a value, such as the AUC of no positives: their share is added
            to both p-values, and bounds are infinite once it reaches 1 - confidence.
        margin: The largest drop allowed, in the metric's unit.
        confidence: The confidence of each bound, above 0.5 and below 1.
        examples: The number of examples that the metric was computed on.
        relative: A share of the float model's value that is allowed on top of the margin; the
            p-values then test drop - relative * |float value| against the margin.
        float_value: The float model's value on the examples as they are; needed with `relative`.
        float_replicates: The float model's value under each replicate's weights, of the same shape
            as `replicates`; needed with `relative`.
        grain: How much one more mistake of the quantized model adds to the drop, in the metric's
            unit; 0 if a metric is made of so many small steps that it does not matter.
        units: How many examples, or groups of them, tell about the metric: those of the rarer
            class. They set the degrees of freedom; all `examples` if None.
        is_symmetric: Whether the skewness of the replicates is left out, as another test allows for
            it. That of 200 replicates is noisy, and a large one makes bounds very wide.

    Raises:
        ValueError: The confidence is out of range, or the replicates are not one row of at least
            two, or float values are missing or of another shape.
    """
    _check_confidence(confidence)
    replicates = _checked_replicates(replicates)
    units = examples if units is None else units
    estimate = _bootstrap_estimate(drop, replicates, units, grain)
    if is_symmetric:
        estimate = replace(estimate, skewness=0.0)
    excess = estimate
    if relative:
        if (
            float_value is None
            or float_replicates is None
            or len(float_replicates) != len(replicates)
        ):
            received = None if float_replicates is None else len(float_replicates)
            raise ValueError(
                f"a relative margin needs float_value and {len(replicates)} float_replicates, "
                f"received {float_value} and {received}"
            )
        allowance = relative * np.abs(np.asarray(float_replicates, np.float64))
        excess = _bootstrap_estimate(
            drop - relative * abs(float_value), replicates - allowance, units, grain
        )
    return _interval(
        estimate,
        excess,
        margin,
        confidence,
        examples,
        method=f"Poisson bootstrap, {len(replicates)} replicates"
        + ("" if is_symmetric else ", corrected for skewness"),
    )


def area_grain(area: float, rarer: float) -> float:
    """Returns how much one more example that is ranked typically badly takes off an AUC.

    If u is the share of the other class that an example of the rarer class is ranked on the wrong
    side of, the AUC is one minus the mean of u, and as u is at most 1 its root mean square is at
    most the root of 1 - AUC. Normal scores have about half of that, which keeps the false pushes
    below 5 % (`bootstrap_interval`). It serves an area under precision and recall alike.

    Args:
        area: The quantized model's area.
        rarer: How many examples, or groups, are of the rarer class.
    """
    if not rarer or not 0 <= area < 1:
        return 0.0
    return math.sqrt(1 - area) / (2 * rarer)


def _bootstrap_estimate(value: float, replicates: Array, units: float, grain: float) -> _Estimate:
    """Returns a metric's value with what its replicates say of its error."""
    defined = replicates[np.isfinite(replicates)]
    undefined = 1 - len(defined) / len(replicates)
    if len(defined) < 2:
        return _Estimate(value, math.inf, 0.0, 0, undefined)
    deviation = defined - defined.mean()
    spread = float(np.mean(deviation**2))
    if spread == 0:
        # Replicates that all agree leave room for one more that does not: p-values are never 0.
        undefined = max(undefined, 1 / (len(replicates) + 1))
    return _Estimate(
        value,
        standard_error=float(defined.std(ddof=1)),
        skewness=float(np.mean(deviation**3)) / spread**1.5 if spread > 0 else 0.0,
        # Neither examples nor replicates may be few without the bound being wide.
        degrees=min(units, len(defined)) - 1,
        undefined=undefined,
        grain=grain,
    )


# --- Several tests, and how many examples they want ----------------------------------------------


def holm(p_values: Sequence[float] | Array, alpha: float) -> Array:
    """Returns which of several null hypotheses are rejected, with no false one at 1 - alpha.

    Holm's step-down procedure (1979, Scandinavian Journal of Statistics 6:65) holds whatever the
    dependence between the tests.

    Args:
        p_values: One p-value a hypothesis, of shape (hypotheses,); NaN is one that could not be
            tested: it is not rejected, and counts among the hypotheses.
        alpha: The probability of rejecting any true hypothesis, 0 to 1.

    Returns:
        bool of shape (hypotheses,).
    """
    p_values = np.asarray(p_values, np.float64)
    p_values = np.where(np.isnan(p_values), np.inf, p_values)
    order = np.argsort(p_values, kind="stable")
    levels = alpha / np.arange(len(p_values), 0, -1)
    rejected = np.zeros(len(p_values), bool)
    rejected[order] = np.logical_and.accumulate(p_values[order] <= levels)
    return rejected


def examples_to_settle(
    interval: DropInterval, margin: float, confidence: float, power: float = 0.5
) -> int | None:
    """Returns about how many more examples would settle an undecided verdict.

    That is where the bound of a large sample just reaches the margin, if drop and variability stay
    as observed: with z the normal quantile and s the standard deviation of one example, the n that
    solves n * |margin - drop| = (z(confidence) + z(power)) * s * sqrt(n) + correction, and at least
    as many as leave half of the level to what may be unseen, or bring the bound that there is to
    the margin if it comes nearer in proportion to 1/n. By default it settles the verdict with
    a probability of one half. As looks at the same question may follow,
    that takes fewer examples in all than the advice for 80 %, which is some 2.3 times n: see
    `benchmarks/gate_simulation.py`.

    Args:
        interval: What was observed.
        margin: The largest drop allowed, in the metric's unit.
        confidence: The confidence of each bound, above 0.5 and below 1: one minus the level of the
            next look.
        power: How likely it is to be settled then, if the drop is the observed one.

    Returns:
        At least 1; None if no number would do, as the drop is the margin, or if the standard
        error is not known.

    Raises:
        ValueError: The confidence is out of range.
    """
    _check_confidence(confidence)
    error, distance = interval.standard_error, abs(margin - interval.drop)
    if not math.isfinite(error) or not distance > 1e-12 * max(abs(margin), abs(interval.drop)):
        return None
    z = float(ndtri(confidence) + ndtri(power))
    reach = z * error * math.sqrt(interval.examples)
    root = (reach + math.sqrt(reach**2 + 4 * distance * interval.correction)) / (2 * distance)
    needed = root**2
    if 0 < interval.unseen < 1:
        # It falls by the same factor with each example.
        seen = interval.examples * math.log((1 - confidence) / 2) / math.log(interval.unseen)
        needed = max(needed, seen)
    is_within = interval.drop < margin
    away = interval.upper - interval.drop if is_within else interval.drop - interval.lower
    if math.isfinite(away):
        # What skewness, few degrees of freedom and unseen examples add falls no faster than 1/n.
        needed = max(needed, interval.examples * away / distance)
    return max(math.ceil(needed) - interval.examples, 1)


def _check_counts(examples: float, worse: float, better: float) -> None:
    if examples < 1 or min(worse, better) < 0 or worse + better > examples * (1 + 1e-12):
        raise ValueError(
            "expected at least 1 example and at most as many that got worse or better, received "
            f"{examples} examples, {worse} worse and {better} better"
        )


def _check_confidence(confidence: float) -> None:
    if not 0.5 < confidence < 1:
        raise ValueError(f"expected a confidence above 0.5 and below 1, received {confidence}")


def _checked_replicates(replicates: Array) -> Array:
    replicates = np.asarray(replicates, np.float64)
    if replicates.ndim != 1 or len(replicates) < 2:
        raise ValueError(f"expected two or more replicates in a row, received {replicates.shape}")
    return replicates
