"""The config of a pipeline as frozen typed objects; `docs/config.md` describes every key.

It is composed of the settings of the rooms. Nothing here needs TensorFlow or TFX. Paths are made
absolute against the directory given as `base` in the validation context, that of the config file.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, Field, JsonValue, PrivateAttr, model_validator
from pydantic.fields import FieldInfo
from typing_extensions import Self

from tfx_tflite.components.destinations.settings import (
    DEFAULT_TIMEOUT,
    Approval,
    RetentionConfig,
    Timeout,
)
from tfx_tflite.components.errors import listed
from tfx_tflite.components.examples.settings import DataConfig, SamplePlan
from tfx_tflite.components.examples.spans import RollingSplits
from tfx_tflite.components.judgement.gate import (
    AcceleratedLimit,
    Gate,
    MetricRule,
    RuleError,
    rule_directions,
)
from tfx_tflite.components.judgement.settings import EvaluationConfig
from tfx_tflite.components.models.settings import GoldenSettings, SignatureSettings
from tfx_tflite.components.models.target import DEFAULT_TARGETS, Target, Targets
from tfx_tflite.components.object_stores.places import PLAIN_SCHEMES, Place, scheme_of
from tfx_tflite.components.quantization.settings import (
    AUTO,
    QuantizationSettings,
    RangeSettings,
)
from tfx_tflite.components.report.document import Provenance
from tfx_tflite.components.settings import AnyPath, Count, LocalPath, Settings, absolute, problem
from tfx_tflite.components.uris import is_local
from tfx_tflite.pipelines.config.beam import BeamConfig
from tfx_tflite.pipelines.config.kubeflow import KubeflowConfig, short_enough
from tfx_tflite.pipelines.config.metadata import MetadataConfig
from tfx_tflite.pipelines.config.plain_values import impossible_values, nodes
from tfx_tflite.pipelines.config.retention import RunRetention
from tfx_tflite.pipelines.config.schedule import ScheduleConfig

# The keys of `quantization.auto` that draws of calibration examples take without a search.
_OF_DRAWS = frozenset({"tuning_split", "tuning_samples", "memory"})


class TrainerConfig(Settings):
    """The module that trains the float model, with TFX's `run_fn`."""

    module_file: LocalPath
    train_steps: Count
    eval_steps: Count
    custom_config: dict[str, JsonValue] | None = None


class ModelConfig(SignatureSettings):
    """The float model."""

    trainer: TrainerConfig | None = None
    saved_model: LocalPath | None = None
    keras: LocalPath | None = None
    tflite: LocalPath | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = (self.trainer, self.saved_model, self.keras, self.tflite)
        if sum(each is not None for each in given) != 1:
            raise ValueError("give exactly one of trainer, saved_model, keras and tflite")
        return self

    @model_validator(mode="after")
    def _only_saved_models_preprocess(self) -> Self:
        if self.preprocessing_signature is not None and (self.keras or self.tflite):
            kind = "keras" if self.keras else "tflite"
            raise problem(
                "model.preprocessing_signature",
                f"is of a SavedModel; a model.{kind} has none",
            )
        return self

    @property
    def path(self) -> str | None:
        """Where a model that is trained already lies, of whatever kind; None with a trainer."""
        return self.saved_model or self.keras or self.tflite


class CalibrationConfig(RangeSettings, SamplePlan):
    """Which examples the activations' ranges are measured on, and how."""

    strategy: Literal["random", "stratified"] = "random"

    @model_validator(mode="after")
    def _stratum(self) -> Self:
        if self.strategy == "stratified" and self.stratify_by is None:
            raise ValueError("strategy: stratified needs stratify_by, a feature")
        return self

    @model_validator(mode="after")
    def _percentile_can_be_taken(self) -> Self:
        if self.policy is not None:
            self.policy.left_out(self.samples)
        return self

    @model_validator(mode="after")
    def _stock_takes_no_draws(self) -> Self:
        if self.policy is None and self.seeds > 1:
            raise problem(
                "calibration.seeds",
                f"is {self.seeds}, which does not go with calibration.ranges: stock; take robust "
                "or minmax, or leave seeds out",
            )
        return self

    @property
    def plan(self) -> SamplePlan:
        """Which examples are drawn."""
        is_stratified = self.strategy == "stratified"
        return SamplePlan.of(self, stratify_by=self.stratify_by if is_stratified else None)


class PushConfig(GoldenSettings):
    """Where a blessed model goes, and what goes along."""

    destination: AnyPath
    approval: Approval = "none"
    retention: RetentionConfig | None = None
    signing_key: LocalPath | None = None
    verify_key: LocalPath | None = None
    timeout: Timeout = DEFAULT_TIMEOUT

    @property
    def keep(self) -> int | None:
        """How many of the newest versions stay; None for all."""
        return None if self.retention is None else self.retention.keep


def _place_of_artifacts(place: str) -> str:
    """Returns a path, or the URI of a place in an object store without a slash at its end.

    Raises:
        ValueError: It is neither.
    """
    if is_local(place):
        return place
    scheme = scheme_of(place)
    if scheme not in PLAIN_SCHEMES:
        raise ValueError(
            f"artifacts cannot be at {scheme}://; give a path, or a place at "
            f"{', '.join(f'{each}://' for each in PLAIN_SCHEMES)}"
        )
    if "?" in place or "#" in place:
        raise ValueError("expected a bucket and a folder, and nothing behind a ? or #")
    return Place.of(place).uri


class PipelineConfig(Settings):
    """Everything that one pipeline needs to know."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    root: LocalPath
    artifacts: Annotated[AnyPath, AfterValidator(_place_of_artifacts)] | None = None
    data: DataConfig
    model: ModelConfig
    calibration: CalibrationConfig = CalibrationConfig()
    quantization: QuantizationSettings = QuantizationSettings()
    # What will run the model, one or several.
    target: Target | None = None
    targets: Targets | None = None
    evaluation: EvaluationConfig
    gate: Gate
    push: PushConfig
    metadata: MetadataConfig = MetadataConfig()
    beam: BeamConfig = BeamConfig()
    schedule: ScheduleConfig | None = None
    retention: RunRetention | None = None
    kubeflow: KubeflowConfig | None = None
    _provenance: Provenance | None = PrivateAttr(None)

    def came_from(self, provenance: Provenance) -> None:
        """Notes which file and command line the config was made of."""
        self._provenance = provenance

    @property
    def provenance(self) -> Provenance | None:
        """Which file and command line the config was made of; None if it was made in code."""
        return self._provenance

    @model_validator(mode="after")
    def _texts_are_texts(self) -> Self:
        # What the file says was looked at; here are paths from its directory on, and defaults.
        for location, wrong in impossible_values(self.model_dump()):
            raise problem(".".join(map(str, location)), wrong)
        return self

    @model_validator(mode="after")
    def _kubeflow_fills_nothing_in(self) -> Self:
        if self.kubeflow is None:
            return self
        for location, value in nodes(self.model_dump()):
            if isinstance(value, str) and "{{$" in value:
                raise problem(
                    ".".join(map(str, location)),
                    "has {{$, which Kubeflow would put something of its own in place of",
                )
        return self

    @model_validator(mode="after")
    def _splits_exist(self) -> Self:
        wanted = [
            ("calibration.split", self.calibration.split),
            ("evaluation.split", self.evaluation.split),
        ]
        if self.is_tuned:
            wanted.append(("quantization.auto.tuning_split", self.quantization.auto.tuning_split))
        if self.model.trainer is not None:
            wanted += [("model.trainer", "train"), ("model.trainer", "eval")]
        for key, split in wanted:
            if split not in self.data.split_names:
                where = "data.splits" if self.data.hash_buckets is None else "data.hash_buckets"
                raise problem(
                    key, f"needs split {split!r}, but {where} has: {listed(self.data.split_names)}"
                )
        return self

    @model_validator(mode="after")
    def _search_does_not_see_what_the_gate_judges_on(self) -> Self:
        if self.is_tuned and self.quantization.auto.tuning_split == self.evaluation.split:
            who = "a search" if self.quantization.is_searched else "the choice of a draw"
            raise problem(
                "quantization.auto.tuning_split",
                f"is {self.evaluation.split!r}, on which the gate judges; {who} must not see "
                "it, so name another split",
            )
        if not self.quantization.is_searched:
            return self
        if self.calibration.split == self.evaluation.split:
            raise problem(
                "calibration.split",
                f"is {self.evaluation.split!r}, on which the gate judges; with scheme: auto what a "
                "model is repaired by must not see it, so name another split",
            )
        if self.calibration.policy is None:
            raise problem(
                "calibration.ranges",
                "stock does not go with quantization.scheme: auto; take robust or minmax",
            )
        return self

    @model_validator(mode="after")
    def _only_a_search_takes_how(self) -> Self:
        if "auto" not in self.quantization.model_fields_set or self.quantization.scheme == AUTO:
            return self
        if not self.tries_draws:
            raise problem(
                "quantization.auto", "is of quantization.scheme: auto; set that, or leave it out"
            )
        for key in sorted(self.quantization.auto.model_fields_set - _OF_DRAWS):
            raise problem(
                f"quantization.auto.{key}",
                "is of quantization.scheme: auto; with calibration.seeds alone there are "
                f"{listed(sorted(_OF_DRAWS))}",
            )
        return self

    @model_validator(mode="after")
    def _rules_can_be_judged(self) -> Self:
        try:
            rule_directions(self.gate, self.evaluation.metrics_in_question)
        except RuleError as error:
            raise problem(error.key, error.problem) from error
        for index, rule in enumerate(self.gate.rules):
            on_slices = isinstance(rule, MetricRule) and rule.slices == "each"
            if on_slices and not self.evaluation.slices:
                raise problem(
                    f"gate.rules.{index}.slices", "is 'each', but evaluation.slices is empty"
                )
        return self

    @model_validator(mode="after")
    def _targets_are_clear(self) -> Self:
        if self.target is not None and self.targets is not None:
            raise problem(
                "target", "is given together with targets; keep one of them, the list for several"
            )
        names = [device.name for device in self.devices]
        twice = [index for index, name in enumerate(names) if name in names[:index]]
        if twice:
            raise problem(f"targets.{twice[0]}", f"{names[twice[0]]} is listed twice")
        return self

    @model_validator(mode="after")
    def _targets_take_the_shapes(self) -> Self:
        asked = self.quantization.batch_size
        is_given = "batch_size" in self.quantization.model_fields_set
        needing = [device for device in self.devices if device.needs_fixed_shapes]
        if needing and is_given and asked == "dynamic":
            raise problem(
                "quantization.batch_size",
                f"is dynamic, but target {needing[0].name} needs a fixed one; give a number, or "
                "leave it out for 1",
            )
        return self

    @model_validator(mode="after")
    def _accelerators_are_there(self) -> Self:
        if any(device.accelerator is not None for device in self.devices):
            return self
        for index, rule in enumerate(self.gate.rules):
            if isinstance(rule, AcceleratedLimit):
                raise problem(
                    f"gate.rules.{index}.min_accelerated",
                    "needs a target.accelerator, ethos-u55-128 for example",
                )
        if "vela" in self.push.extras:
            raise problem(
                "push.extras", "vela needs a target.accelerator, ethos-u55-128 for example"
            )
        return self

    @model_validator(mode="after")
    def _spans_have_a_split(self) -> Self:
        if self.data.spans > 1 and not self.rolled_splits & {"train", self.calibration.split}:
            raise problem(
                "data.spans",
                f"is {self.data.spans}, but evaluation.split, of which the newest span alone is "
                "taken, is the split to train on, too",
            )
        return self

    @model_validator(mode="after")
    def _kubeflow_takes_the_name(self) -> Self:
        if self.kubeflow is not None:
            try:
                short_enough(self.name)
            except ValueError as error:
                raise problem("name", str(error)) from error
        return self

    @property
    def devices(self) -> tuple[Target, ...]:
        """The targets: what will run the model."""
        return self.targets or ((self.target,) if self.target is not None else DEFAULT_TARGETS)

    @property
    def tries_draws(self) -> bool:
        """Whether several draws of calibration examples are tried; a given recipe takes one."""
        return (
            self.calibration.seeds > 1
            and self.quantization.recipe is None
            and self.quantization.needs_calibration
        )

    @property
    def is_tuned(self) -> bool:
        """Whether candidates are judged on tuning examples: of a search, or draws."""
        return self.quantization.is_searched or self.tries_draws

    @property
    def converted(self) -> QuantizationSettings:
        """What the model is converted to, with the batch size that the targets need."""
        is_given = "batch_size" in self.quantization.model_fields_set
        if is_given or not any(device.needs_fixed_shapes for device in self.devices):
            return self.quantization
        return self.quantization.model_copy(update={"batch_size": 1})

    @property
    def rolled_splits(self) -> frozenset[str]:
        """The splits of which `data.spans` spans are taken: all that nothing is evaluated on."""
        trained_on = {"eval"} if self.model.trainer is not None else set()
        return frozenset(self.data.splits) - {self.evaluation.split} - trained_on

    def rolling_splits(self) -> RollingSplits:
        """Returns the splits of `data.input_base` with their spans."""
        return RollingSplits.parse(
            str(self.data.input_base), self.data.splits, self.rolled_splits, self.data.spans
        )

    def features_of_other_use(self) -> tuple[str, ...]:
        """Returns the features that are labels, weights, slices, groups or strata, sorted."""
        found = {feature for features in self.evaluation.slices for feature in features}
        found |= {self.evaluation.group_by} if self.evaluation.group_by else set()
        if self.evaluation.aggregate is not None:
            # Its target may be an input, as an autoencoder's is.
            found.add(self.evaluation.aggregate.by)
        for judged in self.evaluation.judged:
            found |= {judged.label} if isinstance(judged.label, str) else set()
            found |= {judged.example_weight} if judged.example_weight else set()
        stratum = self.calibration.plan.stratify_by
        return tuple(sorted({*found, stratum} if stratum else found))

    @property
    def metadata_path(self) -> str:
        """The sqlite file of ML Metadata, where `metadata` names no server."""
        return self.metadata.sqlite or str(Path(self.root) / "metadata.sqlite")

    @property
    def artifacts_path(self) -> str:
        """The directory, or the URI, below which TFX keeps artifacts."""
        return self.artifacts or str(Path(self.root) / "artifacts")

    def local_paths(self) -> dict[str, str]:
        """Returns the paths on this machine that a run reads or writes, by key.

        Where runs leave what is theirs alone, `root` and `metadata`, is not among them.
        """
        found = dict(_local_paths(self, ""))
        return {
            key: path
            for key, path in found.items()
            if key.split(".")[0] not in OF_THIS_MACHINE and key not in _READ_AT_ONCE
        }


# What the places of one machine are in, and no container is given.
OF_THIS_MACHINE = frozenset({"root", "artifacts", "metadata", "kubeflow"})
# What is in the file becomes part of the pipeline, so that no container needs the file.
_READ_AT_ONCE = frozenset({"evaluation.vocabulary", "quantization.recipe"})


def _local_paths(section: BaseModel, prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in type(section).model_fields.items():
        key, value = prefix + (field.alias or name), getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _local_paths(value, f"{key}.")
        elif isinstance(value, str) and is_local(value) and _is_path(field):
            yield key, value


def _is_path(field: FieldInfo) -> bool:
    return absolute in _validators(field.metadata) or absolute in _validators_in(field.annotation)


def _validators(metadata: Iterable[object]) -> list[object]:
    return [entry.func for entry in metadata if isinstance(entry, AfterValidator)]


def _validators_in(annotation: object) -> list[object]:
    """Returns the validators of an annotation and of the members of a union."""
    own = _validators(getattr(annotation, "__metadata__", ()))
    return own + [func for member in get_args(annotation) for func in _validators_in(member)]
