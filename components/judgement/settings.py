"""What float and quantized model are compared on, and what QuantizationEvaluator is asked for.

Nothing here needs TensorFlow or NumPy: the settings are those of a config, too.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, model_validator
from typing_extensions import Self

from tfx_tflite.components.destinations.settings import (
    DEFAULT_TIMEOUT,
    Timeout,
    TrustSettings,
)
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.components.judgement.gate import Gate, MetricInQuestion
from tfx_tflite.components.judgement.metrics.group_metrics import (
    is_of_groups,
    metrics_of_groups,
)
from tfx_tflite.components.judgement.metrics.targets import Aggregate, LabelInputConfig, Target
from tfx_tflite.components.models.settings import FedSignatureSettings, GoldenSettings
from tfx_tflite.components.models.target import DEFAULT_TARGETS, Targets
from tfx_tflite.components.settings import LocalPath, Settings, problem


class Tolerance(Settings):
    """How far off a value may be for the metric `WithinTolerance`."""

    relative: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)] | None = None
    absolute: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _one_at_least(self) -> Self:
        if self.relative is None and self.absolute is None:
            raise ValueError("give relative (0.2 for 20 %), or absolute in the label's unit")
        return self


# What settings of metrics must be that Keras would not refuse, or only late.
_SETTINGS_OF: Mapping[str, type[Settings]] = {"WithinTolerance": Tolerance}


class MetricConfig(Settings):
    """A TFMA metric: its class name, and its own config where it needs one."""

    class_name: str = Field(min_length=1)
    module: str | None = None
    config: dict[str, JsonValue] = {}

    @model_validator(mode="after")
    def _settings_are_the_metrics(self) -> Self:
        wanted = _SETTINGS_OF.get(self.class_name)
        if wanted is not None and self.module is None:
            settings = {key: value for key, value in self.config.items() if key != "name"}
            try:
                wanted.given(None, settings)
            except ConfigError as error:
                raise ValueError(f"{self.class_name}: {error}") from error
        return self

    @property
    def name(self) -> str:
        """What gate rules and reports call it."""
        return str(self.config.get("name", self.class_name))


def _distinct(entries: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({entry for entry in entries if entries.count(entry) > 1})
    if not entries or twice:
        raise ValueError(f"{twice[0]!r} is listed twice" if twice else "expected an entry a class")
    return entries


Label = Annotated[str, Field(min_length=1)] | LabelInputConfig
# The strings themselves, or a file with one a line.
Vocabulary = Annotated[tuple[str, ...], AfterValidator(_distinct)] | LocalPath


def _metrics_by_name(metrics: object) -> object:
    if not isinstance(metrics, list | tuple):
        return metrics
    return [{"class_name": entry} if isinstance(entry, str) else entry for entry in metrics]


Metrics = Annotated[
    tuple[MetricConfig, ...], Field(min_length=1), BeforeValidator(_metrics_by_name)
]


class OutputConfig(Settings):
    """What one output of the model is judged by."""

    output: str | None = None
    label: Label
    metrics: Metrics
    vocabulary: Vocabulary | None = None
    example_weight: str | None = None

    @property
    def vocabulary_file(self) -> str | None:
        """The file that lists the vocabulary; None if there is none."""
        return self.vocabulary if isinstance(self.vocabulary, str) else None


class EvaluationConfig(Settings):
    """What float and quantized model are compared on: the section `evaluation` of a config."""

    split: str = "eval"
    slices: tuple[tuple[str, ...], ...] = ()
    # The feature whose value says which examples belong together, such as frames of one clip.
    group_by: Annotated[str, Field(min_length=1)] | None = None
    # Metrics are of groups, by the scores of their examples.
    aggregate: Aggregate | None = None
    # Of one output, these keys; of several, a list of outputs with the keys of each.
    label: Label | None = None
    output: str | None = None
    metrics: Metrics | None = None
    vocabulary: Vocabulary | None = None
    example_weight: str | None = None
    # The report may show images of examples, which leave the split by that.
    show_examples: bool = Field(default=False, strict=True)
    outputs: Annotated[tuple[OutputConfig, ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.outputs is None:
            for key in ("label", "metrics"):
                if getattr(self, key) is None:
                    raise problem(f"evaluation.{key}", "this key is needed, see docs/config.md")
            return self
        for key in OutputConfig.model_fields:
            if getattr(self, key) is not None:
                raise problem(
                    f"evaluation.{key}", "stands beside evaluation.outputs; give it there"
                )
        return self

    @model_validator(mode="after")
    def _outputs_are_named(self) -> Self:
        known: set[str] = set()
        for index, judged in enumerate(self.outputs or ()):
            key = f"evaluation.outputs.{index}.output"
            if judged.output is None:
                raise problem(key, "this key is needed, see docs/config.md")
            if judged.output in known:
                raise problem(key, f"{judged.output!r} is listed twice")
            known.add(judged.output)
        return self

    @model_validator(mode="after")
    def _metrics_have_names(self) -> Self:
        for index, judged in enumerate(self.judged):
            names = [metric.name for metric in judged.metrics]
            if len(set(names)) < len(names):
                of = "" if self.outputs is None else f"outputs.{index}."
                raise problem(
                    f"evaluation.{of}metrics", "two have one name; give one a config.name"
                )
        return self

    @model_validator(mode="after")
    def _aggregate_stands_alone(self) -> Self:
        if self.aggregate is None:
            return self
        key = "evaluation.aggregate"
        if self.group_by is not None:
            raise problem(key, "has groups of its own (by); leave evaluation.group_by out")
        if self.outputs is not None:
            raise problem(key, "is for one output; name it as evaluation.output, without outputs")
        if self.example_weight is not None:
            raise problem(key, "has no weights; leave evaluation.example_weight out")
        for index, metric in enumerate(self.metrics or ()):
            if not is_of_groups(metric.class_name, metric.config, self.aggregate):
                raise problem(
                    f"evaluation.metrics.{index}",
                    f"{metric.class_name} is not a metric of groups' scores; "
                    f"{metrics_of_groups(self.aggregate)}",
                )
        return self

    @property
    def judged(self) -> tuple[OutputConfig, ...]:
        """What is judged of each output; of one output without `outputs`, that one."""
        if self.outputs is not None:
            return self.outputs
        return (
            OutputConfig.model_construct(
                **{key: getattr(self, key) for key in OutputConfig.model_fields}
            ),
        )

    @property
    def metrics_in_question(self) -> tuple[MetricInQuestion, ...]:
        """The metrics that rules may be on."""
        return tuple(
            MetricInQuestion(
                None if self.outputs is None else judged.output, metric.name, metric.class_name
            )
            for judged in self.judged
            for metric in judged.metrics
        )

    def vocabulary_files(self) -> dict[str, str]:
        """Returns the files that list vocabularies, by key."""
        prefix = "evaluation." if self.outputs is None else "evaluation.outputs.{}."
        return {
            prefix.format(index) + "vocabulary": judged.vocabulary_file
            for index, judged in enumerate(self.judged)
            if judged.vocabulary_file is not None
        }


class EvaluatorSettings(FedSignatureSettings, GoldenSettings):
    """What QuantizationEvaluator is asked for beside TFMA's own config.

    Attributes:
        gate: The rules that the quantized model must satisfy.
        split: The split to evaluate on.
        output: Which output to evaluate; None if there is one, or if `targets` name it.
        targets: What each output is compared with, if a model spec cannot say it: a label that
            is a model input, or strings with a vocabulary. None takes what the model spec says.
        pushed_destination: Where the model was pushed to that rules with `against: pushed` compare
            with; its current version is read when the component runs.
        pushed_version: Which version that must be, 0 for none; None takes whichever it is. It is
            part of what TFX's cache goes by, so that an evaluation against another version is not
            taken for this one.
        counted_at: The destination in whose ledger judgements of rules with a confidence are
            counted; it is read here, and written by the Pusher. None judges each model as if it had
            not been judged before.
        pushed_trust: Whose signature that version, and the ledger, must have.
        pushed_timeout: Seconds until a destination that does not answer is given up.
        show_examples: Whether the report has images of the examples that differ most.
        devices: What will run the model; the rules must hold on each of these.
        model_name: What the model is called in C source; see `c_array.identifier`.
    """

    gate: Gate
    split: str = EvaluationConfig.model_fields["split"].default
    output: str | None = None
    targets: tuple[Target, ...] | None = None
    pushed_destination: str | None = None
    pushed_version: int | None = None
    counted_at: str | None = None
    pushed_trust: TrustSettings = TrustSettings()
    pushed_timeout: Timeout = DEFAULT_TIMEOUT
    show_examples: bool = Field(default=False, strict=True)
    devices: Targets = DEFAULT_TARGETS
    model_name: str = "model"

    @property
    def compared_destination(self) -> str | None:
        """Where the pushed model is that a rule compares with; None if none does."""
        return self.pushed_destination if self.gate.against("pushed") else None

    @model_validator(mode="after")
    def _judgements_are_counted(self) -> Self:
        if self.gate.budget is not None and self.counted_at is None:
            raise ConfigError("gate.budget needs counted_at, where judgements are counted")
        return self

    @model_validator(mode="after")
    def _destination_is_known(self) -> Self:
        if self.gate.against("pushed") and self.pushed_destination is None:
            raise ConfigError("a rule is against: pushed, which needs pushed_destination")
        return self
