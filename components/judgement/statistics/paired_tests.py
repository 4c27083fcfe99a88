"""How much worse a quantized model is than its float model, and how sure that is.

Both models are run on the same examples, so every test here is a paired one. A *drop* is how much
worse the quantized model is, whichever way the metric is better: positive is worse. The gate asks
whether the drop is below a *margin* (a non-inferiority test), so every bound is one-sided.

| metric                         | here                 | false-push rate at 95 %          |
|--------------------------------|----------------------|----------------------------------|
| right or wrong on each example | `binary_interval`    | below 5 %, by enumeration        |
| the mean of a loss or an error | `mean_interval`      | 5 % unless few examples carry it |
| any other, such as AUC         | `bootstrap_interval` | 5 % unless few examples carry it |

The last two see only the examples that they are given. A loss that rests on one example in 100
says nothing of itself in a sample that happens to hold none of those, and no method can mend that
without a bound on the loss (Bahadur and Savage 1956, Annals of Mathematical Statistics 27:1115).
`benchmarks/gate_simulation.py` measures how far this goes, and checks the column on the right.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

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
        correction: The continuity correction in the bounds, in examples.
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
    examples: int, worse: int, better: int, margin: float, confidence: float
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
        examples: The number of examples, at least 1.
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
        examples=examples,
        standard_error=float(_score_deviation(examples, worse, better, margin)) / examples,
        method="score (Tango 1998), continuity-corrected",
        correction=CONTINUITY_CORRECTION,
    )


def score_p_value(
    examples: int,
    worse: int | Array,
    better: int | Array,
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


def _score_deviation(examples: int, worse: int | Array, better: int | Array, drop: float) -> Array:
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


def _score_bound(examples: int, worse: int, better: int, confidence: float) -> float:
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
    """

    count: int
    mean: Array
    second: Array
    third: Array

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
            )

    def less(self, share: float) -> "_Estimate":
        """Returns the mean of d - share * f as an estimate."""
        weights = np.array([1.0, -share])
        spread = float(weights @ self.second @ weights)
        if not math.isfinite(spread):
            spread = math.inf
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
    moments: PairedMoments, margin: float, confidence: float, relative: float | None = None
) -> DropInterval:
    """Returns the drop of a metric that is the mean of a loss or an error.

    Bounds are those of the paired t-test or, if they are wider, of the t-test corrected for
    skewness, see `_Estimate`: quantization tends to leave most examples alone and to spoil a few,
    and there the plain t-test is far too sure. False-push rates at 95 % confidence, in %, measured
    as in `benchmarks/gate_simulation.py`, give or take 0.2:

    | drops of the examples     | 50 examples   | 200           | 1,000         | 5,000         |
    |---------------------------|---------------|---------------|---------------|---------------|
    | exponential               | 5.0 (t:  8.7) | 5.0 (t:  6.7) | 5.1 (t:  5.7) | 4.5 (t:  5.0) |
    | log-normal, sigma 1       | 7.7 (t: 13.4) | 6.2 (t:  9.2) | 5.5 (t:  7.5) | 4.9 (t:  5.8) |
    | 10 % of examples spoilt   | 6.9 (t: 21.2) | 4.9 (t: 11.7) | 5.1 (t:  7.8) | 4.9 (t:  5.8) |
    | 3 % of examples spoilt    | 34  (t: 38)   | 10  (t: 19)   | 5.4 (t: 10.2) | 4.5 (t:  6.5) |

    So some 20 to 60 spoilt examples in the sample are enough. A bootstrap-t was no better (10 % for
    the log-normal at 50), and does not come from moments that add up.

    Args:
        moments: The examples.
        margin: The largest drop allowed, in the metric's unit.
        confidence: The confidence of each bound, above 0.5 and below 1.
        relative: A share of the float model's mean that is allowed on top of the margin; None is
            0. With it the p-values test the mean of d - relative * f against the margin, since
            the float model's mean is itself uncertain; bounds remain those of the drop.

    Returns:
        The interval. Fewer than two examples bound nothing and have p-values of 1; where all
        examples have the same drop, the bounds are that drop.

    Raises:
        ValueError: The confidence is out of range.
    """
    _check_confidence(confidence)
    share = (relative or 0.0) * (-1 if moments.mean[1] < 0 else 1)
    return _interval(
        moments.less(0.0),
        moments.less(share),
        margin,
        confidence,
        examples=moments.count,
        method="paired t, corrected for skewness (Hall 1992)",
    )


@dataclass(frozen=True)
class _Estimate:
    """An estimate that is near enough normal, and what is known of how near.

    The skewness correction is Hall's (1992, Journal of the Royal Statistical Society B 54:221):
    T = (value - truth) / standard error, with a = its skewness, becomes
    g(T) = ((1 + a T / 3)³ - 1) / a + a / 6, which is free of skewness to the first order and
    always rises with T. Each bound and p-value is the more cautious of T's and g(T)'s, since the
    correction would otherwise narrow one of the two bounds on the strength of a noisy skewness;
    and as samples understate skewness, the a used is one standard error above the estimate.

    Attributes:
        value: The estimate.
        standard_error: Its standard error; infinite where it is not known.
        skewness: The skewness of the estimate's sampling distribution.
        degrees: The degrees of freedom of the standard error.
        undefined: The probability that there is no such estimate; it counts against any claim.
        grain: The step by which the estimate moves where it is made of counts. As in a score test
            of a Poisson count, its variance under a truth that is farther off grows by a grain for
            each grain between, and half a grain is the continuity correction.
    """

    value: float
    standard_error: float
    skewness: float
    degrees: int
    undefined: float = 0.0
    grain: float = 0.0

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
        critical = float(stdtrit(self.degrees, level))
        return self.value + self._reach(-min(critical, self._uncorrected(critical)))

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
            statistic = self._statistic(truth)
            corrected = max(statistic, self._corrected(statistic))
            plain = float(stdtr(self.degrees, corrected))
        return self.undefined + (1 - self.undefined) * plain

    def _statistic(self, truth: float) -> float:
        surprise = self.value - truth + self.grain / 2
        variance = self.standard_error**2 + self.grain * max(truth - self.value, 0.0)
        return surprise / math.sqrt(variance) if variance else math.copysign(math.inf, surprise)

    @property
    def _cautious_skewness(self) -> float:
        # The standard error of the skewness of one of n normal numbers is sqrt(6 / n).
        return self.skewness + math.sqrt(6) / (self.degrees + 1)

    def _corrected(self, statistic: float) -> float:
        a = self._cautious_skewness
        return statistic + a * statistic**2 / 3 + a**2 * statistic**3 / 27 + a / 6

    def _uncorrected(self, corrected: float) -> float:
        a = self._cautious_skewness
        if abs(a) < 1e-6:
            return corrected
        return 3 / a * (float(np.cbrt(1 + a * (corrected - a / 6))) - 1)


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
        standard_error=drop.standard_error,
        method=method,
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
    false-push rates of 8, 11 and 7 % against 4 % here. With 40 positives it is 16, 20 and 14 %
    against 8 %: an AUC so high wants 200 examples of its rarer class.

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
        is_symmetric: Whether the skewness of the replicates is left out, as another test allows for
            it. That of 200 replicates is noisy, and a large one makes bounds very wide.

    Raises:
        ValueError: The confidence is out of range, or the replicates are not one row of at least
            two, or float values are missing or of another shape.
    """
    _check_confidence(confidence)
    replicates = _checked_replicates(replicates)
    estimate = _bootstrap_estimate(drop, replicates, examples, grain)
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
            drop - relative * abs(float_value), replicates - allowance, examples, grain
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


def _bootstrap_estimate(value: float, replicates: Array, examples: int, grain: float) -> _Estimate:
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
        degrees=min(examples, len(defined)) - 1,
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


def examples_to_settle(interval: DropInterval, margin: float, confidence: float) -> int | None:
    """Returns about how many more examples would settle an undecided verdict.

    That is where the bound of a large sample just reaches the margin, if drop and variability stay
    as observed: with z the normal quantile and s the standard deviation of one example, the n that
    solves n * |margin - drop| = z * s * sqrt(n) + correction. It settles the verdict with a
    probability of one half; 80 % takes some 2.3 times n.

    Args:
        interval: What was observed.
        margin: The largest drop allowed, in the metric's unit.
        confidence: The confidence of each bound, above 0.5 and below 1.

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
    reach = float(ndtri(confidence)) * error * math.sqrt(interval.examples)
    root = (reach + math.sqrt(reach**2 + 4 * distance * interval.correction)) / (2 * distance)
    return max(math.ceil(root**2) - interval.examples, 1)


def _check_counts(examples: int, worse: int, better: int) -> None:
    if examples < 1 or min(worse, better) < 0 or worse + better > examples:
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
