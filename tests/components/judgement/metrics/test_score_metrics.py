"""Metrics of scores from counts: buckets, cells, values, and what their tests rest on."""

import numpy as np
import pytest

from tfx_tflite.components.judgement.metrics.configured import ConfiguredMetric
from tfx_tflite.components.judgement.metrics.paired_scores import PairedScores, ScoreBuckets
from tfx_tflite.components.judgement.metrics.score_metrics import (
    ScoreMetric,
    score_buckets,
    score_metric,
)
from tfx_tflite.components.judgement.statistics.resampling import score_evidence

ROWS = 400
GENERATOR = np.random.default_rng(2)
LABELS = GENERATOR.integers(2, size=ROWS)
SCORES = np.clip(GENERATOR.normal(0.35 + 0.3 * LABELS, 0.2), 0, 1)
ROUNDED = np.round(SCORES * 8) / 8
POSITIVE = LABELS == 1


def metric(class_name: str, **config) -> ScoreMetric:
    found = score_metric(ConfiguredMetric(class_name, class_name, config))
    assert found is not None
    return found


def paired(buckets: ScoreBuckets, labels=LABELS, before=SCORES, after=ROUNDED, parts=None):
    scores = PairedScores()
    for rows in parts or [np.arange(len(labels))]:
        scores.merge(
            PairedScores.of(labels[rows], buckets.of(before[rows]), buckets.of(after[rows]))
        )
    return scores


def values(found: ScoreMetric, labels=LABELS) -> tuple[float, float]:
    buckets = score_buckets([found])
    cells = paired(buckets, labels).cells()
    histograms = cells.histograms(cells.counts, buckets.count)
    return found.value(histograms[0], buckets), found.value(histograms[1], buckets)


def test_a_higher_score_is_never_in_a_lower_bucket():
    scores = np.sort(GENERATOR.uniform(-0.1, 1.1, size=5000)).astype(np.float32)
    buckets = ScoreBuckets((0.123, 0.5, 0.50003)).of(scores).astype(int)
    assert (np.diff(buckets) >= 0).all()


@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.5, 0.50003, 1.0])
def test_a_score_is_above_a_threshold_to_the_last_bit(threshold: float):
    buckets = ScoreBuckets((0.0, 0.25, 0.5, 0.50003, 1.0))
    scores = np.array([threshold, np.nextafter(threshold, -1), np.nextafter(threshold, 2)])
    above = buckets.of(scores) >= buckets.first_above(threshold)
    assert above.tolist() == [False, False, True]


def test_a_score_that_is_not_a_number_counts_as_the_lowest():
    buckets = ScoreBuckets((0.5,))
    assert buckets.of(np.array([np.nan])) == 0


def test_the_cells_of_parts_in_any_order_are_those_of_the_whole():
    buckets = ScoreBuckets()
    whole = paired(buckets).cells()
    shuffled = np.array_split(np.random.default_rng(3).permutation(ROWS), 7)
    parts = paired(buckets, parts=shuffled).cells()
    np.testing.assert_array_equal(parts.labels, whole.labels)
    np.testing.assert_array_equal(parts.buckets, whole.buckets)
    np.testing.assert_array_equal(parts.counts, whole.counts)
    assert whole.counts.sum() == ROWS


def test_many_parts_take_no_more_room_than_their_cells():
    buckets = ScoreBuckets()
    scores = PairedScores()
    for _ in range(200):
        scores.merge(PairedScores.of(LABELS, buckets.of(SCORES), buckets.of(ROUNDED)))
    waiting = sum(len(codes) for codes, _ in scores.waiting)
    assert waiting <= 4 * (len(scores.codes) + 1000)
    assert scores.cells().counts.sum() == 200 * ROWS


def test_a_label_between_0_and_1_counts_as_a_share_of_each():
    buckets = ScoreBuckets()
    one = np.array([0.3])
    cells = PairedScores.of(np.array([0.25]), buckets.of(one), buckets.of(one)).cells()
    histogram = cells.histograms(cells.counts, buckets.count)[0]
    assert histogram.sum(axis=1).tolist() == [0.75, 0.25]


@pytest.mark.slow
def test_the_area_under_the_curve_is_the_share_of_pairs_in_order():
    positive, negative = SCORES[POSITIVE], SCORES[~POSITIVE]
    order = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    assert values(metric("AUC"))[0] == pytest.approx(order.mean(), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("class_name", ["AUC", "AUCPrecisionRecall"])
def test_a_curve_is_not_a_number_without_positives(class_name: str):
    assert np.isnan(values(metric(class_name), 0 * LABELS)[0])


@pytest.mark.slow
def test_recall_is_the_share_of_positives_above_the_threshold():
    before, after = values(metric("Recall", thresholds=0.625))
    assert before == np.mean(SCORES[POSITIVE] > 0.625)
    # 0.625 is a score of the rounded model, and not above itself.
    assert after == np.mean(ROUNDED[POSITIVE] > 0.625)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("class_name", "label", "above"),
    [("Recall", 1, True), ("FNR", 1, False), ("Specificity", 0, False), ("FPR", 0, True)],
)
def test_a_share_is_tested_by_the_examples_that_change_sides(class_name, label, above):
    share = metric(class_name)
    buckets = score_buckets([share])
    examples, lost, won = share.disagreements(paired(buckets).cells(), buckets)
    ours = label == LABELS
    before, after = (SCORES > 0.5) == above, (ROUNDED > 0.5) == above
    assert examples == ours.sum()
    assert lost == (ours & before & ~after).sum() and won == (ours & after & ~before).sum()


@pytest.mark.slow
def test_replicates_do_not_depend_on_the_order_and_spread_around_the_value():
    area, precision = metric("AUC"), metric("PrecisionAtRecall", recall=0.8)
    buckets = score_buckets([area, precision])
    found = [
        score_evidence(
            [area, precision], {"AUC": 1, "PrecisionAtRecall": 1}, scores.cells(), buckets
        )
        for scores in (
            paired(buckets),
            paired(buckets, parts=np.array_split(np.random.default_rng(3).permutation(ROWS), 5)),
        )
    ]
    for name in ("AUC", "PrecisionAtRecall"):
        np.testing.assert_array_equal(found[0][name].replicates, found[1][name].replicates)
    replicates = found[0]["AUC"].replicates
    assert replicates[0].mean() == pytest.approx(values(area)[0], abs=0.01)
    # The standard error of Hanley and McNeil (1982) for this area and 200 of each class.
    assert 0.01 < replicates[0].std() < 0.03


@pytest.mark.slow
def test_one_more_mistake_drops_precision_by_one_example_and_an_area_by_nothing_to_speak_of():
    precision, area = metric("Precision"), metric("AUC")
    buckets = score_buckets([precision, area])
    cells = paired(buckets).cells()
    _, quantized = cells.histograms(cells.counts, buckets.count)
    right = (POSITIVE & (ROUNDED > 0.5)).sum()
    predicted = (ROUNDED > 0.5).sum()
    expected = right / predicted - right / (predicted + 1)
    assert precision.one_more_mistake(quantized, buckets, 1) == pytest.approx(expected)
    assert area.one_more_mistake(quantized, buckets, 1) == 0
