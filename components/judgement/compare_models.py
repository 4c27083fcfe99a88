"""The models through TFMA: the same batches, metrics and slices, and TFMA's result files."""

import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import apache_beam as beam
import tensorflow_model_analysis as tfma
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.writers import (
    metrics_plots_and_validations_writer as metrics_writer,
)

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.judgement.candidate import FIRST, Candidate
from tfx_tflite.components.judgement.comparison import CompareOutputs, Comparison
from tfx_tflite.components.judgement.eval_config import for_keras
from tfx_tflite.components.judgement.evaluation import (
    COMPARISON_FILE,
    EXAMPLE_COUNT,
    RECORDS,
    Evaluation,
    OutputRecord,
    evaluation_of,
)
from tfx_tflite.components.judgement.gate import Reference
from tfx_tflite.components.judgement.metric_plan import MetricPlan, OutputPlan
from tfx_tflite.components.judgement.metrics.batched_metrics import BatchedMetric
from tfx_tflite.components.judgement.metrics.paired_scores import Buckets, Cells
from tfx_tflite.components.judgement.metrics.score_metrics import ScoreMetric
from tfx_tflite.components.judgement.metrics.slices import SliceKey, by_name, slice_name
from tfx_tflite.components.judgement.output_differences import ComparedBatch
from tfx_tflite.components.judgement.prediction import (
    DIGESTS_KEY,
    FLOAT,
    HOST,
    INPUTS_SEEN_KEY,
    PUSHED,
    QUANTIZED,
    SCORES_KEY,
    ByOutput,
    Extracts,
    ModelPair,
    Predict,
    of_output,
)
from tfx_tflite.components.judgement.saturation import InputsSeen
from tfx_tflite.components.judgement.statistics.resampling import ScoreEvidence, score_evidence

_COMPARISON = "comparison"

# One an output, in the order of the plan.
Comparisons = tuple[Comparison, ...]
# TFMA's metrics of a slice.
Values = dict[tfma.metrics.MetricKey, float]


@dataclass(frozen=True)
class PlannedComparison:
    """A comparison of the quantized model on one target with one reference.

    Attributes:
        reference: With what it is compared: the float model, the pushed model, or itself with this
            machine's default kernels.
        plan: Which metrics are computed how.
        output_path: The directory of the result files.
        candidate: The model on the target.
    """

    reference: Reference | Literal["host"]
    plan: MetricPlan
    output_path: str
    candidate: Candidate = FIRST

    @property
    def name(self) -> str:
        """A name that no other comparison has."""
        place = self.candidate.place
        return self.reference.title() + (f"OnTarget{place}" if place else "")

    def chosen(self, predictions: Mapping[str, ByOutput]) -> dict[str, ByOutput]:
        """Returns the two predictions that are compared, in the places of float and quantized.

        Args:
            predictions: Of all models.
        """
        pushed = self.candidate.key(PUSHED)
        reference = {"float": FLOAT, "pushed": pushed, "host": HOST}[self.reference]
        return {
            FLOAT: predictions[reference],
            QUANTIZED: predictions[self.candidate.key(QUANTIZED)],
        }

    @property
    def is_main(self) -> bool:
        """Whether what is counted once is counted here: inputs, and answers beside the labels."""
        return self.reference == "float" and self.candidate.place == 0


class CompareModels(beam.PTransform):
    """Compares models on a PCollection of RecordBatches and writes TFMA's result files.

    Each model predicts once a batch, however many comparisons there are. Data stays in batches for
    the metrics that are computed on batches; only if there are others is it taken apart for TFMA.

    Args:
        pair: The models.
        eval_config: As `two_model_config` returns it.
        comparisons: With what the quantized model is compared.
        representations: The features' tensor representations, for metrics that go through TFMA.
    """

    def __init__(
        self,
        pair: ModelPair,
        eval_config: config_pb2.EvalConfig,
        comparisons: Sequence[PlannedComparison],
        representations: Mapping[str, schema_pb2.TensorRepresentation] | None,
    ):
        super().__init__()
        self._pair = pair
        self._config = eval_config
        self._comparisons = tuple(comparisons)
        self._representations = representations

    def expand(self, batches: beam.PCollection) -> beam.pvalue.PDone:
        """Builds the transform."""
        predicted = batches | "Predict" >> Predict(self._pair, self._comparisons[0].plan.checks)
        for comparison in self._comparisons:
            self._write(predicted, comparison)
        return beam.pvalue.PDone(batches.pipeline)

    def _write(self, predicted: beam.PCollection, comparison: PlannedComparison) -> None:
        path, rest = comparison.output_path, comparison.plan.rest
        models = [
            _shared_model(FLOAT, self._pair.saved_model_stored_at or self._pair.saved_model),
            _shared_model(QUANTIZED, self._pair.tflite_stored_at or self._pair.tflite),
        ]
        chosen = tfma.extractors.Extractor(
            f"Choose{comparison.name}", beam.Map(_chosen, comparison)
        )
        extractors = [chosen]
        evaluators = [self._comparison_evaluator(comparison, chosen.stage_name)]
        if rest is not None:
            extractors += self._unbatching_extractors()
            evaluators += tfma.default_evaluators(eval_shared_model=models, eval_config=rest)
        writers = tfma.default_writers(
            output_path=path, eval_shared_model=models, eval_config=_buildable(self._config)
        )
        write = _WriteComparison(path, comparison.plan)
        _ = predicted | f"CompareWith{comparison.name}" >> tfma.ExtractEvaluateAndWriteResults(
            eval_config=self._config,
            eval_shared_model=models,
            extractors=extractors,
            evaluators=evaluators,
            writers=[*writers, tfma.writers.Writer("WriteComparison", write)],
            output_path=path,
        )

    def _comparison_evaluator(
        self, comparison: PlannedComparison, run_after: str
    ) -> tfma.evaluators.Evaluator:
        return tfma.evaluators.Evaluator(
            stage_name="CompareOnBatches",
            run_after=run_after,
            ptransform=_Compare(_combine(comparison, self._config), comparison.plan),
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


def compare_here(
    extracts: Iterable[Extracts],
    comparisons: Sequence[PlannedComparison],
    eval_config: config_pb2.EvalConfig,
) -> tuple[Evaluation, ...]:
    """Returns what `CompareModels` has the result files say, computed in this process.

    Args:
        extracts: As `prediction.Predictor` gives them.
        comparisons: With what the quantized model is compared; none has a metric that goes through
            TFMA.
        eval_config: As `two_model_config` returns it.

    Raises:
        DataError: The weights of all examples are 0, or a metric ignores all labels.
    """
    combines = [_combine(comparison, eval_config) for comparison in comparisons]
    sums = [combine.create_accumulator() for combine in combines]
    for each in extracts:
        for place, comparison in enumerate(comparisons):
            batch = _compared_batches(_chosen(each, comparison), comparison.plan.keys)
            sums[place] = combines[place].add_input(sums[place], batch)
    found = (combine.extract_output(total) for combine, total in zip(combines, sums, strict=True))
    return tuple(map(_evaluation, comparisons, found))


def _evaluation(comparison: PlannedComparison, found: Comparisons) -> Evaluation:
    plan = comparison.plan
    metrics = [
        metrics_writer.convert_slice_metrics_to_proto(each, None)
        for each in _metrics_by_slice(found, plan)
    ]
    return evaluation_of(map(_record, plan.outputs, found), metrics, plan)


def _combine(comparison: PlannedComparison, config: config_pb2.EvalConfig) -> beam.CombineFn:
    """Returns what adds up the outputs of a comparison, one after the other."""
    slices = [tuple(spec.feature_keys) for spec in config.slicing_specs]
    return beam.combiners.TupleCombineFn(
        *(
            CompareOutputs(
                output.batched,
                slices,
                output.decision,
                output.judged.target.example_weight is not None,
                output.origins,
                output.answers if comparison.is_main else None,
                output.grouping,
                output.score_sums,
                comparison.plan.min_slice_examples,
            )
            for output in comparison.plan.outputs
        )
    )


def _chosen(extracts: tfma.Extracts, comparison: PlannedComparison) -> tfma.Extracts:
    """Returns extracts with the predictions that one comparison compares."""
    chosen = comparison.chosen(extracts[tfma.PREDICTIONS_KEY])
    found = {**extracts, tfma.PREDICTIONS_KEY: chosen}
    if SCORES_KEY in extracts:
        found[SCORES_KEY] = comparison.chosen(extracts[SCORES_KEY])
    if not comparison.is_main:
        # The inputs are the same, and counted once.
        found.pop(INPUTS_SEEN_KEY, None)
        found.pop(DIGESTS_KEY, None)
    return found


def _buildable(config: config_pb2.EvalConfig) -> config_pb2.EvalConfig:
    """Returns a config whose metrics Keras can build, as TFMA's writer does to find thresholds."""
    found = config_pb2.EvalConfig()
    found.CopyFrom(config)
    for spec in found.metrics_specs:
        for metric in spec.metrics:
            metric.CopyFrom(for_keras(metric))
    return found


class _Compare(beam.PTransform):
    """Extracts with predictions to comparisons and TFMA's metrics for each slice."""

    def __init__(self, combine: beam.CombineFn, plan: MetricPlan):
        super().__init__()
        self._combine = combine
        self._plan = plan

    def expand(self, extracts: beam.PCollection) -> dict[str, beam.PCollection]:
        keys = self._plan.keys
        comparisons = (
            extracts
            | "ComparedBatches" >> beam.Map(_compared_batches, keys)
            | "Combine" >> beam.CombineGlobally(self._combine).without_defaults()
        )
        metrics = comparisons | "Metrics" >> beam.FlatMap(_metrics_by_slice, self._plan)
        return {tfma.METRICS_KEY: metrics, _COMPARISON: comparisons}


def _compared_batches(
    extracts: tfma.Extracts, keys: tuple[str | None, ...]
) -> tuple[ComparedBatch, ...]:
    """Returns a batch as each output's comparison takes it."""
    batch = extracts[tfma.ARROW_RECORD_BATCH_KEY]
    predictions = extracts[tfma.PREDICTIONS_KEY]
    seen = extracts.get(INPUTS_SEEN_KEY)
    inputs = InputsSeen(**seen) if seen else None
    of_models = extracts.get(SCORES_KEY)
    scores = None
    if of_models:
        scores = of_models[FLOAT][:, 0], of_models[QUANTIZED][:, 0]
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
                scores,
                None if index else extracts.get(DIGESTS_KEY),
            )
        )
    return tuple(found)


def _metrics_by_slice(
    comparisons: Comparisons, plan: MetricPlan
) -> Iterator[tuple[SliceKey, Values]]:
    """Yields metrics as TFMA's own evaluators do: by slice, keyed by metric, output and model."""
    for key in comparisons[0].slices:
        values: Values = {}
        for output, comparison in zip(plan.outputs, comparisons, strict=True):
            values.update(_metrics_of(output, comparison, key))
        yield key, values


def _metrics_of(output: OutputPlan, comparison: Comparison, key: SliceKey) -> Values:
    """Returns the metrics of one output on one slice."""
    name = output.judged.key or ""
    values: Values = {
        tfma.metrics.MetricKey(EXAMPLE_COUNT, model_name=model, output_name=name): float(
            comparison.examples(key)
        )
        for model in (FLOAT, QUANTIZED)
    }
    counted: dict[object, tuple[Array, Buckets]] = {}
    for metric in output.batched:
        if isinstance(metric, ScoreMetric):
            kind = _kind(comparison, metric)
            if kind not in counted:
                cells, buckets = _cells(comparison, key, metric, output)
                counted[kind] = cells.histograms(cells.counts, buckets.count), buckets
            found, buckets = counted[kind]
            before, after = (metric.value(model, buckets) for model in found)
        else:
            sums = comparison.sums(key, metric.name)
            before, after = (metric.value(total, sums.weight) for total in (sums.f, sums.q))
        is_weighted = output.judged.target.example_weight is not None
        values.update(_both(_metric_key(metric, name, is_weighted), before, after))
    return values


def _metric_key(metric: BatchedMetric, output: str, is_weighted: bool) -> tfma.metrics.MetricKey:
    class_id = metric.class_id if isinstance(metric, ScoreMetric) else None
    return tfma.metrics.MetricKey(
        metric.name,
        output_name=output,
        sub_key=None if class_id is None else tfma.metrics.SubKey(class_id=class_id),
        example_weighted=True if is_weighted else None,
    )


def _both(metric: tfma.metrics.MetricKey, before: float, after: float) -> Values:
    quantized = metric._replace(model_name=QUANTIZED)
    return {
        metric._replace(model_name=FLOAT): float(before),
        quantized: float(after),
        quantized.make_diff_key(): float(after - before),
    }


class _WriteComparison(beam.PTransform):
    def __init__(self, output_path: str, plan: MetricPlan):
        super().__init__()
        self._path = posixpath.join(output_path, COMPARISON_FILE)
        self._plan = plan

    def expand(self, evaluation: dict[str, beam.PCollection]) -> beam.PCollection:
        return evaluation[_COMPARISON] | beam.Map(_write_comparison, self._path, self._plan)


def _write_comparison(comparisons: Comparisons, path: str, plan: MetricPlan) -> None:
    records = tuple(map(_record, plan.outputs, comparisons))
    with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        file.write(json.dumps(RECORDS.dump_python(records, mode="json")).encode())


def _record(output: OutputPlan, comparison: Comparison) -> OutputRecord:
    tested = tuple(
        (metric, slice_name(key), evidence)
        for key in sorted(comparison.slices, key=lambda key: by_name((key, None)))
        for metric, evidence in _score_evidence(output, key, comparison).items()
    )
    return OutputRecord(comparison, tested)


def _score_evidence(
    output: OutputPlan, key: SliceKey, comparison: Comparison
) -> dict[str, ScoreEvidence]:
    count = comparison.groups.get(key, comparison.examples(key))
    tested = {
        each.metric: each.sign
        for each in output.tested
        if isinstance(each.metric, ScoreMetric) and each.wanted_on(key, count)
    }
    signs = {metric.name: sign for metric, sign in tested.items()}
    found: dict[str, ScoreEvidence] = {}
    for kind in dict.fromkeys(_kind(comparison, metric) for metric in tested):
        metrics = [metric for metric in tested if _kind(comparison, metric) == kind]
        cells, buckets = _cells(comparison, key, metrics[0], output)
        if key in comparison.grouped_scores:
            cells = comparison.grouped_scores[key][metrics[0].class_id]
        found.update(score_evidence(metrics, signs, cells, buckets))
    if key in comparison.group_scores:
        # Each of them is a group itself.
        update = {"groups": comparison.groups[key]}
        found = {name: evidence.model_copy(update=update) for name, evidence in found.items()}
    return found


def _kind(comparison: Comparison, metric: ScoreMetric) -> object:
    """Returns what metrics have in common that are computed from the same counts."""
    return metric.area is not None if comparison.group_scores else metric.class_id


def _cells(
    comparison: Comparison, key: SliceKey, metric: ScoreMetric, output: OutputPlan
) -> tuple[Cells, Buckets]:
    """Returns the scores of a slice that a metric looks at, and what they are counted in."""
    if key not in comparison.group_scores:
        return comparison.scores[key][metric.class_id].cells(), output.buckets
    groups = comparison.group_scores[key]
    return (
        groups.ranked()
        if metric.area is not None
        else (
            groups.bucketed(output.buckets),
            output.buckets,
        )
    )


def _shared_model(name: str, path: str) -> tfma.types.EvalSharedModel:
    # Only a description: the predict extractor loads the models. Without it TFMA would not know
    # that there is a baseline.
    return tfma.types.EvalSharedModel(
        model_path=path, model_name=name, model_type=tfma.TF_GENERIC, is_baseline=name == FLOAT
    )
