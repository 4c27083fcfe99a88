"""Every metric that this project knows, one row a metric: what it is of and how it is judged.

To add a metric, add its row; if it is computed on whole batches here, also its function to
`position_values`. A metric without a row goes through TFMA with the direction that its rule gives.

Nothing but the standard library is imported here, because configs are checked with it.
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal

Direction = Literal["higher_is_better", "lower_is_better"]
Side = Literal["above", "below"]


class LabelKind(Enum):
    """What a metric takes the label for."""

    CLASS_INDEX = "the index of a class at each position"
    ONE_HOT = "a share of each class at each position"
    VALUE = "a number for each value of the output"
    ZERO_OR_ONE = "0 to 1 for each value of the output"
    ONE_CLASS = "the index of a class at each position, or 0 to 1 for each class"
    ANY = "what TFMA makes of it"
    OWN = "what a metric of one's own makes of it"


class Judging(Enum):
    """How a metric is computed, and what its confidence comes from."""

    COUNTS = "right or wrong on each example; a score test of the examples that changed"
    MEAN = "the mean of a value an example; a paired t-test, corrected for skewness"
    ROOT = "the root of such a mean; the same test by the delta method"
    SCORES = "from confusion matrices of scores; a Poisson bootstrap"
    SHARE = "the share of one class on one side of a threshold; a score test, as counts"
    TFMA = "by TFMA alone; there is no confidence"


class Takes(Enum):
    """What a metric takes the values of an output for."""

    ANY = "any numbers"
    PROBABILITIES = "probabilities from 0 to 1, or logits if its config says so"
    ANSWERS = "the answer itself, a whole number"


class Decides(Enum):
    """What a metric takes for a model's answer, by which two models agree or not."""

    NOTHING = "it makes no decision"
    CLASS = "the most likely class"
    ANSWER = "the output itself"
    EACH_VALUE = "whether each value is above `threshold`"
    SCORE = "whether a score is above the one of `thresholds`"
    PROBABILITY = "whether a probability is above one half"


@dataclass(frozen=True)
class MetricRow:
    """What is known of a metric of TFMA or Keras.

    Attributes:
        name: Its class.
        better: Which way it is better; None if that depends on the use.
        label: What it takes the label for.
        judging: How it is computed and judged.
        values: Its function in `position_values`, if it is computed on batches by one.
        takes: What it takes the output for.
        decides: What it takes for a model's answer.
        share: The class and the side of the threshold whose share it is; only of SHARE.
        overlap: If it is an intersection over union, whether each value or each position has an
            answer.
        instead: What to use if it is refused, as TFMA cannot merge it over batches; else empty.
        aliases: Other classes that are the same.
        has_no_best: Whether it may be better without end. The best value of others is 1 if higher
            is better, and 0 if lower is.
        module: The module that has its class, if neither TFMA nor Keras has it; else empty.
    """

    name: str
    better: Direction | None
    label: LabelKind
    judging: Judging
    values: str | None = None
    takes: Takes = Takes.ANY
    decides: Decides = Decides.NOTHING
    share: tuple[int, Side] | None = None
    overlap: Literal["values", "positions"] | None = None
    instead: str = ""
    aliases: tuple[str, ...] = ()
    has_no_best: bool = False
    module: str = ""

    @property
    def best(self) -> float | None:
        """The best value that there is; None if there is none, or it is not known."""
        if self.better is None or self.has_no_best:
            return None
        return 1.0 if self.better == "higher_is_better" else 0.0

    @property
    def is_of_scores(self) -> bool:
        """Whether it looks at scores, of which `class_id` and `top_k` may choose some."""
        return self.decides in (Decides.SCORE, Decides.EACH_VALUE)


def row_of(class_name: str) -> MetricRow:
    """Returns what is known of a metric; of one that is not in the table, what its name says."""
    return _BY_NAME.get(class_name) or _unlisted(class_name)


def direction_of(class_name: str) -> Direction | None:
    """Returns which way a TFMA metric is better, or None if that is not known."""
    return row_of(class_name).better


def _unlisted(class_name: str) -> MetricRow:
    # Metrics of one's own are called like Keras' that they resemble.
    is_of_classes = class_name.startswith(("Categorical", "TopKCategorical", "Sparse"))
    return MetricRow(
        class_name,
        None,
        LabelKind.CLASS_INDEX if class_name.startswith("Sparse") else LabelKind.ANY,
        Judging.TFMA,
        decides=Decides.CLASS if is_of_classes else Decides.NOTHING,
    )


def _score(name: str, better: Direction | None, *aliases: str) -> MetricRow:
    kind, judging = LabelKind.ZERO_OR_ONE, Judging.SCORES
    return MetricRow(name, better, kind, judging, decides=Decides.SCORE, aliases=aliases)


def _share(name: str, better: Direction, label: int, side: Side, *aliases: str) -> MetricRow:
    return replace(_score(name, better, *aliases), judging=Judging.SHARE, share=(label, side))


_OWN_METRICS = "tfx_tflite.components.judgement.metrics.keras_metrics"
_UP: Direction = "higher_is_better"
_DOWN: Direction = "lower_is_better"
_INDEX, _ONE_HOT = LabelKind.CLASS_INDEX, LabelKind.ONE_HOT
_VALUE, _0_TO_1, _ANY = LabelKind.VALUE, LabelKind.ZERO_OR_ONE, LabelKind.ANY
_COUNTS, _MEAN, _ROOT, _TFMA = Judging.COUNTS, Judging.MEAN, Judging.ROOT, Judging.TFMA
_NUMBERS, _SHARES, _ANSWERS = Takes.ANY, Takes.PROBABILITIES, Takes.ANSWERS
_CLASS, _ANSWER = Decides.CLASS, Decides.ANSWER
_EACH, _LIKELY = Decides.EACH_VALUE, Decides.PROBABILITY

_TABLE = (
    # One value an example, by a function of `position_values`.
    MetricRow("Accuracy", _UP, _VALUE, _COUNTS, "equality", _ANSWERS, _ANSWER),
    MetricRow("BinaryAccuracy", _UP, _0_TO_1, _COUNTS, "binary_accuracy", decides=_EACH),
    MetricRow("CategoricalAccuracy", _UP, _ONE_HOT, _COUNTS, "one_hot_accuracy", decides=_CLASS),
    MetricRow("TopKCategoricalAccuracy", _UP, _ONE_HOT, _COUNTS, "one_hot_top_k", decides=_CLASS),
    MetricRow("SparseCategoricalAccuracy", _UP, _INDEX, _COUNTS, "accuracy", decides=_CLASS),
    MetricRow("SparseTopKCategoricalAccuracy", _UP, _INDEX, _COUNTS, "top_k", decides=_CLASS),
    MetricRow("WithinTolerance", _UP, _VALUE, _COUNTS, "within_tolerance", module=_OWN_METRICS),
    MetricRow("BinaryCrossentropy", _DOWN, _0_TO_1, _MEAN, "binary_log_loss", _SHARES, _LIKELY),
    MetricRow(
        "CategoricalCrossentropy", _DOWN, _ONE_HOT, _MEAN, "one_hot_log_loss", _SHARES, _CLASS
    ),
    MetricRow("SparseCategoricalCrossentropy", _DOWN, _INDEX, _MEAN, "log_loss", _SHARES, _CLASS),
    MetricRow("MeanAbsoluteError", _DOWN, _VALUE, _MEAN, "absolute_error"),
    MetricRow("MeanSquaredError", _DOWN, _VALUE, _MEAN, "squared_error"),
    MetricRow("RootMeanSquaredError", _DOWN, _VALUE, _ROOT, "squared_error"),
    # Scores against labels of 0 or 1.
    _share("Recall", _UP, 1, "above", "TPR"),
    _share("MissRate", _DOWN, 1, "below", "FNR"),
    _share("Specificity", _UP, 0, "below", "TNR"),
    _share("FallOut", _DOWN, 0, "above", "FPR"),
    _score("AUC", _UP),
    _score("AUCPrecisionRecall", _UP),
    _score("BalancedAccuracy", _UP),
    replace(_score("DiagnosticOddsRatio", _UP), has_no_best=True),
    _score("F1Score", _UP),
    _score("FalseDiscoveryRate", _DOWN),
    _score("FalseNegatives", _DOWN, "FN"),
    _score("FalseOmissionRate", None),
    _score("FalsePositives", _DOWN, "FP"),
    _score("FowlkesMallowsIndex", _UP),
    _score("Informedness", _UP),
    _score("Markedness", _UP),
    _score("MatthewsCorrelationCoefficient", _UP),
    _score("MaxRecall", None),
    _score("NegativeLikelihoodRatio", _DOWN),
    _score("NegativePredictiveValue", _UP, "NPV"),
    replace(_score("PositiveLikelihoodRatio", _UP), has_no_best=True),
    _score("Precision", _UP, "PPV"),
    _score("PrecisionAtRecall", _UP),
    _score("PredictedPositiveRate", None),
    _score("Prevalence", None),
    _score("PrevalenceThreshold", None),
    _score("RecallAtFalsePositiveRate", None),
    _score("RecallAtPrecision", _UP),
    _score("SensitivityAtSpecificity", _UP),
    _score("SpecificityAtSensitivity", _UP),
    _score("ThreatScore", _UP),
    _score("ThresholdAtRecall", None),
    replace(_score("TrueNegatives", _UP, "TN"), has_no_best=True),
    replace(_score("TruePositives", _UP, "TP"), has_no_best=True),
    # Through TFMA.
    MetricRow("BinaryCrossEntropy", _DOWN, _0_TO_1, _TFMA, None, _SHARES, _LIKELY),
    MetricRow("CategoricalCrossEntropy", _DOWN, _ONE_HOT, _TFMA, None, _SHARES, _CLASS),
    MetricRow("CategoricalHinge", None, _ONE_HOT, _TFMA, decides=_CLASS),
    MetricRow("CoefficientOfDiscrimination", _UP, _ANY, _TFMA),
    MetricRow("CosineSimilarity", _UP, _VALUE, _TFMA),
    MetricRow("ExactMatch", _UP, _ANY, _TFMA),
    MetricRow("Hinge", _DOWN, _VALUE, _TFMA),
    MetricRow("KLDivergence", _DOWN, _VALUE, _TFMA),
    MetricRow("LogCoshError", _DOWN, _VALUE, _TFMA),
    MetricRow("MeanAbsolutePercentageError", _DOWN, _VALUE, _TFMA),
    MetricRow("MeanSquaredLogarithmicError", _DOWN, _VALUE, _TFMA),
    MetricRow("NDCG", _UP, _ANY, _TFMA),
    MetricRow("Poisson", _DOWN, _VALUE, _TFMA, has_no_best=True),
    MetricRow("RelativeCoefficientOfDiscrimination", _UP, _ANY, _TFMA, has_no_best=True),
    MetricRow("SquaredHinge", _DOWN, _VALUE, _TFMA),
    MetricRow("SquaredPearsonCorrelation", _UP, _ANY, _TFMA),
    # Intersections over union, through TFMA.
    MetricRow("BinaryIoU", _UP, _ANY, _TFMA, overlap="values"),
    MetricRow("IoU", _UP, _ANY, _TFMA, takes=_ANSWERS, overlap="values"),
    MetricRow("MeanIoU", _UP, _ANY, _TFMA, takes=_ANSWERS, overlap="values"),
    MetricRow("OneHotIoU", _UP, _ANY, _TFMA, overlap="positions"),
    MetricRow("OneHotMeanIoU", _UP, _ANY, _TFMA, overlap="positions"),
    # Keras makes the state of these at the first batch, by its shape, too late for TFMA to merge.
    MetricRow("FBetaScore", _UP, _ANY, _TFMA, instead="F1Score"),
    MetricRow(
        "R2Score", _UP, _ANY, _TFMA, instead="SquaredPearsonCorrelation or RootMeanSquaredError"
    ),
)
_BY_NAME = {name: row for row in _TABLE for name in (row.name, *row.aliases)}
