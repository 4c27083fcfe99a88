"""Float against quantized model through TFMA: the same batches, metrics, slices, result files."""

import json
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.proto import metrics_for_slice_pb2

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.judgement.comparison import (
    ComparedBatch,
    CompareOutputs,
    Comparison,
    comparison_from_json,
    comparison_to_json,
)
from tfx_tflite.components.judgement.eval_config import for_keras
from tfx_tflite.components.judgement.metric_plan import MetricPlan, OutputPlan
from tfx_tflite.components.judgement.metrics.batched_metrics import BatchedMetric
from tfx_tflite.components.judgement.metrics.paired_scores import PairedScores
from tfx_tflite.components.judgement.metrics.score_metrics import ScoreMetric
from tfx_tflite.components.judgement.metrics.slices import (
    SliceKey,
    by_name,
    plain_value,
    slice_name,
)
from tfx_tflite.components.judgement.prediction import (
    FLOAT,
    INPUTS_SEEN_KEY,
    QUANTIZED,
    ModelPair,
    PredictExtractor,
    of_output,
)
from tfx_tflite.components.judgement.saturation import InputsSeen
from tfx_tflite.components.judgement.statistics.resampling import ScoreEvidence, score_evidence
from tfx_tflite.components.verdict import OVERALL, MetricValues

_EXAMPLE_COUNT = "example_count"
_COMPARISON = "comparison"
_COMPARISON_FILE = "comparison.json"

# One an output, in the order of the plan.
Comparisons = tuple[Comparison, ...]


@dataclass(frozen=True)
class OutputEvaluation:
    """What an evaluation found of one output.

    Attributes:
        plan: How its metrics were computed.
        comparison: The sums behind the batched metrics, and how the outputs differ.
        score_evidence: By (metric, slice), what the test of a metric of scores rests on; only
            where a rule asks for a confidence.
    """

    plan: OutputPlan
    comparison: Comparison
    score_evidence: Mapping[tuple[str, str], ScoreEvidence]

    @property
    def key(self) -> str | None:
        """What rules and reports call the output; None where its name goes without saying."""
        return self.plan.judged.key

    @property
    def batched(self) -> Mapping[str, BatchedMetric]:
        """The metrics that were computed on batches, by name."""
        return self.plan.by_name


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        examples: How many examples both models predicted.
        values: Each metric with one number, on each output and slice.
        outputs: What is known of each output.
    """

    examples: int
    values: tuple[MetricValues, ...]
    outputs: tuple[OutputEvaluation, ...]

    @property
    def comparison(self) -> Comparison:
        """The comparison of the first output, which also has what is known of slices and inputs."""
        return self.outputs[0].comparison

    def output(self, key: str | None) -> OutputEvaluation:
        """Returns what is known of an output."""
        return next(output for output in self.outputs if output.key == key)


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
        self._pair = pair
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
        predict = PredictExtractor(self._pair, self._plan.checks)
        extractors = [predict]
        evaluators = [self._comparison_evaluator(predict.stage_name)]
        if self._plan.rest is not None:
            extractors += self._unbatching_extractors()
            evaluators += tfma.default_evaluators(
                eval_shared_model=models, eval_config=self._plan.rest
            )
        writers = tfma.default_writers(
            output_path=self._output_path,
            eval_shared_model=models,
            eval_config=_buildable(self._config),
        )
        return batches | tfma.ExtractEvaluateAndWriteResults(
            eval_config=self._config,
            eval_shared_model=models,
            extractors=extractors,
            evaluators=evaluators,
            writers=[*writers, self._comparison_writer()],
            output_path=self._output_path,
        )

    def _comparison_evaluator(self, run_after: str) -> tfma.evaluators.Evaluator:
        slices = [tuple(spec.feature_keys) for spec in self._config.slicing_specs]
        combines = [
            CompareOutputs(
                plan.batched,
                slices,
                plan.decision,
                plan.judged.target.example_weight is not None,
                plan.origins,
            )
            for plan in self._plan.outputs
        ]
        return tfma.evaluators.Evaluator(
            stage_name="CompareOnBatches",
            run_after=run_after,
            ptransform=_Compare(combines, self._plan),
        )

    def _unbatching_extractors(self) -> list[tfma.extractors.Extractor]:
        return [
            tfma.extractors.FeaturesExtractor(
                self._config, tensor_representations=self._representations
            ),
            # Labels and weights are there already, from wherever they come.
            tfma.extractors.UnbatchExtractor(),
            tfma.extractors.SliceKeyExtractor(eval_config=self._config),
        ]

    def _comparison_writer(self) -> tfma.writers.Writer:
        return tfma.writers.Writer(
            stage_name="WriteComparison",
            ptransform=_WriteComparison(self._output_path, self._plan),
        )


def _buildable(config: tfma.EvalConfig) -> tfma.EvalConfig:
    """Returns a config whose metrics Keras can build, as TFMA's writer does to find thresholds."""
    found = tfma.EvalConfig()
    found.CopyFrom(config)
    for spec in found.metrics_specs:
        for metric in spec.metrics:
            metric.CopyFrom(for_keras(metric))
    return found


class _Compare(beam.PTransform):
    """Extracts with predictions to comparisons and TFMA's metrics for each slice."""

    def __init__(self, combines: list[CompareOutputs], plan: MetricPlan):
        super().__init__()
        self._combines = combines
        self._plan = plan

    def expand(self, extracts: beam.PCollection) -> dict[str, beam.PCollection]:
        keys = tuple(plan.judged.key for plan in self._plan.outputs)
        combine = beam.combiners.TupleCombineFn(*self._combines)
        comparisons = (
            extracts
            | "ComparedBatches" >> beam.Map(_compared_batches, keys)
            | "Combine" >> beam.CombineGlobally(combine).without_defaults()
        )
        metrics = comparisons | "Metrics" >> beam.FlatMap(_metrics_by_slice, self._plan)
        return {tfma.METRICS_KEY: metrics, _COMPARISON: comparisons}


def _compared_batches(
    extracts: Mapping[str, Any], keys: tuple[str | None, ...]
) -> tuple[ComparedBatch, ...]:
    """Returns a batch as each output's comparison takes it."""
    batch = extracts[tfma.ARROW_RECORD_BATCH_KEY]
    predictions = extracts[tfma.PREDICTIONS_KEY]
    seen = extracts.get(INPUTS_SEEN_KEY)
    inputs = InputsSeen.from_arrays(seen) if seen else None
    found = []
    for index, key in enumerate(keys):
        weights = of_output(extracts.get(tfma.EXAMPLE_WEIGHTS_KEY), key)
        found.append(
            ComparedBatch(
                batch,
                of_output(extracts[tfma.LABELS_KEY], key),
                predictions[FLOAT] if key is None else predictions[FLOAT][key],
                predictions[QUANTIZED] if key is None else predictions[QUANTIZED][key],
                # The inputs are the same for all outputs, and counted once.
                None if index else inputs,
                None if weights is None else weights[:, 0],
            )
        )
    return tuple(found)


def _metrics_by_slice(
    comparisons: Comparisons, plan: MetricPlan
) -> Iterator[tuple[SliceKey, dict[Any, float]]]:
    """Yields metrics as TFMA's own evaluators do: by slice, keyed by metric, output and model."""
    for key in comparisons[0].slices:
        values: dict[Any, float] = {}
        for output, comparison in zip(plan.outputs, comparisons, strict=True):
            values.update(_metrics_of(output, comparison, key))
        yield key, values


def _metrics_of(output: OutputPlan, comparison: Comparison, key: SliceKey) -> dict[Any, float]:
    """Returns the metrics of one output on one slice."""
    name = output.judged.key or ""
    values: dict[Any, float] = {
        tfma.metrics.MetricKey(_EXAMPLE_COUNT, model_name=model, output_name=name): float(
            comparison.examples(key)
        )
        for model in (FLOAT, QUANTIZED)
    }
    histograms = {
        class_id: _histograms(scores, output)
        for class_id, scores in comparison.scores.get(key, {}).items()
    }
    for metric in output.batched:
        if isinstance(metric, ScoreMetric):
            found = histograms[metric.class_id]
            before, after = (metric.value(model, output.buckets) for model in found)
        else:
            weight = comparison.weight_of(key, metric.name)
            totals = comparison.totals(key, metric.name)
            before, after = (metric.value(total, weight) for total in totals)
        is_weighted = output.judged.target.example_weight is not None
        values.update(_both(_metric_key(metric, name, is_weighted), before, after))
    return values


def _histograms(scores: PairedScores, output: OutputPlan) -> np.ndarray:
    cells = scores.cells()
    return cells.histograms(cells.counts, output.buckets.count)


def _metric_key(metric: BatchedMetric, output: str, is_weighted: bool) -> tfma.metrics.MetricKey:
    class_id = metric.class_id if isinstance(metric, ScoreMetric) else None
    return tfma.metrics.MetricKey(
        metric.name,
        output_name=output,
        sub_key=None if class_id is None else tfma.metrics.SubKey(class_id=class_id),
        example_weighted=True if is_weighted else None,
    )


def _both(metric: tfma.metrics.MetricKey, before: float, after: float) -> dict[Any, float]:
    quantized = metric._replace(model_name=QUANTIZED)
    return {
        metric._replace(model_name=FLOAT): float(before),
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


def _write_comparison(comparisons: Comparisons, path: str, plan: MetricPlan) -> None:
    document = [
        {
            **comparison_to_json(comparison),
            "score_evidence": [
                {"metric": metric, "slice": slice_name(key), **evidence.to_json()}
                for key, by_class in sorted(comparison.scores.items(), key=by_name)
                for metric, evidence in _score_evidence(
                    output, key, by_class, comparison.examples(key)
                ).items()
            ],
        }
        for output, comparison in zip(plan.outputs, comparisons, strict=True)
    ]
    with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        file.write(json.dumps(document).encode())


def _score_evidence(
    output: OutputPlan,
    key: SliceKey,
    by_class: Mapping[int | None, PairedScores],
    examples: int,
) -> dict[str, ScoreEvidence]:
    wanted = [tested for tested in output.tested if tested.wanted_on(key, examples)]
    signs = {tested.metric.name: tested.sign for tested in wanted}
    found: dict[str, ScoreEvidence] = {}
    for class_id, scores in by_class.items():
        metrics = [tested.metric for tested in wanted if tested.metric.class_id == class_id]
        found.update(score_evidence(metrics, signs, scores, output.buckets))
    return found


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

    Raises:
        DataError: The weights of all examples are 0, or a metric ignores all labels.
    """
    if not FileSystems.exists(posixpath.join(output_path, _COMPARISON_FILE)):
        nothing = (OutputEvaluation(output, Comparison(()), {}) for output in plan.outputs)
        return Evaluation(0, (), tuple(nothing))
    with FileSystems.open(posixpath.join(output_path, _COMPARISON_FILE)) as file:
        documents = json.loads(file.read())
    outputs = tuple(map(_output_evaluation, plan.outputs, documents))
    comparison = outputs[0].comparison
    values = [
        value
        for record in tfma.load_metrics(output_path)
        for value in _values(record, comparison, [output.key for output in outputs])
    ]
    return Evaluation(
        comparison.outputs.examples, tuple(sorted(values, key=_overall_first)), outputs
    )


def _output_evaluation(plan: OutputPlan, document: Mapping[str, Any]) -> OutputEvaluation:
    comparison = comparison_from_json(document)
    if comparison.is_weighted and not comparison.weight(()):
        raise DataError(
            f"example weight {plan.judged.target.example_weight!r} is 0 for all "
            f"{comparison.examples(()):,} examples; nothing to evaluate on"
        )
    for metric in comparison.metrics:
        if comparison.examples(()) and not comparison.weight_of((), metric):
            raise DataError(
                f"label {plan.judged.target.label_name!r} is the ignore_class of metric {metric!r} "
                "at every position of every example; nothing to evaluate on"
            )
    evidence = {
        (entry["metric"], entry["slice"]): ScoreEvidence.from_json(entry)
        for entry in document["score_evidence"]
    }
    return OutputEvaluation(plan, comparison, evidence)


def _values(
    record: metrics_for_slice_pb2.MetricsForSlice,
    comparison: Comparison,
    outputs: list[str | None],
) -> Iterator[MetricValues]:
    """Yields the metrics of one slice that have one number for each model."""
    key, numbers = _slice_key(record.slice_key), _numbers(record)
    for output in outputs:
        names = {metric for metric, of, _ in numbers if of == (output or "")} - {_EXAMPLE_COUNT}
        for metric in sorted(names):
            before, after = (
                numbers.get((metric, output or "", model)) for model in (FLOAT, QUANTIZED)
            )
            if before is not None and after is not None:
                yield MetricValues(
                    metric=metric,
                    output=output,
                    slice=slice_name(key),
                    examples=comparison.examples(key),
                    float_value=before,
                    quantized_value=after,
                )


def _overall_first(value: MetricValues) -> tuple[bool, str, str, str]:
    return value.slice != OVERALL, value.slice, value.output or "", value.metric


def _slice_key(key: metrics_for_slice_pb2.SliceKey) -> SliceKey:
    parts = []
    for single in key.single_slice_keys:
        value = getattr(single, single.WhichOneof("kind"))
        parts.append((single.column, plain_value(value)))
    return tuple(parts)


def _numbers(
    record: metrics_for_slice_pb2.MetricsForSlice,
) -> dict[tuple[str, str, str], float]:
    """Returns the single numbers by (metric, output, model).

    A metric that a metrics spec makes of several classes has a number a class; each is named by it.
    """
    items = [
        item
        for item in record.metric_keys_and_values
        if item.value.WhichOneof("type") == "double_value" and not item.key.is_diff
    ]
    parts: dict[tuple[str, str], set[str]] = {}
    for item in items:
        parts.setdefault((item.key.name, item.key.output_name), set()).add(_part(item.key))
    return {
        (
            item.key.name
            if len(parts[item.key.name, item.key.output_name]) == 1
            else item.key.name + _part(item.key),
            item.key.output_name,
            item.key.model_name,
        ): item.value.double_value.value
        for item in items
    }


def _part(key: metrics_for_slice_pb2.MetricKey) -> str:
    """Returns which class, or which of the highest, a number is of; empty where it is of all."""
    sub_key = key.sub_key
    for name in ("class_id", "k", "top_k"):
        if sub_key.HasField(name):
            return f" ({name} {getattr(sub_key, name).value})"
    return ""
