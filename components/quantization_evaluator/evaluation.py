"""Float against quantized model through TFMA: the same batches, metrics, slices, result files."""

import json
import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.metrics import metric_specs
from tensorflow_model_analysis.proto import metrics_for_slice_pb2

from tfx_tflite.components.errors import EvaluationError, listed
from tfx_tflite.components.model_inputs import InputSpec
from tfx_tflite.components.quantization_evaluator.batched_metrics import (
    BatchedMetric,
    batched_metric,
)
from tfx_tflite.components.quantization_evaluator.comparison import (
    ComparedBatch,
    CompareOutputs,
    Comparison,
    above_one_half,
    comparison_from_json,
    comparison_to_json,
    most_likely_class,
)
from tfx_tflite.components.quantization_evaluator.gate import (
    OVERALL,
    Direction,
    Gate,
    MetricValues,
    direction_of,
)
from tfx_tflite.components.quantization_evaluator.labels import LabelCheck
from tfx_tflite.components.quantization_evaluator.paired_scores import PairedScores, ScoreBuckets
from tfx_tflite.components.quantization_evaluator.prediction import (
    FLOAT,
    INPUTS_SEEN_KEY,
    QUANTIZED,
    ModelPair,
    PredictExtractor,
)
from tfx_tflite.components.quantization_evaluator.resampling import ScoreEvidence, score_evidence
from tfx_tflite.components.quantization_evaluator.score_metrics import ScoreMetric, score_buckets
from tfx_tflite.components.quantization_evaluator.slices import SliceKey, by_name, slice_name

_EXAMPLE_COUNT = "example_count"
_COMPARISON = "comparison"
_COMPARISON_FILE = "comparison.json"


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        examples: How many examples both models predicted.
        values: Each metric with one number, on each slice.
        comparison: The sums behind the batched metrics, and how the outputs differ.
        batched: The metrics that were computed on batches, by name.
        score_evidence: By (metric, slice), what the test of a metric of scores rests on; only
            where a rule asks for a confidence.
    """

    examples: int
    values: tuple[MetricValues, ...]
    comparison: Comparison
    batched: Mapping[str, BatchedMetric]
    score_evidence: Mapping[tuple[str, str], ScoreEvidence]


def two_model_config(eval_config: tfma.EvalConfig) -> tfma.EvalConfig:
    """Returns the config for float and quantized model from one for a single model.

    Every metric is named (by its class where its config gives no name), so that gate rules can
    name it; examples are counted; the overall slice is always there.

    Args:
        eval_config: With one model spec (label key, example weight key) or none.

    Raises:
        EvaluationError: There is more than one model spec, or two metrics have one name.
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
    names: set[str] = set()
    for metric in _metrics(config):
        settings = json.loads(metric.config or "{}")
        name = settings.setdefault("name", metric.class_name)
        metric.config = json.dumps(settings)
        if name in names:
            raise EvaluationError(f"two metrics are named {name!r}; give one a config.name")
        names.add(name)


def _metrics(config: tfma.EvalConfig) -> Iterator[tfma.MetricConfig]:
    for spec in config.metrics_specs:
        yield from spec.metrics


def metric_directions(eval_config: tfma.EvalConfig, gate: Gate) -> dict[str, Direction]:
    """Returns which way the metric of each rule is better.

    Args:
        eval_config: As `two_model_config` returns it.
        gate: The rules.

    Raises:
        EvaluationError: A rule's metric is not evaluated, or its direction is not known.
    """
    classes = {
        json.loads(m.config)["name"]: m.class_name for m in _metrics(eval_config) if m.config
    }
    directions: dict[str, Direction] = {}
    for rule in gate.rules:
        if rule.metric is None:
            continue
        if rule.metric not in classes:
            raise EvaluationError(
                f"gate rule names metric {rule.metric!r}, which is not evaluated; evaluated are: "
                f"{listed(classes)}"
            )
        direction = rule.direction or direction_of(classes[rule.metric])
        if direction is None:
            raise EvaluationError(
                f"gate rule for {rule.metric!r}: give its direction, higher_is_better or "
                "lower_is_better"
            )
        directions[rule.metric] = direction
    return directions


def check_metrics(eval_config: tfma.EvalConfig) -> None:
    """Checks that TFMA has every metric and takes its config.

    Args:
        eval_config: As `two_model_config` returns it.

    Raises:
        EvaluationError: It does not.
    """
    for metric in _metrics(eval_config):
        _check_without_thresholds(metric)
        spec = tfma.MetricsSpec(metrics=[metric], model_names=[FLOAT])
        try:
            metric_specs.to_computations([spec], eval_config=eval_config)
        except Exception as error:  # TFMA and Keras raise nearly anything here.
            reason = str(error).splitlines()[0].split(". ")[0]
            raise EvaluationError(
                f"evaluation.metrics: TFMA cannot make {metric.class_name!r} with config "
                f"{metric.config}: {reason}"
            ) from error


def _check_without_thresholds(metric: tfma.MetricConfig) -> None:
    """Checks that nobody relies on TFMA's thresholds, which would say nothing here."""
    by_slice = (*metric.per_slice_thresholds, *metric.cross_slice_thresholds)
    if by_slice or metric.HasField("threshold"):
        raise EvaluationError(
            f"eval_config has a threshold for {metric.class_name!r}; only the gate decides, so "
            "make it a rule there"
        )


@dataclass(frozen=True)
class MetricPlan:
    """Which metrics are computed on batches, and which go through TFMA.

    Attributes:
        batched: The metrics that are computed on batches.
        rest: The config with the other metrics; None where there are none.
        tested: The metrics of scores for which a rule asks for a confidence: overall, or on each
            slice.
    """

    batched: tuple[BatchedMetric, ...]
    rest: tfma.EvalConfig | None
    tested: tuple["TestedMetric", ...]

    @property
    def has_scores(self) -> bool:
        """Whether a metric needs the scores of the examples."""
        return any(isinstance(metric, ScoreMetric) for metric in self.batched)

    @property
    def buckets(self) -> ScoreBuckets:
        """What the scores of the examples are counted in."""
        return score_buckets(self.batched)

    @property
    def by_name(self) -> dict[str, BatchedMetric]:
        """The metrics that are computed on batches, by name."""
        return {metric.name: metric for metric in self.batched}

    @classmethod
    def make(cls, eval_config: tfma.EvalConfig, output: InputSpec, gate: Gate) -> "MetricPlan":
        """Returns the plan for a config as `two_model_config` returns it.

        Args:
            eval_config: The metrics.
            output: The output that is evaluated.
            gate: The rules.

        Raises:
            EvaluationError: There is no test for the metric of a rule with a confidence.
        """
        batched: list[BatchedMetric] = []
        rest = tfma.EvalConfig()
        rest.CopyFrom(eval_config)
        del rest.metrics_specs[:]
        for spec in eval_config.metrics_specs:
            others = tfma.MetricsSpec()
            others.CopyFrom(spec)
            del others.metrics[:]
            for metric in spec.metrics:
                found = _batched(metric, spec, eval_config, output)
                if found is None:
                    others.metrics.append(metric)
                else:
                    batched.append(found)
            if others.metrics:
                rest.metrics_specs.append(others)
        by_name = {metric.name: metric for metric in batched}
        check_confidences(gate, by_name)
        tested = _tested(gate, by_name, metric_directions(eval_config, gate))
        return cls(tuple(batched), rest if rest.metrics_specs else None, tested)


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


def _tested(
    gate: Gate, batched: Mapping[str, BatchedMetric], directions: Mapping[str, Direction]
) -> tuple[TestedMetric, ...]:
    found = []
    for rule in gate.rules:
        metric = batched.get(rule.metric or "")
        if rule.confidence is not None and isinstance(metric, ScoreMetric):
            sign = 1 if directions[metric.name] == "higher_is_better" else -1
            on_slices = rule.slices != "overall"
            found.append(TestedMetric(metric, sign, on_slices, gate.min_slice_examples))
    return tuple(dict.fromkeys(found))


def _batched(
    metric: tfma.MetricConfig,
    spec: tfma.MetricsSpec,
    eval_config: tfma.EvalConfig,
    output: InputSpec,
) -> BatchedMetric | None:
    plain = tfma.MetricsSpec(metrics=spec.metrics, model_names=spec.model_names)
    weighted = eval_config.model_specs[0].example_weight_key
    if spec != plain or metric.module or weighted or len(output.shape) > 2:
        return None
    config = json.loads(metric.config)
    size = output.shape[1] if len(output.shape) == 2 else 1
    return batched_metric(metric.class_name, config, config["name"], size)


def check_confidences(gate: Gate, batched: Mapping[str, BatchedMetric]) -> None:
    """Checks that there is a test for every rule with a confidence.

    Args:
        gate: The rules.
        batched: The metrics that are computed on batches, by name.

    Raises:
        EvaluationError: There is none for a rule's metric.
    """
    for rule in gate.rules:
        if rule.confidence is None:
            continue
        metric = batched.get(rule.metric or "")
        if metric is None:
            raise EvaluationError(
                f"gate rule for {rule.metric!r}: there is no confidence for this metric, only for: "
                f"{listed(batched)}; set confidence to null to compare the figures as they are"
            )


class CompareModels(beam.PTransform):
    """Evaluates both models on a PCollection of RecordBatches and writes TFMA's result files.

    Data stays in batches for the metrics that are computed on batches; only where there are
    others is it taken apart for TFMA.

    Args:
        pair: The models.
        eval_config: As `two_model_config` returns it.
        plan: Which metrics are computed how.
        representations: The features' tensor representations, for metrics that go through TFMA.
        output_path: The directory of the result files.
    """

    def __init__(
        self,
        pair: ModelPair,
        eval_config: tfma.EvalConfig,
        plan: MetricPlan,
        representations: Mapping[str, schema_pb2.TensorRepresentation] | None,
        output_path: str,
    ):
        super().__init__()
        self._output = pair.resolve_output()
        self._pair = replace(pair, output=self._output.name)
        self._config = eval_config
        self._plan = plan
        self._representations = representations
        self._output_path = output_path

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        """Builds the transform."""
        models = [
            _shared_model(FLOAT, self._pair.saved_model_stored_at or self._pair.saved_model),
            _shared_model(QUANTIZED, self._pair.tflite_stored_at or self._pair.tflite),
        ]
        label = self._config.model_specs[0].label_key
        check = LabelCheck.for_metrics(label, (m.class_name for m in _metrics(self._config)))
        # Counts of positives and negatives take a label for a share of either.
        check = replace(check, zero_or_one=check.zero_or_one or self._plan.has_scores)
        predict = PredictExtractor(self._pair, check)
        extractors = [predict]
        evaluators = [self._comparison_evaluator(predict.stage_name, check)]
        if self._plan.rest is not None:
            extractors += self._unbatching_extractors()
            evaluators += tfma.default_evaluators(
                eval_shared_model=models, eval_config=self._plan.rest
            )
        writers = tfma.default_writers(
            output_path=self._output_path, eval_shared_model=models, eval_config=self._config
        )
        return batches | tfma.ExtractEvaluateAndWriteResults(
            eval_config=self._config,
            eval_shared_model=models,
            extractors=extractors,
            evaluators=evaluators,
            writers=[*writers, self._comparison_writer()],
            output_path=self._output_path,
        )

    def _comparison_evaluator(self, run_after: str, check: LabelCheck) -> tfma.evaluators.Evaluator:
        slices = [tuple(spec.feature_keys) for spec in self._config.slicing_specs]
        combine = CompareOutputs(
            self._plan.batched,
            slices,
            self._plan.buckets if self._plan.has_scores else None,
            self._classifier(check),
        )
        return tfma.evaluators.Evaluator(
            stage_name="CompareOnBatches",
            run_after=run_after,
            ptransform=_Compare(combine, self._plan, check if self._plan.batched else None),
        )

    def _classifier(self, check: LabelCheck) -> Callable[[np.ndarray], np.ndarray] | None:
        if len(self._output.shape) == 2 and (self._output.shape[1] or 0) > 1:
            return most_likely_class
        return above_one_half if check.zero_or_one else None

    def _unbatching_extractors(self) -> list[tfma.extractors.Extractor]:
        return [
            tfma.extractors.FeaturesExtractor(
                self._config, tensor_representations=self._representations
            ),
            tfma.extractors.LabelsExtractor(self._config),
            tfma.extractors.ExampleWeightsExtractor(self._config),
            tfma.extractors.UnbatchExtractor(),
            tfma.extractors.SliceKeyExtractor(eval_config=self._config),
        ]

    def _comparison_writer(self) -> tfma.writers.Writer:
        return tfma.writers.Writer(
            stage_name="WriteComparison",
            ptransform=_WriteComparison(self._output_path, self._plan),
        )


class _Compare(beam.PTransform):
    """Extracts with predictions to a comparison and TFMA's metrics for each slice."""

    def __init__(self, combine: CompareOutputs, plan: MetricPlan, check: LabelCheck | None):
        super().__init__()
        self._combine = combine
        self._plan = plan
        self._check = check

    def expand(self, extracts: beam.PCollection) -> dict[str, beam.PCollection]:
        comparison = (
            extracts
            | "ComparedBatch" >> beam.Map(_compared_batch, self._check)
            | "Combine" >> beam.CombineGlobally(self._combine).without_defaults()
        )
        metrics = comparison | "Metrics" >> beam.FlatMap(_metrics_by_slice, self._plan)
        return {tfma.METRICS_KEY: metrics, _COMPARISON: comparison}


def _compared_batch(extracts: Mapping[str, Any], check: LabelCheck | None) -> ComparedBatch:
    batch = extracts[tfma.ARROW_RECORD_BATCH_KEY]
    predictions = extracts[tfma.PREDICTIONS_KEY]
    return ComparedBatch(
        batch,
        check.of(batch) if check else None,
        predictions[FLOAT].reshape(batch.num_rows, -1),
        predictions[QUANTIZED].reshape(batch.num_rows, -1),
        extracts.get(INPUTS_SEEN_KEY),
    )


def _metrics_by_slice(
    comparison: Comparison, plan: MetricPlan
) -> Iterator[tuple[SliceKey, dict[Any, float]]]:
    """Yields metrics as TFMA's own evaluators do: by slice, keyed by metric and model."""
    buckets = plan.buckets
    for key in comparison.slices:
        values: dict[Any, float] = {}
        examples = comparison.examples(key)
        for model in (FLOAT, QUANTIZED):
            values[tfma.metrics.MetricKey(_EXAMPLE_COUNT, model_name=model)] = float(examples)
        histograms = _histograms(comparison.scores[key], buckets) if plan.has_scores else ()
        for metric in plan.batched:
            if isinstance(metric, ScoreMetric):
                before, after = (metric.value(model, buckets) for model in histograms)
            else:
                sums = comparison.sums(key, metric.name)
                before, after = (metric.value(total, examples) for total in (sums.f, sums.q))
            values.update(_both(metric.name, before, after))
        yield key, values


def _histograms(scores: PairedScores, buckets: ScoreBuckets) -> np.ndarray:
    cells = scores.cells()
    return cells.histograms(cells.counts, buckets.count)


def _both(metric: str, before: float, after: float) -> dict[Any, float]:
    quantized = tfma.metrics.MetricKey(metric, model_name=QUANTIZED)
    return {
        tfma.metrics.MetricKey(metric, model_name=FLOAT): float(before),
        quantized: float(after),
        quantized.make_diff_key(): float(after - before),
    }


class _WriteComparison(beam.PTransform):
    def __init__(self, output_path: str, plan: MetricPlan):
        super().__init__()
        self._path = posixpath.join(output_path, _COMPARISON_FILE)
        self._plan = plan

    def expand(self, evaluation: dict[str, beam.PCollection]) -> beam.PCollection:
        return evaluation[_COMPARISON] | beam.Map(_write_comparison, self._path, self._plan)


def _write_comparison(comparison: Comparison, path: str, plan: MetricPlan) -> None:
    document = {
        **comparison_to_json(comparison),
        "score_evidence": [
            {"metric": metric, "slice": slice_name(key), **evidence.to_json()}
            for key, scores in sorted(comparison.scores.items(), key=by_name)
            for metric, evidence in _score_evidence(
                plan, key, scores, comparison.examples(key)
            ).items()
        ],
    }
    with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        file.write(json.dumps(document).encode())


def _score_evidence(
    plan: MetricPlan, key: SliceKey, scores: PairedScores, examples: int
) -> dict[str, ScoreEvidence]:
    wanted = [tested for tested in plan.tested if tested.wanted_on(key, examples)]
    signs = {tested.metric.name: tested.sign for tested in wanted}
    return score_evidence([tested.metric for tested in wanted], signs, scores, plan.buckets)


def _shared_model(name: str, path: str) -> tfma.types.EvalSharedModel:
    # Only a description: the predict extractor loads the models. Without it TFMA would not know
    # that there is a baseline.
    return tfma.types.EvalSharedModel(
        model_path=path, model_name=name, model_type=tfma.TF_GENERIC, is_baseline=name == FLOAT
    )


def load_evaluation(output_path: str, plan: MetricPlan) -> Evaluation:
    """Returns the figures in the result files, which are none where there were no examples.

    Args:
        output_path: The directory that `CompareModels` wrote to.
        plan: Which metrics were computed how.
    """
    if not FileSystems.exists(posixpath.join(output_path, _COMPARISON_FILE)):
        return Evaluation(0, (), Comparison(()), plan.by_name, {})
    with FileSystems.open(posixpath.join(output_path, _COMPARISON_FILE)) as file:
        document = json.loads(file.read())
    comparison = comparison_from_json(document)
    values: list[MetricValues] = []
    for record in tfma.load_metrics(output_path):
        key = _slice_key(record.slice_key)
        numbers = _numbers(record)
        for metric in sorted({metric for metric, _ in numbers} - {_EXAMPLE_COUNT}):
            pair = [numbers.get((metric, model)) for model in (FLOAT, QUANTIZED)]
            if pair[0] is not None and pair[1] is not None:
                values.append(
                    MetricValues(
                        metric=metric,
                        slice=slice_name(key),
                        examples=comparison.examples(key),
                        float_value=pair[0],
                        quantized_value=pair[1],
                    )
                )
    return Evaluation(
        comparison.outputs.examples,
        tuple(sorted(values, key=_overall_first)),
        comparison,
        plan.by_name,
        {
            (entry["metric"], entry["slice"]): ScoreEvidence.from_json(entry)
            for entry in document["score_evidence"]
        },
    )


def _overall_first(value: MetricValues) -> tuple[bool, str, str]:
    return value.slice != OVERALL, value.slice, value.metric


def _slice_key(key: metrics_for_slice_pb2.SliceKey) -> SliceKey:
    parts = []
    for single in key.single_slice_keys:
        value = getattr(single, single.WhichOneof("kind"))
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        parts.append((single.column, text))
    return tuple(parts)


def _numbers(
    record: metrics_for_slice_pb2.MetricsForSlice,
) -> dict[tuple[str, str], float]:
    """Returns the single numbers by (metric, model)."""
    return {
        (item.key.name, item.key.model_name): item.value.double_value.value
        for item in record.metric_keys_and_values
        if item.value.WhichOneof("type") == "double_value"
        and not item.key.is_diff
        and not item.key.HasField("sub_key")
    }
