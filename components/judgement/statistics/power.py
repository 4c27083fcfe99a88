"""How many examples a test needs to bless a model that loses nothing, and how often so many do.

`tfx-tflite plan` and the advice of a report ask this before anybody labels more examples. The
*level* is the probability of a false push that the test may have, 1 - confidence; the *power* is
the probability that a model without any drop is blessed.
"""

import math

import numpy as np
from scipy.special import bdtrc, gammaln, ndtr, ndtri, xlog1py, xlogy

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.judgement.statistics.paired_tests import (
    CONTINUITY_CORRECTION,
    score_p_value,
)

# From here on the normal distribution says the same, and an enumeration would take long.
_MOST_ENUMERATED = 10**7
# More than anybody labels; it keeps the figures whole numbers if a margin is next to nothing.
_MOST_EXAMPLES = 10**15


def power_of_share(
    examples: int,
    discordance: float,
    margin: float,
    level: float,
    drop: float = 0.0,
    correction: float = CONTINUITY_CORRECTION,
) -> float:
    """Returns how often `paired_tests.binary_interval` blesses a model: exactly, by enumeration.

    Args:
        examples: The number of examples, 1 or more.
        discordance: The share of examples whose correctness changes either way, 0 to 1.
        margin: The largest drop allowed, -1 to 1.
        level: The level of the test, above 0 and below one half.
        drop: The model's true drop, at most the discordance on either side.
        correction: The test's continuity correction, in examples.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> round(power_of_share(906, discordance=0.01, margin=0.01, level=0.05), 2)
        0.8
    """
    _check_share(discordance, level)
    if examples < 1 or abs(drop) > discordance:
        raise ValueError(
            f"expected 1 example or more and a drop of at most the discordance of {discordance}, "
            f"received {examples} and {drop}"
        )
    p_worse, p_better = (discordance + drop) / 2, (discordance - drop) / 2
    # What is farther off has a probability below 1e-9.
    reach = 6 * math.sqrt(examples * p_worse) + 25
    middle = examples * p_worse
    worse = np.arange(int(max(middle - reach, 0)), int(min(middle + reach, examples)) + 1)
    needed = better_needed(examples, worse, margin, level, correction)
    log_mass = gammaln(examples + 1) - gammaln(worse + 1) - gammaln(examples - worse + 1)
    log_mass += xlogy(worse, p_worse) + xlog1py(examples - worse, -p_worse)
    # Given how many get worse, those that get better are binomial among the others.
    share = p_better / (1 - p_worse) if p_worse < 1 else 0.0
    enough = np.where(needed > 0, bdtrc(np.maximum(needed, 1) - 1.0, examples - worse, share), 1.0)
    return float(np.exp(log_mass) @ np.where(needed > examples - worse, 0.0, enough))


def better_needed(
    examples: int, worse: Array, margin: float, level: float, correction: float
) -> Array:
    """Returns how many examples must get better for a blessing, by how many get worse.

    Args:
        examples: The number of examples.
        worse: How many got worse, integers of shape (n,).
        margin: The largest drop allowed.
        level: The level of the test.
        correction: The test's continuity correction, in examples.

    Returns:
        int64 of shape (n,); examples - worse + 1 if none is enough.
    """
    # The p-value falls with each example that gets better, so that halving finds the first.
    no, yes = np.full(len(worse), -1), examples - worse + 1
    while np.any(yes - no > 1):
        middle = (yes + no) // 2
        p_value = score_p_value(examples, worse, middle, margin, correction)
        is_blessed = (p_value < level) & (middle > no)
        yes, no = np.where(is_blessed, middle, yes), np.where(is_blessed, no, middle)
    return yes


def examples_for_share(
    discordance: float,
    margin: float,
    level: float,
    power: float = 0.8,
    correction: float = CONTINUITY_CORRECTION,
) -> int:
    """Returns how many examples `paired_tests.binary_interval` needs to bless a model of no drop.

    The exact power of each number that is tried is enumerated. It rises in small steps that fall
    back a little, because counts are whole: some larger numbers may have some tenths of a percent
    less.

    Args:
        discordance: The share of examples whose correctness changes either way, 0 to 1.
        margin: The largest drop allowed, above 0 and at most 1.
        level: The level of the test, above 0 and below one half.
        power: How often the model is to be blessed, above 0 and below 1.
        correction: The test's continuity correction, in examples.

    Raises:
        ValueError: An argument is out of range; no number of examples shows a margin of 0.

    Example:
        >>> examples_for_share(discordance=0.0, margin=0.01, level=0.05)
        361
    """
    _check_share(discordance, level)
    _check_aim(margin, power)

    def is_enough(examples: int) -> bool:
        return power_of_share(examples, discordance, margin, level, 0.0, correction) >= power

    # The normal distribution's answer is close if there are many changes, and too low if few.
    near = examples_for_mean(math.sqrt(discordance), margin, level, power, correction)
    if near > _MOST_ENUMERATED:
        return near
    step = max(near // 64, 1)
    too_few, enough = max(near - step, 1) - 1, near + step
    while too_few and is_enough(too_few):
        too_few = max(too_few - step, 0)
        step *= 2
    while not is_enough(enough):
        too_few, enough = enough, enough + step
        step *= 2
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        enough, too_few = (middle, too_few) if is_enough(middle) else (enough, middle)
    return enough


def power_of_mean(
    examples: int, deviation: float, margin: float, level: float, correction: float = 0.0
) -> float:
    """Returns about how often the test of a mean blesses a model that loses nothing.

    Args:
        examples: The number of examples, 1 or more.
        deviation: The standard deviation of one example's drop: the standard error of the drop
            times the root of the number of examples it came from. Its unit is the metric's.
        margin: The largest drop allowed, in the metric's unit.
        level: The level of the test, above 0 and below one half.
        correction: What the test adds to the sum of the drops, in examples.

    Raises:
        ValueError: An argument is out of range.
    """
    _check_deviation(deviation, level)
    if examples < 1:
        raise ValueError(f"expected 1 example or more, received {examples}")
    distance = examples * margin - correction
    if not deviation:
        return float(distance > 0)
    return float(ndtr(distance / (deviation * math.sqrt(examples)) + ndtri(level)))


def examples_for_mean(
    deviation: float, margin: float, level: float, power: float = 0.8, correction: float = 0.0
) -> int:
    """Returns about how many examples the test of a mean needs to bless a model that loses nothing.

    The n that solves n * margin = (z(level) + z(power)) * deviation * sqrt(n) + correction, with z
    the normal quantile (Chow, Shao and Wang 2008, Sample Size Calculations in Clinical Research,
    section 3.1).

    Args:
        deviation: The standard deviation of one example's drop; see `power_of_mean`.
        margin: The largest drop allowed, in the metric's unit, above 0.
        level: The level of the test, above 0 and below one half.
        power: How often the model is to be blessed, above 0 and below 1.
        correction: What the test adds to the sum of the drops, in examples.

    Raises:
        ValueError: An argument is out of range; no number of examples shows a margin of 0.

    Example:
        >>> examples_for_mean(deviation=0.2, margin=0.01, level=0.05)
        2474
    """
    _check_deviation(deviation, level)
    _check_aim(margin, power)
    reach = max(float(ndtri(1 - level) + ndtri(power)), 0.0) * deviation
    root = (reach + math.sqrt(reach**2 + 4 * margin * correction)) / (2 * margin)
    return max(math.ceil(min(root**2, _MOST_EXAMPLES)), 1)


def _check_share(discordance: float, level: float) -> None:
    if not 0 <= discordance <= 1:
        raise ValueError(f"expected a discordance of 0 to 1, received {discordance}")
    _check_level(level)


def _check_deviation(deviation: float, level: float) -> None:
    if not 0 <= deviation < math.inf:
        raise ValueError(f"expected a finite deviation of 0 or more, received {deviation}")
    _check_level(level)


def _check_level(level: float) -> None:
    if not 0 < level < 0.5:
        raise ValueError(f"expected a level above 0 and below 0.5, received {level}")


def _check_aim(margin: float, power: float) -> None:
    if not margin > 0:
        raise ValueError(f"expected a margin above 0, which examples can show, received {margin}")
    if not 0 < power < 1:
        raise ValueError(f"expected a power above 0 and below 1, received {power}")
