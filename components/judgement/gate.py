"""The gate: rules that say how much worse than the float model a quantized model may be.

Nothing here needs TensorFlow or NumPy: a gate is parsed from a config. `judging` judges by it.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import BeforeValidator, Field, ValidationError, model_serializer, model_validator

from tfx_tflite.components.digests import bytes_digest
from tfx_tflite.components.errors import EvaluationError, listed
from tfx_tflite.components.judgement.metrics.catalog import Direction, direction_of, row_of
from tfx_tflite.components.releases import release_name, release_number
from tfx_tflite.components.settings import Count, Settings, problem
from tfx_tflite.components.verdict import Side

Reference = Literal["float", "pushed"]
WhenNothingPushed = Literal["pass", "refuse"]
# Not true, nor a string that looks like a number.
_FromZero = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
_AboveZero = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


def alpha_of(confidence: float) -> float:
    """Returns one minus a confidence."""
    # Not 0.050000000000000044, and never 0.
    return round(1 - confidence, 12) or 1 - confidence


class _Rule(Settings):
    @model_serializer(mode="wrap")
    def _with_all_keys(self, own_keys: Callable[["_Rule"], dict[str, object]]) -> dict[str, object]:
        return {**_NOT_GIVEN, **own_keys(self)}


class MetricRule(_Rule):
    """A rule on the drop of a metric, or on its value for the quantized model alone.

    Attributes:
        metric: The name of a metric that is evaluated.
        output: The output that the metric is of; needed if several outputs have a metric of that
            name.
        max_drop: The largest drop allowed, in the metric's unit.
        max_relative_drop: The largest drop allowed, as a share of the float model's value.
        min_value: The smallest value allowed, whatever the float model's is.
        max_value: The largest value allowed, whatever the float model's is.
        slices: `overall`, or `each` for every value of every slice that is evaluated.
        confidence: How sure the verdict must be, above 0.5 and below 1; None compares the figures
            as they are.
        direction: Which way the metric is better; needed only if that is not known. A rule with
            min_value or max_value says it by that; beside them it is needed only if a metric is
            to be limited on its better side.
        against: What the quantized model is compared with: today's `float` model, or the one that
            was `pushed` last, on today's examples.
        when_nothing_pushed: What a rule against the pushed model says at a destination that is
            known to hold none: `pass` lets the others decide, `refuse` refuses.
    """

    metric: str
    output: str | None = None
    max_drop: _FromZero | None = None
    max_relative_drop: _FromZero | None = None
    min_value: _Number | None = None
    max_value: _Number | None = None
    slices: Literal["overall", "each"] = "overall"
    confidence: float | None = Field(default=None, strict=True, gt=0.5, lt=1)
    direction: Direction | None = None
    against: Reference = "float"
    when_nothing_pushed: WhenNothingPushed = "pass"

    @model_validator(mode="after")
    def _compares_with_what_is_pushed(self) -> "MetricRule":
        if self.when_nothing_pushed != "pass" and self.against != "pushed":
            raise ValueError("when_nothing_pushed needs against: pushed in the same rule")
        return self

    @model_validator(mode="after")
    def _one_bound(self) -> "MetricRule":
        if sum(getattr(self, key) is not None for key in METRIC_BOUNDS) != 1:
            *others, last = METRIC_BOUNDS
            raise ValueError(f"give exactly one of {', '.join(others)} and {last}")
        return self

    @model_validator(mode="after")
    def _value_is_compared_with_nothing(self) -> "MetricRule":
        if self.limit is not None and self.against != "float":
            raise ValueError(
                f"{self.value_key} is on the quantized model's own value and compares with no "
                "other model; leave against out, or give max_drop instead"
            )
        return self

    @model_validator(mode="after")
    def _value_has_one_direction(self) -> "MetricRule":
        if self.limit is not None and self.direction not in (None, self.limited_as):
            better = str(self.direction).replace("_", " ")
            raise ValueError(f"{self.value_key} does not go with direction: {better}; {_MEANINGS}")
        return self

    @property
    def identity(self) -> str:
        """A name that a rule on the same metric with the same bound has, and no other one.

        How sure the verdict must be is not part of it: a rule that is asked again with another
        confidence is the same question.
        """
        asked = self.model_dump(exclude={"confidence", "when_nothing_pushed"})
        content = json.dumps({key: asked[key] for key in sorted(asked) if asked[key] is not None})
        return f"{self.metric}:{bytes_digest(content.encode()).partition(':')[2][:12]}"

    @property
    def alpha(self) -> float:
        """How often the rule may err: one minus its confidence, which it must have."""
        assert self.confidence is not None
        return alpha_of(self.confidence)

    @property
    def value_key(self) -> str:
        """Which of `min_value` and `max_value` it has."""
        return "max_value" if self.min_value is None else "min_value"

    @property
    def limit(self) -> float | None:
        """The limit of the quantized model's own value; None if the rule is on a drop."""
        return self.max_value if self.min_value is None else self.min_value

    @property
    def side(self) -> Side | None:
        """Which way the value is limited; None if the rule is on a drop."""
        if self.limit is None:
            return None
        return "at most" if self.min_value is None else "at least"

    @property
    def limited_as(self) -> Direction:
        """Which way a metric is better that is limited as this one's value is."""
        return "lower_is_better" if self.min_value is None else "higher_is_better"

    def sign(self, directions: Mapping[str, Direction]) -> int:
        """Returns 1 if higher is better for this rule, else -1.

        Args:
            directions: Which way each metric is better.
        """
        direction = directions[self.metric] if self.limit is None else self.limited_as
        return 1 if direction == "higher_is_better" else -1

    def reference(self, float_value: float) -> float:
        """Returns what a drop counts from.

        Args:
            float_value: What the metric is for the model that is compared with. If it is no
                number, the drop of a limited value counts from the limit.
        """
        if self.limit is None or math.isfinite(float_value):
            return float_value
        return self.limit

    def allowed_drop(self, float_value: float) -> float:
        """Returns the largest drop that is allowed, in the metric's unit.

        Args:
            float_value: What the metric is for the model that is compared with.
        """
        if self.limit is not None:
            room = self.reference(float_value) - self.limit
            return room if self.side == "at least" else -room
        if self.max_drop is not None:
            return self.max_drop
        assert self.max_relative_drop is not None
        return self.max_relative_drop * abs(float_value)


# Of these a rule on a metric has one.
METRIC_BOUNDS = ("max_drop", "max_relative_drop", "min_value", "max_value")
_MEANINGS = "min_value is for higher_is_better, max_value for lower_is_better"


class LimitRule(_Rule):
    """A limit on one figure of the model as a whole, always beside the float model.

    Attributes:
        key: The key of the limit.
        figure: What evidence and reports call the figure.
        side: Which way it is limited.
        float_value: What it is for the float model itself; None if that is no number.
        against: What the model is compared with.
        explanation: The reason for a refusal, with `found` and `limit` to be filled in.
    """

    key: ClassVar[str]
    figure: ClassVar[str]
    side: ClassVar[Side] = "at most"
    float_value: ClassVar[float | None] = 1.0
    against: ClassVar[Reference] = "float"
    explanation: ClassVar[str]

    @property
    def limit(self) -> float:
        """The largest, or smallest, figure that is allowed."""
        return float(getattr(self, self.key))

    def holds(self, found: float) -> bool:
        """Returns whether a figure keeps to the limit."""
        sides = (found, self.limit) if self.side == "at most" else (self.limit, found)
        return is_within(*sides)

    def releases(self, found: float | None) -> tuple[str | None, str | None]:
        """Returns the releases that figure and limit stand for; None twice if they are numbers."""
        return None, None

    def why_not(self, found: float) -> str:
        """Returns the reason for a refusal.

        Args:
            found: The figure, which does not keep to the limit.
        """
        return self.explanation.format(name=self.figure, found=found, limit=self.limit)


class CostLimit(LimitRule):
    """A limit on what the model costs, as a multiple of the float32 TFLite model's."""

    explanation = "{name} is {found:.3g} of the float32 model's, more than {limit:g}"


class SizeLimit(CostLimit):
    """The largest size allowed, as a multiple of the float32 TFLite file."""

    key, figure = "max_size_ratio", "size_ratio"
    max_size_ratio: _AboveZero


class LatencyLimit(CostLimit):
    """The longest inference allowed, on the machine of the evaluation."""

    key, figure = "max_latency_ratio", "latency_ratio"
    max_latency_ratio: _AboveZero


class ArenaLimit(CostLimit):
    """The most working memory allowed."""

    key, figure = "max_arena_ratio", "arena_ratio"
    max_arena_ratio: _AboveZero


class FigureLimit(LimitRule):
    """A limit on a figure of the model alone, whatever the float model's is."""

    float_value = None


class SizeBytesLimit(FigureLimit):
    """The largest file allowed, in bytes."""

    key, figure = "max_size_bytes", "size_bytes"
    explanation = "the model's file has {found:,.0f} bytes, more than {limit:,.0f}"
    max_size_bytes: Count


class ArenaBytesLimit(FigureLimit):
    """The most working memory allowed on the target, in bytes."""

    key, figure = "max_arena_bytes", "arena_bytes"
    explanation = "the model needs {found:,.0f} bytes of working memory, more than {limit:,.0f}"
    max_arena_bytes: Count


class LatencyMsLimit(FigureLimit):
    """The longest inference allowed, in milliseconds.

    That is the accelerator's estimate if the target has one, else what this machine takes.
    """

    key, figure = "max_latency_ms", "latency_ms"
    explanation = "an inference takes {found:.3g} ms, more than {limit:g}"
    max_latency_ms: _AboveZero


class AcceleratedLimit(FigureLimit):
    """The smallest share of the operators that the accelerator must run."""

    key, figure, side = "min_accelerated", "accelerated", "at least"
    explanation = "the accelerator runs {found:.1%} of the operators, less than {limit:.1%}"
    min_accelerated: Annotated[float, Field(strict=True, ge=0, le=1)]


def _release(value: object) -> object:
    """Returns a release as it is meant, of what YAML makes of it."""
    if isinstance(value, str):
        return release_name(release_number(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        # What was meant by 2.1 nobody can tell.
        raise ValueError(
            "write all three parts of the release, 2.14.0 for example: YAML reads 2.10 as the "
            f"number 2.1, and here {value}"
        )
    raise ValueError("write the release of a TensorFlow Lite runtime, 2.14.0 for example")


class RuntimeLimit(LimitRule):
    """The newest release of TensorFlow Lite's runtime that the model may need.

    The figure and the limit are numbers that order as releases do; see `releases`.
    """

    key, figure, float_value = "max_runtime_version", "runtime_version", None
    explanation = (
        "the model needs TensorFlow Lite {found} or later, and devices have {limit}: it has an "
        "operator of a version that older runtimes lack"
    )
    max_runtime_version: Annotated[str, BeforeValidator(_release)]

    @property
    def limit(self) -> float:
        """The number of the newest release that is allowed."""
        return release_number(self.max_runtime_version)

    def releases(self, found: float | None) -> tuple[str | None, str | None]:
        """Returns the releases that figure and limit stand for; see `LimitRule`."""
        return None if found is None else release_name(found), self.max_runtime_version

    def why_not(self, found: float) -> str:
        """Returns the reason for a refusal; see `LimitRule`."""
        return self.explanation.format(found=release_name(found), limit=self.max_runtime_version)


class OutputLimit(LimitRule):
    """A limit on how one output differs from the float model's.

    Attributes:
        output: The output; None if the limit must hold for all.
    """

    output: str | None = None


class AgreementLimit(OutputLimit):
    """The smallest share of decisions that both models make alike."""

    key, figure, side = "min_agreement", "agreement", "at least"
    explanation = "both models decide alike in {found:.2%} of the cases, less than {limit:.2%}"
    min_agreement: Annotated[float, Field(strict=True, ge=0, le=1)]


class DivergenceLimit(OutputLimit):
    """The largest mean divergence of the quantized probabilities from the float ones, in nats."""

    key, figure, float_value = "max_kl_divergence", "kl_divergence", 0.0
    explanation = "the probabilities diverge by {found:.4g} nats, more than {limit:g}"
    max_kl_divergence: _FromZero


class DifferenceLimit(OutputLimit):
    """The largest mean absolute difference of the outputs."""

    key, figure, float_value = "max_mean_absolute_difference", "mean_absolute_difference", 0.0
    explanation = "the outputs differ by {found:.4g} in the mean, more than {limit:g}"
    max_mean_absolute_difference: _FromZero


class NoiseLimit(OutputLimit):
    """The smallest signal-to-quantization-noise ratio of the outputs, in dB."""

    key, figure, side, float_value = "min_sqnr_db", "sqnr_db", "at least", None
    explanation = "the outputs have a signal-to-noise ratio of {found:.4g} dB, less than {limit:g}"
    min_sqnr_db: Annotated[float, Field(strict=True, allow_inf_nan=False)]


_Limit = (
    SizeLimit
    | LatencyLimit
    | ArenaLimit
    | SizeBytesLimit
    | ArenaBytesLimit
    | LatencyMsLimit
    | AcceleratedLimit
    | RuntimeLimit
    | AgreementLimit
    | DivergenceLimit
    | DifferenceLimit
    | NoiseLimit
)
GateRule = MetricRule | _Limit
LIMITS: tuple[type[LimitRule], ...] = get_args(_Limit)
# The keys of all rules as a gate's JSON has them, each rule with all of them, and what stands for
# a key that is not given.
_NOT_GIVEN: Mapping[str, object] = {
    **{key: field.get_default() for key, field in MetricRule.model_fields.items()},
    **dict.fromkeys(limit.key for limit in LIMITS),
    "metric": None,
}


def is_within(drop: float, bound: float) -> bool:
    """Returns whether a drop is at most its bound."""
    # Metrics are quotients of counts: a drop of exactly the bound may come out an ulp above it.
    return drop <= bound or math.isclose(drop, bound, rel_tol=1e-9)


def rule_of(keys: object) -> object:
    """Returns the rule that some keys make; which kind it is, its keys say.

    Args:
        keys: A mapping as configs and JSON have it; a rule is returned as it is.

    Raises:
        ValidationError: A key is not known, or its value is none that it may have.
        ValueError: The keys belong to different kinds of rules, or to none.
    """
    if isinstance(keys, _Rule):
        return keys
    if not isinstance(keys, Mapping):
        return MetricRule.model_validate(keys)
    given = {key: value for key, value in keys.items() if not _is_left_out(key, value)}
    _check_known(given)
    kinds = [limit for limit in LIMITS if limit.key in given]
    if kinds:
        _check_alone(kinds[0], given)
        return kinds[0].model_validate(given)
    if "metric" not in given:
        keys_of_limits = ", ".join(limit.key for limit in LIMITS)
        raise ValueError(f"give a metric, or one of {keys_of_limits}")
    return MetricRule.model_validate(given)


def _is_left_out(key: object, value: object) -> bool:
    return key in _NOT_GIVEN and value == _NOT_GIVEN[str(key)]


def _check_known(given: Mapping[str, object]) -> None:
    unknown = [key for key in given if key not in _NOT_GIVEN]
    if unknown:
        raise ValidationError.from_exception_data(
            "rule",
            [{"type": "extra_forbidden", "loc": (key,), "input": given[key]} for key in unknown],
        )


def _check_alone(kind: type[LimitRule], given: Mapping[str, object]) -> None:
    if not given.keys() <= kind.model_fields.keys():
        beside = "; only output may be beside it" if issubclass(kind, OutputLimit) else ""
        raise ValueError(f"{kind.key} needs a rule of its own{beside}")


class Budget(Settings):
    """How many models may share which probability of a wrong push.

    Attributes:
        false_pushes: The probability that any of so many judged models is pushed although it is
            beyond the bound of a rule with a confidence.
        over: How many models that is, for example 365 for a year of nightly retrains.
    """

    false_pushes: Annotated[float, Field(strict=True, gt=0, lt=0.5)]
    over: Count


class Gate(Settings):
    """What a quantized model must satisfy to be blessed.

    Attributes:
        looks: Whether each further judgement of the same model counts, so that a model that is
            judged again and again is not pushed by chance: `counted` in the ledger at the
            destination, or `not_counted`, as if each were the first.
        budget: The probability of a wrong push over many models; None if each model has that of its
            own, which is one minus the confidence.
        min_examples: The fewest examples that the verdict may rest on.
        min_slice_examples: A slice with fewer examples is reported and not judged.
        min_class_examples: If fewer examples are of the rarer class, a metric that compares the
            scores of two classes, such as AUC, is undecided with a confidence. The default is where
            the simulated rate of false pushes is at most 5 %; see `bootstrap_interval`.
        rules: All of them must hold.
    """

    min_examples: int = Field(default=100, strict=True, ge=1)
    min_slice_examples: int = Field(default=20, strict=True, ge=1)
    min_class_examples: int = Field(default=40, strict=True, ge=1)
    looks: Literal["counted", "not_counted"] = "counted"
    budget: Budget | None = None
    rules: tuple[Annotated[GateRule, BeforeValidator(rule_of)], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _budget_can_be_kept(self) -> "Gate":
        if self.budget is None:
            return self
        if self.looks != "counted":
            raise problem(
                "gate.budget", "needs gate.looks: counted, because judgements are counted for it"
            )
        if not self.confident:
            raise problem(
                "gate.budget",
                "needs a rule with a confidence: without one nothing is known of how often a rule "
                "errs",
            )
        return self

    @property
    def confident(self) -> tuple[MetricRule, ...]:
        """The rules with a confidence."""
        return tuple(
            rule
            for rule in self.rules
            if isinstance(rule, MetricRule) and rule.confidence is not None
        )

    @property
    def is_counted(self) -> bool:
        """Whether judgements are counted in the ledger at the destination."""
        return self.looks == "counted" and bool(self.confident)

    def against(self, reference: Reference) -> tuple[GateRule, ...]:
        """Returns the rules that compare with one reference, maybe none."""
        return tuple(rule for rule in self.rules if rule.against == reference)


# --- Which metrics the rules are on ---------------------------------------------------------------


@dataclass(frozen=True)
class MetricInQuestion:
    """A metric of an output that rules may be on.

    Attributes:
        output: The output; None if its name goes without saying.
        name: What rules and reports call the metric.
        class_name: TFMA's or Keras' class.
    """

    output: str | None
    name: str
    class_name: str


class RuleError(EvaluationError):
    """A rule that does not go with what is evaluated.

    Args:
        problem: What is wrong.
        index: Which rule of the gate.
        key: Which of its keys; empty for the rule as a whole.
    """

    def __init__(self, problem: str, index: int, key: str = ""):
        self.problem = problem
        self.key = f"gate.rules.{index}" + (f".{key}" if key else "")
        super().__init__(f"{self.key}: {problem}")


def rule_directions(gate: Gate, metrics: Sequence[MetricInQuestion]) -> dict[str, Direction]:
    """Returns which way the metric of each rule is better, by the metric's name.

    Args:
        gate: The rules.
        metrics: What is evaluated.

    Raises:
        RuleError: A rule is on a metric or an output that is not evaluated, or it is not clear on
            which; a metric's direction is not known and not given, or a rule gives another one
            than is known or than another rule gives.
    """
    found: dict[str, Direction] = {}
    for index, rule in enumerate(gate.rules):
        if isinstance(rule, MetricRule | OutputLimit):
            _check_output(rule.output, metrics, index)
        if isinstance(rule, MetricRule):
            direction = _direction(rule, _class_of(rule, metrics, index), index)
            if found.setdefault(rule.metric, direction) != direction:
                raise RuleError(
                    f"two rules on {rule.metric} give it different directions; which is right?",
                    index,
                )
    return found


def _check_output(output: str | None, metrics: Sequence[MetricInQuestion], index: int) -> None:
    outputs = _outputs(metrics)
    if output is None or output in outputs:
        return
    if outputs == [None]:
        problem = "only one output is judged; leave it out, or use evaluation.outputs"
    else:
        problem = f"{output!r} is not judged; evaluation.outputs has: {listed(outputs)}"
    raise RuleError(problem, index, "output")


def _outputs(metrics: Iterable[MetricInQuestion]) -> list[str | None]:
    return list(dict.fromkeys(metric.output for metric in metrics))


def _class_of(rule: MetricRule, metrics: Sequence[MetricInQuestion], index: int) -> str:
    """Returns the class of a rule's metric, after checking that it is clear which is meant."""
    named = [metric for metric in metrics if metric.name == rule.metric]
    meant = [metric for metric in named if rule.output in (None, metric.output)]
    if not meant:
        names = listed(dict.fromkeys(metric.name for metric in metrics))
        on = f" on output {rule.output!r}, only on {listed(_outputs(named))}" if named else ""
        raise RuleError(
            f"{rule.metric!r} is not evaluated{on}; evaluation.metrics has: {names}",
            index,
            "metric",
        )
    if len(meant) > 1:
        raise RuleError(
            f"several outputs have a metric {rule.metric!r}; name one of: "
            f"{listed(_outputs(meant))}",
            index,
            "output",
        )
    classes = dict.fromkeys(metric.class_name for metric in named)
    if len(classes) > 1:
        raise RuleError(
            f"{rule.metric!r} is of class {listed(sorted(classes))} on different outputs; give one "
            "a config.name",
            index,
            "metric",
        )
    return meant[0].class_name


def _direction(rule: MetricRule, class_name: str, index: int) -> Direction:
    known = direction_of(class_name)
    if rule.limit is not None:
        _check_value(rule, class_name, index)
        return known or rule.limited_as
    direction = rule.direction or known
    if direction is None:
        raise RuleError(
            f"whether a higher or a lower {rule.metric} is better is not known; add direction: "
            "higher_is_better or direction: lower_is_better",
            index,
        )
    if known not in (None, direction):
        raise RuleError(
            f"direction is {direction}, but of {class_name} {_better(known)}; leave direction out",
            index,
        )
    return direction


def _better(direction: Direction | None) -> str:
    return str(direction).replace("_", " ")


def _check_value(rule: MetricRule, class_name: str, index: int) -> None:
    """Checks that a limited value is one that the metric can have, on the side that is meant."""
    row, limit = row_of(class_name), rule.limit
    assert limit is not None
    other = "max_value" if rule.value_key == "min_value" else "min_value"
    if rule.direction is None and row.better not in (None, rule.limited_as):
        raise RuleError(
            f"of {class_name} {_better(row.better)}, and {rule.value_key} would refuse the better "
            f"models; write {other}, or add direction: {rule.limited_as} if that is meant",
            index,
            rule.value_key,
        )
    if row.best is None or row.better != rule.limited_as:
        return
    is_up = rule.side == "at least"
    if limit > row.best if is_up else limit < row.best:
        hint = f"; write {limit / 100:g} for {limit:g} %" if is_up and limit <= 100 else ""
        raise RuleError(
            f"{class_name} is {'at most' if is_up else 'at least'} {row.best:g}, so no model can "
            f"have {limit:g}{hint}",
            index,
            rule.value_key,
        )
    if limit == row.best and rule.confidence is not None:
        raise RuleError(
            f"no number of examples shows that {rule.metric} is {row.best:g}, the best there is; "
            "leave confidence out, or ask for less",
            index,
            rule.value_key,
        )
