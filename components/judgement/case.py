"""A quantized model before its gate: what is compared, on which examples, and the verdict."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import apache_beam as beam
from tensorflow_model_analysis.proto import config_pb2

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples.splits import ReadBatches, SplitFiles
from tfx_tflite.components.judgement.compare_models import CompareModels, PlannedComparison
from tfx_tflite.components.judgement.eval_config import metric_directions
from tfx_tflite.components.judgement.evaluation import Evaluation, load_evaluation
from tfx_tflite.components.judgement.evidence import ComparisonEvidence
from tfx_tflite.components.judgement.first_examples import FirstExamples
from tfx_tflite.components.judgement.gate import Gate, Reference
from tfx_tflite.components.judgement.judging import GateResult, judge
from tfx_tflite.components.judgement.metric_plan import MetricPlan
from tfx_tflite.components.judgement.metrics.catalog import Direction
from tfx_tflite.components.judgement.metrics.label_schema import check_schema
from tfx_tflite.components.judgement.metrics.targets import JudgedOutput
from tfx_tflite.components.judgement.prediction import ModelPair
from tfx_tflite.components.judgement.pushed_reference import (
    Looked,
    PushedReference,
    without_reference,
)

# TFMA's result files of the comparison with the pushed model, below those with the float model.
AGAINST_PUSHED = "against_pushed"


@dataclass(frozen=True)
class Judgement:
    """What was found of a quantized model.

    Attributes:
        result: The verdict of all rules.
        evaluation: The figures beside the float model's.
        directions: Which way the metric of each rule is better.
    """

    result: GateResult
    evaluation: Evaluation
    directions: Mapping[str, Direction]


@dataclass(frozen=True)
class Case:
    """What is to be judged.

    Attributes:
        pair: The float and the quantized model, and the pushed one if there is a reference.
        eval_config: The metrics, as `eval_config.two_model_config` returns it.
        gate: The rules.
        judged: The outputs that are evaluated.
        source: The examples.
        first: Some of them, with what the quantized model gives.
        looked: The pushed model, for rules against it, or that there is none, or that it is not
            known; None if there are no such rules.
        output_path: The directory of TFMA's result files.
    """

    pair: ModelPair
    eval_config: config_pb2.EvalConfig
    gate: Gate
    judged: tuple[JudgedOutput, ...]
    source: SplitFiles
    first: FirstExamples
    looked: Looked | None
    output_path: str

    @property
    def reference(self) -> PushedReference | None:
        """The pushed model that is compared with; None if there is none to compare with."""
        return self.looked if isinstance(self.looked, PushedReference) else None

    @cached_property
    def comparisons(self) -> tuple[PlannedComparison, ...]:
        """The comparisons with the float model and, if there is one, with the pushed model.

        Raises:
            DataError: A label is missing or out of range.
            EvaluationError: The rules, or the labels, do not go with the metrics.
        """
        found = [PlannedComparison("float", self._plan("float"), self.output_path)]
        if self.reference is not None:
            path = posixpath.join(self.output_path, AGAINST_PUSHED)
            found.append(PlannedComparison("pushed", self._plan("pushed"), path))
        return tuple(found)

    def _plan(self, reference: Reference) -> MetricPlan:
        plan = MetricPlan.make(self.eval_config, self.judged, self.gate, reference)
        check_schema(plan.checks, self.source.schema)
        return plan.with_origins(self.first)

    def compare(self, pipeline: beam.Pipeline) -> None:
        """Adds to a pipeline what reads the examples once, predicts, and writes the result files.

        Args:
            pipeline: It has run before `judge`.
        """
        schema = self.source.schema
        representations = None if schema is None else self.source.tfxio().TensorRepresentations()
        compare = CompareModels(self.pair, self.eval_config, self.comparisons, representations)
        _ = pipeline | "ReadSplit" >> ReadBatches(self.source) | "Compare" >> compare

    def judge(self, of_model: Mapping[str, float | None]) -> Judgement:
        """Returns what the gate says of the result files.

        Args:
            of_model: Figures of the quantized model; see `evidence.ComparisonEvidence`.

        Raises:
            DataError: The split holds no examples.
        """
        directions = metric_directions(self.eval_config, self.gate)
        evaluations = [
            load_evaluation(comparison.output_path, comparison.plan)
            for comparison in self.comparisons
        ]
        if not evaluations[0].examples:
            raise DataError(
                f"split {self.source.split!r} holds no examples; nothing to evaluate on"
            )
        results = [
            judge(
                self.gate,
                evaluation.values,
                evaluation.examples,
                directions,
                ComparisonEvidence(evaluation, of_model),
                comparison.reference,
            )
            for comparison, evaluation in zip(self.comparisons, evaluations, strict=True)
        ]
        result = results[0]
        if isinstance(self.looked, PushedReference):
            note = f"(against the pushed version {self.looked.number})"
            result = result.beside(results[1], note)
        elif self.looked is not None:
            result = without_reference(result, self.gate, evaluations[0].values, self.looked)
        return Judgement(result, evaluations[0], directions)
