"""The gate: rules that say how much worse than the float model a quantized model may be.

Nothing here needs TensorFlow: a gate is parsed from a config and judged on plain numbers.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tfx_tflite.components.verdict import OVERALL, MetricValues, RuleResult, Verdict

if TYPE_CHECKING:  # It loads SciPy, which a config can do without.
    from tfx_tflite.components.judgement.statistics.paired_tests import DropInterval

# Whether a higher value is a better one, for the TFMA metrics with one number a slice.
_HIGHER_IS_BETTER = frozenset(
    """
    AUC AUCPrecisionRecall Accuracy BalancedAccuracy BinaryAccuracy BinaryIoU CategoricalAccuracy
    CosineSimilarity DiagnosticOddsRatio ExactMatch F1Score FBetaScore FowlkesMallowsIndex
    Informedness IoU Markedness MatthewsCorrelationCoefficient MeanIoU NDCG NPV
    NegativePredictiveValue OneHotIoU OneHotMeanIoU PPV PositiveLikelihoodRatio Precision
    PrecisionAtRecall R2Score Recall RecallAtPrecision
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


def rule_directions(rules: Iterable[tuple["GateRule", str]]) -> dict[str, Direction]:
    """Returns which way the metric of each rule is better, by the metric's name.

    Args:
        rules: Rules on metrics, each with the TFMA class of its metric.

    Raises:
        ValueError: A metric's direction is not known and not given, or a rule gives another one
            than is known or than another rule gives.
    """
    found: dict[str, Direction] = {}
    for rule, class_name in rules:
        name, known = str(rule.metric), direction_of(class_name)
        direction = rule.direction or known
        if direction is None:
            raise ValueError(
                f"which way {name} is better is not known; add a direction, higher_is_better or "
                "lower_is_better"
            )
        if known not in (None, direction):
            raise ValueError(
                f"direction is {direction}, but of {class_name} {known.replace('_', ' ')}; leave "
                "direction out"
            )
        if found.setdefault(name, direction) != direction:
            raise ValueError(f"two rules on {name} give it different directions; which is right?")
    return found


class GateRule(BaseModel):
    """One rule of a gate: on a metric, or on one figure of the model as a whole.

    Attributes:
        metric: The name of a metric that is evaluated.
        output: The output that the metric, or the figure, is of; needed where several outputs have
            a metric of that name. A limit on a figure that names none must hold for all outputs.
        max_drop: The largest drop allowed, in the metric's unit.
        max_relative_drop: The largest drop allowed, as a share of the float model's value.
        slices: `overall`, or `each` for every value of every slice that is evaluated.
        confidence: How sure the verdict must be, above 0.5 and below 1; None compares the figures
            as they are.
        direction: Which way the metric is better; needed only if that is not known.
        against: What the quantized model is compared with: today's `float` model, or the one that
            was `pushed` last, on today's examples.
        max_size_ratio: The largest size allowed, as a multiple of the float32 TFLite file.
        max_latency_ratio: The longest inference allowed, as a multiple of the float32 TFLite
            model's on the machine of the evaluation.
        max_arena_ratio: The most working memory allowed, as a multiple of the float32 TFLite
            model's.
        min_agreement: The smallest share of decisions that both models make alike.
        max_kl_divergence: The largest mean divergence of the quantized model's probabilities from
            the float model's, in nats.
        max_mean_absolute_difference: The largest mean absolute difference of the outputs.
        min_sqnr_db: The smallest signal-to-quantization-noise ratio of the outputs, in dB.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str | None = None
    output: str | None = None
    max_drop: float | None = Field(default=None, strict=True, ge=0, allow_inf_nan=False)
    max_relative_drop: float | None = Field(default=None, strict=True, ge=0, allow_inf_nan=False)
    slices: Literal["overall", "each"] = "overall"
    confidence: float | None = Field(default=None, strict=True, gt=0.5, lt=1)
    direction: Direction | None = None
    against: Literal["float", "pushed"] = "float"
    max_size_ratio: float | None = Field(default=None, strict=True, gt=0, allow_inf_nan=False)
    max_latency_ratio: float | None = Field(default=None, strict=True, gt=0, allow_inf_nan=False)
    max_arena_ratio: float | None = Field(default=None, strict=True, gt=0, allow_inf_nan=False)
    min_agreement: float | None = Field(default=None, strict=True, ge=0, le=1)
    max_kl_divergence: float | None = Field(default=None, strict=True, ge=0, allow_inf_nan=False)
    max_mean_absolute_difference: float | None = Field(
        default=None, strict=True, ge=0, allow_inf_nan=False
    )
    min_sqnr_db: float | None = Field(default=None, strict=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _one_limit(self) -> "GateRule":
        whole = [limit.key for limit in LIMITS if getattr(self, limit.key) is not None]
        if not whole:
            if self.metric is None:
                keys = ", ".join(limit.key for limit in LIMITS)
                raise ValueError(f"give a metric, or one of {keys}")
            if (self.max_drop is None) == (self.max_relative_drop is None):
                raise ValueError("give exactly one of max_drop and max_relative_drop")
        elif self != self._alone(whole[0]):
            beside = " but for output" if _is_of_outputs(whole[0]) else ""
            raise ValueError(f"{whole[0]} stands in a rule by itself{beside}")
        return self

    def _alone(self, key: str) -> "GateRule":
        """Returns a rule with nothing but a limit and, where it may have one, an output."""
        output = self.output if _is_of_outputs(key) else None
        return GateRule.model_construct(**{key: getattr(self, key), "output": output})


@dataclass(frozen=True)
class Limit:
    """A limit that a rule may set on one figure of the model as a whole.

    Attributes:
        key: The rule's key.
        figure: What evidence and reports call the figure.
        side: Which way it is limited.
        float_value: What it is for the float model itself; None where that is no number.
        explanation: The reason for a refusal, with `found` and `limit` to be filled in.
        is_of_outputs: Whether each output has the figure, rather than the model.
    """

    key: str
    figure: str
    side: Literal["at most", "at least"]
    float_value: float | None
    explanation: str
    is_of_outputs: bool = True

    def holds(self, found: float, limit: float) -> bool:
        """Returns whether a figure keeps to a limit."""
        return _within(found, limit) if self.side == "at most" else _within(limit, found)


_RATIO = "{name} is {found:.3g} of the float32 model's, more than {limit:g}"
LIMITS = (
    Limit("max_size_ratio", "size_ratio", "at most", 1.0, _RATIO, is_of_outputs=False),
    Limit("max_latency_ratio", "latency_ratio", "at most", 1.0, _RATIO, is_of_outputs=False),
    Limit("max_arena_ratio", "arena_ratio", "at most", 1.0, _RATIO, is_of_outputs=False),
    Limit(
        "min_agreement",
        "agreement",
        "at least",
        1.0,
        "both models decide alike in {found:.2%} of the cases, less than {limit:.2%}",
    ),
    Limit(
        "max_kl_divergence",
        "kl_divergence",
        "at most",
        0.0,
        "the probabilities diverge by {found:.4g} nats, more than {limit:g}",
    ),
    Limit(
        "max_mean_absolute_difference",
        "mean_absolute_difference",
        "at most",
        0.0,
        "the outputs differ by {found:.4g} in the mean, more than {limit:g}",
    ),
    Limit(
        "min_sqnr_db",
        "sqnr_db",
        "at least",
        None,
        "the outputs have a signal-to-noise ratio of {found:.4g} dB, less than {limit:g}",
    ),
)


def _is_of_outputs(key: str) -> bool:
    return any(limit.key == key and limit.is_of_outputs for limit in LIMITS)


class Gate(BaseModel):
    """What a quantized model must satisfy to be blessed.

    Attributes:
        min_examples: The fewest examples that the verdict may rest on.
        min_slice_examples: A slice with fewer examples is reported and not judged.
        rules: All of them must hold.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_examples: int = Field(default=100, strict=True, ge=1)
    min_slice_examples: int = Field(default=20, strict=True, ge=1)
    rules: tuple[GateRule, ...] = Field(min_length=1)

    def against(self, reference: Literal["float", "pushed"]) -> "Gate":
        """Returns the gate with only the rules against one reference, maybe none."""
        rules = tuple(rule for rule in self.rules if rule.against == reference)
        return self.model_copy(update={"rules": rules})


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


class Evidence(Protocol):
    """What is known of the two models beyond the metrics' values."""

    def interval(self, rule: GateRule, value: MetricValues, sign: int) -> "DropInterval":
        """Returns how sure the drop of a metric on a slice is.

        Args:
            rule: A rule with a confidence.
            value: The metric on the slice.
            sign: 1 where higher is better, else -1.
        """

    def has_no_figure(self, value: MetricValues) -> bool:
        """Returns whether the examples of a slice leave a metric undefined for both models."""

    def figure(self, name: str, output: str | None) -> float | None:
        """Returns a figure of the model as a whole, None where it is not known.

        Args:
            name: The `figure` of one of `LIMITS`.
            output: The output that it is of, where it is of outputs and they have names.
        """

    @property
    def output_keys(self) -> Sequence[str | None]:
        """The names of the outputs that are judged; None for one whose name is not said."""


def judge(
    gate: Gate,
    values: Sequence[MetricValues],
    examples: int,
    directions: Mapping[str, Direction],
    evidence: Evidence,
) -> GateResult:
    """Returns whether a quantized model passes a gate.

    A model is blessed where all rules hold on all slices that are judged. With a confidence, the
    probability of blessing a model that breaks any of them is at most 1 - confidence however many
    there are, since all must hold at once (an intersection-union test: Berger 1982, Technometrics
    24:295). A slice is called refused, rather than undecided, with Holm's correction for the
    number of slices, so that a good slice is accused with probability at most 1 - confidence.

    Args:
        gate: The rules.
        values: Each metric on each slice.
        examples: The number of examples that both models were compared on.
        directions: Which way each metric is better.
        evidence: What else is known.
    """
    results: list[RuleResult] = []
    reasons: list[str] = []
    if examples < gate.min_examples:
        reasons.append(
            f"{examples} examples are too few to judge; gate.min_examples is {gate.min_examples}"
        )
    for rule in gate.rules:
        if rule.metric is None:
            found = _judge_whole_model(rule, examples, evidence)
        else:
            found = _judge_metric(rule, gate, values, directions, evidence)
        results += found
        reasons += [result.reason for result in found if result.verdict in _AGAINST]
        if all(result.verdict is Verdict.NOT_JUDGED for result in found):
            where = "overall" if rule.slices == "overall" else "on any slice with enough examples"
            reasons.append(f"{rule.metric}: there is no figure to judge {where}")
    return GateResult(
        verdict=Verdict.REFUSED if reasons else Verdict.BLESSED,
        examples=examples,
        rules=tuple(results),
        reasons=tuple(reasons),
    )


_AGAINST = (Verdict.REFUSED, Verdict.UNDECIDED)


def _judge_whole_model(rule: GateRule, examples: int, evidence: Evidence) -> list[RuleResult]:
    """Returns the results of a limit: one, or one an output if it names none of several."""
    [limit] = [limit for limit in LIMITS if getattr(rule, limit.key) is not None]
    outputs = evidence.output_keys if limit.is_of_outputs and rule.output is None else [rule.output]
    return [_judge_figure(rule, limit, output, examples, evidence) for output in outputs]


def _judge_figure(
    rule: GateRule, limit: Limit, output: str | None, examples: int, evidence: Evidence
) -> RuleResult:
    """Returns the result of a limit on one figure, as a drop from what the float model has."""
    allowed, found = getattr(rule, limit.key), evidence.figure(limit.figure, output)
    if found is None:
        reason = f"{limit.figure} is not known, so it cannot be judged"
    elif limit.holds(found, allowed):
        reason = ""
    else:
        reason = limit.explanation.format(name=limit.figure, found=found, limit=allowed)
    if reason and output is not None:
        reason = f"output {output}: {reason}"
    # Where the float model has no figure, the limit itself is what a drop counts from.
    reference = allowed if limit.float_value is None else limit.float_value
    sign = 1 if limit.side == "at least" else -1
    return RuleResult(
        metric=limit.figure,
        output=output,
        slice=OVERALL,
        examples=examples,
        float_value=math.nan if limit.float_value is None else limit.float_value,
        quantized_value=math.nan if found is None else found,
        drop=math.nan if found is None else sign * (reference - found),
        bound=sign * (reference - allowed),
        limit=allowed,
        verdict=Verdict.REFUSED if reason else Verdict.BLESSED,
        reason=reason,
    )


def _judge_metric(
    rule: GateRule,
    gate: Gate,
    values: Sequence[MetricValues],
    directions: Mapping[str, Direction],
    evidence: Evidence,
) -> list[RuleResult]:
    assert rule.metric is not None
    sign = 1 if directions[rule.metric] == "higher_is_better" else -1
    wanted = [
        value
        for value in values
        if value.metric == rule.metric
        and rule.output in (None, value.output)
        and (value.slice == OVERALL) == (rule.slices == "overall")
    ]
    left_out = {v.slice: _why_not_judged(v, gate, evidence) for v in wanted}
    judged = [value for value in wanted if not left_out[value.slice]]
    found = {v.slice: _no_number(rule, v, sign) for v in judged if not _is_finite(v)}
    judged = [value for value in judged if value.slice not in found]
    if rule.confidence is None:
        found |= {value.slice: _compare(rule, value, sign) for value in judged}
    else:
        found |= _test(rule, judged, sign, evidence)
    return [
        found.get(value.slice)
        or _result(rule, value, sign, Verdict.NOT_JUDGED, left_out[value.slice])
        for value in wanted
    ]


def _why_not_judged(value: MetricValues, gate: Gate, evidence: Evidence) -> str:
    """Returns why a slice is only reported; empty where it is judged."""
    if value.slice == OVERALL:
        return ""
    if value.examples < gate.min_slice_examples:
        return f"{value.examples} examples, fewer than gate.min_slice_examples"
    if evidence.has_no_figure(value):
        return f"none of the {value.examples} examples are of a class that {value.metric} needs"
    return ""


def _result(
    rule: GateRule, value: MetricValues, sign: int, verdict: Verdict, reason: str, **evidence: Any
) -> RuleResult:
    return RuleResult(
        **value.model_dump(),
        drop=sign * (value.float_value - value.quantized_value),
        bound=allowed_drop(rule, value),
        verdict=verdict,
        reason=reason,
        confidence=rule.confidence,
        **evidence,
    )


def allowed_drop(rule: GateRule, value: MetricValues) -> float:
    """Returns the largest drop that a rule allows on a slice, in the metric's unit."""
    if rule.max_drop is not None:
        return rule.max_drop
    assert rule.max_relative_drop is not None
    return rule.max_relative_drop * abs(value.float_value)


def _is_finite(value: MetricValues) -> bool:
    return math.isfinite(value.float_value) and math.isfinite(value.quantized_value)


def _no_number(rule: GateRule, value: MetricValues, sign: int) -> RuleResult:
    """Returns what any rule says of a figure that is no finite number."""
    model = "quantized" if math.isfinite(value.float_value) else "float"
    reason = (
        f"{_where(value)} of the {model} model is not a finite number, so no drop can be judged"
    )
    return _result(rule, value, sign, Verdict.REFUSED, reason)


def _compare(rule: GateRule, value: MetricValues, sign: int) -> RuleResult:
    """Returns what a rule without confidence says: the figures are compared as they are."""
    drop = sign * (value.float_value - value.quantized_value)
    bound = allowed_drop(rule, value)
    reason = ""
    if not _within(drop, bound):
        reason = f"{_where(value)} is worse by {drop:.4g}, more than {bound:.4g}"
    return _result(rule, value, sign, Verdict.REFUSED if reason else Verdict.BLESSED, reason)


def _where(value: MetricValues) -> str:
    of = "" if value.output is None else f" of {value.output}"
    return f"{value.metric}{of} ({value.slice})"


def _within(drop: float, bound: float) -> bool:
    # Metrics are quotients of counts: a drop of exactly the bound may come out an ulp above it.
    return drop <= bound or math.isclose(drop, bound, rel_tol=1e-9)


def _test(
    rule: GateRule, values: Sequence[MetricValues], sign: int, evidence: Evidence
) -> dict[str, RuleResult]:
    """Returns what a rule with a confidence says of each slice."""
    from tfx_tflite.components.judgement.statistics.paired_tests import holm

    assert rule.confidence is not None
    intervals = [evidence.interval(rule, value, sign) for value in values]
    alpha = 1 - rule.confidence
    accused = holm([interval.p_refused for interval in intervals], alpha)
    results = {}
    for value, interval, is_accused in zip(values, intervals, accused, strict=True):
        verdict, reason, more = _weigh(rule, value, interval, bool(is_accused))
        results[value.slice] = _result(
            rule,
            value,
            sign,
            verdict,
            reason,
            lower=interval.lower,
            upper=interval.upper,
            method=interval.method,
            more_examples=more,
        )
    return results


def _weigh(
    rule: GateRule, value: MetricValues, interval: "DropInterval", is_accused: bool
) -> tuple[Verdict, str, int | None]:
    """Returns verdict, reason, and how many more examples would settle it."""
    from tfx_tflite.components.judgement.statistics.paired_tests import examples_to_settle

    assert rule.confidence is not None
    where, bound = _where(value), allowed_drop(rule, value)
    if interval.p_blessed < 1 - rule.confidence:
        return Verdict.BLESSED, "", None
    if is_accused:
        reason = f"{where} is worse by {interval.drop:.4g}, more than {bound:.4g}"
        return Verdict.REFUSED, f"{reason} at {rule.confidence:.0%} confidence", None
    more = examples_to_settle(
        interval.examples,
        interval.drop,
        interval.standard_error,
        bound,
        rule.confidence,
        correction=interval.correction,
    )
    reason = (
        f"{where} is undecided: the drop is {interval.drop:.4g}, at most {interval.upper:.4g} at "
        f"{rule.confidence:.0%} confidence, and {bound:.4g} is allowed; {interval.examples:,} "
        "examples are too few"
    )
    return (
        Verdict.UNDECIDED,
        reason + (f", some {more:,} more would settle it" if more else ""),
        more,
    )
