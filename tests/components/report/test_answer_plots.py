"""The plots of a report's answers: where their marks go, and what they say in words."""

# ruff: noqa: RUF001 - the signs that the page is set in are not those of a keyboard

import pytest

from tests.components.report.reports import BINARY, REFUSED, REGRESSION, SEVERAL_OUTPUTS, varied
from tfx_tflite.components.judgement.answer_figures import (
    AnswerFigures,
    Bins,
    ConfusedPair,
    Confusion,
    Reliability,
    ReliabilityBin,
    Residuals,
)
from tfx_tflite.components.report.answer_plots import SquareScale, answer_plots, class_name

TWO = Confusion(
    answers=100,
    class_count=2,
    classes=(0, 1),
    float_counts=((60, 0), (4, 36)),
    quantized_counts=((58, 2), (5, 35)),
    names={0: "cat", 1: "dog"},
)


def matrices(confusion: Confusion):
    return answer_plots(AnswerFigures(confusion=confusion)).matrices


def test_a_matrix_has_a_cell_for_each_pair_that_occurs():
    before, after = matrices(TWO)
    assert [cell.answers for cell in before.cells] == [60, 4, 36]
    assert [cell.answers for cell in after.cells] == [58, 2, 5, 35]
    assert [cell.is_right for cell in after.cells] == [True, False, False, True]


def test_a_label_is_a_row_and_an_answer_a_column():
    _, after = matrices(TWO)
    wrong = next(cell for cell in after.cells if cell.answers == 2)
    assert (wrong.x, wrong.y) == (after.left + after.size, 0)


def test_cells_are_as_strong_as_their_share_of_the_row_and_text_stands_out():
    _, after = matrices(TWO)
    strengths = [cell.opacity for cell in sorted(after.cells, key=lambda cell: cell.answers)]
    assert strengths == sorted(strengths) and strengths[0] > 0 and strengths[-1] <= 0.4


def test_a_matrix_says_in_words_how_many_are_right_and_what_is_confused_most():
    before, after = matrices(TWO)
    assert before.label == (
        "Confusion matrix of the float model: 96 of 100 answers are right; most often 1 dog is "
        "taken for 0 cat, 4 times."
    )
    assert "93 of 100 answers are right" in after.label


def test_a_matrix_without_a_mistake_says_no_more():
    perfect = varied(TWO, float_counts=((60, 0), (0, 40)))
    assert matrices(perfect)[0].label.endswith("100 of 100 answers are right.")


def test_classes_are_called_by_number_and_name():
    assert class_name(TWO, 1) == "1 dog"
    assert class_name(varied(TWO, names={}), 1) == "1"


def test_long_names_are_cut_and_have_more_room():
    [plain, *_] = matrices(varied(TWO, names={}))
    [named, *_] = matrices(varied(TWO, names={0: "x" * 500, 1: "y"}))
    assert named.left == SquareScale.NAMES > plain.left
    assert all(len(mark.text) <= 14 for mark in named.rows)


def test_too_many_classes_have_no_matrix_but_pairs():
    pair = ConfusedPair(label=3, answer=700, float_count=1, quantized_count=9)
    many = Confusion(answers=100, class_count=1000, pairs=(pair,))
    plots = answer_plots(AnswerFigures(confusion=many))
    assert plots.matrices == () and plots.confusion.pairs == (pair,)


def test_the_mean_gap_of_probabilities_weighs_by_answers():
    bins = (
        ReliabilityBin(lower=0.5, upper=0.6, answers=30, probability=0.55, share=0.45),
        ReliabilityBin(lower=0.9, upper=1.0, answers=10, probability=0.95, share=0.93),
    )
    known = Reliability(of="answer", float_bins=bins, quantized_bins=bins[1:])
    before, after = answer_plots(AnswerFigures(reliability=known)).reliability
    assert before.gap == pytest.approx((30 * 0.10 + 10 * 0.02) / 40)
    assert after.gap == pytest.approx(0.02)
    (x, y, large), (_, _, small) = before.points
    assert (x, y) == (SquareScale.LEFT + 110.0, 110.0) and large > small


def test_residuals_have_the_line_of_zero_where_it_is():
    bins = Bins(start=-1.0, width=0.5, count=6)
    known = Residuals(
        labels=Bins(start=0, width=1, count=2),
        residuals=bins,
        float_counts=((0, 0, 9, 0, 0, 0), (0, 0, 0, 0, 0, 0)),
        quantized_counts=((0, 0, 0, 1, 0, 0), (4, 0, 0, 0, 0, 0)),
    )
    [pair] = answer_plots(AnswerFigures(residuals=(known,))).residuals
    before, after = pair.plots
    assert pair.title == ""
    assert before.zero == after.zero == pytest.approx(200 * 2 / 3, abs=0.1)
    assert (before.lowest, before.highest, before.first, before.last) == ("−1", "2", "0", "2")
    assert [shade.opacity for shade in before.shades] == [1.0]
    assert [shade.opacity for shade in after.shades] == [0.5, 1.0]


def test_residuals_that_are_all_above_zero_have_no_line():
    known = Residuals(
        labels=Bins(start=0, width=1, count=1),
        residuals=Bins(start=5.0, width=1, count=1),
        float_counts=((1,),),
        quantized_counts=((1,),),
    )
    assert answer_plots(AnswerFigures(residuals=(known,))).residuals[0].plots[0].zero is None


@pytest.mark.parametrize(
    ("column", "columns", "title"),
    [
        (None, 1, ""),
        (2, 3, "Value 2 of 3, from 0"),
        (None, 640, "All 640 values of the output together"),
    ],
)
def test_residuals_say_of_which_values_they_are(column, columns, title):
    [known] = REGRESSION.answers.residuals
    known = varied(known, column=column, columns=columns)
    assert answer_plots(AnswerFigures(residuals=(known,))).residuals[0].title == title


def test_a_report_without_answers_has_no_plots():
    plots = answer_plots(None)
    assert not plots.matrices and plots.confusion is None
    assert not plots.reliability and not plots.residuals


@pytest.mark.parametrize(
    ("report", "classes", "of_answers"), [(REFUSED, 10, True), (BINARY, 2, False)]
)
def test_real_classifiers_have_matrices_and_reliability(report, classes, of_answers):
    plots = answer_plots(report.answers)
    assert [len(matrix.rows) for matrix in plots.matrices] == [classes, classes]
    assert plots.confusion.answers == report.examples
    assert len(plots.reliability) == 2 and plots.of_answers == of_answers
    assert not plots.residuals


def test_a_real_regression_has_residuals_of_all_examples():
    plots = answer_plots(REGRESSION.answers)
    assert plots.confusion is None and not plots.reliability and len(plots.residuals) == 1
    [known] = REGRESSION.answers.residuals
    assert sum(map(sum, known.float_counts)) == REGRESSION.examples


def test_of_several_outputs_each_has_its_own():
    digit, value = (answer_plots(part.answers) for part in SEVERAL_OUTPUTS.by_output)
    assert digit.matrices and not digit.residuals
    assert value.residuals and not value.matrices
