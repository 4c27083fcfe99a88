"""Counts of what two models answer beside the labels, which merge in any order to the same figures.

All counts are whole numbers, so that no order of the examples rounds them differently.

Only NumPy and pydantic are imported here, because workers import this module.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.judgement.answer_figures import (
    AnswerFigures,
    Bins,
    ConfusedPair,
    Confusion,
    Counts,
    Reliability,
    ReliabilityBin,
    Residuals,
)
from tfx_tflite.components.judgement.metrics.catalog import LabelKind
from tfx_tflite.components.judgement.metrics.decisions import Decision
from tfx_tflite.components.judgement.metrics.label_kinds import laid_out

# With more classes only the pairs that are confused most often are kept.
MOST_CLASSES = 20
MOST_PAIRS = 20
# So many examples are kept to be looked at.
MOST_DIFFERING = 12
RELIABILITY_BINS = 10
# Along each axis of a plot of residuals there are more than half as many bins, if values differ.
RESIDUAL_BINS = 24
# Of an output with more values the residuals are counted together.
MOST_COLUMNS = 4

# Probabilities are added up in steps of 2**-32: exactly, and to more digits than float32 has.
_STEPS = 2.0**32
# How far the float model's probabilities of the classes may miss 1. The quantized model's may miss
# it by any number of steps of 1/256, one a class.
_NEAR_ONE = 0.05
# A bin is no narrower than this share of the largest value, so that its number fits an integer.
_LEAST_SHARE_EXPONENT = -40
_LEAST_EXPONENT = -1074
# Up to so many pairs of classes, or of bins, are counted in an array, more by sorting.
_MOST_CODES = 1 << 16
_MODELS = 2

# (label, answer) to how often.
_Pairs = Counter[tuple[int, int]]
# (bin of the label, bin of the residual) to how often.
_Cells = Counter[tuple[int, int]]


class Differing(NamedTuple):
    """An example whose outputs differ.

    Attributes:
        difference: The largest absolute difference of its output's values.
        digest: Its name.
        position: Where it is in the split; of copies, where the first is.
        label: Its label; of several the first.
        before: What the float model answers.
        after: What the quantized model answers.
        is_turned: Whether the float model is right and the quantized model is not.
    """

    difference: float
    digest: str
    position: int
    label: float
    before: float
    after: float
    is_turned: bool


@dataclass(frozen=True)
class NamedExamples:
    """What the examples of a batch are called.

    Attributes:
        digests: Their names.
        positions: Where they are in the split, shape (n,); -1 of one that is not to be shown.
    """

    digests: Sequence[bytes]
    positions: Array


@dataclass(frozen=True)
class AnswerKind:
    """What the answers of an output are.

    Attributes:
        decision: How an output becomes an answer; None if it is numbers.
        ignore_class: The label that marks what does not count; None if there is none.
    """

    decision: Decision | None
    ignore_class: int | None = None


@dataclass
class AnswerSums:
    """Counts of the answers of a float and a quantized model.

    Attributes:
        pairs: Of each model, how often which label got which answer.
        bins: Of each model and bin of probabilities the number of answers, how many came true, and
            the sum of the probabilities in steps of 2**-32.
        of_answers: Whether the probabilities are of the most likely classes.
        not_probabilities: How many outputs are no probabilities.
        residuals: Of each value of the output, or of all together.
        columns: How many values the output has, if they are numbers.
        differing: The examples whose outputs differ most: first of those that the float model
            answers rightly and the quantized model does not, then of all.
    """

    pairs: tuple[_Pairs, _Pairs] = field(default_factory=lambda: (Counter(), Counter()))
    bins: Array = field(
        default_factory=lambda: np.zeros((_MODELS, RELIABILITY_BINS, 3), dtype=np.int64)
    )
    of_answers: bool = False
    not_probabilities: int = 0
    residuals: list["ResidualSums"] = field(default_factory=list)
    columns: int = 0
    differing: tuple[list[Differing], list[Differing]] = field(default_factory=lambda: ([], []))

    def merge(self, other: "AnswerSums") -> None:
        """Adds what another part of the data gave."""
        for known, found in zip(self.pairs, other.pairs, strict=True):
            known.update(found)
        self.bins = self.bins + other.bins
        for kept, more in zip(self.differing, other.differing, strict=True):
            kept[:] = _most_differing([*kept, *more])
        self.of_answers = self.of_answers or other.of_answers
        self.not_probabilities += other.not_probabilities
        self.columns = max(self.columns, other.columns)
        if not self.residuals:
            self.residuals = [ResidualSums() for _ in other.residuals]
        theirs = other.residuals
        if theirs and len(self.residuals) != len(theirs):
            # Outputs of different sizes have no columns in common.
            self.residuals, theirs = [_pooled(self.residuals)], [_pooled(theirs)]
        for mine, others in zip(self.residuals, theirs, strict=False):
            mine.merge(others)

    def differing_most(self) -> list[Differing]:
        """Returns the examples to look at, those that the quantized model gets wrong first."""
        turned, others = self.differing
        return list(dict.fromkeys([*turned, *others]))[:MOST_DIFFERING]

    def figures(self) -> AnswerFigures:
        """Returns the figures of plots."""
        return AnswerFigures(
            confusion=_confusion(self.pairs) if any(self.pairs) else None,
            reliability=self._reliability(),
            residuals=tuple(
                known.figures(index if len(self.residuals) > 1 else None, self.columns)
                for index, known in enumerate(self.residuals)
                if known.models[0]
            ),
        )

    def _reliability(self) -> Reliability | None:
        if self.not_probabilities or not self.bins[..., 0].any():
            return None
        before, after = map(_reliability_bins, self.bins)
        of: Literal["answer", "positive"] = "answer" if self.of_answers else "positive"
        return Reliability(of=of, float_bins=before, quantized_bins=after)


def answer_sums(
    kind: AnswerKind,
    labels: Array | None,
    float_output: Array,
    quantized_output: Array,
    named: NamedExamples | None = None,
) -> AnswerSums:
    """Returns the counts of a batch; there are none if the labels do not fit the output.

    Args:
        kind: What the answers are.
        labels: Shape (n, …); None if there are none.
        float_output: Shape (n, …).
        quantized_output: Of the same shape.
        named: What the examples are called; None keeps none of them.
    """
    if labels is None or not labels.size or labels.dtype.kind not in "biuf":
        return AnswerSums()
    outputs = (float_output, quantized_output)
    if kind.decision is None:
        return _of_numbers(labels, outputs, named)
    if not kind.decision.fits(float_output):
        return AnswerSums()
    return _of_classes(kind, kind.decision, labels, outputs, named)


def _most_differing(examples: Iterable[Differing]) -> list[Differing]:
    """Returns the examples that differ most, of equal ones the lowest digests, each once."""
    first: dict[str, Differing] = {}
    for found in sorted(examples, key=lambda each: (-each.difference, each.digest, each.position)):
        first.setdefault(found.digest, found)
    return list(first.values())[:MOST_DIFFERING]


def _differing(
    named: NamedExamples | None,
    outputs: tuple[Array, Array],
    labels: Array,
    answers: Sequence[Array],
    turned: Array,
) -> tuple[list[Differing], list[Differing]]:
    """Returns the examples of a batch that differ most, as `AnswerSums.differing`.

    Args:
        named: What the examples are called; None keeps none of them.
        outputs: Both models', shape (n, …).
        labels: Shape (n, answers).
        answers: Both models', of that shape.
        turned: Which answers are right of the float model alone, of that shape.
    """
    if named is None:
        return [], []
    n = len(named.positions)
    before, after = (output.reshape(n, -1).astype(np.float64) for output in outputs)
    differences = np.abs(before - after).max(axis=1)
    # Of an example with several answers one that turned is shown, or else the first.
    places = turned.argmax(axis=1)

    def differing(row: int) -> Differing:
        place = places[row]
        return Differing(
            float(differences[row]),
            named.digests[row].hex(),
            int(named.positions[row]),
            float(labels[row, place]),
            float(answers[0][row, place]),
            float(answers[1][row, place]),
            bool(turned[row, place]),
        )

    found: tuple[list[Differing], list[Differing]] = ([], [])
    for kept, rows in zip(found, (turned.any(axis=1), differences > 0), strict=True):
        known = np.flatnonzero(rows & (named.positions >= 0))
        # Examples of so many differences are at least as many examples.
        least = np.unique(differences[known])[-MOST_DIFFERING:][:1]
        kept += _most_differing(map(differing, known[differences[known] >= least]))
    return found


# --- Classes --------------------------------------------------------------------------------------


def _of_classes(
    kind: AnswerKind,
    decision: Decision,
    labels: Array,
    outputs: tuple[Array, Array],
    named: NamedExamples | None,
) -> AnswerSums:
    truth = _truth(decision, labels, outputs[0])
    if truth is None:
        return AnswerSums()
    counted = np.isfinite(truth)
    if kind.ignore_class is not None:
        counted &= truth != kind.ignore_class
    truth = np.where(counted, truth, 0).astype(np.int64)
    sums = AnswerSums(of_answers=decision.threshold is None)
    both = [decision.of(output) for output in outputs]
    turned = counted & (both[0] == truth) & (both[1] != truth)
    sums.differing = _differing(named, outputs, truth, both, turned)
    for index, (output, answers) in enumerate(zip(outputs, both, strict=True)):
        sums.pairs[index].update(_counted_pairs(truth[counted], answers[counted]))
        if decision.is_output:
            continue
        probabilities, are_probabilities = _probabilities(decision, output, add_up=index == 0)
        came_true = truth == answers if decision.threshold is None else truth == 1
        wrong = counted & ~(are_probabilities & np.isfinite(probabilities))
        sums.not_probabilities += int(wrong.sum())
        fitting = counted & ~wrong
        sums.bins[index] = _binned(probabilities[fitting], came_true[fitting])
    return sums


def _truth(decision: Decision, labels: Array, outputs: Array) -> Array | None:
    """Returns the right answers, float64 of shape (n, answers); None if the labels do not fit."""
    n, classes = len(outputs), outputs.shape[-1] if outputs.ndim > 1 else 1
    if decision.is_output:
        return labels.reshape(n, -1).astype(np.float64) if labels.size == outputs.size else None
    if decision.threshold is None:
        if labels.size * classes == outputs.size:
            return labels.reshape(n, -1).astype(np.float64)
        if labels.size != outputs.size:
            return None
        shares = labels.reshape(n, -1, classes)
        return shares.argmax(axis=-1).astype(np.float64)
    if decision.class_id is not None:
        if labels.size not in (outputs.size, outputs.size // classes):
            return None
        positive, _ = laid_out(LabelKind.ONE_CLASS, labels, outputs, decision.class_id)
    elif labels.size == outputs.size:
        positive = labels.reshape(n, -1)
    else:
        return None
    return (positive.reshape(n, -1) > 0.5).astype(np.float64)


def _probabilities(decision: Decision, outputs: Array, add_up: bool) -> tuple[Array, Array]:
    """Returns the probability of each answer, and whether it is one.

    Args:
        decision: How an output becomes an answer.
        outputs: Shape (n, …).
        add_up: Whether the probabilities of the classes must add up to 1.
    """
    n = len(outputs)
    if decision.threshold is None:
        rows = outputs.reshape(n, -1, outputs.shape[-1]).astype(np.float64)
        are_probabilities = ((rows >= 0) & (rows <= 1)).all(axis=-1)
        if add_up:
            are_probabilities &= np.abs(rows.sum(axis=-1) - 1) < _NEAR_ONE
        return rows.max(axis=-1), are_probabilities
    values = outputs if decision.class_id is None else outputs[..., decision.class_id]
    flat = values.reshape(n, -1).astype(np.float64)
    return flat, (flat >= 0) & (flat <= 1)


def _binned(probabilities: Array, came_true: Array) -> Array:
    """Returns the counts of each bin, int64 of shape (bins, 3)."""
    inside = np.clip(probabilities, 0, 1)
    edges = np.linspace(0, 1, RELIABILITY_BINS + 1)[1:-1]
    places = np.searchsorted(edges, inside)
    steps = np.rint(inside * _STEPS).astype(np.int64)
    found = np.zeros((RELIABILITY_BINS, 3), dtype=np.int64)
    found[:, 0] = np.bincount(places, minlength=RELIABILITY_BINS)
    found[:, 1] = np.bincount(places[came_true], minlength=RELIABILITY_BINS)
    np.add.at(found[:, 2], places, steps)
    return found


def _reliability_bins(bins: Array) -> tuple[ReliabilityBin, ...]:
    return tuple(
        ReliabilityBin(
            lower=index / RELIABILITY_BINS,
            upper=(index + 1) / RELIABILITY_BINS,
            answers=int(answers),
            probability=int(steps) / _STEPS / int(answers),
            share=int(true) / int(answers),
        )
        for index, (answers, true, steps) in enumerate(bins)
        if answers
    )


def _counted_pairs(rows: Array, columns: Array) -> Counter[tuple[int, int]]:
    """Returns how often which two whole numbers stand beside each other."""
    if not rows.size:
        return Counter()
    rows, columns = rows.ravel(), columns.ravel()
    first_row, first_column = int(rows.min()), int(columns.min())
    width = int(columns.max()) - first_column + 1
    pairs, counts = _counted(rows - first_row, columns - first_column, width)
    pairs += (first_row, first_column)
    return Counter(
        {(int(a), int(b)): int(count) for (a, b), count in zip(pairs, counts, strict=True)}
    )


def _counted(rows: Array, columns: Array, width: int) -> tuple[Array, Array]:
    """Returns the distinct pairs, shape (pairs, 2), and how often each is there."""
    span = (int(rows.max()) + 1) * width
    if span > _MOST_CODES:
        pairs, counts = np.unique(np.stack([rows, columns], 1), axis=0, return_counts=True)
        return pairs, counts
    # As one number each, which is counted faster than pairs.
    counts = np.bincount(rows * width + columns, minlength=span)
    present = np.flatnonzero(counts)
    return np.stack(np.divmod(present, width), 1), counts[present]


def _confusion(pairs: tuple[_Pairs, _Pairs]) -> Confusion:
    classes = sorted({number for known in pairs for pair in known for number in pair})
    answers = sum(pairs[0].values())
    if len(classes) > MOST_CLASSES:
        return Confusion(answers=answers, class_count=len(classes), pairs=_most_confused(pairs))
    before, after = (_matrix(known, classes, classes) for known in pairs)
    return Confusion(
        answers=answers,
        class_count=len(classes),
        classes=tuple(classes),
        float_counts=before,
        quantized_counts=after,
    )


def _most_confused(pairs: tuple[_Pairs, _Pairs]) -> tuple[ConfusedPair, ...]:
    before, after = pairs
    wrong = {pair for pair in {*before, *after} if pair[0] != pair[1]}
    worst = sorted(wrong, key=lambda pair: (-max(before[pair], after[pair]), pair))
    return tuple(
        ConfusedPair(
            label=label,
            answer=answer,
            float_count=before[label, answer],
            quantized_count=after[label, answer],
        )
        for label, answer in worst[:MOST_PAIRS]
    )


def _matrix(
    counts: Mapping[tuple[int, int], int], rows: Iterable[int], columns: Iterable[int]
) -> Counts:
    known = tuple(columns)
    return tuple(tuple(counts.get((row, column), 0) for column in known) for row in rows)


# --- Numbers --------------------------------------------------------------------------------------


def _of_numbers(
    labels: Array, outputs: tuple[Array, Array], named: NamedExamples | None
) -> AnswerSums:
    if labels.size != outputs[0].size:
        return AnswerSums()
    n = len(labels)
    flat = labels.reshape(n, -1).astype(np.float64)
    residuals = [output.reshape(n, -1).astype(np.float64) - flat for output in outputs]
    columns = flat.shape[1]
    if columns > MOST_COLUMNS:
        groups = [(flat.ravel(), [values.ravel() for values in residuals])]
    else:
        groups = [
            (flat[:, column], [values[:, column] for values in residuals])
            for column in range(columns)
        ]
    answers = [output.reshape(n, -1) for output in outputs]
    nothing = np.zeros(flat.shape, dtype=bool)
    return AnswerSums(
        residuals=[ResidualSums.of(*group) for group in groups],
        columns=columns,
        differing=_differing(named, outputs, flat, answers, nothing),
    )


@dataclass
class ResidualSums:
    """How often which residual stands beside which label.

    Bins have widths of powers of two, and their edges are multiples of these. A bin of twice the
    width is two bins, so counts need no second look at the data when values are found further out,
    and the order in which they are found does not matter.

    Attributes:
        exponents: Of the widths of the bins of labels and of residuals.
        models: The counts of the float and of the quantized model.
    """

    exponents: tuple[int, int] = (_LEAST_EXPONENT, _LEAST_EXPONENT)
    models: tuple[_Cells, _Cells] = field(default_factory=lambda: (Counter(), Counter()))

    @classmethod
    def of(cls, labels: Array, residuals: list[Array]) -> "ResidualSums":
        """Returns the counts of some labels, shape (n,), and of both models' residuals."""
        finite = np.isfinite([labels, *residuals]).all(axis=0)
        labels, residuals = labels[finite], [values[finite] for values in residuals]
        if not labels.size:
            return cls()
        exponents = _least_exponent([labels]), _least_exponent(residuals)
        rows = _bins_of(labels, exponents[0])
        before, after = (
            _counted_pairs(rows, _bins_of(values, exponents[1])) for values in residuals
        )
        return cls(exponents, (before, after))

    def merge(self, other: "ResidualSums") -> None:
        """Adds what another part of the data gave."""
        wider = self._wide_enough(other)
        for mine, theirs in zip(self.models, other.models, strict=True):
            merged = _folded(mine, self.exponents, wider)
            merged.update(_folded(theirs, other.exponents, wider))
            mine.clear()
            mine.update(merged)
        self.exponents = wider

    def _wide_enough(self, other: "ResidualSums") -> tuple[int, int]:
        """Returns the exponents of the narrowest bins that both can have."""
        both = (self, other)
        wider = tuple(map(max, self.exponents, other.exponents))
        cells = {
            cell
            for sums in both
            for model in sums.models
            for cell in _folded(model, sums.exponents, wider)
        }
        rows, columns = (
            exponent + _folds({cell[axis] for cell in cells}) for axis, exponent in enumerate(wider)
        )
        return rows, columns

    def figures(self, column: int | None, columns: int) -> Residuals:
        """Returns the figures of a plot.

        Args:
            column: Which value of the output it is; None of all of them.
            columns: How many there are.
        """
        cells = {cell for model in self.models for cell in model}
        ranges = [
            range(min(numbers), max(numbers) + 1)
            for numbers in ({cell[axis] for cell in cells} for axis in (0, 1))
        ]
        labels, residuals = (
            Bins(
                start=math.ldexp(numbers.start, exponent),
                width=math.ldexp(1, exponent),
                count=len(numbers),
            )
            for numbers, exponent in zip(ranges, self.exponents, strict=True)
        )
        before, after = (_matrix(model, *ranges) for model in self.models)
        return Residuals(
            column=column,
            columns=columns,
            labels=labels,
            residuals=residuals,
            float_counts=before,
            quantized_counts=after,
        )


def _pooled(columns: Iterable[ResidualSums]) -> ResidualSums:
    pooled = ResidualSums()
    for column in columns:
        pooled.merge(column)
    return pooled


def _least_exponent(values: list[Array]) -> int:
    """Returns the exponent of the narrowest bins that are few enough for some values."""
    lowest = min(float(part.min()) for part in values)
    highest = max(float(part.max()) for part in values)
    largest = max(abs(lowest), abs(highest))
    if not largest:
        return _LEAST_EXPONENT
    exponent = max(math.frexp(largest)[1] + _LEAST_SHARE_EXPONENT, _LEAST_EXPONENT)
    ends = {int(bin_) for bin_ in _bins_of(np.array([lowest, highest]), exponent)}
    return exponent + _folds(ends)


def _bins_of(values: Array, exponent: int) -> Array:
    return np.floor(np.ldexp(values, -exponent)).astype(np.int64)


def _folds(bins: Iterable[int]) -> int:
    """Returns how often two bins must become one until there are few enough."""
    known = {*bins} or {0}
    lowest, highest, folds = min(known), max(known), 0
    while highest - lowest >= RESIDUAL_BINS:
        lowest, highest, folds = lowest >> 1, highest >> 1, folds + 1
    return folds


def _folded(cells: _Cells, exponents: Iterable[int], wider: Iterable[int]) -> _Cells:
    """Returns counts in wider bins, as new ones."""
    rows, columns = (after - before for before, after in zip(exponents, wider, strict=True))
    if not rows and not columns:
        return Counter(cells)
    found: _Cells = Counter()
    for (row, column), count in cells.items():
        found[row >> rows, column >> columns] += count
    return found
