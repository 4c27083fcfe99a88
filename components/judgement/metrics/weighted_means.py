"""Means of examples that count differently, and how sure the difference of two such means is.

A weighted mean is a ratio of two sums, sum(w v) / sum(w), and the weights are as random as the
values. Its error is that of its linear part (Cochran 1977, Sampling Techniques, 3rd edition,
chapter 6; Särndal, Swensson and Wretman 1992, Model Assisted Survey Sampling, section 5.6): to the
first order the mean moves as the plain mean of n / sum(w) * w (v - mean), whose variance, and
skewness, come from the examples. With equal weights it is the paired t-test of plain means.

Only NumPy and SciPy are imported here, because workers import this module.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfx_tflite.components.judgement.statistics.paired_tests import PairedMoments


@dataclass(frozen=True, eq=False)
class WeightedMoments:
    """What is known of some examples' (w, w d, w f); those of several parts add up.

    There w is an example's weight, f the float model's value and d the quantized model's value less
    that. Sums are of deviations from the means, as in `PairedMoments`, so that no digits are lost.

    Attributes:
        moments: Of the three numbers in that order.
    """

    moments: PairedMoments

    @classmethod
    def of(cls, weights: np.ndarray, before: np.ndarray, after: np.ndarray) -> "WeightedMoments":
        """Returns the moments of some examples.

        Args:
            weights: Shape (n,), 0 or more.
            before: The float model's values, shape (n,).
            after: The quantized model's.
        """
        terms = np.stack([weights, weights * (after - before), weights * before])
        count = terms.shape[1]
        mean = terms.mean(axis=1) if count else np.zeros(3)
        deviation = terms - mean[:, None]
        return cls(
            PairedMoments(
                count=count,
                mean=mean,
                second=deviation @ deviation.T,
                third=np.einsum("in,jn,kn->ijk", deviation, deviation, deviation),
            )
        )

    def __add__(self, other: "WeightedMoments") -> "WeightedMoments":
        return WeightedMoments(self.moments + other.moments)

    def paired(self, sign: int) -> PairedMoments:
        """Returns the moments of the linear parts of drop and float value.

        Args:
            sign: 1 where higher is better, so that the drop is -d, else -1.
        """
        weight, change, before = self.moments.mean
        if not weight:
            return PairedMoments(0, np.full(2, np.nan), np.zeros((2, 2)), np.zeros((2, 2, 2)))
        d, f = change / weight, before / weight
        # From deviations of (w, w d, w f) to those of (-sign w (d - mean), w (f - mean)) / mean w.
        slopes = np.array([[sign * d, -sign, 0.0], [-f, 0.0, 1.0]]) / weight
        return PairedMoments(
            count=self.moments.count,
            mean=np.array([-sign * d, f]),
            second=slopes @ self.moments.second @ slopes.T,
            third=np.einsum("ijk,ai,bj,ck->abc", self.moments.third, slopes, slopes, slopes),
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the moments ready for JSON."""
        arrays = {
            name: getattr(self.moments, name).tolist() for name in ("mean", "second", "third")
        }
        return {"count": self.moments.count, **arrays}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "WeightedMoments":
        """Returns the moments that `to_json` gave."""
        arrays = {name: np.array(document[name]) for name in ("mean", "second", "third")}
        return cls(PairedMoments(count=document["count"], **arrays))
