"""Confusion, reliability and residuals in any order of the examples, beside scikit-learn."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix

from tfx_tflite.components.digests import example_digest
from tfx_tflite.components.judgement.answer_figures import AnswerFigures, Bins
from tfx_tflite.components.judgement.answer_sums import (
    MOST_CLASSES,
    MOST_COLUMNS,
    MOST_DIFFERING,
    MOST_PAIRS,
    RESIDUAL_BINS,
    AnswerKind,
    AnswerSums,
    NamedExamples,
    answer_sums,
)
from tfx_tflite.components.judgement.metrics.decisions import Decision

ROWS = 400
SEED = np.random.default_rng(14)
CLASSES = AnswerKind(Decision())
BINARY = AnswerKind(Decision(threshold=0.5))
ANSWERS = AnswerKind(Decision(is_output=True))
NUMBERS = AnswerKind(None)


def classified(classes: int, *positions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns labels, a float and a quantized model's probabilities, right more often than not."""
    labels = SEED.integers(classes, size=(ROWS, *positions))
    logits = SEED.normal(size=(ROWS, *positions, classes)) + 2 * np.eye(classes)[labels]
    outputs = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    return labels, outputs, np.round(outputs * 16) / 16


def scored(*shape: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns labels of 0 and 1, and two models' probabilities."""
    labels = SEED.integers(2, size=(ROWS, *shape)).astype(np.float32)
    scores = np.clip(0.3 * labels + SEED.uniform(0, 0.7, labels.shape), 0, 1)
    return labels, scores.astype(np.float32), (np.round(scores * 8) / 8).astype(np.float32)


def figures(kind: AnswerKind, labels, before, after, parts: int = 1) -> AnswerFigures:
    """Returns the figures of examples that come in parts, in another order."""
    order = np.random.default_rng(parts).permutation(len(labels))
    total = AnswerSums()
    for rows in np.array_split(order, parts):
        total.merge(answer_sums(kind, labels[rows], before[rows], after[rows]))
    return total.figures()


DATA = {
    "binary with one output": (BINARY, *scored(1)),
    "multi-class": (CLASSES, *classified(5)),
    "multi-class with many classes": (CLASSES, *classified(MOST_CLASSES + 30)),
    "multi-label": (BINARY, *scored(6)),
    "classes at positions": (CLASSES, *classified(3, 4)),
    "one class of several": (AnswerKind(Decision(threshold=0.4, class_id=2)), *classified(5)),
    "the answer itself": (ANSWERS, SEED.integers(7, size=ROWS), *SEED.integers(7, size=(2, ROWS))),
    "regression of one column": (NUMBERS, *SEED.normal(size=(3, ROWS, 1))),
    "regression of several columns": (NUMBERS, *SEED.normal(size=(3, ROWS, 3))),
    "regression of many columns": (NUMBERS, *SEED.normal(size=(3, ROWS, 40))),
    "labels of very different size": (NUMBERS, *SEED.standard_cauchy(size=(3, ROWS, 1)) ** 5),
}
EVERY_KIND = pytest.mark.parametrize("data", DATA.values(), ids=DATA)


@EVERY_KIND
@pytest.mark.parametrize("parts", [2, 7, 60, ROWS])
def test_parts_in_any_order_give_what_the_whole_gives_to_the_last_bit(data, parts: int):
    assert figures(*data, parts=parts).model_dump_json() == figures(*data).model_dump_json()


@EVERY_KIND
def test_figures_are_few_and_the_same_when_they_are_read_again(data):
    found = figures(*data)
    text = found.model_dump_json()
    assert len(text) < 25_000
    assert AnswerFigures.model_validate_json(text) == found
    assert found.confusion is not None or found.residuals


# --- Classes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["multi-class", "classes at positions"])
def test_the_confusion_is_that_of_scikit_learn(name: str):
    kind, labels, before, after = DATA[name]
    found = figures(kind, labels, before, after).confusion
    for output, counts in ((before, found.float_counts), (after, found.quantized_counts)):
        expected = confusion_matrix(
            labels.ravel(), output.argmax(axis=-1).ravel(), labels=found.classes
        )
        np.testing.assert_array_equal(counts, expected)
    assert found.answers == labels.size and not found.pairs


@pytest.mark.parametrize("name", ["binary with one output", "multi-label"])
def test_the_confusion_of_scores_counts_each_value(name: str):
    kind, labels, before, after = DATA[name]
    found = figures(kind, labels, before, after).confusion
    assert found.classes == (0, 1)
    for output, counts in ((before, found.float_counts), (after, found.quantized_counts)):
        np.testing.assert_array_equal(
            counts, confusion_matrix(labels.ravel(), output.ravel() > 0.5)
        )


def test_the_confusion_of_one_class_goes_by_its_threshold():
    kind, labels, before, after = DATA["one class of several"]
    found = figures(kind, labels, before, after).confusion
    np.testing.assert_array_equal(
        found.float_counts, confusion_matrix(labels == 2, before[:, 2] > 0.4)
    )


def test_one_hot_labels_are_their_classes():
    kind, labels, before, after = DATA["multi-class"]
    one_hot = np.eye(5)[labels]
    assert figures(kind, one_hot, before, after) == figures(kind, labels, before, after)


def test_of_many_classes_the_most_confused_pairs_are_kept():
    kind, labels, before, after = DATA["multi-class with many classes"]
    found = figures(kind, labels, before, after).confusion
    matrices = [confusion_matrix(labels, output.argmax(axis=-1)) for output in (before, after)]
    either = np.maximum(*matrices)
    np.fill_diagonal(either, 0)
    assert found.class_count == MOST_CLASSES + 30 and not found.classes
    assert len(found.pairs) == MOST_PAIRS
    counts = [max(pair.float_count, pair.quantized_count) for pair in found.pairs]
    assert counts == sorted(either.ravel(), reverse=True)[:MOST_PAIRS]
    for pair in found.pairs:
        known = [matrix[pair.label, pair.answer] for matrix in matrices]
        assert [pair.float_count, pair.quantized_count] == known


def test_labels_that_are_ignored_do_not_count():
    _, labels, before, after = DATA["multi-class"]
    kept = labels != 3
    found = figures(AnswerKind(Decision(), ignore_class=3), labels, before, after)
    assert found == figures(CLASSES, labels[kept], before[kept], after[kept])


def test_a_mark_beyond_the_classes_may_be_ignored():
    labels = np.array([0, 255, 1])
    outputs = np.eye(2)[[0, 1, 1]]
    found = figures(AnswerKind(Decision(), ignore_class=255), labels, outputs, outputs)
    assert found.confusion.float_counts == ((1, 0), (0, 1))


# --- Probabilities --------------------------------------------------------------------------------


def curve(bins) -> tuple[list[float], list[float]]:
    return [bin_.share for bin_ in bins], [bin_.probability for bin_ in bins]


@pytest.mark.parametrize("name", ["binary with one output", "multi-label"])
def test_the_reliability_of_scores_is_that_of_scikit_learn(name: str):
    kind, labels, before, after = DATA[name]
    found = figures(kind, labels, before, after).reliability
    assert found.of == "positive"
    for output, bins in ((before, found.float_bins), (after, found.quantized_bins)):
        expected = calibration_curve(labels.ravel(), output.ravel(), n_bins=10)
        np.testing.assert_allclose(curve(bins), expected, rtol=1e-7)


@pytest.mark.parametrize("name", ["multi-class", "classes at positions"])
def test_the_reliability_of_classes_is_that_of_the_most_likely_one(name: str):
    kind, labels, before, after = DATA[name]
    found = figures(kind, labels, before, after).reliability
    assert found.of == "answer"
    for output, bins in ((before, found.float_bins), (after, found.quantized_bins)):
        right = (output.argmax(axis=-1) == labels).ravel()
        expected = calibration_curve(right, output.max(axis=-1).ravel(), n_bins=10)
        np.testing.assert_allclose(curve(bins), expected, rtol=1e-7)
        assert sum(bin_.answers for bin_ in bins) == labels.size


def test_outputs_that_are_no_probabilities_have_no_reliability():
    labels, before, after = classified(5)
    logits = [np.log(output + 1e-3) for output in (before, after)]
    found = figures(CLASSES, labels, *logits)
    assert found.reliability is None and found.confusion is not None
    assert figures(*DATA["the answer itself"]).reliability is None


def test_one_output_that_is_no_probability_is_enough():
    labels, before, after = scored(1)
    after = after.copy()
    after[7] = 1.5
    assert figures(BINARY, labels, before, after, parts=9).reliability is None


# --- Numbers --------------------------------------------------------------------------------------


def edges(bins: Bins) -> np.ndarray:
    return bins.start + bins.width * np.arange(bins.count + 1)


def assert_are_histograms(found, labels, before, after) -> None:
    for output, counts in ((before, found.float_counts), (after, found.quantized_counts)):
        expected, _, _ = np.histogram2d(
            labels, output - labels, bins=[edges(found.labels), edges(found.residuals)]
        )
        np.testing.assert_array_equal(counts, expected)
    assert RESIDUAL_BINS / 2 <= found.labels.count <= RESIDUAL_BINS
    assert RESIDUAL_BINS / 2 <= found.residuals.count <= RESIDUAL_BINS


def test_residuals_of_each_column_are_histograms_of_numpy():
    kind, labels, before, after = DATA["regression of several columns"]
    found = figures(kind, labels, before, after).residuals
    assert [plot.column for plot in found] == [0, 1, 2]
    for plot in found:
        columns = (values[:, plot.column] for values in (labels, before, after))
        assert_are_histograms(plot, *columns)


def test_the_residuals_of_one_column_need_no_number():
    kind, *values = DATA["regression of one column"]
    [found] = figures(kind, *values).residuals
    assert (found.column, found.columns) == (None, 1)
    assert_are_histograms(found, *(part.ravel() for part in values))


def test_the_residuals_of_many_columns_are_counted_together():
    kind, *values = DATA["regression of many columns"]
    [found] = figures(kind, *values).residuals
    assert (found.column, found.columns) == (None, 40) and found.columns > MOST_COLUMNS
    assert_are_histograms(found, *(part.ravel() for part in values))


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_numbers_of_any_size_have_bins(scale: float):
    labels, before, after = scale * SEED.normal(size=(3, ROWS))
    [found] = figures(NUMBERS, labels, before, after, parts=5).residuals
    assert_are_histograms(found, labels, before, after)


def test_a_model_that_is_always_right_has_one_bin_of_residuals():
    labels = SEED.normal(size=ROWS)
    [found] = figures(NUMBERS, labels, labels, labels, parts=3).residuals
    assert found.residuals.count == 1 and sum(map(sum, found.float_counts)) == ROWS


def test_labels_that_are_all_equal_have_one_bin():
    labels = np.full(ROWS, 12.5)
    [found] = figures(NUMBERS, labels, labels + 1, labels - 1, parts=3).residuals
    assert found.labels.count == 1
    assert found.labels.start <= 12.5 < found.labels.end


def test_values_that_are_not_finite_are_left_out():
    labels, before, after = SEED.normal(size=(3, ROWS))
    after = after.copy()
    after[3] = np.inf
    [found] = figures(NUMBERS, labels, before, after).residuals
    assert sum(map(sum, found.float_counts)) == ROWS - 1


def test_outputs_of_different_sizes_are_counted_together():
    parts = [SEED.normal(size=(3, 5, columns)) for columns in (2, 3, 40, 2)]
    found = []
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2]):
        total = AnswerSums()
        for index in order:
            total.merge(answer_sums(NUMBERS, *parts[index]))
        found.append(total.figures())
    assert found[0] == found[1] == found[2]
    [plot] = found[0].residuals
    assert sum(map(sum, plot.float_counts)) == 5 * (2 + 3 + 40 + 2)


# --- Examples to look at --------------------------------------------------------------------------


def named(rows: np.ndarray, positions: np.ndarray | None = None) -> NamedExamples:
    """Returns the names of some examples."""
    digests = [example_digest(b"example %d" % row) for row in rows]
    return NamedExamples(digests, rows if positions is None else positions)


def differing(kind: AnswerKind, labels, before, after, parts: int = 1):
    """Returns the examples that differ most of examples that come in parts, in another order."""
    order = np.random.default_rng(parts).permutation(len(labels))
    total = AnswerSums()
    for rows in np.array_split(order, parts):
        total.merge(answer_sums(kind, labels[rows], before[rows], after[rows], named(rows)))
    return total.differing_most()


@EVERY_KIND
@pytest.mark.parametrize("parts", [2, 60, ROWS])
def test_the_examples_that_differ_most_are_the_same_in_any_order(data, parts: int):
    whole = differing(*data)
    assert differing(*data, parts=parts) == whole
    assert 0 < len(whole) <= MOST_DIFFERING


def test_examples_that_only_the_float_model_answers_rightly_come_first():
    kind, labels, before, after = DATA["multi-class"]
    found = differing(kind, labels, before, after)
    turned = (before.argmax(axis=1) == labels) & (after.argmax(axis=1) != labels)
    count = min(int(turned.sum()), MOST_DIFFERING)
    assert [example.is_turned for example in found] == [True] * count + [False] * (
        len(found) - count
    )
    for example in found:
        row = example.position
        assert example.digest == example_digest(b"example %d" % row).hex()
        assert example.difference == np.abs(before[row] - after[row]).max()
        assert (example.label, example.before, example.after) == (
            labels[row],
            before[row].argmax(),
            after[row].argmax(),
        )
        assert example.is_turned == turned[row]


def test_of_a_regression_the_largest_differences_are_kept():
    kind, labels, before, after = DATA["regression of one column"]
    found = differing(kind, labels, before, after)
    largest = sorted(np.abs(before - after).ravel(), reverse=True)[:MOST_DIFFERING]
    assert [example.difference for example in found] == largest
    assert not any(example.is_turned for example in found)


@pytest.mark.parametrize("parts", [1, 7])
def test_of_examples_that_differ_as_much_the_lowest_digests_are_kept_each_once(parts: int):
    kind, labels, outputs, _ = DATA["regression of one column"]
    before = np.zeros_like(outputs)
    found = AnswerSums()
    order = np.random.default_rng(parts).permutation(np.repeat(np.arange(ROWS), 2))
    places = np.arange(len(order))
    for part in np.array_split(places, parts):
        rows = order[part]
        found.merge(
            answer_sums(kind, labels[rows], before[rows], before[rows] + 1, named(rows, part))
        )
    digests = sorted(digest.hex() for digest in named(np.arange(ROWS)).digests)
    kept = found.differing_most()
    assert [example.digest for example in kept] == digests[:MOST_DIFFERING]
    # Of two that are the same it is the first.
    for example in kept:
        assert example.position == np.argmax(order == order[example.position])


def test_examples_of_unknown_place_and_equal_outputs_are_not_kept():
    kind, labels, before, after = DATA["multi-class"]
    somewhere, nowhere = named(np.arange(ROWS)), named(np.arange(ROWS), np.full(ROWS, -1))
    assert not answer_sums(kind, labels, before, after, nowhere).differing_most()
    assert not answer_sums(kind, labels, before, after).differing_most()
    assert not answer_sums(kind, labels, before, before, somewhere).differing_most()


# --- What has no figures --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        (CLASSES, None),
        (CLASSES, np.array(["a"] * 4)),
        (CLASSES, np.zeros((4, 3))),
        (NUMBERS, np.zeros((4, 3))),
        (BINARY, np.zeros((4, 3))),
        (ANSWERS, np.zeros((4, 3))),
    ],
)
def test_labels_that_do_not_fit_have_no_figures(kind: AnswerKind, labels):
    outputs = np.full((4, 2), 0.5)
    assert answer_sums(kind, labels, outputs, outputs).figures() == AnswerFigures()


def test_no_examples_have_no_figures():
    for kind in (CLASSES, BINARY, ANSWERS, NUMBERS):
        nothing = np.zeros((0, 2))
        assert answer_sums(kind, np.zeros((0, 2)), nothing, nothing).figures() == AnswerFigures()
