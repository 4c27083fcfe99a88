"""How sure the drop of a metric of scores is: by a bootstrap, or by counts where it is a share."""

from collections.abc import Iterable, Mapping
from typing import Annotated

import numpy as np
from pydantic import PlainSerializer, PlainValidator

from tfx_tflite.components.documents import Part
from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.judgement.metrics.groups import GroupTotals
from tfx_tflite.components.judgement.metrics.paired_scores import (
    Buckets,
    Cells,
    GroupedCells,
    ScoreBuckets,
)
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
        groups: How many groups the examples are in, if they are in groups. `classes` are then the
            numbers of groups with an example of each class, replicates are of whole groups, and a
            mistake is that of a whole group.
        by_group: Where the metric is a share of grouped examples, the sums of each group.
    """

    share: tuple[int, int, int] | None = None
    counted: int = 0
    classes: tuple[float, float] = (0.0, 0.0)
    replicates: Annotated[
        Array, PlainValidator(np.asarray), PlainSerializer(lambda values: values.tolist())
    ] = np.zeros((2, 0))
    grain: float = 0.0
    groups: int | None = None
    by_group: GroupTotals | None = None


def score_evidence(
    metrics: Iterable[ScoreMetric],
    signs: Mapping[str, int],
    cells: Cells,
    buckets: Buckets,
) -> dict[str, ScoreEvidence]:
    """Returns the evidence of some metrics on the same examples, by the metrics' names.

    Args:
        metrics: The metrics.
        signs: By metric, 1 if higher is better, else -1.
        cells: Both models' scores of the examples, which may be in groups.
        buckets: What they were counted in.
    """
    found = {
        metric.name: _of_share(metric, cells, buckets)
        for metric in metrics
        if metric.share and isinstance(buckets, ScoreBuckets)
    }
    others = [metric for metric in metrics if not metric.share]
    if not others:
        return found
    _, quantized = cells.histograms(cells.counts, buckets.count)
    negatives, positives = map(float, quantized.sum(axis=1))
    groups, classes, mistake = None, (negatives, positives), 1.0
    if isinstance(cells, GroupedCells):
        groups, classes = cells.group_count, _groups_of_classes(cells)
        mistake = float(cells.counts.sum()) / max(groups, 1)
    values = np.array(
        [
            [[metric.value(model, buckets) for model in histograms] for metric in others]
            for histograms in (
                cells.histograms(counts, buckets.count) for counts in cells.replicates()
            )
        ]
    )
    for index, metric in enumerate(others):
        grain = metric.one_more_mistake(quantized, buckets, signs[metric.name], mistake)
        found[metric.name] = ScoreEvidence(
            classes=classes, replicates=values[:, index].T, grain=grain, groups=groups
        )
    return found


def _of_share(metric: ScoreMetric, cells: Cells, buckets: ScoreBuckets) -> ScoreEvidence:
    found = ScoreEvidence(
        share=metric.disagreements(cells, buckets), counted=metric.counted(cells, buckets)
    )
    if not isinstance(cells, GroupedCells):
        return found
    is_of_class, before, after = metric.sides(cells, buckets)
    sizes, f, q = map(cells.by_group, (is_of_class, is_of_class & before, is_of_class & after))
    has_class = sizes > 0
    by_group = GroupTotals(sizes=sizes[has_class], f=f[has_class], q=q[has_class])
    return found.model_copy(update={"groups": int(has_class.sum()), "by_group": by_group})


def _groups_of_classes(cells: GroupedCells) -> tuple[float, float]:
    """Returns in how many groups there are examples of class 0 and of class 1."""
    seen = (cells.by_group(1 - cells.labels), cells.by_group(cells.labels))
    negatives, positives = (float((counts > 0).sum()) for counts in seen)
    return negatives, positives
