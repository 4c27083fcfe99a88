"""Moments straight from the examples, which the product only has as sums."""

import numpy as np

from tfx_tflite.components.judgement.statistics.paired_tests import PairedMoments


def moments_of(drop, float_value) -> PairedMoments:
    """Of each example's drop and the float model's value on it."""
    pairs = np.stack([np.asarray(drop, np.float64), np.asarray(float_value, np.float64)])
    mean = pairs.mean(axis=1) if pairs.size else np.zeros(2)
    deviation = pairs - mean[:, None]
    return PairedMoments(
        count=pairs.shape[1],
        mean=mean,
        second=deviation @ deviation.T,
        third=np.einsum("in,jn,kn->ijk", deviation, deviation, deviation),
    )
