"""The area under the ROC curve from histograms of scores, which add up over batches.

The histograms and thresholds are TFMA's (`calibration_histogram`, `binary_confusion_matrices`), so
that the value is TFMA's; the bootstrap keeps a histogram for each replicate as well.
"""

from dataclasses import dataclass

import numpy as np

from tfx_tflite.components.quantization_evaluator.paired_statistics import poisson_weights

# TFMA's buckets of a score from 0 to 1, with one below and one above.
_BUCKETS = 10_000
_BINS = _BUCKETS + 2
# What TFMA adds so that a score equal to a threshold is not above it.
_EPSILON = 1e-7
REPLICATES = 200
_SEED = 0


@dataclass(frozen=True)
class AreaUnderRoc:
    """The metric `AUC` of the ROC curve, by trapezoids.

    Attributes:
        name: What rules and reports call it.
        num_thresholds: Points of the curve.
    """

    name: str
    num_thresholds: int = 10_000

    def value(self, histograms: np.ndarray) -> np.ndarray:
        """Returns the area, NaN where there are no positives or no negatives.

        TFMA gives 0 there, which would look like a model without a drop.

        Args:
            histograms: Shape (…, 2, bins): negatives and positives in each bucket of scores.

        Returns:
            Shape (…).
        """
        above = _counts_from(histograms)[..., self._first_bins()]
        with np.errstate(invalid="ignore", divide="ignore"):
            rates = above / above[..., :1]
        x, y = rates[..., 0, :], rates[..., 1, :]
        return ((x[..., :-1] - x[..., 1:]) * (y[..., :-1] + y[..., 1:]) / 2).sum(axis=-1)

    def _first_bins(self) -> np.ndarray:
        """Returns the first bucket that counts as above each threshold."""
        inner = np.arange(1, self.num_thresholds - 1) / (self.num_thresholds - 1)
        thresholds = np.concatenate([[0.0], inner + _EPSILON, [1 + 2 * _EPSILON]])
        scores = np.concatenate([[-np.inf], np.arange(_BUCKETS) / _BUCKETS, [np.inf]])
        first = np.searchsorted(scores, thresholds, side="left")
        first[0] = 0
        return first


def _counts_from(histograms: np.ndarray) -> np.ndarray:
    """Returns how much lies in each bucket and those above it."""
    return np.cumsum(histograms[..., ::-1], axis=-1, dtype=np.float64)[..., ::-1]


def score_histograms(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Returns the histograms of some examples, float64 of shape (2, bins).

    Args:
        labels: From 0 to 1, shape (n,); a label between counts as a share of each.
        scores: Shape (n,).
    """
    bins = _bins(scores)
    return np.stack([np.bincount(bins, weights, _BINS) for weights in (1.0 - labels, labels)])


def _bins(scores: np.ndarray) -> np.ndarray:
    # NaN counts as the lowest score, as a prediction that says nothing.
    positions = np.nan_to_num(scores.astype(np.float64), nan=-1.0) * _BUCKETS + 1
    return np.clip(positions, 0, _BUCKETS + 1).astype(np.int64)


def empty_replicates() -> np.ndarray:
    """Returns histograms of nothing: models, (negative, positive), bins, replicates."""
    return np.zeros((2, 2, _BINS, REPLICATES), np.uint32)


def add_replicates(
    replicates: np.ndarray, labels: np.ndarray, scores: list[np.ndarray], keys: np.ndarray
) -> None:
    """Adds examples to the bootstrap's histograms, each as often as its replicate has it.

    Args:
        replicates: As `empty_replicates` returns them; changed in place.
        labels: Shape (n,); above one half is positive.
        scores: The float and the quantized model's, each of shape (n,).
        keys: One key an example, uint64 of shape (n,).
    """
    weights = poisson_weights(keys, REPLICATES, _SEED)
    for model, values in enumerate(scores):
        # One group for each class and bucket, in order, to sum each in one go.
        groups = (labels > 0.5) * _BINS + _bins(values)
        order = np.argsort(groups, kind="stable")
        distinct, starts = np.unique(groups[order], return_index=True)
        sums = np.add.reduceat(weights[order].astype(np.uint32), starts, axis=0)
        replicates[model, distinct // _BINS, distinct % _BINS] += sums


def replicate_values(metric: AreaUnderRoc, replicates: np.ndarray) -> np.ndarray:
    """Returns both models' areas in each replicate, shape (2, replicates)."""
    return np.stack([metric.value(np.moveaxis(model, -1, 0)) for model in replicates])
