"""Candidates judged on the tuning examples by the gate's own rules, as the evaluator judges."""

import contextlib
import dataclasses
import hashlib
import math
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.proto import config_pb2

from tfx_tflite.components.digests import bytes_digest
from tfx_tflite.components.errors import EvaluationError
from tfx_tflite.components.examples.splits import SplitFiles
from tfx_tflite.components.examples.tensors import Array, Tensors
from tfx_tflite.components.judgement.candidate import candidates_on
from tfx_tflite.components.judgement.case import Case, Judgement
from tfx_tflite.components.judgement.first_examples import FirstExamples
from tfx_tflite.components.judgement.gate import (
    Gate,
    GateRule,
    MetricRule,
    OutputLimit,
    SizeBytesLimit,
    SizeLimit,
)
from tfx_tflite.components.judgement.metric_plan import MetricPlan
from tfx_tflite.components.judgement.metrics.targets import JudgedOutput
from tfx_tflite.components.judgement.prediction import CHOSEN, FloatSide, ModelPair, Predicts
from tfx_tflite.components.models.first_run import check_first_run, check_target_run
from tfx_tflite.components.models.target import Targets
from tfx_tflite.components.models.tflite_model import TFLiteModel, default_kernels
from tfx_tflite.components.object_stores import any_place
from tfx_tflite.components.object_stores import files as objects
from tfx_tflite.components.quantization.tuning import FAR, share_of_bound
from tfx_tflite.components.verdict import RuleResult, Verdict

_CANDIDATE = "candidate"
# How sure a repair must be to hold, since the best of several is taken.
_CONFIDENCE = 0.9


@dataclass(frozen=True)
class Judged:
    """What the rules say of a candidate; see `Tried`."""

    holds: bool
    is_sure: bool
    excess: float
    distance: float
    rules: tuple[RuleResult, ...]
    examples: int


@dataclass
class RememberedModel:
    """A model whose outputs are remembered, for it is given the same inputs again and again.

    Attributes:
        model: The model.
        limit: Up to how many bytes of outputs are remembered.
    """

    model: Predicts
    limit: int = 2**28
    _outputs: dict[bytes, dict[str, Array]] = field(default_factory=dict)

    def predict(self, inputs: Tensors) -> dict[str, Array]:
        """Returns the outputs by name, the batch dimension first."""
        digest = hashlib.sha256()
        for name, values in sorted(inputs.items()):
            digest.update(f"{name} {values.dtype} {values.shape} ".encode())
            digest.update(np.ascontiguousarray(values).data)
        key = digest.digest()
        if key in self._outputs:
            return dict(self._outputs[key])
        outputs = self.model.predict(inputs)
        size = sum(values.nbytes for values in outputs.values())
        if size <= self.limit:
            self.limit -= size
            self._outputs[key] = outputs
        return dict(outputs)


@dataclass(frozen=True)
class TrialGround:
    """The tuning examples, and the float model that candidates are compared with on them.

    Attributes:
        pair: The float model; the quantized one is left open.
        eval_config: The metrics, as `two_model_config` returns it.
        gate: The rules, of which those are judged that a file alone decides.
        judged: The outputs that are evaluated.
        source: The examples.
        first: The first of them.
        devices: What will run the model.
        beam_pipeline: Makes a Beam pipeline, for metrics that go through TFMA. Others are computed
            in this process: to set up Beam and TFMA takes longer than to judge 1,000 examples.
        place: Where in an object store candidates are put for workers; None if they share a disk.
    """

    pair: ModelPair
    eval_config: config_pb2.EvalConfig
    gate: Gate
    judged: tuple[JudgedOutput, ...]
    source: SplitFiles
    first: FirstExamples
    devices: Targets
    beam_pipeline: Callable[[], beam.Pipeline]
    place: str | None = None

    @cached_property
    def tested_gate(self) -> Gate:
        """The part of the gate that is judged here, with a confidence if there is a test."""
        gate = judged_here(self.gate)
        return gate.model_copy(update={"rules": tuple(map(self._tested, gate.rules))})

    def _tested(self, rule: GateRule) -> GateRule:
        if not isinstance(rule, MetricRule) or rule.confidence is not None:
            return rule
        tested = rule.model_copy(update={"confidence": _CONFIDENCE})
        try:
            plan = MetricPlan.make(
                self.eval_config,
                self.judged,
                self.gate.model_copy(update={"rules": (tested,)}),
                "float",
            )
        except EvaluationError:
            return rule
        assert plan
        return tested

    def judge(self, content: bytes, float_size: int, size: int | None = None) -> Judged:
        """Returns what the rules say of a model.

        Args:
            content: The flatbuffer.
            float_size: The bytes of the float32 flatbuffer.
            size: The bytes that rules on size are judged by; None for those of the flatbuffer.

        Raises:
            ModelError: Running it ends the process.
        """
        check_first_run(content, _CANDIDATE, self.first.take(2))
        host = default_kernels(content, self.first.take(2))
        candidates = candidates_on(self.devices, host, [""] * len(self.devices))
        for kernels in set(CHOSEN).intersection(each.kernels for each in candidates):
            check_target_run(content, _CANDIDATE, self.first.take(2), kernels)
        first = dataclasses.replace(
            self.first,
            outputs=TFLiteModel(content, candidates[0].kernels).predict(self.first.inputs),
        )
        with self._folder() as folder:
            path = f"{folder}/candidate.tflite"
            with any_place.written_file(path) as here:
                Path(here).write_bytes(content)
            pair = dataclasses.replace(
                self.pair,
                tflite=path,
                digests={**self.pair.digests, path: bytes_digest(content)},
                candidates=candidates,
            )
            case = Case(
                pair,
                self.eval_config,
                self.tested_gate,
                self.judged,
                self.source,
                first,
                None,
                f"{folder}/result",
            )
            evaluations = None
            if case.is_batched:
                evaluations = case.compared_here(self._float_side)
            else:
                with self.beam_pipeline() as pipeline:
                    case.compare(pipeline)
            size = len(content) if size is None else size
            figures = {"size_bytes": float(size), "size_ratio": size / float_size}
            return _judged(case.judge([figures for _ in candidates], evaluations))

    @contextlib.contextmanager
    def _folder(self) -> Iterator[str]:
        """Yields a folder for a candidate, which goes with the block, where workers find it."""
        if self.place is None:
            with tempfile.TemporaryDirectory(prefix="tfx-tflite-tuning-") as name:
                yield name
            return
        uri = f"{self.place}/candidate-{uuid.uuid4().hex}"
        try:
            yield uri
        finally:
            objects.remove_all(uri)

    @cached_property
    def _float_side(self) -> FloatSide:
        """The float model, which all candidates are compared with, loaded once."""
        labels = [output.target.label_name for output in self.judged]
        return FloatSide(self.pair.reader(labels), RememberedModel(self.pair.float_model()))


def judged_here(gate: Gate) -> Gate:
    """Returns the part of a gate that is judged on tuning examples.

    That is what the answers and the file decide. What was pushed, and what is measured on a quiet
    machine or by a compiler, is left to the gate.
    """
    rules = tuple(rule for rule in gate.rules if _is_judged_here(rule))
    return gate.model_copy(update={"rules": rules, "min_examples": 1})


def _is_judged_here(rule: GateRule) -> bool:
    if isinstance(rule, MetricRule):
        return rule.against == "float"
    return isinstance(rule, OutputLimit | SizeLimit | SizeBytesLimit)


def _judged(found: Judgement) -> Judged:
    rules = found.result.rules
    failing = [rule for rule in rules if not _holds(rule)]
    said = {rule.reason for rule in rules}
    # Such as that there is no figure to judge.
    others = [reason for reason in found.result.reasons if reason not in said]
    return Judged(
        holds=not failing and not others,
        is_sure=not found.result.reasons,
        excess=max(map(share_of_bound, rules), default=FAR if others else -FAR),
        distance=max(_distances(found).values(), default=FAR),
        rules=rules,
        examples=found.evaluation.examples,
    )


def _holds(rule: RuleResult) -> bool:
    if rule.verdict is Verdict.UNDECIDED:
        return rule.drop <= rule.bound
    return rule.verdict is not Verdict.REFUSED


def _distances(found: Judgement) -> Mapping[tuple[int, str | None], float]:
    distances = {}
    for target in found.targets:
        for output in target.evaluation.outputs:
            sums = output.comparison.outputs
            ratio = sums.noise / sums.signal if sums.signal else FAR * (sums.noise > 0)
            found_here = ratio if math.isfinite(ratio) else FAR
            distances[target.candidate.place, output.key] = min(found_here, FAR)
    return distances
