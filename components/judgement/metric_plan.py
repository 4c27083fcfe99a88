"""Which metrics are evaluated on which output, and how each is computed, checked and tested."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from tensorflow_model_analysis.proto import config_pb2

from tfx_tflite.components.errors import EvaluationError, listed
from tfx_tflite.components.judgement.answer_sums import AnswerKind
from tfx_tflite.components.judgement.eval_config import (
    EvaluatedMetric,
    evaluated_metrics,
    metric_directions,
    outputs_of,
)
from tfx_tflite.components.judgement.first_examples import FirstExamples
from tfx_tflite.components.judgement.gate import (
    AgreementLimit,
    Gate,
    GateRule,
    MetricRule,
    Reference,
)
from tfx_tflite.components.judgement.metrics.batched_metrics import (
    BatchedMetric,
    MeanMetric,
    batched_metric,
)
from tfx_tflite.components.judgement.metrics.catalog import Direction, LabelKind, row_of
from tfx_tflite.components.judgement.metrics.configured import ConfiguredMetric
from tfx_tflite.components.judgement.metrics.decisions import Decision, decision_of
from tfx_tflite.components.judgement.metrics.group_metrics import is_of_groups, metrics_of_groups
from tfx_tflite.components.judgement.metrics.group_scores import ScoreSums
from tfx_tflite.components.judgement.metrics.groups import AGGREGATE_KEY, FixedPoint, Grouping
from tfx_tflite.components.judgement.metrics.labels import LabelCheck
from tfx_tflite.components.judgement.metrics.paired_scores import ScoreBuckets
from tfx_tflite.components.judgement.metrics.score_metrics import ScoreMetric, score_buckets
from tfx_tflite.components.judgement.metrics.slices import SliceKey
from tfx_tflite.components.judgement.metrics.targets import Aggregate, JudgedOutput
from tfx_tflite.components.judgement.prediction import QUANTIZED

# Only the metric knows what such a label is to it.
_UNKNOWN = (LabelKind.ANY, LabelKind.OWN)


@dataclass(frozen=True)
class TestedMetric:
    """A metric of scores, or any of examples in groups, that is tested.

    Attributes:
        metric: The metric.
        sign: 1 if higher is better, else -1.
        on_slices: Whether it is tested on each slice, or on all examples at once.
        min_examples: Slices with fewer examples, or groups, are not judged.
    """

    metric: BatchedMetric
    sign: int
    on_slices: bool
    min_examples: int

    def wanted_on(self, key: SliceKey, examples: int) -> bool:
        """Returns whether it is tested on a slice with so many examples, or groups."""
        if bool(key) != self.on_slices:
            return False
        return not key or examples >= self.min_examples


@dataclass(frozen=True)
class OutputPlan:
    """How the metrics of one output are computed.

    Attributes:
        judged: The output.
        batched: The metrics that are computed on batches.
        check: What its labels must be.
        decision: What the metrics take for a model's answer; None if they take none.
        tested: The metrics of scores, or all if examples are in groups, for which a rule asks for
            a confidence: overall, or on each slice.
        origins: By metric, about what its mean is; see `metric_sums`.
        score_size: About what the mean score of an example is, if metrics are of groups.
    """

    judged: JudgedOutput
    batched: tuple[BatchedMetric, ...]
    check: LabelCheck
    decision: Decision | None
    tested: tuple[TestedMetric, ...] = ()
    origins: Mapping[str, float] = field(default_factory=dict)
    score_size: float = 0.0

    @cached_property
    def buckets(self) -> ScoreBuckets:
        """What the scores of the examples are counted in."""
        return score_buckets(self.batched)

    @property
    def grouping(self) -> Grouping | None:
        """What is to be known of groups of examples; None if they are in none."""
        by = self.judged.target.group_by
        if by is None:
            return None
        if self.judged.target.aggregate is not None:
            # A group has one score, which is kept as such.
            return Grouping(by, key=AGGREGATE_KEY)
        return Grouping(by, frozenset((one.metric.name, one.on_slices) for one in self.tested))

    @property
    def score_sums(self) -> ScoreSums | None:
        """How groups get scores; None if metrics are of examples."""
        aggregate = self.judged.target.aggregate
        return None if aggregate is None else ScoreSums(aggregate, FixedPoint.near(self.score_size))

    @property
    def has_weights(self) -> bool:
        """Whether examples have weights."""
        return self.judged.target.example_weight is not None

    @property
    def answers(self) -> AnswerKind | None:
        """What the answers are that are counted beside the labels; None if labels are of groups."""
        if self.judged.target.aggregate is not None:
            return None
        ignored = (metric.ignore_class for metric in self.check.metrics)
        return AnswerKind(self.decision, next((c for c in ignored if c is not None), None))

    @property
    def by_name(self) -> dict[str, BatchedMetric]:
        """The metrics that are computed on batches, by name."""
        return {metric.name: metric for metric in self.batched}


@dataclass(frozen=True)
class MetricPlan:
    """Which metrics are computed on batches, and which go through TFMA.

    Attributes:
        outputs: The metrics of each output.
        rest: The config with the metrics that go through TFMA; None if there are none.
        min_slice_examples: A slice with fewer examples is not judged.
    """

    outputs: tuple[OutputPlan, ...]
    rest: config_pb2.EvalConfig | None
    min_slice_examples: int = 1

    @property
    def keys(self) -> tuple[str | None, ...]:
        """What outputs are called by TFMA; None for one whose name goes without saying."""
        return tuple(plan.judged.key for plan in self.outputs)

    @property
    def checks(self) -> tuple[LabelCheck, ...]:
        """What the labels of each output must be."""
        return tuple(plan.check for plan in self.outputs)

    def with_origins(self, first: FirstExamples) -> "MetricPlan":
        """Returns the plan with each metric's mean on a few examples as the origin of its sums.

        Args:
            first: The examples, with what the quantized model gives for them.

        Raises:
            DataError: A label is missing or out of range.
            EvaluationError: A metric cannot be computed from labels and outputs like these.
        """
        plans = tuple(_with_origins(plan, first) for plan in self.outputs)
        return replace(self, outputs=plans)

    @classmethod
    def make(
        cls,
        eval_config: config_pb2.EvalConfig,
        judged: Sequence[JudgedOutput],
        gate: Gate,
        against: Reference = "float",
    ) -> "MetricPlan":
        """Returns the plan for a config as `two_model_config` returns it.

        Args:
            eval_config: The metrics.
            judged: The outputs that are evaluated.
            gate: The rules.
            against: The reference whose rules are meant.

        Raises:
            EvaluationError: There is no test for the metric of a rule with a confidence.
        """
        directions = metric_directions(eval_config, gate)
        metrics = tuple(evaluated_metrics(eval_config))
        rules = gate.against(against)
        confident = [rule for rule in rules if isinstance(rule, MetricRule) and rule.confidence]
        plans = []
        for output in judged:
            own = [evaluated for evaluated in metrics if output.key in evaluated.outputs]
            plan = _output_plan(own, output)
            tested = _tested(confident, plan, directions, gate.min_slice_examples)
            plans.append(replace(plan, tested=tested))
        _check_confidences(confident, plans)
        _check_agreement(rules, plans)
        return cls(tuple(plans), _rest(eval_config, plans), gate.min_slice_examples)


def _with_origins(plan: OutputPlan, first: FirstExamples) -> OutputPlan:
    outputs = first.outputs[plan.judged.spec.name]
    labels = plan.check.reader.labels(first.batch, first.inputs, first.prepared)
    if plan.judged.target.aggregate is not None:
        read = plan.check.scores
        scores = read({QUANTIZED: outputs}, first.batch, first.inputs, first.prepared)
        plan.check(labels, scores, first.batch)
        return replace(plan, score_size=float(scores[QUANTIZED].mean()))
    plan.check(labels, {QUANTIZED: outputs}, first.batch)
    means = {
        metric.name: float(metric.values(labels, outputs).mean())
        for metric in plan.batched
        if isinstance(metric, MeanMetric)
    }
    origins = {name: mean for name, mean in means.items() if math.isfinite(mean)}
    return replace(plan, origins=origins)


def _output_plan(metrics: Sequence[EvaluatedMetric], judged: JudgedOutput) -> OutputPlan:
    batched: list[BatchedMetric] = []
    configured: list[ConfiguredMetric] = []
    aggregate = judged.target.aggregate
    for evaluated in metrics:
        found = _batched(evaluated, judged)
        if aggregate is not None:
            _check_of_groups(evaluated.metric, found, aggregate)
        if found is not None:
            batched.append(found)
        is_area = isinstance(found, ScoreMetric) and found.is_area
        # Errors may be of any size, as areas are of their order.
        is_area = is_area and (aggregate is None or not aggregate.is_error)
        configured.append(replace(evaluated.metric, is_area=is_area))
    return OutputPlan(
        judged,
        tuple(batched),
        LabelCheck(judged, tuple(configured)),
        None
        if aggregate is not None and aggregate.is_error
        else decision_of(configured) or _class_of_unknown(configured, judged),
    )


def _check_of_groups(
    metric: ConfiguredMetric, batched: BatchedMetric | None, aggregate: Aggregate
) -> None:
    """Checks that a metric can be had of the scores of groups."""
    is_known = isinstance(batched, ScoreMetric)
    if not is_known or not is_of_groups(metric.class_name, metric.settings, aggregate):
        raise EvaluationError(
            f"evaluation.aggregate: {metric.name!r} is not a metric of groups' scores; "
            f"{metrics_of_groups(aggregate)}"
        )


def _batched(evaluated: EvaluatedMetric, judged: JudgedOutput) -> BatchedMetric | None:
    spec = evaluated.spec
    plain = config_pb2.MetricsSpec(
        metrics=spec.metrics, model_names=spec.model_names, output_names=spec.output_names
    )
    if spec != plain or evaluated.metric.is_own:
        return None
    return batched_metric(evaluated.metric, judged.example_shape)


def _class_of_unknown(metrics: Sequence[ConfiguredMetric], judged: JudgedOutput) -> Decision | None:
    """Returns the decision of metrics of which nothing is known: the class of a row of classes."""
    shape = judged.example_shape
    is_row = shape is not None and len(shape) == 1 and (shape[0] or 0) > 1
    return Decision() if is_row and all(metric.label in _UNKNOWN for metric in metrics) else None


def _rest(
    eval_config: config_pb2.EvalConfig, plans: Sequence[OutputPlan]
) -> config_pb2.EvalConfig | None:
    """Returns the config with only the metrics that are not computed on batches."""
    rest = config_pb2.EvalConfig()
    rest.CopyFrom(eval_config)
    by_output = {plan.judged.key: plan.by_name for plan in plans}
    for spec in rest.metrics_specs:
        # Whether a metric is computed on batches does not depend on the output.
        batched = next(by_output[key] for key in outputs_of(spec) if key in by_output)
        others = [
            metric for metric in spec.metrics if json.loads(metric.config)["name"] not in batched
        ]
        del spec.metrics[:]
        for metric in others:
            metric.module = metric.module or row_of(metric.class_name).module
        spec.metrics.extend(others)
    left = [spec for spec in rest.metrics_specs if spec.metrics]
    del rest.metrics_specs[:]
    rest.metrics_specs.extend(left)
    return rest if left else None


# --- What the rules ask for -----------------------------------------------------------------------


def _tested(
    rules: Sequence[MetricRule],
    plan: OutputPlan,
    directions: Mapping[str, Direction],
    min_examples: int,
) -> tuple[TestedMetric, ...]:
    found = []
    for rule, metric in _confidences(rules, plan):
        if isinstance(metric, ScoreMetric) or plan.judged.target.group_by is not None:
            sign = 1 if directions[metric.name] == "higher_is_better" else -1
            found.append(TestedMetric(metric, sign, rule.slices == "each", min_examples))
    return tuple(dict.fromkeys(found))


def _confidences(
    rules: Sequence[MetricRule], plan: OutputPlan
) -> Iterator[tuple[MetricRule, BatchedMetric]]:
    """Yields the rules on an output, each with its metric."""
    for rule in rules:
        if rule.output in (None, plan.judged.key) and rule.metric in plan.by_name:
            yield rule, plan.by_name[rule.metric]


def _check_confidences(rules: Sequence[MetricRule], plans: Sequence[OutputPlan]) -> None:
    """Checks that there is a test for every rule with a confidence."""
    for rule in rules:
        found = [(plan, metric) for plan in plans for _, metric in _confidences([rule], plan)]
        if not found:
            known = [name for plan in plans for name in plan.by_name]
            raise EvaluationError(
                f"gate rule for {rule.metric!r}: there is no confidence for this metric, only for: "
                f"{listed(known)}; set confidence to null to compare the figures as they are"
            )
        for plan, metric in found:
            problem = _why_untested(plan, metric)
            if problem:
                raise EvaluationError(
                    f"gate rule for {rule.metric!r}: there is no confidence for a metric of scores "
                    f"{problem}; set confidence to null to compare the figures as they are"
                )


def _why_untested(plan: OutputPlan, metric: BatchedMetric) -> str:
    """Returns why the bootstrap of a metric of scores would be wrong; empty if it is right."""
    if not isinstance(metric, ScoreMetric) or plan.judged.target.group_by is not None:
        # Of groups whole ones are drawn, however their scores depend on each other.
        return ""
    if plan.judged.target.example_weight is not None:
        return "beside evaluation.example_weight"
    shape = plan.judged.example_shape
    axes = None if shape is None else shape if metric.class_id is None else shape[:-1]
    if axes is None or any(size != 1 for size in axes):
        return "of which an example has several, as they are not independent of each other"
    return ""


def _check_agreement(rules: Sequence[GateRule], plans: Sequence[OutputPlan]) -> None:
    """Checks that both models can agree if a rule asks for it."""
    for rule in rules:
        if not isinstance(rule, AgreementLimit):
            continue
        for plan in plans:
            if rule.output in (None, plan.judged.key) and plan.decision is None:
                names = [metric.name for metric in plan.check.metrics]
                raise EvaluationError(
                    f"gate rule min_agreement: the metrics of output {plan.judged.spec.name!r} "
                    f"({listed(names)}) make no decision that both models could agree on; limit "
                    "max_mean_absolute_difference or min_sqnr_db instead"
                    + ("" if plan.judged.key is None else ", or name another output in the rule")
                )
