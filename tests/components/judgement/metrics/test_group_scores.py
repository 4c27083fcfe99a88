"""Scores of whole files, and the metrics of them, against scikit-learn."""

import numpy as np
import pyarrow as pa
import pytest
import sklearn.metrics as sk

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples.tensors import POSITION_COLUMN, RAW_RECORD_COLUMN
from tfx_tflite.components.judgement.comparison import CompareOutputs, Comparison
from tfx_tflite.components.judgement.metrics.configured import ConfiguredMetric
from tfx_tflite.components.judgement.metrics.group_metrics import is_of_groups
from tfx_tflite.components.judgement.metrics.group_scores import (
    GroupScores,
    ScoreSums,
    example_scores,
)
from tfx_tflite.components.judgement.metrics.groups import FixedPoint, Grouping
from tfx_tflite.components.judgement.metrics.score_metrics import ScoreMetric, score_metric
from tfx_tflite.components.judgement.metrics.targets import Aggregate
from tfx_tflite.components.judgement.output_differences import ComparedBatch

ROWS, FILES = 600, 80
RNG = np.random.default_rng(1)
FILE = RNG.integers(FILES, size=ROWS)
LABELS = RNG.integers(2, size=FILES).astype(np.float64)
# Steps of an eighth, so that files tie, far beyond 1.
BEFORE = RNG.integers(40, size=ROWS) / 8 + 2 * LABELS[FILE]
AFTER = np.round(BEFORE)
KIND = RNG.integers(2, size=ROWS)


def batch_of(rows: np.ndarray) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [
            pa.array([[f"file {FILE[row]}".encode()] for row in rows]),
            pa.array([[int(KIND[row])] for row in rows]),
            pa.array([[b"record"] for _ in rows]),
            pa.array([[int(row)] for row in rows]),
        ],
        ["file", "kind", RAW_RECORD_COLUMN, POSITION_COLUMN],
    )


def compare(
    parts: list[np.ndarray], reduce: str = "mean", labels: np.ndarray | None = None
) -> Comparison:
    labels = LABELS[FILE] if labels is None else labels
    sums = ScoreSums(
        Aggregate(by="file", score="mean_squared_error", reduce=reduce), FixedPoint.near(3.0)
    )
    one = CompareOutputs([], [(), ("kind",)], None, grouping=Grouping("file"), score_sums=sums)
    found = []
    for rows in parts:
        outputs = np.zeros((len(rows), 4))
        scores = (BEFORE[rows], AFTER[rows])
        batch = ComparedBatch(
            batch_of(rows), labels[rows][:, None], outputs, outputs, scores=scores
        )
        found.append(one.add_input(one.create_accumulator(), batch))
    return one.extract_output(one.merge_accumulators(found))


def reduced(scores: np.ndarray, reduce: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns labels and scores of the files that some examples are of."""
    files = np.unique(FILE[rows])
    of_file = getattr(np, reduce)
    return LABELS[files], np.array([of_file(scores[rows & (file == FILE)]) for file in files])


@pytest.mark.parametrize("reduce", ["mean", "max"])
@pytest.mark.parametrize("kind", [None, 1])
@pytest.mark.parametrize("parts", [1, 9])
def test_a_files_score_is_that_of_its_examples_in_a_slice(parts: int, kind, reduce: str):
    rows = np.random.default_rng(parts).permutation(ROWS)
    found = compare(np.array_split(rows, parts), reduce)
    key = () if kind is None else (("kind", kind),)
    own = np.ones(ROWS, bool) if kind is None else kind == KIND
    scores = found.group_scores[key]
    assert found.groups[key] == len(np.unique(FILE[own]))
    for model, values in enumerate((BEFORE, AFTER)):
        labels, expected = reduced(values, reduce, own)
        pairs = zip(scores.labels, scores.scores[model], strict=True)
        np.testing.assert_allclose(
            sorted(pairs), sorted(zip(labels, expected, strict=True)), rtol=1e-14
        )


def test_files_are_the_same_to_the_last_bit_in_any_order():
    whole = compare([np.arange(ROWS)]).group_scores[()]
    for count in (3, ROWS):
        rows = np.random.default_rng(count).permutation(ROWS)
        parts = compare(np.array_split(rows, count)).group_scores[()]
        assert parts.scores.tobytes() == whole.scores.tobytes()
        assert parts.labels.tobytes() == whole.labels.tobytes()


def test_a_file_of_two_labels_is_named_with_both():
    labels = LABELS[FILE].copy()
    row = int(np.flatnonzero(FILE == 7)[0])
    labels[row] = 1 - labels[row]
    with pytest.raises(DataError, match=r"group 'file 7' of 'file' .*label 0 in some.*label 1 in"):
        compare([np.arange(300), np.arange(300, ROWS)], labels=labels)


@pytest.mark.parametrize(
    ("kind", "function"),
    [
        ("mean_squared_error", sk.mean_squared_error),
        ("mean_absolute_error", sk.mean_absolute_error),
    ],
)
def test_an_examples_score_is_its_error(kind, function):
    outputs, target = RNG.normal(size=(5, 2, 3)).astype(np.float32), RNG.normal(size=(5, 6))
    found = example_scores(kind, outputs, target)
    expected = [function(t, o.ravel()) for o, t in zip(outputs, target, strict=True)]
    assert found == pytest.approx(expected)
    assert example_scores("output", outputs[:, :1, :1], None).tolist() == outputs[:, 0, 0].tolist()


@pytest.mark.parametrize(
    ("class_name", "settings", "of_error", "of_output"),
    [
        ("AUC", {}, True, True),
        ("AUCPrecisionRecall", {}, True, True),
        ("AUC", {"class_id": 1}, False, False),
        ("Recall", {}, False, True),
        ("F1Score", {"thresholds": 0.4}, False, True),
        ("SparseCategoricalAccuracy", {}, False, False),
        ("MeanSquaredError", {}, False, False),
    ],
)
def test_which_metrics_are_of_files(class_name, settings, of_error: bool, of_output: bool):
    error, output = (
        Aggregate(by="file", score=score) for score in ("mean_squared_error", "output")
    )
    assert is_of_groups(class_name, settings, error) == of_error
    assert is_of_groups(class_name, settings, output) == of_output


# --- Against scikit-learn -------------------------------------------------------------------------


def metric(class_name: str, **settings: object) -> ScoreMetric:
    found = score_metric(ConfiguredMetric(class_name, class_name, settings))
    assert found is not None
    return found


@pytest.mark.slow
@pytest.mark.parametrize("size", [3, 50, 30_000])
@pytest.mark.parametrize("levels", [2, 7, 10**9])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e12])
def test_an_auc_of_scores_of_any_size_is_scikit_learns(size: int, levels: int, scale: float):
    rng = np.random.default_rng(size + levels)
    labels = rng.integers(2, size=size).astype(np.float64)
    labels[:2] = 0, 1
    scores = (rng.integers(levels, size=(2, size)) - levels / 3) * scale + labels
    cells, ranks = GroupScores(labels, scores).ranked()
    found = [
        metric("AUC").value(histograms, ranks)
        for histograms in cells.histograms(cells.counts, ranks.count)
    ]
    expected = [sk.roc_auc_score(labels, row) for row in scores]
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.slow
def test_a_share_of_files_is_scikit_learns_of_probabilities():
    from tfx_tflite.components.judgement.metrics.score_metrics import score_buckets

    labels, scores = LABELS, np.clip(RNG.normal(0.3 + 0.4 * LABELS, 0.2, (2, FILES)), 0, 1)
    recall = metric("Recall", thresholds=0.4)
    buckets = score_buckets([recall])
    cells = GroupScores(labels, scores).bucketed(buckets)
    found = [recall.value(one, buckets) for one in cells.histograms(cells.counts, buckets.count)]
    assert found == pytest.approx([sk.recall_score(labels, row > 0.4) for row in scores])
