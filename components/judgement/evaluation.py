"""What an evaluation found: the figures in TFMA's result files, and the sums beside them."""

import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import tensorflow_model_analysis as tfma
from apache_beam.io.filesystems import FileSystems
from pydantic import TypeAdapter
from tensorflow_model_analysis.proto import metrics_for_slice_pb2

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.judgement.comparison import Comparison
from tfx_tflite.components.judgement.judging import GroupsSeen
from tfx_tflite.components.judgement.metric_plan import MetricPlan, OutputPlan
from tfx_tflite.components.judgement.metrics.batched_metrics import BatchedMetric
from tfx_tflite.components.judgement.metrics.slices import SliceKey, plain_value, slice_name
from tfx_tflite.components.judgement.prediction import FLOAT, QUANTIZED
from tfx_tflite.components.judgement.statistics.resampling import ScoreEvidence
from tfx_tflite.components.object_stores import any_place
from tfx_tflite.components.verdict import OVERALL, MetricValues

EXAMPLE_COUNT = "example_count"
COMPARISON_FILE = "comparison.json"


@dataclass(frozen=True)
class OutputRecord:
    """What the file beside TFMA's result files has of one output.

    Attributes:
        comparison: The sums.
        score_evidence: Each metric and slice whose scores are tested, and what the test rests on.
    """

    comparison: Comparison
    score_evidence: tuple[tuple[str, str, ScoreEvidence], ...]


RECORDS = TypeAdapter(tuple[OutputRecord, ...])


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
        """What rules and reports call the output; None if its name goes without saying."""
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

    @property
    def digest(self) -> str:
        """A digest of the examples, which no order changes."""
        return f"blake2b-sum:{self.comparison.outputs.digest:032x}"

    @property
    def groups(self) -> GroupsSeen | None:
        """The groups that the examples are in; None if they are in none."""
        output = self.outputs[0]
        by = output.plan.judged.target.group_by
        return None if by is None else GroupsSeen(by, output.comparison.groups.get((), 0))

    def output(self, key: str | None) -> OutputEvaluation:
        """Returns what is known of an output."""
        return next(output for output in self.outputs if output.key == key)


def load_evaluation(output_path: str, plan: MetricPlan) -> Evaluation:
    """Returns the figures in the result files, which are none if there were no examples.

    Args:
        output_path: The directory that `compare_models.CompareModels` wrote to.
        plan: Which metrics were computed how.

    Raises:
        DataError: The weights of all examples are 0, or a metric ignores all labels.
    """
    if not FileSystems.exists(posixpath.join(output_path, COMPARISON_FILE)):
        nothing = (OutputEvaluation(output, Comparison(()), {}) for output in plan.outputs)
        return Evaluation(0, (), tuple(nothing))
    with FileSystems.open(posixpath.join(output_path, COMPARISON_FILE)) as file:
        records = RECORDS.validate_python(json.loads(file.read()))
    with any_place.local_copy(output_path) as here:
        return evaluation_of(records, tfma.load_metrics(here), plan)


def evaluation_of(
    records: Iterable[OutputRecord],
    metrics: Iterable[metrics_for_slice_pb2.MetricsForSlice],
    plan: MetricPlan,
) -> Evaluation:
    """Returns the figures of a comparison.

    Args:
        records: What is known of each output.
        metrics: What TFMA's result files have, or would have, of each slice.
        plan: Which metrics were computed how.

    Raises:
        DataError: The weights of all examples are 0, or a metric ignores all labels.
    """
    outputs = tuple(map(_output_evaluation, plan.outputs, records))
    comparison = outputs[0].comparison
    values = [
        value
        for record in metrics
        for value in _values(record, comparison, [output.key for output in outputs])
    ]
    return Evaluation(
        comparison.outputs.examples, tuple(sorted(values, key=_overall_first)), outputs
    )


def _output_evaluation(plan: OutputPlan, record: OutputRecord) -> OutputEvaluation:
    comparison = record.comparison
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
    evidence = {(metric, name): found for metric, name, found in record.score_evidence}
    return OutputEvaluation(plan, comparison, evidence)


def _values(
    record: metrics_for_slice_pb2.MetricsForSlice,
    comparison: Comparison,
    outputs: list[str | None],
) -> Iterator[MetricValues]:
    """Yields the metrics of one slice that have one number for each model."""
    key, numbers = _slice_key(record.slice_key), _numbers(record)
    if comparison.left_out and key not in comparison.slices:
        # TFMA's own metrics are of all slices.
        return
    for output in outputs:
        names = {metric for metric, of, _ in numbers if of == (output or "")} - {EXAMPLE_COUNT}
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
                    groups=comparison.groups.get(key),
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
    """Returns which class, or which of the highest, a number is of; empty if it is of all."""
    sub_key = key.sub_key
    for name in ("class_id", "k", "top_k"):
        if sub_key.HasField(name):
            return f" ({name} {getattr(sub_key, name).value})"
    return ""
