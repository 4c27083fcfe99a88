"""How sure the drop of a metric of scores is: by a bootstrap, or by counts where it is a share."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfx_tflite.components.judgement.metrics.paired_scores import PairedScores, ScoreBuckets
from tfx_tflite.components.judgement.metrics.score_metrics import ScoreMetric


@dataclass(frozen=True)
class ScoreEvidence:
    """What the test of a metric of scores on one slice rests on.

    Attributes:
        share: Where the metric is a share of the examples of one class: how many these are, how
            many of them the quantized model alone does not count, and how many the float model
            alone does not. None for other metrics, which have replicates.
        replicates: The float and the quantized model's value in each bootstrap replicate, shape
            (2, replicates).
        grain: How much one more mistake adds to the drop.
    """

    share: tuple[int, int, int] | None
    replicates: np.ndarray
    grain: float

    def to_json(self) -> dict[str, Any]:
        """Returns the evidence ready for JSON."""
        share = list(self.share) if self.share else None
        return {"share": share, "replicates": self.replicates.tolist(), "grain": self.grain}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "ScoreEvidence":
        """Returns the evidence that `to_json` gave."""
        share = document["share"]
        return cls(
            tuple(share) if share else None, np.array(document["replicates"]), document["grain"]
        )


def score_evidence(
    metrics: Iterable[ScoreMetric],
    signs: Mapping[str, int],
    scores: PairedScores,
    buckets: ScoreBuckets,
) -> dict[str, ScoreEvidence]:
    """Returns the evidence of some metrics on the same examples, by the metrics' names.

    Args:
        metrics: The metrics.
        signs: By metric, 1 where higher is better, else -1.
        scores: Both models' scores of the examples.
        buckets: What they were counted in.
    """
    shares = [metric for metric in metrics if metric.share]
    found = {
        metric.name: ScoreEvidence(metric.disagreements(scores, buckets), np.zeros((2, 0)), 0.0)
        for metric in shares
    }
    others = [metric for metric in metrics if not metric.share]
    if not others:
        return found
    cells = scores.cells()
    _, quantized = cells.histograms(cells.counts, buckets.count)
    values = np.array(
        [
            [[metric.value(model, buckets) for model in histograms] for metric in others]
            for histograms in (
                cells.histograms(counts, buckets.count) for counts in cells.replicates()
            )
        ]
    )
    for index, metric in enumerate(others):
        grain = metric.one_more_mistake(quantized, buckets, signs[metric.name])
        found[metric.name] = ScoreEvidence(None, values[:, index].T, grain)
    return found
