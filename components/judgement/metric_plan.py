"""Which metrics are evaluated on which output, and how each is computed, checked and tested."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_specs

from tfx_tflite.components.errors import EvaluationError, listed
from tfx_tflite.components.judgement.first_examples import FirstExamples
from tfx_tflite.components.judgement.gate import Direction, Gate, GateRule, rule_directions
from tfx_tflite.components.judgement.metrics.batched_metrics import (
    BatchedMetric,
    MeanMetric,
    batched_metric,
)
from tfx_tflite.components.judgement.metrics.decisions import DecidingMetric, Decision, decision_of
from tfx_tflite.components.judgement.metrics.label_kinds import LabelKind, LabelUse, label_kind
from tfx_tflite.components.judgement.metrics.labels import LabelCheck, LabelReader
from tfx_tflite.components.judgement.metrics.paired_scores import ScoreBuckets
from tfx_tflite.components.judgement.metrics.score_metrics import (
    ScoreMetric,
    is_score_metric,
    score_buckets,
)
from tfx_tflite.components.judgement.metrics.slices import SliceKey
from tfx_tflite.components.judgement.metrics.targets import JudgedOutput, Target
from tfx_tflite.components.judgement.prediction import FLOAT, QUANTIZED, ModelPair

# A metric of Keras that makes its state at the first batch only, by its shape, so that TFMA cannot
# merge it at the end of the evaluation; and what to use instead.
_NOT_MERGEABLE = {"R2Score": "SquaredPearsonCorrelation or RootMeanSquaredError"}


def two_model_config(eval_config: tfma.EvalConfig) -> tfma.EvalConfig:
    """Returns the config for float and quantized model from one for a single model.

    Every metric is named (by its class where its config gives no name), so that gate rules can
    name it; examples are counted; the overall slice is always there.

    Args:
        eval_config: With one model spec (label keys, example weight keys) or none.

    Raises:
        EvaluationError: There is more than one model spec, or two metrics of an output have one
            name.
    """
    if len(eval_config.model_specs) > 1:
        raise EvaluationError(
            f"eval_config has {len(eval_config.model_specs)} model_specs, expected at most one"
        )
    config = tfma.EvalConfig()
    config.CopyFrom(eval_config)
    common = eval_config.model_specs[0] if eval_config.model_specs else tfma.ModelSpec()
    del config.model_specs[:]
    for name in (FLOAT, QUANTIZED):
        spec = config.model_specs.add()
        spec.CopyFrom(common)
        spec.name, spec.model_type, spec.is_baseline = name, tfma.TF_GENERIC, name == FLOAT
    _name_metrics(config)
    if not any(not s.feature_keys and not s.feature_values for s in config.slicing_specs):
        config.slicing_specs.insert(0, tfma.SlicingSpec())
    return config


def _name_metrics(config: tfma.EvalConfig) -> None:
    names: set[tuple[str | None, str]] = set()
    for spec in config.metrics_specs:
        for metric in spec.metrics:
            settings = json.loads(metric.config or "{}")
            name = settings.setdefault("name", metric.class_name)
            metric.config = json.dumps(settings)
            for key in _keys(spec):
                if (key, name) in names:
                    raise EvaluationError(f"two metrics are named {name!r}; give one a config.name")
                names.add((key, name))


def _keys(spec: tfma.MetricsSpec) -> tuple[str | None, ...]:
    """Returns the outputs that metrics are for; None is the one whose name goes without saying."""
    return tuple(spec.output_names) or (None,)


def _metrics(config: tfma.EvalConfig) -> Iterator[tuple[tfma.MetricsSpec, tfma.MetricConfig]]:
    for spec in config.metrics_specs:
        for metric in spec.metrics:
            yield spec, metric


def metric_directions(eval_config: tfma.EvalConfig, gate: Gate) -> dict[str, Direction]:
    """Returns which way the metric of each rule is better.

    Args:
        eval_config: As `two_model_config` returns it.
        gate: The rules.

    Raises:
        EvaluationError: A rule's metric is not evaluated, or is on several outputs of which the
            rule names none, or its direction is not known or contradicts what is known.
    """
    classes: dict[str, dict[str | None, str]] = {}
    for spec, metric in _metrics(eval_config):
        name = json.loads(metric.config)["name"]
        classes.setdefault(name, {}).update(dict.fromkeys(_keys(spec), metric.class_name))
    known = {key for by_output in classes.values() for key in by_output}
    rules: list[tuple[GateRule, str]] = []
    for rule in gate.rules:
        if rule.output is not None and rule.output not in known:
            raise EvaluationError(
                f"gate rule for {rule.metric or 'the model'}: output {rule.output!r} is not "
                f"judged; judged are: {_listed_outputs(known)}"
            )
        if rule.metric is not None:
            rules.append((rule, _class_of_rule(rule, classes)))
    try:
        return rule_directions(rules)
    except ValueError as error:
        raise EvaluationError(f"gate.rules: {error}") from error


def _class_of_rule(rule: GateRule, classes: Mapping[str, Mapping[str | None, str]]) -> str:
    by_output = classes.get(str(rule.metric))
    if by_output is None:
        raise EvaluationError(
            f"gate rule names metric {rule.metric!r}, which is not evaluated; evaluated are: "
            f"{listed(classes)}"
        )
    if rule.output is None and len(by_output) > 1:
        raise EvaluationError(
            f"gate rule for {rule.metric!r}: several outputs have that metric; name one as "
            f"output: {_listed_outputs(by_output)}"
        )
    if rule.output is not None and rule.output not in by_output:
        raise EvaluationError(
            f"gate rule for {rule.metric!r}: output {rule.output!r} has no such metric; it is "
            f"evaluated on: {_listed_outputs(by_output)}"
        )
    if len(set(by_output.values())) > 1:
        raise EvaluationError(
            f"metric {rule.metric!r} is of class {listed(sorted(set(by_output.values())))} on "
            "different outputs; give one a config.name"
        )
    return next(iter(by_output.values()))


def _listed_outputs(keys: object) -> str:
    named = sorted(key for key in keys if key is not None)  # type: ignore[attr-defined]
    return listed(named) if named else "the one output, which rules do not name"


def check_metrics(eval_config: tfma.EvalConfig) -> None:
    """Checks that TFMA has every metric and takes its config.

    Args:
        eval_config: As `two_model_config` returns it.

    Raises:
        EvaluationError: It does not.
    """
    for _, metric in _metrics(eval_config):
        _check_without_thresholds(metric)
        _check_ignore_class(metric)
        _check_mergeable(metric)
        spec = tfma.MetricsSpec(metrics=[for_keras(metric)], model_names=[FLOAT])
        try:
            metric_specs.to_computations([spec], eval_config=eval_config)
        except Exception as error:  # TFMA and Keras raise nearly anything here.
            reason = str(error).splitlines()[0].split(". ")[0]
            raise EvaluationError(
                f"evaluation.metrics: TFMA cannot make {metric.class_name!r} with config "
                f"{metric.config}: {reason}"
            ) from error


def for_keras(metric: tfma.MetricConfig) -> tfma.MetricConfig:
    """Returns a metric as Keras can build it, without a class to ignore if that is done here.

    Keras has `ignore_class` for the crossentropy alone, and not in each version.
    """
    settings = json.loads(metric.config)
    found = tfma.MetricConfig()
    found.CopyFrom(metric)
    if not metric.module and label_kind(metric.class_name) is LabelKind.CLASS_INDEX:
        settings.pop("ignore_class", None)
        found.config = json.dumps(settings)
    return found


def _check_mergeable(metric: tfma.MetricConfig) -> None:
    if not metric.module and metric.class_name in _NOT_MERGEABLE:
        raise EvaluationError(
            f"evaluation.metrics: TFMA cannot merge Keras' {metric.class_name!r} over batches; use "
            f"{_NOT_MERGEABLE[metric.class_name]}, or a metric of your own (module)"
        )


def _check_ignore_class(metric: tfma.MetricConfig) -> None:
    ignored = json.loads(metric.config).get("ignore_class")
    if not metric.module and ignored is not None and type(ignored) is not int:
        raise EvaluationError(
            f"evaluation.metrics: ignore_class of {metric.class_name!r} is {ignored!r}, expected "
            "the label of what does not count, a whole number"
        )


def _check_without_thresholds(metric: tfma.MetricConfig) -> None:
    """Checks that nobody relies on TFMA's thresholds, which would say nothing here."""
    by_slice = (*metric.per_slice_thresholds, *metric.cross_slice_thresholds)
    if by_slice or metric.HasField("threshold"):
        raise EvaluationError(
            f"eval_config has a threshold for {metric.class_name!r}; only the gate decides, so "
            "make it a rule there"
        )


def targets_of(eval_config: tfma.EvalConfig, output: str | None) -> tuple[Target, ...]:
    """Returns the targets that a config's own model spec names.

    Args:
        eval_config: With one model spec.
        output: The output that is evaluated, if the spec does not name outputs.

    Raises:
        EvaluationError: It names no label.
    """
    spec = eval_config.model_specs[0] if eval_config.model_specs else tfma.ModelSpec()
    weights = dict(spec.example_weight_keys)
    if spec.label_keys:
        return tuple(
            Target(output=name, label=label, example_weight=weights.get(name))
            for name, label in sorted(spec.label_keys.items())
        )
    if not spec.label_key:
        raise EvaluationError("eval_config names no label; give its model spec a label_key")
    return (
        Target(output=output, label=spec.label_key, example_weight=spec.example_weight_key or None),
    )


def judged_outputs(
    pair: ModelPair, eval_config: tfma.EvalConfig, targets: Sequence[Target]
) -> tuple[JudgedOutput, ...]:
    """Returns the outputs that are judged, as the signature has them.

    Args:
        pair: The models.
        eval_config: The metrics; where it names outputs, rules and reports do, too.
        targets: What each output is compared with.

    Raises:
        EvaluationError: The signature has no such output, or metrics are for an output without a
            target.
    """
    named = {name for spec in eval_config.metrics_specs for name in spec.output_names}
    if not named:
        [target] = targets
        return (JudgedOutput(None, pair.output_named(target.output), target),)
    found = tuple(JudgedOutput(t.output, pair.output_named(t.output), t) for t in targets)
    without = named - {judged.key for judged in found}
    if without:
        raise EvaluationError(f"output {sorted(without)[0]!r} has metrics, but no label")
    return found


@dataclass(frozen=True)
class TestedMetric:
    """A metric of scores whose drop is tested.

    Attributes:
        metric: The metric.
        sign: 1 where higher is better, else -1.
        on_slices: Whether it is tested on each slice, or on all examples at once.
        min_examples: Slices with fewer are not judged.
    """

    metric: ScoreMetric
    sign: int
    on_slices: bool
    min_examples: int

    def wanted_on(self, key: SliceKey, examples: int) -> bool:
        """Returns whether it is tested on a slice with so many examples."""
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
        decision: What the metrics take for a model's answer; None where they take none.
        tested: The metrics of scores for which a rule asks for a confidence: overall, or on each
            slice.
        origins: By metric, about what its mean is; see `comparison.MetricSums`.
    """

    judged: JudgedOutput
    batched: tuple[BatchedMetric, ...]
    check: LabelCheck
    decision: Decision | None
    tested: tuple[TestedMetric, ...]
    origins: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def buckets(self) -> ScoreBuckets:
        """What the scores of the examples are counted in."""
        return score_buckets(self.batched)

    @property
    def by_name(self) -> dict[str, BatchedMetric]:
        """The metrics that are computed on batches, by name."""
        return {metric.name: metric for metric in self.batched}


@dataclass(frozen=True)
class MetricPlan:
    """Which metrics are computed on batches, and which go through TFMA.

    Attributes:
        outputs: The metrics of each output.
        rest: The config with the metrics that go through TFMA; None where there are none.
    """

    outputs: tuple[OutputPlan, ...]
    rest: tfma.EvalConfig | None

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
        plans = tuple(replace(plan, origins=_origins(plan, first)) for plan in self.outputs)
        return replace(self, outputs=plans)

    @classmethod
    def make(
        cls, eval_config: tfma.EvalConfig, judged: Sequence[JudgedOutput], gate: Gate
    ) -> "MetricPlan":
        """Returns the plan for a config as `two_model_config` returns it.

        Args:
            eval_config: The metrics.
            judged: The outputs that are evaluated.
            gate: The rules.

        Raises:
            EvaluationError: There is no test for the metric of a rule with a confidence.
        """
        directions = metric_directions(eval_config, gate)
        plans = tuple(_output_plan(eval_config, output, gate, directions) for output in judged)
        _check_confidences(gate, plans)
        _check_agreement(gate, plans)
        return cls(plans, _rest(eval_config, judged))


def _origins(plan: OutputPlan, first: FirstExamples) -> dict[str, float]:
    outputs = first.outputs[plan.judged.spec.name]
    labels = LabelReader(plan.judged.target).labels(first.batch, first.inputs, first.prepared)
    plan.check(labels, {QUANTIZED: outputs}, first.batch)
    means = {
        metric.name: float(metric.values(labels, outputs).mean())
        for metric in plan.batched
        if isinstance(metric, MeanMetric)
    }
    return {name: mean for name, mean in means.items() if math.isfinite(mean)}


def _output_plan(
    eval_config: tfma.EvalConfig,
    judged: JudgedOutput,
    gate: Gate,
    directions: Mapping[str, Direction],
) -> OutputPlan:
    batched: list[BatchedMetric] = []
    uses: list[LabelUse] = []
    deciding: list[DecidingMetric] = []
    for spec, metric in _metrics(eval_config):
        if judged.key not in _keys(spec):
            continue
        config = json.loads(metric.config)
        found = _batched(metric, spec, judged)
        if found is not None:
            batched.append(found)
        is_score = not metric.module and is_score_metric(metric.class_name)
        is_area = isinstance(found, ScoreMetric) and found.is_area
        uses.append(_use(metric, config, is_score, is_area))
        deciding.append(DecidingMetric(metric.class_name, config, is_score, is_area))
    by_name = {metric.name: metric for metric in batched}
    return OutputPlan(
        judged,
        tuple(batched),
        LabelCheck(judged, tuple(uses)),
        decision_of(deciding) or _class_of_unknown(uses, judged),
        _tested(gate, judged, by_name, directions),
    )


def _use(
    metric: tfma.MetricConfig, config: dict[str, Any], is_score: bool, is_area: bool
) -> LabelUse:
    if metric.module:
        return LabelUse(config["name"], LabelKind.OWN)
    return LabelUse.of(config["name"], metric.class_name, config, is_score, is_area)


def _class_of_unknown(uses: Sequence[LabelUse], judged: JudgedOutput) -> Decision | None:
    """Returns the decision of metrics of which nothing is known: the class of a row of classes."""
    shape = judged.example_shape
    is_row = shape is not None and len(shape) == 1 and (shape[0] or 0) > 1
    return Decision() if is_row and all(use.is_unknown for use in uses) else None


def _batched(
    metric: tfma.MetricConfig, spec: tfma.MetricsSpec, judged: JudgedOutput
) -> BatchedMetric | None:
    plain = tfma.MetricsSpec(
        metrics=spec.metrics, model_names=spec.model_names, output_names=spec.output_names
    )
    if spec != plain or metric.module:
        return None
    config = json.loads(metric.config)
    return batched_metric(metric.class_name, config, config["name"], judged.example_shape)


def _rest(eval_config: tfma.EvalConfig, judged: Sequence[JudgedOutput]) -> tfma.EvalConfig | None:
    """Returns the config with only the metrics that are not computed on batches."""
    rest = tfma.EvalConfig()
    rest.CopyFrom(eval_config)
    del rest.metrics_specs[:]
    by_key = {output.key: output for output in judged}
    for spec in eval_config.metrics_specs:
        others = tfma.MetricsSpec()
        others.CopyFrom(spec)
        del others.metrics[:]
        known = next(by_key[key] for key in _keys(spec) if key in by_key)
        others.metrics.extend(m for m in spec.metrics if _batched(m, spec, known) is None)
        if others.metrics:
            rest.metrics_specs.append(others)
    return rest if rest.metrics_specs else None


def _rules_on(gate: Gate, judged: JudgedOutput) -> list[GateRule]:
    return [rule for rule in gate.rules if rule.output in (None, judged.key)]


def _tested(
    gate: Gate,
    judged: JudgedOutput,
    batched: Mapping[str, BatchedMetric],
    directions: Mapping[str, Direction],
) -> tuple[TestedMetric, ...]:
    found = []
    for rule in _rules_on(gate, judged):
        metric = batched.get(rule.metric or "")
        if rule.confidence is not None and isinstance(metric, ScoreMetric):
            sign = 1 if directions[metric.name] == "higher_is_better" else -1
            on_slices = rule.slices != "overall"
            found.append(TestedMetric(metric, sign, on_slices, gate.min_slice_examples))
    return tuple(dict.fromkeys(found))


def _check_confidences(gate: Gate, plans: Sequence[OutputPlan]) -> None:
    """Checks that there is a test for every rule with a confidence."""
    for rule in gate.rules:
        if rule.confidence is None:
            continue
        found = [
            (plan, plan.by_name[str(rule.metric)])
            for plan in plans
            if rule.output in (None, plan.judged.key) and rule.metric in plan.by_name
        ]
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
    """Returns why the bootstrap of a metric of scores would be wrong; empty where it is right."""
    if not isinstance(metric, ScoreMetric):
        return ""
    if plan.judged.target.example_weight is not None:
        return "beside evaluation.example_weight"
    shape = plan.judged.example_shape
    axes = None if shape is None else shape if metric.class_id is None else shape[:-1]
    if axes is None or any(size != 1 for size in axes):
        return "of which an example has several, as they are not independent of each other"
    return ""


def _check_agreement(gate: Gate, plans: Sequence[OutputPlan]) -> None:
    """Checks that both models can agree where a rule asks for it."""
    for rule in gate.rules:
        if rule.min_agreement is None:
            continue
        for plan in plans:
            if rule.output in (None, plan.judged.key) and plan.decision is None:
                names = [use.metric for use in plan.check.uses]
                raise EvaluationError(
                    f"gate rule min_agreement: the metrics of output {plan.judged.spec.name!r} "
                    f"({listed(names)}) make no decision that both models could agree on; limit "
                    "max_mean_absolute_difference or min_sqnr_db instead"
                    + ("" if plan.judged.key is None else ", or name another output in the rule")
                )
