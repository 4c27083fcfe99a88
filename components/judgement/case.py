"""A quantized model before its gate: what is compared, on which examples, and the verdict."""

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import apache_beam as beam
from tensorflow_model_analysis.proto import config_pb2

from tfx_tflite.components.destinations.ledger import JudgedModel
from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples.splits import ReadBatches, SplitFiles
from tfx_tflite.components.judgement.candidate import Candidate, together
from tfx_tflite.components.judgement.compare_models import (
    CompareModels,
    PlannedComparison,
    compare_here,
)
from tfx_tflite.components.judgement.eval_config import metric_directions
from tfx_tflite.components.judgement.evaluation import Evaluation, load_evaluation
from tfx_tflite.components.judgement.evidence import ComparisonEvidence
from tfx_tflite.components.judgement.first_examples import FirstExamples
from tfx_tflite.components.judgement.gate import Gate, Reference
from tfx_tflite.components.judgement.judging import GateResult, ModelFigures, judge
from tfx_tflite.components.judgement.looks import Looks, record
from tfx_tflite.components.judgement.metric_plan import MetricPlan
from tfx_tflite.components.judgement.metrics.catalog import Direction
from tfx_tflite.components.judgement.metrics.label_schema import check_schema
from tfx_tflite.components.judgement.metrics.targets import JudgedOutput
from tfx_tflite.components.judgement.prediction import FloatSide, ModelPair, Predictor
from tfx_tflite.components.judgement.pushed_reference import (
    Looked,
    PushedReference,
    without_reference,
)

# TFMA's result files of the comparison with the pushed model, below those with the float model.
AGAINST_PUSHED = "against_pushed"
# Those on targets after the first, and those of the comparison with this machine's kernels.
ON_TARGET, BESIDE_THIS_MACHINE = "on_target", "beside_this_machine"


@dataclass(frozen=True)
class OnTarget:
    """What was found of the quantized model on one target.

    Attributes:
        candidate: The model there.
        result: The verdict of the rules that are judged there.
        evaluation: The figures beside the float model's.
        host: The figures beside those of this machine's default kernels; None if it is these.
    """

    candidate: Candidate
    result: GateResult
    evaluation: Evaluation
    host: Evaluation | None = None


@dataclass(frozen=True)
class Judgement:
    """What was found of a quantized model.

    Attributes:
        result: The verdict of all rules.
        targets: What was found on each target.
        directions: Which way the metric of each rule is better.
        judged: What the ledger at the destination is told; None if nothing is counted there.
    """

    result: GateResult
    targets: tuple[OnTarget, ...]
    directions: Mapping[str, Direction]
    judged: JudgedModel | None = None

    @property
    def evaluation(self) -> Evaluation:
        """The figures on the first target beside the float model's."""
        return self.targets[0].evaluation


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
        """With what the quantized model is compared on each target.

        That is the float model and, if they are wanted, the pushed model and the quantized model
        with this machine's default kernels.

        Raises:
            DataError: A label is missing or out of range.
            EvaluationError: The rules, or the labels, do not go with the metrics.
        """
        return tuple(
            comparison
            for candidate in self.pair.candidates
            for comparison in self._comparisons(candidate)
        )

    def _comparisons(self, candidate: Candidate) -> Iterator[PlannedComparison]:
        gate = candidate.gate(self.gate)
        # TFMA's readers find the results of the first target where they always are.
        path = self.output_path
        if candidate.place:
            path = posixpath.join(path, f"{ON_TARGET}_{candidate.place}")
        yield PlannedComparison("float", self._plan(gate, "float"), path, candidate)
        if self.reference is not None:
            below = posixpath.join(path, AGAINST_PUSHED)
            yield PlannedComparison("pushed", self._plan(gate, "pushed"), below, candidate)
        host = self.pair.host
        if host not in (None, candidate.kernels) and not candidate.problem:
            below = posixpath.join(path, BESIDE_THIS_MACHINE)
            unjudged = gate.model_copy(update={"rules": ()})
            yield PlannedComparison("host", self._plan(unjudged, "float"), below, candidate)

    def _plan(self, gate: Gate, reference: Reference) -> MetricPlan:
        plan = MetricPlan.make(self.eval_config, self.judged, gate, reference)
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

    @property
    def is_batched(self) -> bool:
        """Whether all metrics are computed on batches, so that none goes through TFMA."""
        return all(comparison.plan.rest is None for comparison in self.comparisons)

    def compared_here(self, side: FloatSide) -> tuple[Evaluation, ...]:
        """Returns what `compare` has the result files say, computed in this process.

        All metrics must be computed on batches.

        Args:
            side: The float side of the pair.
        """
        predictor = Predictor(self.pair, self.comparisons[0].plan.checks, side)
        extracts = chain.from_iterable(map(predictor, self.source.batches()))
        return compare_here(extracts, self.comparisons, self.eval_config)

    def judge(
        self,
        of_model: Sequence[ModelFigures],
        evaluations: Sequence[Evaluation] | None = None,
        looks: Callable[[Evaluation], Looks] | None = None,
    ) -> Judgement:
        """Returns what the gate says of the comparisons.

        Args:
            of_model: Figures of the quantized model on each target; see
                `evidence.ComparisonEvidence`.
            evaluations: What each comparison found; None takes it from the result files.
            looks: Returns the judgements of the model that were made before, by what was found;
                None judges it as if there were none.

        Raises:
            DataError: The split holds no examples.
        """
        if evaluations is None:
            evaluations = [
                load_evaluation(each.output_path, each.plan) for each in self.comparisons
            ]
        found = tuple(zip(self.comparisons, evaluations, strict=True))
        directions = metric_directions(self.eval_config, self.gate)
        looked_at = None if looks is None else looks(evaluations[0])
        targets = tuple(
            self._judged(candidate, figures, directions, found, looked_at)
            for candidate, figures in zip(self.pair.candidates, of_model, strict=True)
        )
        result = together([(target.candidate, target.result) for target in targets])
        judged = None if looked_at is None else record(looked_at, result.tests, result.blessed)
        return Judgement(result, targets, directions, judged)

    def _judged(
        self,
        candidate: Candidate,
        figures: ModelFigures,
        directions: Mapping[str, Direction],
        compared: Sequence[tuple[PlannedComparison, Evaluation]],
        looks: Looks | None,
    ) -> OnTarget:
        """Returns what the rules that are judged on one target say."""
        gate = candidate.gate(self.gate)
        found = {
            comparison.reference: evaluation
            for comparison, evaluation in compared
            if comparison.candidate == candidate
        }
        evaluation = found["float"]
        if not evaluation.examples:
            raise DataError(
                f"split {self.source.split!r} holds no examples; nothing to evaluate on"
            )

        def judged(reference: Reference) -> GateResult:
            own = found[reference]
            evidence = ComparisonEvidence(own, figures)
            return judge(
                gate, own.values, own.examples, directions, evidence, reference, looks, own.groups
            )

        result = judged("float")
        if isinstance(self.looked, PushedReference):
            note = f"(against the pushed version {self.looked.number})"
            result = result.beside(judged("pushed"), note)
        elif self.looked is not None:
            result = without_reference(result, gate, evaluation.values, self.looked)
        return OnTarget(candidate, candidate.result(gate, result), evaluation, found.get("host"))
