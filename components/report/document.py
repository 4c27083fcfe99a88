"""What an evaluation found: report.json.

`python -m tfx_tflite.components.report.document` prints the JSON Schema in
docs/report.schema.json.
"""

import shlex
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, JsonValue

from tfx_tflite.components.destinations.last_versions import PastVersion
from tfx_tflite.components.destinations.ledger import JudgedModel
from tfx_tflite.components.destinations.manifest import (
    CalibrationSample,
    Description,
    Evaluated,
    Golden,
    JudgedOutput,
    JudgedTarget,
    KernelComparison,
    MetadataIds,
    Signature,
)
from tfx_tflite.components.documents import Document, Part, json_value
from tfx_tflite.components.judgement.answer_figures import AnswerFigures
from tfx_tflite.components.judgement.copies_found import Copies
from tfx_tflite.components.judgement.gate import Budget
from tfx_tflite.components.models.target_facts import Source, TargetFacts
from tfx_tflite.components.quantization.document import Bytes, Calibration, Layer, SizeParts
from tfx_tflite.components.quantization.draws import DrawsReport
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.tuning import TuningReport
from tfx_tflite.components.report.kept_slices import SlicesLeftOut
from tfx_tflite.components.verdict import OVERALL, MetricValues, RuleResult, Verdict
from tfx_tflite.components.versions import Runtime

FORMAT = 3


class Provenance(Part):
    """Who asked for an evaluation.

    Attributes:
        pipeline: The pipeline's name, which is the model's.
        config: The config file, as it was named on the command line.
        config_digest: `sha256:<hex>` of its bytes.
        overrides: The `key=value` pairs that were set beside it.
    """

    pipeline: str
    config: str
    config_digest: str
    overrides: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The command line that runs the same again."""
        settings = (part for override in self.overrides for part in ("--set", override))
        return shlex.join(["tfx-tflite", "run", self.config, *settings])


class Latency(Part):
    """Medians of one inference, in milliseconds, and what they were measured with."""

    float_ms: float = Field(validation_alias="float", serialization_alias="float")
    quantized_ms: float = Field(validation_alias="quantized", serialization_alias="quantized")
    ratio: float
    batch_size: int | None = None
    threads: int | None = None
    # Between what the true median of the ratio lies at 95 % confidence.
    ratio_interval: tuple[float, float] | None = None
    # Between what the ratio lies in the middle half of the rounds; both models ran once in each.
    ratio_quartiles: tuple[float, float] | None = None
    # Between what the true median of the quantized model's milliseconds lies at 95 % confidence.
    quantized_interval: tuple[float, float] | None = None
    # For each set of rounds both models were loaded anew.
    sets: int | None = None
    rounds: int | None = None
    # Of the quantized model.
    runtime: Runtime | None = None
    float_runtime: Runtime | None = None

    @property
    def spread(self) -> tuple[float, float] | None:
        """Between what the ratio lies; reports of earlier releases have the quartiles alone."""
        return self.ratio_interval or self.ratio_quartiles


class Flip(Part):
    """Answers of the float model that became others."""

    float_answer: int = Field(validation_alias="float", serialization_alias="float")
    quantized_answer: int = Field(validation_alias="quantized", serialization_alias="quantized")
    examples: int


class Agreement(Part):
    """On which share of the decisions both models agree; the most frequent flips first."""

    rate: float
    flips: tuple[Flip, ...] = ()
    # As many as examples, or more if each has several.
    decisions: int | None = None


class OutputDifferences(Part):
    """How the values of both models differ; see `OutputSums`."""

    sqnr_db: float | None = None
    mean_absolute_difference: float | None = None
    max_absolute_difference: float | None = None
    kl_divergence: float | None = None


class WorstExample(Part):
    """An example whose outputs differ most."""

    # Only in reports of before: the file of the split, and which of its records from 0.
    file: str | None = None
    index: int | None = None
    # BLAKE2b of its bytes, 128 bits: whatever files the examples are in, it is the same.
    digest: str
    difference: float


class OutputReport(Part):
    """How both models' values of one output differ."""

    # Its name, if several are judged.
    output: str | None = None
    label: str | None = None
    agreement: Agreement | None = None
    outputs: OutputDifferences | None = None
    worst_examples: tuple[WorstExample, ...] = ()
    # Beside the labels.
    answers: AnswerFigures | None = None


class ShownExample(Part):
    """The image of an example whose outputs differ, which was asked for."""

    output: str | None = None
    # As of a worst example; reports of before have file and index instead.
    digest: str | None = None
    file: str | None = None
    index: int | None = None
    difference: float
    label: float
    float_answer: float = Field(validation_alias="float", serialization_alias="float")
    quantized_answer: float = Field(validation_alias="quantized", serialization_alias="quantized")
    # Whether the float model is right and the quantized model is not.
    turned_wrong: bool = False
    # A PNG in base64.
    png: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]+={0,2}$")]


class OutsideShare(Part):
    """Which share of an input's values in a slice is outside its range."""

    slice: str
    outside: float


class InputSaturation(Part):
    """An input of the eval split beside the range that it was calibrated for."""

    input: str
    range: tuple[float, float]
    # The lowest and the highest value that was seen.
    extent: tuple[float, float]
    # Overall first, then the worst.
    slices: tuple[OutsideShare, ...]


class HostDifference(Part):
    """How the target's answers differ from those of this machine's default kernels.

    Attributes:
        runtime: What gave this machine's answers.
        examples: How many examples both answered.
        decisions: How many decisions that are, on all outputs together; None if no output decides
            anything.
        differing: How many of the decisions are others.
        metrics: The metrics of both: this machine's are in the place of the float model's.
    """

    runtime: Runtime
    examples: int
    decisions: int | None = None
    differing: int | None = None
    metrics: tuple[MetricValues, ...] = ()

    @property
    def overall(self) -> tuple[MetricValues, ...]:
        """The metrics on all examples."""
        return tuple(value for value in self.metrics if value.slice == OVERALL)


class TargetReport(TargetFacts):
    """What was found on one target.

    Attributes:
        verdict: Whether the gate's rules hold on it.
        metrics: Each metric on each slice, with the target's kernels.
        latency_ms: Of one inference, with where it is from; None if nothing says it.
        latency_source: What said so.
        host: How its answers differ from this machine's; None if it is this machine's kernels.
        golden: The golden samples that were recorded on it.
    """

    verdict: Verdict
    metrics: tuple[MetricValues, ...] = ()
    latency_ms: float | None = None
    latency_source: Source | None = None
    host: HostDifference | None = None
    golden: Golden | None = None

    @property
    def sources(self) -> tuple[Source, ...]:
        """What its figures are from, each once."""
        found = [
            self.arena.source if self.arena else None,
            self.latency_source,
            self.acceleration.source if self.acceleration else None,
        ]
        return tuple(dict.fromkeys(filter(None, found)))

    @property
    def judged(self) -> JudgedTarget:
        """What a manifest says of it."""
        return JudgedTarget(
            target=self.target,
            runtime=self.runtime,
            problem=self.problem or None,
            arena_bytes=self.arena.size_bytes if self.arena else None,
            accelerated=self.acceleration.share if self.acceleration else None,
            latency_ms=self.latency_ms,
            latency_kind=self.latency_source.kind if self.latency_source else None,
            differing=self.host.differing if self.host else None,
            decisions=self.host.decisions if self.host else None,
            golden=self.golden,
        )


class AskedGate(Part):
    """The gate as the config has it."""

    min_examples: int | None = None
    min_slice_examples: int | None = None
    min_class_examples: int | None = None
    looks: str | None = None
    budget: Budget | None = None
    rules: tuple[dict[str, JsonValue], ...] = ()


class PushedReference(Part):
    """The version that rules with `against: pushed` compared with."""

    version: int
    uri: str
    digest: str


class WaitingVersion(Part):
    """A version that somebody has to approve."""

    version: int
    # In UTC.
    since: str
    # What is typed to approve it.
    approve: str


class Pushed(Part):
    """Which version the model is; only in the copy of the report beside a pushed model."""

    version: int
    uri: str
    # Whether it becomes current once somebody approves it; then all versions that waited when it
    # was pushed, itself among them.
    waits: bool = False
    waiting: tuple[WaitingVersion, ...] = ()


class Report(Document):
    """What an evaluation found.

    Only the verdict must be there: reports of earlier formats, which caches and destinations have,
    lack what was added since.
    """

    kind = "an evaluation report"

    format: int = FORMAT
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    scheme: str | None = None
    io_type: str | None = None
    examples: int | None = None
    # Of very many slices those that are worst by each rule and metric.
    rules: tuple[RuleResult, ...] = ()
    metrics: tuple[MetricValues, ...] = ()
    slices_left_out: tuple[SlicesLeftOut, ...] = ()
    # How many of very many slices have too few examples to be judged, and therefore no figures.
    slices_not_evaluated: int = 0
    size_bytes: Bytes = Bytes()
    # With one thread.
    latency_ms: Latency | None = None
    latency_by_threads: tuple[Latency, ...] = ()
    arena_bytes: Bytes | None = None
    # The least release of TensorFlow Lite's runtime that has every operator of the model, in the
    # version that the model wants; None if it is not known.
    min_runtime_version: str | None = None
    # These four are of the first output; then come all, if several are judged.
    agreement: Agreement | None = None
    outputs: OutputDifferences | None = None
    worst_examples: tuple[WorstExample, ...] = ()
    answers: AnswerFigures | None = None
    by_output: tuple[OutputReport, ...] = ()
    # Only if they were asked for.
    shown_examples: tuple[ShownExample, ...] = ()
    shown_examples_problem: str | None = None
    # What was found on each target, if the config names any; figures elsewhere in the report are
    # of the first.
    targets: tuple[TargetReport, ...] = ()
    layers: tuple[Layer, ...] = ()
    size_parts: SizeParts | None = None
    calibration: Calibration | None = None
    # How the model was made; None of one that TFLiteQuantizer did not make.
    recipe: Recipe | None = None
    # How that was found; None if nobody searched.
    tuning: TuningReport | None = None
    # What several draws of the calibration examples came to; None of one.
    draws: DrawsReport | None = None
    saturation: tuple[InputSaturation, ...] = ()
    # How many examples are copies of others; None if nobody looked.
    copies: Copies | None = None
    warnings: tuple[str, ...] = ()
    # What was decided without anybody having said so.
    notes: tuple[str, ...] = ()
    # Of what the verdict rests on. Of `config_file` it is what `sha256sum` prints; `config` is of
    # all that the evaluator was asked for.
    digests: dict[str, str | None] = {}
    evaluated: Evaluated = Evaluated()
    calibration_sample: CalibrationSample | None = None
    # Where what was compared lies.
    lineage: dict[str, str] = {}
    gate: AskedGate = AskedGate()
    versions: dict[str, str] = {}
    # What the quantized model's figures were measured with.
    runtime: Runtime | None = None
    kernels: KernelComparison | None = None
    signature: Signature | None = None
    golden: Golden | None = None
    # What a push ships beside the model: a digest for each file.
    shipped: dict[str, str] = {}
    # With what rules against the pushed model compared; None if there are none. `pushed_reference`
    # is None, too, if nothing was pushed yet, or if `pushed_problem` says why that is not known.
    pushed_destination: str | None = None
    pushed_reference: PushedReference | None = None
    pushed_problem: str | None = None
    # What the ledger at the destination is told of the judgement; None if nothing is counted there.
    judged: JudgedModel | None = None
    counted_at: str | None = None
    # The versions that were pushed last, the oldest first; only if the destination was read anyway.
    history: tuple[PastVersion, ...] = ()
    history_problem: str | None = None
    provenance: Provenance | None = None
    # The run that made the report, as TFX names it, and when in UTC.
    run: str | None = None
    evaluated_at: str | None = None
    pushed: Pushed | None = None

    @property
    def parts(self) -> tuple[OutputReport, ...]:
        """What is known of each output; of one alone it is the report's own, without a name."""
        alone = OutputReport(
            agreement=self.agreement,
            outputs=self.outputs,
            worst_examples=self.worst_examples,
            answers=self.answers,
        )
        return self.by_output or (alone,)

    @property
    def goldens(self) -> tuple[Golden, ...]:
        """The golden samples of each target, or the only ones."""
        of_targets = tuple(each.golden for each in self.targets if each.golden is not None)
        return of_targets or ((self.golden,) if self.golden is not None else ())

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that outputs were judged by, each once."""
        return tuple(dict.fromkeys(each.label for each in self.evaluated.outputs if each.label))

    @property
    def grouped(self) -> JudgedOutput | None:
        """An output that says which groups the examples are in; None if they are in none."""
        return next((each for each in self.evaluated.outputs if each.groups is not None), None)

    @property
    def example_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shapes of an example by input name, the batch first, if they are known."""
        inputs = self.signature.inputs if self.signature else ()
        return {each.name: each.example_shape for each in inputs if each.example_shape is not None}

    def description(self, metadata: MetadataIds) -> Description:
        """Returns what a manifest says of the model.

        Args:
            metadata: Where the push and what is pushed are.
        """
        shared = Description.model_fields.keys() & Report.model_fields.keys()
        return Description.model_validate(
            {
                **{key: getattr(self, key) for key in shared},
                "name": self.provenance.pipeline if self.provenance else None,
                "verdict": self.verdict.value,
                "recipe": None if self.recipe is None else json_value(self.recipe.to_json()),
                "targets": tuple(target.judged for target in self.targets),
                "metadata": metadata,
            }
        )


if __name__ == "__main__":
    print(Report.json_schema(), end="")
