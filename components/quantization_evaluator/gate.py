"""The gate: rules that say how much worse than the float model a quantized model may be.

Nothing here needs TensorFlow: a gate is parsed from a config and judged on plain numbers.
"""

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

OVERALL = "overall"

# Whether a higher value is a better one, for the TFMA metrics with one number a slice.
_HIGHER_IS_BETTER = frozenset(
    """
    AUC AUCPrecisionRecall Accuracy BalancedAccuracy BinaryAccuracy CategoricalAccuracy
    CosineSimilarity DiagnosticOddsRatio ExactMatch F1Score FowlkesMallowsIndex Informedness
    Markedness MatthewsCorrelationCoefficient NDCG NPV NegativePredictiveValue PPV
    PositiveLikelihoodRatio Precision PrecisionAtRecall Recall RecallAtPrecision
    SensitivityAtSpecificity SparseCategoricalAccuracy SparseTopKCategoricalAccuracy Specificity
    SpecificityAtSensitivity SquaredPearsonCorrelation CoefficientOfDiscrimination
    RelativeCoefficientOfDiscrimination TN TNR TP TPR ThreatScore TopKCategoricalAccuracy
    TrueNegatives TruePositives
    """.split()
)
_LOWER_IS_BETTER = frozenset(
    """
    BinaryCrossEntropy BinaryCrossentropy CategoricalCrossEntropy CategoricalCrossentropy FN FNR FP
    FPR FallOut FalseDiscoveryRate FalseNegatives FalsePositives Hinge KLDivergence LogCoshError
    MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError
    MissRate NegativeLikelihoodRatio Poisson RootMeanSquaredError SparseCategoricalCrossentropy
    SquaredHinge
    """.split()
)

Direction = Literal["higher_is_better", "lower_is_better"]


def direction_of(class_name: str) -> Direction | None:
    """Returns which way a TFMA metric is better, or None where that is not known."""
    if class_name in _HIGHER_IS_BETTER:
        return "higher_is_better"
    return "lower_is_better" if class_name in _LOWER_IS_BETTER else None


class GateRule(BaseModel):
    """One rule of a gate.

    Attributes:
        metric: The name of a metric that is evaluated.
        max_drop: The largest drop allowed, in the metric's unit.
        max_relative_drop: The largest drop allowed, as a share of the float model's value.
        slices: `overall`, or `each` for every value of every slice that is evaluated.
        direction: Which way the metric is better; needed only where it is not known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str
    max_drop: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    max_relative_drop: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    slices: Literal["overall", "each"] = "overall"
    direction: Direction | None = None

    @model_validator(mode="after")
    def _exactly_one_limit(self) -> "GateRule":
        if (self.max_drop is None) == (self.max_relative_drop is None):
            raise ValueError("give exactly one of max_drop and max_relative_drop")
        return self


class Gate(BaseModel):
    """What a quantized model must satisfy to be blessed.

    Attributes:
        min_examples: The fewest examples that the verdict may rest on.
        min_slice_examples: A slice with fewer examples is reported and not judged.
        rules: All of them must hold.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_examples: int = Field(default=100, ge=1)
    min_slice_examples: int = Field(default=20, ge=1)
    rules: tuple[GateRule, ...] = Field(min_length=1)


class Verdict(str, Enum):
    """What a rule, or the whole gate, says of the quantized model."""

    BLESSED = "blessed"
    REFUSED = "refused"
    NOT_JUDGED = "not_judged"


class MetricValues(BaseModel):
    """A metric's value for both models on one slice.

    Attributes:
        metric: The metric's name.
        slice: `overall`, or `feature:value` parts joined by commas.
        examples: The number of examples in the slice.
        float_value: The float model's value.
        quantized_value: The quantized model's value.
    """

    model_config = ConfigDict(frozen=True)

    metric: str
    slice: str
    examples: int
    float_value: float = Field(serialization_alias="float")
    quantized_value: float = Field(serialization_alias="quantized")


class RuleResult(BaseModel):
    """What a rule says of one slice.

    Attributes:
        metric: The metric's name.
        slice: The slice it was judged on.
        examples: The number of examples in the slice.
        float_value: The float model's value.
        quantized_value: The quantized model's value.
        drop: How much worse the quantized model is, in the metric's unit; negative where better.
        bound: The largest drop allowed, in the metric's unit.
        verdict: Whether the rule holds.
        reason: Why not, in words; empty where it holds.
    """

    model_config = ConfigDict(frozen=True)

    metric: str
    slice: str
    examples: int
    float_value: float = Field(serialization_alias="float")
    quantized_value: float = Field(serialization_alias="quantized")
    drop: float
    bound: float
    verdict: Verdict
    reason: str = ""


class GateResult(BaseModel):
    """The verdict of a gate and how it came about.

    Attributes:
        verdict: `blessed` where every rule that was judged holds and enough examples were seen.
        examples: The number of examples that both models were compared on.
        rules: The result of each rule on each of its slices.
        reasons: Why the model was refused, one a line; empty where it was blessed.
    """

    model_config = ConfigDict(frozen=True)

    verdict: Verdict
    examples: int
    rules: tuple[RuleResult, ...]
    reasons: tuple[str, ...]

    @property
    def blessed(self) -> bool:
        """Whether the model may be pushed."""
        return self.verdict is Verdict.BLESSED


def judge(
    gate: Gate,
    values: Sequence[MetricValues],
    examples: int,
    directions: Mapping[str, Direction],
) -> GateResult:
    """Returns whether a quantized model passes a gate.

    Args:
        gate: The rules.
        values: Each metric on each slice.
        examples: The number of examples that both models were compared on.
        directions: Which way each metric is better.
    """
    results: list[RuleResult] = []
    reasons: list[str] = []
    if examples < gate.min_examples:
        reasons.append(
            f"{examples} examples are too few to judge; gate.min_examples is {gate.min_examples}"
        )
    for rule in gate.rules:
        found = _judge_rule(rule, gate, values, directions)
        results += found
        reasons += [result.reason for result in found if result.verdict is Verdict.REFUSED]
        if all(result.verdict is Verdict.NOT_JUDGED for result in found):
            where = "overall" if rule.slices == "overall" else "on any slice with enough examples"
            reasons.append(f"{rule.metric}: there is no figure to judge {where}")
    return GateResult(
        verdict=Verdict.REFUSED if reasons else Verdict.BLESSED,
        examples=examples,
        rules=tuple(results),
        reasons=tuple(reasons),
    )


def _judge_rule(
    rule: GateRule,
    gate: Gate,
    values: Sequence[MetricValues],
    directions: Mapping[str, Direction],
) -> list[RuleResult]:
    direction = rule.direction or directions[rule.metric]
    return [
        _judge_slice(rule, gate, value, direction)
        for value in values
        if value.metric == rule.metric and (value.slice == OVERALL) == (rule.slices == "overall")
    ]


def _judge_slice(
    rule: GateRule, gate: Gate, value: MetricValues, direction: Direction
) -> RuleResult:
    sign = 1 if direction == "higher_is_better" else -1
    drop = sign * (value.float_value - value.quantized_value)
    bound = _bound(rule, value)
    verdict, reason = _verdict(drop, bound, value)
    if value.slice != OVERALL and value.examples < gate.min_slice_examples:
        verdict = Verdict.NOT_JUDGED
        reason = f"{value.examples} examples, fewer than gate.min_slice_examples"
    return RuleResult(**value.model_dump(), drop=drop, bound=bound, verdict=verdict, reason=reason)


def _bound(rule: GateRule, value: MetricValues) -> float:
    if rule.max_drop is not None:
        return rule.max_drop
    assert rule.max_relative_drop is not None
    return rule.max_relative_drop * abs(value.float_value)


def _verdict(drop: float, bound: float, value: MetricValues) -> tuple[Verdict, str]:
    where = f"{value.metric} ({value.slice})"
    if math.isnan(drop):
        return Verdict.REFUSED, f"{where} is not a number, so no drop can be judged"
    # Metrics are quotients of counts: a drop of exactly the bound may come out an ulp above it.
    if drop <= bound or math.isclose(drop, bound, rel_tol=1e-9):
        return Verdict.BLESSED, ""
    return Verdict.REFUSED, f"{where} is worse by {drop:.4g}, more than {bound:.4g}"
