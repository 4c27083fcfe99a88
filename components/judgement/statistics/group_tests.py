"""The tests of the gate if examples come in groups, such as the frames of one clip.

Examples of one group are like each other, so that a hundred frames of two clips tell little more
than two examples. What is drawn at random are the groups. So every figure here is a ratio of two
sums over whole groups, whose error comes from how the groups differ (Cochran 1977, Sampling
Techniques, 3rd edition, chapters 6 and 9); how much the examples of a group are alike does not have
to be known.

| metric                         | here                                     |
|--------------------------------|------------------------------------------|
| right or wrong on each example | `share_interval`, `own_share_interval`   |
| the mean of a loss or an error | `mean_interval`, `own_mean_interval`     |
| any other, such as AUC         | `paired_tests.bootstrap_interval`        |

The last is given replicates that draw whole groups. `examples` of the results is the number of
groups, and their `unit` says so: more examples of the same groups would not settle anything.
`benchmarks/gate_simulation.py` measures the false pushes.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import chdtri

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.judgement.statistics import paired_tests, value_tests
from tfx_tflite.components.judgement.statistics.paired_tests import DropInterval, PairedMoments


@dataclass(frozen=True, eq=False)
class GroupSums:
    """The sums of a metric over the examples of each group.

    Attributes:
        sizes: How many examples each group has, or which weight they have together; float64 of
            shape (groups,), 0 or more.
        f: The sum of the float model's values in each group, each times its weight; same shape.
        q: The same of the quantized model's values.
    """

    sizes: Array
    f: Array
    q: Array

    def __post_init__(self) -> None:
        """Refuses sums that are not one row each of the same groups."""
        shapes = {np.shape(sums) for sums in (self.sizes, self.f, self.q)}
        if len(shapes) != 1 or len(shapes.pop()) != 1:
            raise ValueError(
                "expected one size and one sum of each model for each group, received shapes "
                f"{np.shape(self.sizes)}, {np.shape(self.f)} and {np.shape(self.q)}"
            )

    @property
    def count(self) -> int:
        """The number of groups that have any weight."""
        return int(np.count_nonzero(self.sizes))

    @property
    def total(self) -> float:
        """How many examples all groups have, or which weight."""
        return float(np.sum(self.sizes))

    @property
    def effective(self) -> float:
        """How many groups of one size tell as much (Kish 1965, Survey Sampling)."""
        squares = float(np.sum(self.sizes**2))
        return self.total**2 / squares if squares else 0.0

    def deviations(self, sums: Array) -> Array:
        """Returns what each group adds to the deviation of a ratio, float64 of shape (groups,).

        Args:
            sums: A sum of each group; the ratio is its total over that of the sizes.

        Returns:
            The linear part: (sum - ratio * size) over the mean size. Their mean is 0.
        """
        ratio = float(np.sum(sums)) / self.total
        return np.asarray((sums - ratio * self.sizes) * (self.count / self.total))

    def moments(self, sign: int) -> PairedMoments:
        """Returns the moments of drop and float value, with groups in the place of examples.

        Args:
            sign: 1 if a higher value is better, so that the drop is f - q, else -1.
        """
        return self._moments(sign * (self.f - self.q), self.f)

    def own_moments(self) -> PairedMoments:
        """Returns the moments of the quantized model's value alone, as a drop from 0."""
        return self._moments(self.q, np.zeros_like(self.q))

    def _moments(self, first: Array, second: Array) -> PairedMoments:
        if not self.count:
            return PairedMoments(0, np.full(2, np.nan), np.zeros((2, 2)), np.zeros((2, 2, 2)))
        sums = (first, second)
        parts = np.stack([self.deviations(values) for values in sums])
        means = np.array([np.sum(values) / self.total for values in sums])
        # What is left of groups that are all alike is rounding.
        spreads = np.abs(parts).max(axis=1) > 1e-12 * np.abs(means)
        parts = parts * spreads[:, None]
        return PairedMoments(
            count=self.count,
            mean=means,
            second=parts @ parts.T,
            third=np.einsum("ig,jg,kg->ijk", parts, parts, parts),
        )


def share_interval(
    groups: GroupSums, worse: int, better: int, sign: int, margin: float, confidence: float
) -> DropInterval:
    """Returns the drop of a metric that is 0 or 1 on each example, such as accuracy.

    The more cautious of two tests. The first is that of `mean_interval`, of the groups' sums. If
    few groups change it knows nothing of their spread. So the second is the score test of
    `paired_tests.binary_interval` of as many examples as tell as much (Korn and Graubard 1998,
    Survey Methodology 24:193): the examples over their design effect, by how much the variance over
    groups exceeds that of examples drawn one by one. This effect is uncertain itself, the more so
    the fewer groups changed; see `_design_effect`. If none did, there are no more examples than
    groups, because a group may change as a whole.

    Args:
        groups: The sums; sizes are numbers of examples.
        worse: On how many examples, over all groups, the quantized model is worse.
        better: On how many it is better.
        sign: 1 if a higher share is better, so that the drop is f - q, else -1.
        margin: The largest drop allowed, -1 to 1.
        confidence: The confidence of each bound, above 0.5 and below 1.

    Returns:
        The interval; its `examples` are groups.

    Raises:
        ValueError: The counts do not fit the sums, or margin or confidence is out of range.
    """
    if not groups.count:
        return _NOTHING
    examples, drops = groups.total, sign * (groups.f - groups.q)
    if abs(float(np.sum(drops)) - (worse - better)) > 1e-6 * examples:
        raise ValueError(
            f"expected counts that differ by the drop of all groups, {np.sum(drops):g} examples, "
            f"received {worse} worse and {better} better"
        )
    alone = max(worse + better - (worse - better) ** 2 / examples, 0.0)
    effective = examples / _design_effect(groups, drops, alone)
    share = effective / examples
    score = paired_tests.binary_interval(
        effective, worse * share, better * share, margin, confidence
    )
    linear = paired_tests.mean_interval(
        groups.moments(sign), margin, confidence, typical=_NO_STEP, rests_on_few=False
    )
    return _more_cautious(groups, linear, score, effective)


def own_share_interval(
    groups: GroupSums, counted: int, sign: int, limit: float, confidence: float
) -> DropInterval:
    """Returns how sure the quantized model's share of examples is, such as its accuracy.

    The more cautious of a test of the groups' sums and of the exact binomial one of as many
    examples as tell as much; see `share_interval`.

    Args:
        groups: The sums; sizes are numbers of examples.
        counted: On how many examples, over all groups, the metric of the quantized model is 1.
        sign: 1 if a higher share is better, else -1.
        limit: The smallest share allowed, or the largest if lower is better; 0 to 1.
        confidence: The confidence of each bound, above 0.5 and below 1.

    Returns:
        The interval of the share as a drop from 0; its `examples` are groups.

    Raises:
        ValueError: The counts do not fit each other, or limit or confidence is out of range.
    """
    if not groups.count:
        return _NOTHING
    examples = groups.total
    alone = counted * (examples - counted) / examples
    # Whatever is rarer tells how many groups the spread rests on.
    rarer = groups.q if 2 * counted <= examples else groups.sizes - groups.q
    effective = max(examples / _design_effect(groups, rarer, alone), 1.0)
    # Not more than all of them by an ulp.
    so_many = min(counted * effective / examples, effective)
    exact = value_tests.share_interval(effective, so_many, sign, limit, confidence)
    moments = groups.own_moments()
    rise = replace(moments, mean=-sign * moments.mean, third=-sign * moments.third)
    linear = paired_tests.mean_interval(
        rise, -sign * limit, confidence, typical=_NO_STEP, rests_on_few=False
    )
    return _more_cautious(groups, linear, exact, effective)


def mean_interval(
    groups: GroupSums,
    sign: int,
    margin: float,
    confidence: float,
    relative: float | None = None,
    is_root: bool = False,
    *,
    best: float = 0.0,
) -> DropInterval:
    """Returns the drop of the mean of a loss or an error, or of the root of such a mean.

    That is `paired_tests.mean_interval` of the groups' sums.

    Args:
        groups: The sums.
        sign: 1 if a higher value is better, so that the drop is f - q, else -1.
        margin: The largest drop allowed, in the metric's unit.
        confidence: The confidence of each bound, above 0.5 and below 1.
        relative: A share of the float model's mean that is allowed on top of the margin.
        is_root: Whether the metric is the root of the mean.
        best: The value of a model without any loss: 0 for a loss, 1 for a share.

    Returns:
        The interval; its `examples` are groups.

    Raises:
        ValueError: The confidence is out of range.
    """
    if not groups.count:
        return _NOTHING
    moments = groups.moments(sign)
    moments = moments.of_roots() if is_root else moments
    found = paired_tests.mean_interval(
        moments, margin, confidence, relative, typical=moments.typical(best) or None
    )
    return replace(found, unit="groups", method=f"{found.method}, of whole groups")


def own_mean_interval(
    groups: GroupSums,
    sign: int,
    limit: float,
    confidence: float,
    is_root: bool = False,
    *,
    best: float | None = None,
) -> DropInterval:
    """Returns how sure the mean of a loss or an error is, or the root of such a mean.

    That is `value_tests.mean_interval` of the groups' sums.

    Args:
        groups: The sums.
        sign: 1 if a higher value is better, else -1.
        limit: The smallest value allowed, or the largest if lower is better.
        confidence: The confidence of each bound, above 0.5 and below 1.
        is_root: Whether the metric, and the limit, is the root of the mean.
        best: The value of an example that nothing is wrong with, such as 1 of a share.

    Returns:
        The interval of the metric as a drop from 0; its `examples` are groups.

    Raises:
        ValueError: The confidence is out of range.
    """
    if not groups.count:
        return _NOTHING
    found = value_tests.mean_interval(
        groups.own_moments(), sign, limit, confidence, is_root, best=best
    )
    return replace(found, unit="groups", method=f"{found.method}, of whole groups")


def _design_effect(groups: GroupSums, sums: Array, alone: float) -> float:
    """Returns how many examples of groups tell as much as one drawn by itself, at least 1.

    It is the variance of the total over groups, divided by that of as many examples one by one. A
    variance of few groups is often far too small. So it is the upper bound at 90 % of what as many
    groups leave possible as carry it, from the chi-squared distribution; but not above the size of
    a group (that of a typical example's), which is the effect if groups change as a whole.

    Args:
        groups: The groups.
        sums: What is counted in each group, float64 of shape (groups,).
        alone: The variance of its total if examples were drawn one by one.
    """
    # Divided by the mean size already.
    parts = groups.deviations(sums) * groups.total / groups.count
    together = float(np.sum(parts**2)) * groups.count / max(groups.count - 1, 1)
    whole = groups.total / groups.effective
    squares = float(np.sum(sums**2))
    if not squares or not alone:
        return max(whole, 1.0)
    found = max(together / alone, 1.0)
    carried_by = float(np.sum(np.abs(sums))) ** 2 / squares
    highest = found * carried_by / float(chdtri(carried_by, _CAUTION))
    return max(min(highest, max(whole, found)), 1.0)


def _more_cautious(
    groups: GroupSums, linear: DropInterval, exact: DropInterval, effective: float
) -> DropInterval:
    """Returns the wider of two intervals of the same drop, in groups.

    Args:
        groups: The groups.
        linear: Of the groups' sums.
        exact: Of as many examples as tell as much.
        effective: How many these are.
    """
    return replace(
        linear,
        lower=min(linear.lower, exact.lower),
        upper=max(linear.upper, exact.upper),
        p_blessed=max(linear.p_blessed, exact.p_blessed),
        p_refused=max(linear.p_refused, exact.p_refused),
        standard_error=max(linear.standard_error, exact.standard_error)
        if math.isfinite(linear.standard_error)
        else exact.standard_error,
        method=f"{linear.method}, and {exact.method}, of whole groups",
        correction=exact.correction * groups.count / effective,
        unit="groups",
        changed=exact.changed,
    )


# The probability that a design effect is above its upper bound.
_CAUTION = 0.9
# The other test of a share allows for what is not in the sample.
_NO_STEP = 0.0
_NOTHING = DropInterval(math.nan, -math.inf, math.inf, 1.0, 1.0, 0, math.inf, "none", unit="groups")
