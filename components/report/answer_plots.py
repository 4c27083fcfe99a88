"""Plots of how two models answer beside the labels: where each mark goes, and the same in words."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tfx_tflite.components.judgement.answer_figures import (
    AnswerFigures,
    Confusion,
    Counts,
    Reliability,
    ReliabilityBin,
    Residuals,
)
from tfx_tflite.components.report.wording import clip, count, counted, number, percent

_NAME_CHARACTERS = 14
# With more classes the counts would be too small to be read.
_MOST_COUNTED_CLASSES = 12
# Up to this opacity text stands out from the colours in both themes.
_STRONGEST = 0.4
_SHADES = 8


class SquareScale:
    """The units of a plot of `SIZE` by `SIZE`, with room for what stands at its left and below."""

    SIZE = 200.0
    LEFT = 34.0
    BELOW = 18.0
    NAMES = 76.0


@dataclass(frozen=True)
class MatrixCell:
    """A cell of a confusion matrix, in the units of `SquareScale`.

    Attributes:
        x: Its left edge.
        y: Its upper edge.
        answers: How many answers it has.
        is_right: Whether they are right.
        opacity: How strong its colour is.
    """

    x: float
    y: float
    answers: int
    is_right: bool
    opacity: float


@dataclass(frozen=True)
class Mark:
    """A name of a row or a column, and where its middle is."""

    place: float
    text: str


@dataclass(frozen=True)
class Matrix:
    """One model's confusion matrix.

    Attributes:
        title: Which model's.
        cells: Those that have answers.
        size: How wide and how high a cell is.
        rows: The labels.
        columns: The answers.
        left: How much room the names of the rows take.
        shows_counts: Whether there is room for the number of answers in each cell.
        label: The plot in words.
    """

    title: str
    cells: tuple[MatrixCell, ...]
    size: float
    rows: tuple[Mark, ...]
    columns: tuple[Mark, ...]
    left: float
    shows_counts: bool
    label: str


@dataclass(frozen=True)
class ReliabilityPlot:
    """How often what one model gives a probability comes true.

    Attributes:
        title: Which model's.
        points: The (x, y, radius) of each bin; the larger the more answers it has.
        path: The line through them.
        gap: The mean distance of probability and share, weighted by answers.
        label: The plot in words.
    """

    title: str
    points: tuple[tuple[float, float, float], ...]
    path: str
    gap: float
    label: str


@dataclass(frozen=True)
class Shade:
    """Cells of one shade, as an SVG path."""

    opacity: float
    path: str


@dataclass(frozen=True)
class ResidualPlot:
    """One model's residuals beside the labels.

    Attributes:
        title: Which model's.
        shades: The cells.
        zero: Where the residual is 0; None if that is outside.
        lowest: The lowest residual, as text.
        highest: The highest one.
        first: The lowest label.
        last: The highest one.
        label: The plot in words.
    """

    title: str
    shades: tuple[Shade, ...]
    zero: float | None
    lowest: str
    highest: str
    first: str
    last: str
    label: str


@dataclass(frozen=True)
class ResidualPair:
    """Both models' residuals of one value of an output, or of all."""

    title: str
    plots: tuple[ResidualPlot, ...]


@dataclass(frozen=True)
class AnswerPlots:
    """The plots of one output; what there is nothing of is empty.

    Attributes:
        matrices: The float and the quantized model's confusion matrix.
        confusion: What they are of, also if there are too many classes for a matrix.
        reliability: Both models' reliability.
        of_answers: Whether the probabilities are of the most likely classes.
        residuals: Both models' residuals.
    """

    matrices: tuple[Matrix, ...] = ()
    confusion: Confusion | None = None
    reliability: tuple[ReliabilityPlot, ...] = ()
    of_answers: bool = False
    residuals: tuple[ResidualPair, ...] = ()


def answer_plots(answers: AnswerFigures | None) -> AnswerPlots:
    """Returns the plots of the answers to one output."""
    if answers is None:
        return AnswerPlots()
    reliability = answers.reliability
    return AnswerPlots(
        matrices=_matrices(answers.confusion),
        confusion=answers.confusion,
        reliability=_reliability_plots(reliability),
        of_answers=reliability is not None and reliability.of == "answer",
        residuals=tuple(map(_residual_pair, answers.residuals)),
    )


# --- Confusion ------------------------------------------------------------------------------------


def class_name(confusion: Confusion, number_: int) -> str:
    """Returns what a class is called: its number, and its name if the vocabulary has one."""
    name = confusion.names.get(number_)
    return str(number_) if name is None else f"{number_} {name}"


def _matrices(confusion: Confusion | None) -> tuple[Matrix, ...]:
    if confusion is None or not confusion.classes:
        return ()
    both = (("Float", confusion.float_counts), ("Quantized", confusion.quantized_counts))
    return tuple(_matrix(confusion, title, counts) for title, counts in both)


def _matrix(confusion: Confusion, title: str, counts: Counts) -> Matrix:
    classes = confusion.classes
    size = round(SquareScale.SIZE / len(classes), 2)
    names = [clip(class_name(confusion, number_), _NAME_CHARACTERS) for number_ in classes]
    left = SquareScale.NAMES if any(len(name) > 4 for name in names) else SquareScale.LEFT
    middles = [round((index + 0.5) * size, 1) for index in range(len(classes))]
    return Matrix(
        title=title,
        cells=tuple(_cells(counts, size, left)),
        size=size,
        rows=tuple(map(Mark, middles, names)),
        columns=tuple(
            Mark(round(left + at, 1), str(n)) for at, n in zip(middles, classes, strict=True)
        ),
        left=left,
        shows_counts=len(classes) <= _MOST_COUNTED_CLASSES,
        label=_matrix_label(confusion, title, counts),
    )


def _cells(counts: Counts, size: float, left: float) -> Iterable[MatrixCell]:
    for row, answers in enumerate(counts):
        total = sum(answers)
        for column, found in enumerate(answers):
            if found:
                yield MatrixCell(
                    x=round(left + column * size, 1),
                    y=round(row * size, 1),
                    answers=found,
                    is_right=row == column,
                    # The root, so that few mistakes are seen as well.
                    opacity=round(0.06 + (_STRONGEST - 0.06) * math.sqrt(found / total), 2),
                )


def _matrix_label(confusion: Confusion, title: str, counts: Counts) -> str:
    right = sum(counts[index][index] for index in range(len(counts)))
    said = (
        f"Confusion matrix of the {title.lower()} model: {count(right)} of "
        f"{counted(confusion.answers, 'answer', 'answers')} are right"
    )
    mistakes = {
        (row, column): found
        for row, answers in enumerate(counts)
        for column, found in enumerate(answers)
        if found and row != column
    }
    if not mistakes:
        return f"{said}."
    row, column = max(mistakes, key=mistakes.__getitem__)
    label, answer = (
        clip(class_name(confusion, confusion.classes[place]), _NAME_CHARACTERS)
        for place in (row, column)
    )
    times = counted(mistakes[row, column], "time", "times")
    return f"{said}; most often {label} is taken for {answer}, {times}."


# --- Reliability ----------------------------------------------------------------------------------


def _reliability_plots(reliability: Reliability | None) -> tuple[ReliabilityPlot, ...]:
    if reliability is None:
        return ()
    both = (("Float", reliability.float_bins), ("Quantized", reliability.quantized_bins))
    return tuple(_reliability_plot(title, bins) for title, bins in both)


def _reliability_plot(title: str, bins: Sequence[ReliabilityBin]) -> ReliabilityPlot:
    total = sum(bin_.answers for bin_ in bins)
    points = tuple(
        (
            round(SquareScale.LEFT + SquareScale.SIZE * bin_.probability, 1),
            round(SquareScale.SIZE * (1 - bin_.share), 1),
            round(2.5 + 6 * math.sqrt(bin_.answers / total), 1),
        )
        for bin_ in bins
    )
    gap = sum(bin_.answers * abs(bin_.share - bin_.probability) for bin_ in bins) / total
    ends = f"{number(bins[0].lower)} to {number(bins[-1].upper)}"
    return ReliabilityPlot(
        title=title,
        points=points,
        path="M" + "L".join(f"{x} {y}" for x, y, _ in points),
        gap=gap,
        label=f"Of the {title.lower()} model's probabilities from {ends} what came true differs "
        f"by {percent(round(gap, 5))} on average; of {count(bins[-1].answers)} at the highest "
        f"ones, {percent(round(bins[-1].share, 4))} came true.",
    )


# --- Residuals ------------------------------------------------------------------------------------


def _residual_pair(residuals: Residuals) -> ResidualPair:
    if residuals.column is not None:
        title = f"Value {residuals.column} of {residuals.columns}, from 0"
    elif residuals.columns > 1:
        title = f"All {count(residuals.columns)} values of the output together"
    else:
        title = ""
    both = (("Float", residuals.float_counts), ("Quantized", residuals.quantized_counts))
    return ResidualPair(
        title, tuple(_residual_plot(residuals, name, counts) for name, counts in both)
    )


def _residual_plot(residuals: Residuals, title: str, counts: Counts) -> ResidualPlot:
    labels, differences = residuals.labels, residuals.residuals
    zero = SquareScale.SIZE * differences.end / (differences.end - differences.start)
    ends = (differences.start, differences.end, labels.start, labels.end)
    lowest, highest, first, last = map(number, ends)
    return ResidualPlot(
        title=title,
        shades=tuple(_shades(residuals, counts)),
        zero=round(zero, 1) if 0 <= zero <= SquareScale.SIZE else None,
        lowest=lowest,
        highest=highest,
        first=first,
        last=last,
        label=f"Residuals of the {title.lower()} model from {lowest} to {highest} beside labels "
        f"from {first} to {last}: {percent(_within_a_tenth(residuals, counts))} of the values are "
        "within a tenth of that height from 0.",
    )


def _shades(residuals: Residuals, counts: Counts) -> Iterable[Shade]:
    """Yields the cells by their shade, so that the page stays small."""
    width = SquareScale.SIZE / residuals.labels.count
    height = SquareScale.SIZE / residuals.residuals.count
    highest = max((found for row in counts for found in row), default=0)
    paths: dict[int, list[str]] = {}
    for row, answers in enumerate(counts):
        for column, found in enumerate(answers):
            if found:
                shade = math.ceil(_SHADES * math.sqrt(found / highest))
                x = SquareScale.LEFT + row * width
                y = SquareScale.SIZE - (column + 1) * height
                paths.setdefault(shade, []).append(
                    f"M{x:.1f} {y:.1f}h{width:.1f}v{height:.1f}h-{width:.1f}z"
                )
    for shade, parts in sorted(paths.items()):
        yield Shade(round(shade / _SHADES, 2), "".join(parts))


def _within_a_tenth(residuals: Residuals, counts: Counts) -> float:
    """Returns which share of the values has a residual that is small beside the plot's height."""
    bins = residuals.residuals
    reach = (bins.end - bins.start) / 10
    near = total = 0
    for row in counts:
        for column, found in enumerate(row):
            middle = bins.start + (column + 0.5) * bins.width
            near += found * (abs(middle) <= reach)
            total += found
    return round(near / total, 4) if total else 0.0
