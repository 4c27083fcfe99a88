"""How sure the drop of a metric of scores is: by a bootstrap, or by counts where it is a share."""

from collections.abc import Iterable, Mapping
from typing import Annotated

import numpy as np
from pydantic import PlainSerializer, PlainValidator

from tfx_tflite.components.documents import Part
from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.judgement.metrics.paired_scores import PairedScores, ScoreBuckets
from tfx_tflite.components.judgement.metrics.score_metrics import ScoreMetric


class ScoreEvidence(Part):
    """What the test of a metric of scores on one slice rests on.

    Attributes:
        share: Where the metric is a share of the examples of one class: how many these are, how
            many of them the quantized model alone does not count, and how many the float model
            alone does not. None for other metrics, which have replicates.
        counted: Where the metric is a share, how many of these examples the quantized model counts.
        classes: How many examples are of class 0 and of class 1; a label between is a share of
            each.
        replicates: The float and the quantized model's value in each bootstrap replicate, shape
            (2, replicates).
        grain: How much one more mistake adds to the drop.
    """

    share: tuple[int, int, int] | None = None
    counted: int = 0
    classes: tuple[float, float] = (0.0, 0.0)
    replicates: Annotated[
        Array, PlainValidator(np.asarray), PlainSerializer(lambda values: values.tolist())
    ] = np.zeros((2, 0))
    grain: float = 0.0


def score_evidence(
    metrics: Iterable[ScoreMetric],
    signs: Mapping[str, int],
    scores: PairedScores,
    buckets: ScoreBuckets,
) -> dict[str, ScoreEvidence]:
    """Returns the evidence of some metrics on the same examples, by the metrics' names.

    Args:
        metrics: The metrics.
        signs: By metric, 1 if higher is better, else -1.
        scores: Both models' scores of the examples.
        buckets: What they were counted in.
    """
    shares = [metric for metric in metrics if metric.share]
    found = {
        metric.name: ScoreEvidence(
            share=metric.disagreements(scores, buckets), counted=metric.counted(scores, buckets)
        )
        for metric in shares
    }
    others = [metric for metric in metrics if not metric.share]
    if not others:
        return found
    cells = scores.cells()
    _, quantized = cells.histograms(cells.counts, buckets.count)
    negatives, positives = map(float, quantized.sum(axis=1))
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
        found[metric.name] = ScoreEvidence(
            classes=(negatives, positives), replicates=values[:, index].T, grain=grain
        )
    return found
