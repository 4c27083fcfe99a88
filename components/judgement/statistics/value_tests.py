"""How good a quantized model is by itself, and how sure that is.

The tests of rules with `min_value` and `max_value`, which compare with no other model. They give
the same kind of result as the paired tests, so that verdicts are found the same way: the value
counts as a drop from 0, which is -value if higher is better and the value itself if lower is.

| metric                         | here             | false-push rate at 95 %          |
|--------------------------------|------------------|----------------------------------|
| right or wrong on each example | `share_interval` | below 5 %, exact                 |
| the mean of a loss or an error | `mean_interval`  | 5 % unless few examples carry it |
| an AUC                         | `area_interval`  | below 5 %, simulated             |
| any other, such as precision   | `score_interval` | 5 % unless few examples carry it |

`benchmarks/gate_simulation.py` checks the column on the right.
"""

import math
from dataclasses import replace

import numpy as np
from scipy.optimize import brentq
from scipy.special import betainc, betaincinv, ndtr, ndtri

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.judgement.statistics import paired_tests
from tfx_tflite.components.judgement.statistics.paired_tests import (
    CONTINUITY_CORRECTION,
    DropInterval,
    PairedMoments,
    bootstrap_interval,
)


def share_interval(
    examples: float, counted: float, sign: int, limit: float, confidence: float
) -> DropInterval:
    """Returns how sure a share of examples is, such as an accuracy.

    Each bound is the exact one of Clopper and Pearson (1934, Biometrika 26:404), and the p-values
    are sums of the binomial distribution, so that errors are at most as frequent as is said at any
    number of examples.

    Args:
        examples: The number of examples, at least 1. Of examples with weights it is how many of one
            weight tell as much, which need not be a whole number (Korn and Graubard 1998, Survey
            Methodology 24:193).
        counted: On how many of them the metric is 1.
        sign: 1 if a higher share is better, else -1.
        limit: The smallest share allowed, or the largest if lower is better; 0 to 1.
        confidence: The confidence of each bound, above 0.5 and below 1.

    Returns:
        The interval of the share as a drop from 0. Its standard error is that of a true share of
        `limit`.

    Raises:
        ValueError: The counts do not fit each other, or limit or confidence is out of range.

    Example:
        59 of 59 are the fewest that show a share above 95 %:

        >>> round(-share_interval(59, 59, 1, 0.95, 0.95).upper, 4)
        0.9505
    """
    if not 0 <= counted <= examples or examples < 1:
        raise ValueError(
            f"expected at least 1 example and at most as many that count, received {examples} and "
            f"{counted}"
        )
    if not 0 <= limit <= 1:
        raise ValueError(f"expected a limit of 0 to 1 for a share of examples, received {limit}")
    if not 0.5 < confidence < 1:
        raise ValueError(f"expected a confidence above 0.5 and below 1, received {confidence}")
    others = examples - counted
    lowest = float(betaincinv(counted, others + 1, 1 - confidence)) if counted else 0.0
    highest = float(betaincinv(counted + 1, others, confidence)) if others else 1.0
    # Of "the share is the limit" and so many or more, or fewer, that count: sums of the binomial
    # distribution are incomplete beta functions.
    so_many = float(betainc(counted, others + 1, limit)) if counted else 1.0
    so_few = float(betainc(others, counted + 1, 1 - limit)) if others else 1.0
    is_up = sign > 0
    return DropInterval(
        drop=-sign * counted / examples,
        lower=-highest if is_up else lowest,
        upper=-lowest if is_up else highest,
        p_blessed=so_many if is_up else so_few,
        p_refused=so_few if is_up else so_many,
        examples=round(examples),
        standard_error=math.sqrt(limit * (1 - limit) / examples),
        method="exact binomial (Clopper and Pearson 1934)",
        correction=CONTINUITY_CORRECTION,
    )


def mean_interval(
    moments: PairedMoments,
    sign: int,
    limit: float,
    confidence: float,
    is_root: bool = False,
    *,
    best: float | None = None,
) -> DropInterval:
    """Returns how sure the mean of a loss or an error is, or the root of such a mean.

    Bounds are those of `paired_tests.mean_interval`. As a root rises with its mean, bounds of the
    root are roots of the mean's. How bad an example may be that is not in the sample is not known,
    as there is no other model to tell; so it must at least be large enough to hold some of the bad
    ones, if these are 3 % of all (`paired_tests.probability_unseen`).

    Args:
        moments: Of the quantized model's value alone; see `MetricSums.own_moments`.
        sign: 1 if a higher value is better, else -1.
        limit: The smallest value allowed, or the largest if lower is better.
        confidence: The confidence of each bound, above 0.5 and below 1.
        is_root: Whether the metric, and the limit, is the root of the mean.
        best: The value of an example that nothing is wrong with, such as 1 of a share: then one
            that loses as much as is typical may be missing, which is known. None if a value has no
            such end.

    Returns:
        The interval of the metric as a drop from 0. Values that are all the same bound nothing, as
        they do not show how far others may be off.

    Raises:
        ValueError: The confidence is out of range.
    """
    of_mean = math.copysign(limit**2, limit) if is_root else limit
    rise = PairedMoments(moments.count, -sign * moments.mean, moments.second, -sign * moments.third)
    centred = replace(moments, mean=moments.mean - np.array([best or 0.0, 0.0]))
    found = replace(
        paired_tests.mean_interval(
            rise,
            -sign * of_mean,
            confidence,
            typical=centred.typical(),
            unseen=paired_tests.probability_unseen(moments.count) if best is None else 0.0,
        ),
        method="t, corrected for skewness (Hall 1992)",
    )
    spread = rise.less(0.0).standard_error
    if not (math.isfinite(spread) and spread > 1e-12 * abs(found.drop)):
        found = replace(
            found,
            lower=-math.inf,
            upper=math.inf,
            p_blessed=1.0,
            p_refused=1.0,
            standard_error=math.inf,
        )
    if not is_root:
        return found
    root = _root(found.drop)
    return replace(
        found,
        drop=root,
        lower=_root(found.lower),
        upper=_root(found.upper),
        # By the delta method; they only say how many more examples would do.
        standard_error=found.standard_error / abs(2 * root) if root else math.inf,
        correction=found.correction / abs(2 * root) if root else 0.0,
    )


def mean_of_shares_interval(
    moments: PairedMoments,
    effective: float,
    sign: int,
    limit: float,
    confidence: float,
    is_correctness: bool,
) -> DropInterval:
    """Returns how sure the mean of shares is, such as an accuracy with weights or of pixels.

    Where all examples are right their spread is 0 and says nothing. So the result is then that of
    `share_interval`, and of the more cautious of both if examples are right or wrong as a whole.

    Args:
        moments: Of the quantized model's value alone; see `MetricSums.own_moments`.
        effective: How many examples of one weight tell as much.
        sign: 1 if a higher value is better, else -1.
        limit: The smallest value allowed, or the largest if lower is better; 0 to 1.
        confidence: The confidence of each bound, above 0.5 and below 1.
        is_correctness: Whether each example is right or wrong as a whole.

    Returns:
        The interval of the metric as a drop from 0.

    Raises:
        ValueError: Limit or confidence is out of range.
    """
    found = mean_interval(moments, sign, limit, confidence, best=1.0 if sign > 0 else 0.0)
    is_spread = math.isfinite(found.standard_error)
    if not effective >= 1 or (is_spread and not is_correctness):
        return found
    share = min(max(float(moments.mean[0]), 0.0), 1.0)
    exact = share_interval(effective, share * effective, sign, limit, confidence)
    exact = replace(
        exact, drop=found.drop, examples=moments.count, method=f"{exact.method}, effective sample"
    )
    if not is_spread:
        return exact
    return replace(
        found,
        lower=min(found.lower, exact.lower),
        upper=max(found.upper, exact.upper),
        p_blessed=max(found.p_blessed, exact.p_blessed),
        p_refused=max(found.p_refused, exact.p_refused),
        standard_error=max(found.standard_error, exact.standard_error),
        method=f"{found.method}, and {exact.method}",
    )


def _root(value: float) -> float:
    """Returns the root with the value's sign."""
    return math.copysign(math.sqrt(abs(value)), value)


def score_interval(
    value: float,
    replicates: Array,
    sign: int,
    limit: float,
    confidence: float,
    *,
    examples: int,
    grain: float = 0.0,
) -> DropInterval:
    """Returns how sure any other metric is, from Poisson-bootstrap replicates of it.

    Args:
        value: The metric on the examples as they are.
        replicates: The metric under each replicate's weights, float64 of shape (replicates,).
        sign: 1 if a higher value is better, else -1.
        limit: The smallest value allowed, or the largest if lower is better.
        confidence: The confidence of each bound, above 0.5 and below 1.
        examples: The number of examples that the metric was computed on.
        grain: How much one more mistake adds to the drop; see `paired_tests.bootstrap_interval`.

    Returns:
        The interval of the metric as a drop from 0.

    Raises:
        ValueError: The confidence is out of range, or there are fewer than two replicates.
    """
    return bootstrap_interval(
        -sign * value,
        -sign * replicates,
        -sign * limit,
        confidence,
        examples=examples,
        grain=grain,
    )


def area_interval(
    value: float,
    replicates: Array,
    limit: float,
    confidence: float,
    *,
    examples: int,
    negatives: float,
    positives: float,
) -> DropInterval:
    """Returns how sure it is that the area under an ROC curve is large enough.

    A bootstrap cannot see the mistakes that a small sample happens to lack: if all of 25 positives
    rank above all of 25 negatives, every replicate is 1. At 95 % confidence it would bless a model
    whose AUC is exactly the limit of 0.96 in 7 % of the cases at 50 examples, and 0.99 in 24 %. So
    the upper bound of the drop and the p-value of a blessing are the more cautious ones of the
    bootstrap's and those of the score test of one AUC (Newcombe 2006, Statistics in Medicine
    25:559, method 5), whose standard error is that of Hanley and McNeil (1982, Radiology 143:29)
    at the AUC that is tested. Together they bless less than 5 % of them.

    Args:
        value: The AUC on the examples as they are.
        replicates: The AUC under each replicate's weights, float64 of shape (replicates,).
        limit: The smallest AUC allowed.
        confidence: The confidence of each bound, above 0.5 and below 1.
        examples: The number of examples that it was computed on.
        negatives: How many of them are of class 0.
        positives: How many are of class 1.

    Returns:
        The interval of the AUC as a drop from 0.

    Raises:
        ValueError: The confidence is out of range, or there are fewer than two replicates.
    """
    found = bootstrap_interval(
        -value, -replicates, -limit, confidence, examples=examples, is_symmetric=True
    )
    if not negatives or not positives:
        return found
    error = _area_error(limit, negatives, positives)
    p_value = float(ndtr((limit - value) / error)) if error else 1.0
    lowest = _lowest_area(value, negatives, positives, confidence)
    return replace(
        found,
        upper=max(found.upper, -lowest),
        p_blessed=max(found.p_blessed, p_value),
        standard_error=max(found.standard_error, error),
        method=f"{found.method}, and score test of an AUC (Newcombe 2006)",
    )


def _area_error(area: float, negatives: float, positives: float) -> float:
    """Returns the standard error of an AUC whose true value is `area`; 0 out of 0 to 1."""
    if not 0 < area < 1:
        return 0.0
    others = (negatives + positives) / 2 - 1
    spread = 1 + others * ((1 - area) / (2 - area) + area / (1 + area))
    return math.sqrt(area * (1 - area) * spread / (negatives * positives))


def _lowest_area(value: float, negatives: float, positives: float, confidence: float) -> float:
    """Returns the AUC whose p-value is 1 - confidence, 0 if there is none."""
    critical = float(ndtri(confidence))

    def excess(area: float) -> float:
        return value - area - critical * _area_error(area, negatives, positives)

    # An AUC of 1 would have no error.
    highest = min(value, 1 - 1e-12)
    return float(brentq(excess, 0.0, highest, xtol=1e-13)) if highest > 0 else 0.0
