"""TFMA's config of an evaluation: for two models instead of one, checked, and read as metrics."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_specs
from tensorflow_model_analysis.proto import config_pb2

from tfx_tflite.components.errors import EvaluationError
from tfx_tflite.components.judgement.gate import Gate, MetricInQuestion, rule_directions
from tfx_tflite.components.judgement.metrics.catalog import Direction, LabelKind, row_of
from tfx_tflite.components.judgement.metrics.configured import ConfiguredMetric
from tfx_tflite.components.judgement.metrics.targets import JudgedOutput, Target
from tfx_tflite.components.judgement.prediction import FLOAT, QUANTIZED, ModelPair


def two_model_config(eval_config: config_pb2.EvalConfig) -> config_pb2.EvalConfig:
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
    config = config_pb2.EvalConfig()
    config.CopyFrom(eval_config)
    common = eval_config.model_specs[0] if eval_config.model_specs else config_pb2.ModelSpec()
    del config.model_specs[:]
    for name in (FLOAT, QUANTIZED):
        spec = config.model_specs.add()
        spec.CopyFrom(common)
        spec.name, spec.model_type, spec.is_baseline = name, tfma.TF_GENERIC, name == FLOAT
    _name_metrics(config)
    if not any(not s.feature_keys and not s.feature_values for s in config.slicing_specs):
        config.slicing_specs.insert(0, config_pb2.SlicingSpec())
    return config


def _name_metrics(config: config_pb2.EvalConfig) -> None:
    names: set[tuple[str | None, str]] = set()
    for evaluated in evaluated_metrics(config):
        name, proto = evaluated.metric.name, evaluated.proto
        proto.config = json.dumps({**json.loads(proto.config or "{}"), "name": name})
        for output in evaluated.outputs:
            if (output, name) in names:
                raise EvaluationError(f"two metrics are named {name!r}; give one a config.name")
            names.add((output, name))


@dataclass(frozen=True)
class EvaluatedMetric:
    """A metric of a config.

    Attributes:
        spec: The metrics spec that it is in.
        proto: The metric as TFMA has it.
        metric: The same as this project has it.
    """

    spec: config_pb2.MetricsSpec
    proto: config_pb2.MetricConfig
    metric: ConfiguredMetric

    @property
    def outputs(self) -> tuple[str | None, ...]:
        """The outputs that it is for; None is the one whose name goes without saying."""
        return outputs_of(self.spec)


def outputs_of(spec: config_pb2.MetricsSpec) -> tuple[str | None, ...]:
    """Returns the outputs that metrics are for; None is the one whose name goes without saying."""
    return tuple(spec.output_names) or (None,)


def evaluated_metrics(config: config_pb2.EvalConfig) -> Iterator[EvaluatedMetric]:
    """Yields the metrics of a config."""
    for spec in config.metrics_specs:
        for proto in spec.metrics:
            settings = json.loads(proto.config or "{}")
            name = settings.pop("name", proto.class_name)
            settings.pop("dtype", None)
            metric = ConfiguredMetric(name, proto.class_name, settings, bool(proto.module))
            yield EvaluatedMetric(spec, proto, metric)


def metric_directions(eval_config: config_pb2.EvalConfig, gate: Gate) -> dict[str, Direction]:
    """Returns which way the metric of each rule is better; see `gate.rule_directions`.

    Args:
        eval_config: As `two_model_config` returns it.
        gate: The rules.

    Raises:
        RuleError: A rule does not go with the metrics.
    """
    metrics = [
        MetricInQuestion(output, evaluated.metric.name, evaluated.metric.class_name)
        for evaluated in evaluated_metrics(eval_config)
        for output in evaluated.outputs
    ]
    return rule_directions(gate, metrics)


def check_metrics(eval_config: config_pb2.EvalConfig) -> None:
    """Checks that TFMA has every metric and takes its config.

    Args:
        eval_config: As `two_model_config` returns it.

    Raises:
        EvaluationError: It does not.
    """
    for evaluated in evaluated_metrics(eval_config):
        _check_without_thresholds(evaluated.proto)
        if not evaluated.metric.is_own:
            _check_ignore_class(evaluated.metric)
            _check_mergeable(evaluated.metric)
        _check_made(evaluated.proto, eval_config)


def _check_made(metric: config_pb2.MetricConfig, eval_config: config_pb2.EvalConfig) -> None:
    spec = config_pb2.MetricsSpec(metrics=[for_keras(metric)], model_names=[FLOAT])
    try:
        metric_specs.to_computations([spec], eval_config=eval_config)
    except Exception as error:  # TFMA and Keras raise nearly anything here.
        reason = str(error).splitlines()[0].split(". ")[0]
        raise EvaluationError(
            f"evaluation.metrics: TFMA cannot make {metric.class_name!r} with config "
            f"{metric.config}: {reason}"
        ) from error


def for_keras(metric: config_pb2.MetricConfig) -> config_pb2.MetricConfig:
    """Returns a metric as Keras can build it: with its module, and no class to ignore.

    Keras has `ignore_class` for the crossentropy alone, and not in each version.
    """
    settings = json.loads(metric.config)
    found = config_pb2.MetricConfig()
    found.CopyFrom(metric)
    found.module = found.module or row_of(metric.class_name).module
    if not metric.module and row_of(metric.class_name).label is LabelKind.CLASS_INDEX:
        settings.pop("ignore_class", None)
        found.config = json.dumps(settings)
    return found


def _check_mergeable(metric: ConfiguredMetric) -> None:
    if metric.row.instead:
        raise EvaluationError(
            f"evaluation.metrics: TFMA cannot merge Keras' {metric.class_name!r} over batches; use "
            f"{metric.row.instead}, or a metric of your own (module)"
        )


def _check_ignore_class(metric: ConfiguredMetric) -> None:
    ignored = metric.settings.get("ignore_class")
    if ignored is not None and type(ignored) is not int:
        raise EvaluationError(
            f"evaluation.metrics: ignore_class of {metric.class_name!r} is {ignored!r}, expected "
            "the label of what does not count, a whole number"
        )


def _check_without_thresholds(metric: config_pb2.MetricConfig) -> None:
    """Checks that nobody relies on TFMA's thresholds, which would say nothing here."""
    by_slice = (*metric.per_slice_thresholds, *metric.cross_slice_thresholds)
    if by_slice or metric.HasField("threshold"):
        raise EvaluationError(
            f"eval_config has a threshold for {metric.class_name!r}; only the gate decides, so "
            "make it a rule there"
        )


def targets_of(eval_config: config_pb2.EvalConfig, output: str | None) -> tuple[Target, ...]:
    """Returns the targets that a config's own model spec names.

    Args:
        eval_config: With one model spec.
        output: The output that is evaluated, if the spec does not name outputs.

    Raises:
        EvaluationError: It names no label.
    """
    spec = eval_config.model_specs[0] if eval_config.model_specs else config_pb2.ModelSpec()
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
    pair: ModelPair, eval_config: config_pb2.EvalConfig, targets: Sequence[Target]
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
