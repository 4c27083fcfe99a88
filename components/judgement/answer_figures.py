"""How two models answer beside the labels, as plots show it: of classes, and of numbers.

All of it is bounded, however many examples, classes and values there are. Nothing here needs NumPy.
"""

from typing import Literal

from pydantic import Field

from tfx_tflite.components.documents import Part

Counts = tuple[tuple[int, ...], ...]


class ConfusedPair(Part):
    """How often each model gave an answer where the label is another."""

    label: int
    answer: int
    float_count: int = Field(validation_alias="float", serialization_alias="float")
    quantized_count: int = Field(validation_alias="quantized", serialization_alias="quantized")


class Confusion(Part):
    """How often each model gave which answer for which label.

    The matrices are there if there are few classes: a row a label, a column an answer, both in the
    order of `classes`. Else there are the pairs that either model confuses most often.
    """

    # How many are counted: examples, or more if each has several answers.
    answers: int
    # How many classes were seen, as labels or as answers.
    class_count: int
    # Empty if there are too many.
    classes: tuple[int, ...] = ()
    float_counts: Counts = Field(default=(), validation_alias="float", serialization_alias="float")
    quantized_counts: Counts = Field(
        default=(), validation_alias="quantized", serialization_alias="quantized"
    )
    pairs: tuple[ConfusedPair, ...] = ()
    # What the vocabulary calls the classes that are here.
    names: dict[int, str] = {}


class ReliabilityBin(Part):
    """The answers whose probability is within a tenth: from above `lower` up to `upper`."""

    lower: float
    upper: float
    answers: int
    # The mean of the probabilities.
    probability: float
    # Which share of the answers came true.
    share: float


class Reliability(Part):
    """How often what is given a probability comes true; a bin without answers is left out.

    Attributes:
        of: `answer`: the probability of the most likely class, which is right or not. `positive`:
            the probability of each value, whose label is 1 or 0.
    """

    of: Literal["answer", "positive"]
    float_bins: tuple[ReliabilityBin, ...] = Field(
        validation_alias="float", serialization_alias="float"
    )
    quantized_bins: tuple[ReliabilityBin, ...] = Field(
        validation_alias="quantized", serialization_alias="quantized"
    )


class Bins(Part):
    """Bins of one width next to each other."""

    start: float
    width: float
    count: int

    @property
    def end(self) -> float:
        """Where the last one ends."""
        return self.start + self.width * self.count


class Residuals(Part):
    """How often a value's residual, the model's output less the label, is what beside which label.

    A row is a bin of labels, a column one of residuals; both models have the same bins.
    """

    # Which value of the output; None if it has one, or so many that all are counted together.
    column: int | None = None
    # Of how many values of an output.
    columns: int = 1
    labels: Bins
    residuals: Bins
    float_counts: Counts = Field(validation_alias="float", serialization_alias="float")
    quantized_counts: Counts = Field(validation_alias="quantized", serialization_alias="quantized")


class AnswerFigures(Part):
    """What is known of the answers to one output; what does not apply is None or empty."""

    confusion: Confusion | None = None
    reliability: Reliability | None = None
    residuals: tuple[Residuals, ...] = ()
