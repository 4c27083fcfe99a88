"""The evaluation's report: the verdict, what it rests on, and what was compared."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_model_analysis as tfma

from tfx_tflite.components.artifact_layout import FLOAT_TFLITE_FILE, QUANTIZATION_FILE
from tfx_tflite.components.destinations.manifest import (
    Evaluated,
    Golden,
    JudgedOutput,
    KernelComparison,
)
from tfx_tflite.components.digests import bytes_digest
from tfx_tflite.components.errors import EvaluationError
from tfx_tflite.components.judgement.answer_figures import AnswerFigures
from tfx_tflite.components.judgement.case import Case, Judgement, OnTarget
from tfx_tflite.components.judgement.comparison import Comparison
from tfx_tflite.components.judgement.evaluation import Evaluation, OutputEvaluation
from tfx_tflite.components.judgement.gate import MetricRule
from tfx_tflite.components.judgement.judging import Measured
from tfx_tflite.components.judgement.metrics.slices import slice_name
from tfx_tflite.components.judgement.output_differences import OutputSums
from tfx_tflite.components.judgement.pushed_reference import PushedReference, UnknownReference
from tfx_tflite.components.judgement.saturation import InputAdequacy, InputRange, adequacy
from tfx_tflite.components.judgement.shipped_files import ShippedFiles
from tfx_tflite.components.judgement.shown_examples import Picture, pictures
from tfx_tflite.components.models import latency
from tfx_tflite.components.models.arena import arena_bytes
from tfx_tflite.components.models.first_run import check_first_run
from tfx_tflite.components.models.flatbuffer import read_graph
from tfx_tflite.components.models.min_runtime import min_runtime_version
from tfx_tflite.components.models.target_facts import Source, TargetFacts
from tfx_tflite.components.quantization.document import Bytes, QuantizationReport
from tfx_tflite.components.releases import release_number
from tfx_tflite.components.report import document
from tfx_tflite.components.report.counted_looks import notes_of
from tfx_tflite.components.report.document import Report
from tfx_tflite.components.report.kept_slices import kept_reasons, kept_rules, kept_values
from tfx_tflite.components.verdict import OVERALL, MetricValues, RuleResult
from tfx_tflite.components.versions import Runtime

_THREADS = (1, 2)
_SATURATED_SLICES = 10


@dataclass(frozen=True)
class ModelProperties:
    """What is known of the quantized model.

    Attributes:
        digest: Of the flatbuffer's bytes, read now.
        size_bytes: Its size.
        quantization: What TFLiteQuantizer wrote beside it; empty for a model from elsewhere.
        latencies: Of it and of the float32 TFLite model, with one thread and with two; none for a
            model from elsewhere, or if nobody asks.
        arena: The working memory of both models; None for a model from elsewhere.
        min_runtime_version: The least release of TensorFlow Lite that runs it; None if that is not
            known.
    """

    digest: str
    size_bytes: int
    quantization: QuantizationReport
    latencies: tuple[latency.Latency, ...]
    arena: Bytes | None
    min_runtime_version: str | None

    @property
    def sizes(self) -> Bytes:
        """The sizes of both files."""
        before = self.quantization.size_bytes.float_model
        return Bytes(float_model=before, quantized=self.size_bytes)

    @property
    def ratios(self) -> dict[str, float | Measured | None]:
        """What it costs as a multiple of the float32 TFLite model; None if that is not known."""
        return {
            "size_ratio": self.sizes.ratio,
            "latency_ratio": _measured_ratio(self.latencies[0]) if self.latencies else None,
            "arena_ratio": self.arena.ratio if self.arena else None,
        }

    @property
    def figures(self) -> dict[str, float | Measured | None]:
        """What rules limit, by the rule's name of it; None if that is not known."""
        release = self.min_runtime_version
        return {
            **self.ratios,
            "runtime_version": None if release is None else release_number(release),
        }

    def latency_on(self, facts: TargetFacts) -> tuple[float, Source] | None:
        """Returns the milliseconds of an inference on a target, and what said so.

        That is what the compiler for its accelerator estimates if it has one, else what this
        machine takes. None if nothing was measured, and if the accelerator leaves operators to the
        processor, whose time nobody estimates.

        Args:
            facts: What is known of the model on the target.
        """
        acceleration = facts.acceleration
        if acceleration is not None:
            estimate = acceleration.whole_milliseconds
            return None if estimate is None else (estimate, acceleration.source)
        if not self.latencies:
            return None
        measured = self.latencies[0]
        runtime = measured.quantized_runtime
        source = Source(
            tool=f"{runtime.package} ({runtime.kernels.value} kernels)",
            version=runtime.version,
            kind="measured",
            machine=platform.machine(),
            caveat="on the machine of the evaluation, which is not the target",
        )
        return measured.quantized_ms, source

    @property
    def input_ranges(self) -> tuple[InputRange, ...]:
        """What the inputs were calibrated for."""
        found = sorted(self.quantization.input_ranges.items())
        return tuple(InputRange(name, *limits) for name, limits in found)

    @classmethod
    def read(
        cls,
        directory: Path,
        content: bytes,
        shapes: Mapping[str, tuple[int, ...]],
        effort: latency.Effort | None,
    ) -> "ModelProperties":
        """Returns the properties of the model in an artifact's directory.

        Args:
            directory: The artifact's.
            content: The model in it.
            shapes: Of an example by input name, the batch dimension first.
            effort: How thoroughly to measure latency; None leaves it out.

        Raises:
            DocumentError: What TFLiteQuantizer wrote beside it is damaged.
            ModelError: The float32 TFLite model beside it is.
        """
        summary = directory / QUANTIZATION_FILE
        quantization = QuantizationReport()
        if summary.exists():
            quantization = QuantizationReport.parse(summary.read_bytes(), str(summary))
        float_model = directory / FLOAT_TFLITE_FILE
        latencies: tuple[latency.Latency, ...] = ()
        arena = None
        if float_model.exists():
            before = float_model.read_bytes()
            zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
            check_first_run(before, str(float_model), zeros)
            if effort is not None:
                latencies = tuple(
                    latency.measure_latency(before, content, shapes, threads, effort)
                    for threads in _THREADS
                )
            arena = Bytes(
                float_model=arena_bytes(before, shapes), quantized=arena_bytes(content, shapes)
            )
        least = min_runtime_version(read_graph(content))
        return cls(bytes_digest(content), len(content), quantization, latencies, arena, least)


def figures_on(model: ModelProperties, facts: TargetFacts) -> dict[str, float | Measured | None]:
    """Returns what rules limit on a target, by the rule's name of it; None if it is not known.

    Args:
        model: What is known of the model.
        facts: What is known of it on the target.
    """
    latency_on = model.latency_on(facts)
    return {
        **model.figures,
        "size_bytes": float(model.size_bytes),
        "arena_bytes": float(facts.arena.size_bytes) if facts.arena else None,
        "latency_ms": _latency_ms(model, *latency_on) if latency_on else None,
        "accelerated": facts.acceleration.share if facts.acceleration else None,
    }


def _measured_ratio(measured: latency.Latency) -> Measured:
    """Returns the ratio of two latencies as the gate judges it."""
    return Measured(measured.ratio, *measured.ratio_interval, latency.CONFIDENCE, measured.method)


def _latency_ms(model: ModelProperties, found: float, source: Source) -> float | Measured:
    """Returns the quantized model's latency on a target as the gate judges it."""
    if source.kind != "measured":
        return found
    measured = model.latencies[0]
    return Measured(
        measured.quantized_ms, *measured.quantized_interval, latency.CONFIDENCE, measured.method
    )


@dataclass(frozen=True)
class Request:
    """What the evaluator was asked for, and by whom.

    Attributes:
        evaluated: The split, the signature and the output.
        config_digest: Of all that decides the verdict.
        pushed_destination: Whose current version rules compare with; None without such rules.
        counted_at: The destination in whose ledger judgements are counted; None if none is.
        provenance: The pipeline, its config and the command line; None if that is not known.
        run: The run as TFX names it; None if it has no name.
        evaluated_at: When, in UTC.
    """

    evaluated: Evaluated
    config_digest: str
    pushed_destination: str | None
    counted_at: str | None
    provenance: document.Provenance | None
    run: str | None
    evaluated_at: str


@dataclass(frozen=True)
class Findings:
    """What was found.

    Attributes:
        case: What was judged.
        judgement: The gate's verdict, and the figures.
        model: The quantized model.
        runtime: What the quantized model's figures were measured with.
        kernels: How far its kernels are from the reference kernels.
        shipped: What a push takes along.
        facts: What is known of the model on each target.
        lineage: Where what was compared lies, by what it is.
    """

    case: Case
    judgement: Judgement
    model: ModelProperties
    runtime: Runtime
    kernels: KernelComparison
    shipped: ShippedFiles
    facts: tuple[TargetFacts, ...]
    lineage: Mapping[str, str]


def build(found: Findings, asked: Request) -> Report:
    """Returns the report."""
    case, model = found.case, found.model
    result, evaluation = found.judgement.result, found.judgement.evaluation
    comparison, quantization = evaluation.comparison, model.quantization
    inputs = adequacy(comparison.saturation, model.input_ranges, evaluation.examples)
    latencies = tuple(map(_latency, model.latencies))
    outputs = list(map(_of_output, evaluation.outputs))
    first = outputs[0]
    rules, left_out = kept_rules(result.rules)
    return Report(
        verdict=result.verdict,
        reasons=kept_reasons(result.reasons),
        scheme=quantization.scheme,
        io_type=quantization.io_type,
        examples=result.examples,
        rules=rules,
        metrics=kept_values(evaluation.values, rules),
        slices_left_out=left_out,
        slices_not_evaluated=comparison.left_out,
        size_bytes=model.sizes,
        latency_ms=latencies[0] if latencies else None,
        latency_by_threads=latencies,
        arena_bytes=model.arena,
        min_runtime_version=model.min_runtime_version,
        agreement=first.agreement,
        outputs=first.outputs,
        worst_examples=first.worst_examples,
        answers=first.answers,
        targets=_targets(found),
        by_output=tuple(output for output in outputs if output.output is not None),
        layers=quantization.layers,
        size_parts=quantization.size_parts,
        calibration=quantization.calibration,
        recipe=quantization.recipe,
        tuning=quantization.tuning,
        draws=quantization.draws,
        saturation=_saturation(evaluation, inputs),
        copies=comparison.copies,
        warnings=(
            *quantization.warnings,
            *(warning for warning in (known.warning() for known in inputs) if warning),
            *_unjudged_outputs(case),
            *_copies(case, comparison),
            *(warning for warning in map(_carried_by_few, rules) if warning),
        ),
        notes=(
            *case.pair.match.notes,
            *notes_of(found.judgement.judged),
            *(each.in_words for each in left_out),
            *_not_evaluated(case, comparison),
        ),
        digests=_digests(found, asked),
        evaluated=_evaluated(asked.evaluated, evaluation),
        calibration_sample=quantization.calibration_sample,
        lineage=dict(found.lineage),
        gate=document.AskedGate.model_validate(case.gate.model_dump(mode="json")),
        versions=_versions(),
        runtime=found.runtime,
        kernels=found.kernels,
        signature=found.shipped.signature,
        golden=found.shipped.golden,
        shipped=dict(found.shipped.digests),
        pushed_destination=asked.pushed_destination,
        pushed_reference=_reference(case.reference),
        pushed_problem=case.looked.reason if isinstance(case.looked, UnknownReference) else None,
        judged=found.judgement.judged,
        counted_at=asked.counted_at,
        provenance=asked.provenance,
        run=asked.run,
        evaluated_at=asked.evaluated_at,
    )


def _carried_by_few(rule: RuleResult) -> str:
    """Returns a warning if few examples decide a rule; empty if not."""
    if rule.carried_by is None:
        return ""
    what = "drop" if rule.limit is None else "value"
    where = "" if rule.slice == OVERALL else f" on {rule.slice}"
    about, (count, one) = max(round(rule.carried_by), 1), rule.counted
    return (
        f"the {what} of {rule.title}{where} rests on about {about:,} of {count:,} {one}s, so that "
        f"other {one}s may show quite another one"
    )


def _targets(found: Findings) -> tuple[document.TargetReport, ...]:
    """Returns what was found on each target; nothing if the config names none."""
    targets, goldens = found.judgement.targets, found.shipped.goldens
    if not targets[0].candidate.name:
        return ()
    return tuple(
        _on_target(found, target, facts, goldens[target.candidate.place] if goldens else None)
        for target, facts in zip(targets, found.facts, strict=True)
    )


def _on_target(
    found: Findings, target: OnTarget, facts: TargetFacts, golden: Golden | None
) -> document.TargetReport:
    latency_on = found.model.latency_on(facts)
    is_run = not target.candidate.problem
    return document.TargetReport(
        **dict(facts),
        verdict=target.result.verdict,
        metrics=_kept_on(target) if is_run else (),
        latency_ms=latency_on[0] if latency_on else None,
        latency_source=latency_on[1] if latency_on else None,
        host=None if target.host is None else _beside_this_machine(found.case, target.host),
        golden=golden,
    )


def _kept_on(target: OnTarget) -> tuple[MetricValues, ...]:
    rules, _ = kept_rules(target.result.rules)
    return kept_values(target.evaluation.values, rules)


def _beside_this_machine(case: Case, host: Evaluation) -> document.HostDifference:
    assert case.pair.host is not None
    agreements = [_agreement(output.comparison.outputs) for output in host.outputs]
    known = [each for each in agreements if each is not None]
    return document.HostDifference(
        runtime=Runtime.of(case.pair.host),
        examples=host.examples,
        decisions=sum(each.decisions or 0 for each in known) if known else None,
        differing=sum(flip.examples for each in known for flip in each.flips) if known else None,
        metrics=kept_values(host.values, ()),
    )


def with_shown_examples(report: Report, case: Case, evaluation: Evaluation) -> Report:
    """Returns a report with images of the examples that differ most, or why there are none.

    Args:
        report: The report.
        case: What was judged.
        evaluation: What was found.

    Raises:
        DataError: The examples cannot be read.
    """
    try:
        found = pictures(case.pair, case.source, evaluation)
    except EvaluationError as error:
        return report.model_copy(update={"shown_examples_problem": str(error)})
    return report.model_copy(update={"shown_examples": tuple(map(_shown, found))})


def _shown(picture: Picture) -> document.ShownExample:
    example = picture.example
    return document.ShownExample(
        output=picture.output,
        digest=example.digest,
        difference=example.difference,
        label=example.label,
        float_answer=example.before,
        quantized_answer=example.after,
        turned_wrong=example.is_turned,
        png=picture.png,
    )


def _not_evaluated(case: Case, comparison: Comparison) -> list[str]:
    """Returns what is said of slices that are only counted."""
    if not comparison.left_out:
        return []
    return [
        f"{comparison.left_out:,} slices have fewer examples than gate.min_slice_examples "
        f"({case.gate.min_slice_examples}); no rule judges them, and they have no figures"
    ]


def _copies(case: Case, comparison: Comparison) -> list[str]:
    """Returns a warning if so many examples are copies that rules err more than they say."""
    rules = (rule for rule in case.gate.rules if isinstance(rule, MetricRule))
    confidences = [rule.confidence for rule in rules if rule.confidence is not None]
    if comparison.copies is None:
        return []
    warning = comparison.copies.warning(case.source.split, confidences)
    return [warning] if warning else []


def _unjudged_outputs(case: Case) -> list[str]:
    """Returns a warning for each output of the signature that nothing is judged by."""
    known = {output.spec.name for output in case.judged}
    return [
        f"output {name!r} of signature {case.pair.signature.name!r} is not judged: nothing here "
        "says whether it is still right; add it to evaluation.outputs"
        for name in case.pair.outputs
        if name not in known
    ]


def _of_output(output: OutputEvaluation) -> document.OutputReport:
    sums = output.comparison.outputs
    return document.OutputReport(
        output=output.key,
        label=output.plan.judged.target.label_name,
        agreement=_agreement(sums),
        outputs=document.OutputDifferences(
            sqnr_db=sums.sqnr_db,
            mean_absolute_difference=sums.mean_absolute_difference,
            max_absolute_difference=sums.largest,
            kl_divergence=sums.kl_divergence,
        ),
        worst_examples=tuple(
            document.WorstExample(digest=digest, difference=difference)
            for difference, digest in sums.worst
        ),
        answers=_named(output),
    )


def _named(output: OutputEvaluation) -> AnswerFigures | None:
    """Returns the answers with what the vocabulary calls the classes."""
    answers, vocabulary = output.comparison.answers, output.plan.judged.target.vocabulary
    if answers is None or answers.confusion is None:
        return answers
    confusion = answers.confusion
    shown = {
        *confusion.classes,
        *(n for pair in confusion.pairs for n in (pair.label, pair.answer)),
    }
    names = {number: vocabulary[number] for number in shown if 0 <= number < len(vocabulary)}
    return answers.model_copy(update={"confusion": confusion.model_copy(update={"names": names})})


def _digests(found: Findings, asked: Request) -> dict[str, str | None]:
    of_config = {"config_file": asked.provenance.config_digest} if asked.provenance else {}
    return {
        **found.model.quantization.digests,
        "quantized_model": found.model.digest,
        "eval_split": found.judgement.evaluation.digest,
        "config": asked.config_digest,
        **of_config,
    }


def _evaluated(asked: Evaluated, evaluation: Evaluation) -> Evaluated:
    first = evaluation.outputs[0].plan.judged.target.output
    return Evaluated(
        split=asked.split,
        signature=asked.signature,
        output=asked.output or first,
        outputs=tuple(map(_judged, evaluation.outputs)),
    )


def _judged(output: OutputEvaluation) -> JudgedOutput:
    """Returns what an output was judged by."""
    target = output.plan.judged.target
    return JudgedOutput(
        output=output.plan.judged.spec.name,
        label=target.label_name,
        label_is_input=target.label_input is not None,
        vocabulary=len(target.vocabulary),
        example_weight=target.example_weight,
        weight=None if target.example_weight is None else output.comparison.weight(()),
        group_by=target.group_by,
        groups=output.comparison.groups.get(()),
    )


def _saturation(
    evaluation: Evaluation, inputs: tuple[InputAdequacy, ...]
) -> tuple[document.InputSaturation, ...]:
    """Returns the share of each input's values outside its range: overall, then worst slices."""
    return tuple(
        document.InputSaturation(
            input=known.range.name,
            range=(known.range.lowest, known.range.highest),
            extent=(known.lowest, known.highest),
            slices=_shares_outside(evaluation, index),
        )
        for index, known in enumerate(inputs)
    )


def _shares_outside(evaluation: Evaluation, index: int) -> tuple[document.OutsideShare, ...]:
    comparison = evaluation.comparison
    shares = [
        document.OutsideShare(
            slice=slice_name(key), outside=float(sums[index]) / comparison.examples(key)
        )
        for key, sums in comparison.saturation.outside.items()
    ]
    shares.sort(key=lambda share: (share.slice != OVERALL, -share.outside, share.slice))
    return tuple(shares[:_SATURATED_SLICES])


def _latency(measured: latency.Latency) -> document.Latency:
    return document.Latency.model_validate(
        {**vars(measured), "runtime": measured.quantized_runtime}
    )


def _agreement(outputs: OutputSums) -> document.Agreement | None:
    """Returns how often both models decide alike, and which decisions became which."""
    if outputs.agreement is None:
        return None
    return document.Agreement(
        rate=outputs.agreement,
        flips=tuple(
            document.Flip(float_answer=before, quantized_answer=after, examples=count)
            for (before, after), count in outputs.transitions.most_common()
            if before != after
        ),
        decisions=sum(outputs.transitions.values()),
    )


def _reference(reference: PushedReference | None) -> document.PushedReference | None:
    if reference is None:
        return None
    return document.PushedReference(
        version=reference.number, uri=reference.uri, digest=reference.digest
    )


def _versions() -> dict[str, str]:
    return {
        "tfx_tflite": version("tfx-tflite"),
        "tfx": version("tfx"),
        "tfma": tfma.__version__,
        "tensorflow": tf.__version__,
        "python": platform.python_version(),
    }
