"""Which extremes are outliers, and which are the tail of what a model sees.

Calibration data often hold an example or two that are not of the kind of the others: a sensor that
failed, a price in cents, an image that was not scaled. A range that includes them leaves a few of
256 steps for everything else. What tells them from the tail of the data is a gap: the extremes of
the examples, sorted, jump.
"""

import math

import numpy as np

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.quantization.ranges.policy import FEWEST_TO_LEAVE_OUT, KEPT

# One example in so many may be an outlier: the outermost 2 %.
_ONE_IN = 50
# A gap is a factor of more than two: less costs no more than one of the eight bits.
_FACTOR = 2.0
# Counts, grades and the like jump as they are, and most of their extremes are equal: {0, 1, 2, 5}.
# An image that was not scaled is 255 times as large as the others, whose extremes are equal, too.
_FACTOR_OF_TIES = 8.0
# And it is so many times as wide as is usual between the extremes behind it. In a sample from a
# distribution with a power tail, rank times the logarithmic gap at that rank is exponential with
# the mean that Hill's estimator gives (Renyi 1953, Hill 1975), so that the tail of even such data
# goes past this at one rank in exp(8), 3,000. On heavy-tailed regressions the factor of two alone
# cut 35 of 120 samples, which cost 0.04 of R2; times 6 cut 4 of them, times 8 none.
_TIMES_THE_USUAL = 8.0
# The extremes behind a gap from which it follows what is usual: 10 % of the examples, at least 20.
_FEWEST_BEHIND, _BEHIND_ONE_IN = 20, 10


def outliers(outermost: Array, examples: int) -> Array:
    """Returns how many of each tensor's outermost extremes are beyond a gap.

    Args:
        outermost: The examples' extremes on one side of each tensor, as far as they are kept,
            descending, of shape (tensors, kept); positive is beyond zero.
        examples: How many examples there are.

    Returns:
        Counts of shape (tensors,), at most `most_outliers(examples)`. A tensor that goes beyond
        zero in few examples only has none: what is rare is not for that reason wrong.
    """
    found = np.zeros(len(outermost), np.int64)
    most = most_outliers(examples)
    behind = min(max(_FEWEST_BEHIND, examples // _BEHIND_ONE_IN), KEPT - 1 - most)
    logarithms = np.log(np.maximum(outermost, np.finfo(np.float32).tiny), dtype=np.float64)
    for count in range(1, most + 1):
        following = logarithms[:, count : count + behind]
        last = logarithms[:, count + behind]
        gap = logarithms[:, count - 1] - logarithms[:, count]
        usual = following.mean(axis=1) - last
        is_tied = (following[:, :-1] == following[:, 1:]).mean(axis=1) > 0.5
        least = np.where(is_tied, math.log(_FACTOR_OF_TIES), math.log(_FACTOR))
        is_gap = (gap > least) & (count * gap > _TIMES_THE_USUAL * usual)
        found[is_gap & (outermost[:, count + behind] > 0)] = count
    return found


def most_outliers(examples: int) -> int:
    """Returns how many examples may be outliers of a tensor on one side.

    Args:
        examples: How many there are; of fewer than 50 none is one.
    """
    # So many that as many extremes again are kept behind the last gap.
    return 0 if examples < FEWEST_TO_LEAVE_OUT else min(examples // _ONE_IN, KEPT // 2 - 1)
