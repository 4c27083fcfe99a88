"""The config of a pipeline as frozen typed objects; `docs/config.md` describes every key.

Nothing here needs TensorFlow or TFX. Paths are made absolute against the directory given as
`base` in the validation context, that of the config file.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from typing_extensions import Self

from tfx_tflite.components.errors import ConfigError, listed
from tfx_tflite.components.examples.spans import RollingSplits, SpanPattern
from tfx_tflite.components.judgement.gate import (
    Gate,
    MetricInQuestion,
    MetricRule,
    RuleError,
    rule_directions,
)
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.schemes import Quantization, Scheme
from tfx_tflite.components.uris import is_local
from tfx_tflite.pipelines.config.kubernetes import (
    ContainerResources,
    Cores,
    LabelKey,
    LabelValue,
    Memory,
    ObjectName,
    OwnLabelKey,
    SecretKey,
    Text,
    Toleration,
    Variable,
    secret_in,
)
from tfx_tflite.pipelines.schedule.cron_expression import CronExpression

BUILTIN_DATA = ("digits", "breast_cancer", "diabetes")


def _absolute(path: str, info: ValidationInfo) -> str:
    if not is_local(path):
        return path
    base = (info.context or {}).get("base", Path.cwd())
    try:
        return str((Path(base) / Path(path).expanduser()).resolve())
    except (OSError, RuntimeError) as error:  # No such user, a loop of links.
        raise ValueError(f"{path!r} is not a path: {error}") from error


def _local(path: str) -> str:
    if not is_local(path):
        raise ValueError("expected a path on this machine")
    return path


def _pattern(pattern: str) -> str:
    if not pattern or pattern.startswith("/"):
        raise ValueError("expected a file pattern relative to data.input_base")
    return pattern


AnyPath = Annotated[str, Field(min_length=1), AfterValidator(_absolute)]
ConfigPath = Annotated[AnyPath, AfterValidator(_local)]
# Not "200" or true.
Count = Annotated[int, Field(strict=True, ge=1, le=10**9)]


def _problem(key: str, problem: str) -> PydanticCustomError:
    """Returns an error about another key than the one whose validator finds it."""
    return PydanticCustomError("elsewhere", "{problem}", {"key": key, "problem": problem})


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Section):
    """Where the examples are."""

    input_base: AnyPath | None = None
    builtin: Literal["digits", "breast_cancer", "diabetes"] | None = None
    format: Literal["tfrecord", "csv"] = "tfrecord"
    splits: dict[str, Annotated[str, AfterValidator(_pattern)]] = Field(
        default={"train": "train/*", "eval": "eval/*"}, min_length=1
    )
    # Of rolling data, on how many of the newest spans is trained.
    spans: Count = 1
    # Not `schema`, which is a method of pydantic's models.
    schema_file: ConfigPath | None = Field(default=None, alias="schema")

    @model_validator(mode="after")
    def _one_source(self) -> "DataConfig":
        if (self.input_base is None) == (self.builtin is None):
            raise ValueError("give exactly one of input_base and builtin")
        if self.builtin is not None and self.format != "tfrecord":
            raise ValueError("builtin data is in format tfrecord")
        return self

    @model_validator(mode="after")
    def _placeholders_are_those_of_example_gen(self) -> "DataConfig":
        for split, pattern in self.splits.items():
            try:
                SpanPattern.parse(pattern)
            except ConfigError as error:
                raise _problem(f"data.splits.{split}", str(error)) from error
        try:
            rolling = RollingSplits.parse("", self.splits)
        except ConfigError as error:
            raise _problem("data.splits", str(error)) from error
        if rolling.is_rolling and self.builtin is not None:
            raise _problem("data.splits", "builtin data has no spans; give input_base")
        if self.spans > 1 and not rolling.is_rolling:
            raise _problem(
                "data.spans", f"is {self.spans}, but data.splits has neither {{SPAN}} nor a date"
            )
        return self


class TrainerConfig(_Section):
    """The module that trains the float model, with TFX's `run_fn`."""

    module_file: ConfigPath
    train_steps: Count
    eval_steps: Count
    custom_config: dict[str, Any] | None = None


class ModelConfig(_Section):
    """The float model."""

    trainer: TrainerConfig | None = None
    saved_model: ConfigPath | None = None
    signature: str = "serving_default"
    preprocessing_signature: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "ModelConfig":
        if (self.trainer is None) == (self.saved_model is None):
            raise ValueError("give exactly one of trainer and saved_model")
        return self


class CalibrationConfig(_Section):
    """Which examples the activations' ranges are measured on."""

    split: str = "train"
    samples: Count = 200
    strategy: Literal["random", "stratified"] = "random"
    stratify_by: str | None = None
    allocation: Literal["equal", "proportional"] = "equal"
    seed: int = Field(default=0, strict=True, ge=-(2**63), lt=2**63)
    ranges: Literal["robust", "minmax", "percentile", "stock"] = "robust"
    percentile: float = Field(default=99.9, strict=True, ge=50, lt=100)

    @model_validator(mode="after")
    def _stratum(self) -> "CalibrationConfig":
        if self.strategy == "stratified" and self.stratify_by is None:
            raise ValueError("strategy: stratified needs stratify_by, a feature")
        return self

    @model_validator(mode="after")
    def _percentile_can_be_taken(self) -> "CalibrationConfig":
        if self.ranges != "stock":
            RangePolicy(self.ranges, self.percentile).left_out(self.samples)
        return self


class QuantizationConfig(_Section):
    """What the model is converted to."""

    scheme: Scheme = Scheme.INT8
    io_type: Literal["float32", "int8", "uint8", "int16"] | None = None
    batch_size: Literal["dynamic"] | Count = "dynamic"
    float_fallback: Literal["refuse", "allow"] = "refuse"
    # Seconds, and megabytes of 2^20 bytes.
    time_limit: float = Field(default=3600.0, strict=True, gt=0, allow_inf_nan=False)
    memory_limit: Count | None = None

    @model_validator(mode="after")
    def _possible(self) -> "QuantizationConfig":
        Quantization(self.scheme, self.io_type, self.fixed_batch_size, self.float_fallback)
        return self

    @property
    def fixed_batch_size(self) -> int | None:
        """The batch size, or None where it is dynamic."""
        return None if self.batch_size == "dynamic" else self.batch_size


class MetricConfig(_Section):
    """A TFMA metric: its class name, and its own config where it needs one."""

    class_name: str = Field(min_length=1)
    module: str | None = None
    config: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """What gate rules and reports call it."""
        return str(self.config.get("name", self.class_name))


class LabelInputConfig(_Section):
    """A label that is an input of the model, such as an autoencoder's own."""

    input: str = Field(min_length=1)


def _distinct(entries: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({entry for entry in entries if entries.count(entry) > 1})
    if not entries or twice:
        raise ValueError(f"{twice[0]!r} is listed twice" if twice else "expected an entry a class")
    return entries


Label = Annotated[str, Field(min_length=1)] | LabelInputConfig
# The strings themselves, or a file with one a line.
Vocabulary = Annotated[tuple[str, ...], AfterValidator(_distinct)] | ConfigPath


def _metrics_by_name(metrics: Any) -> Any:
    if not isinstance(metrics, list | tuple):
        return metrics
    return [{"class_name": entry} if isinstance(entry, str) else entry for entry in metrics]


Metrics = Annotated[
    tuple[MetricConfig, ...], Field(min_length=1), BeforeValidator(_metrics_by_name)
]


class OutputConfig(_Section):
    """What one output of the model is judged by."""

    output: str | None = None
    label: Label
    metrics: Metrics
    vocabulary: Vocabulary | None = None
    example_weight: str | None = None

    @property
    def vocabulary_file(self) -> str | None:
        """The file that lists the vocabulary; None where there is none."""
        return self.vocabulary if isinstance(self.vocabulary, str) else None


class EvaluationConfig(_Section):
    """What float and quantized model are compared on."""

    split: str = "eval"
    slices: tuple[tuple[str, ...], ...] = ()
    # Of one output, these keys; of several, a list of outputs with the keys of each.
    label: Label | None = None
    output: str | None = None
    metrics: Metrics | None = None
    vocabulary: Vocabulary | None = None
    example_weight: str | None = None
    outputs: Annotated[tuple[OutputConfig, ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "EvaluationConfig":
        if self.outputs is None:
            for key in ("label", "metrics"):
                if getattr(self, key) is None:
                    raise _problem(f"evaluation.{key}", "this key is needed, see docs/config.md")
            return self
        for key in ("label", "output", "metrics", "vocabulary", "example_weight"):
            if getattr(self, key) is not None:
                raise _problem(
                    f"evaluation.{key}", "stands beside evaluation.outputs; give it there"
                )
        return self

    @model_validator(mode="after")
    def _outputs_are_named(self) -> "EvaluationConfig":
        known: set[str] = set()
        for index, judged in enumerate(self.outputs or ()):
            key = f"evaluation.outputs.{index}.output"
            if judged.output is None:
                raise _problem(key, "this key is needed, see docs/config.md")
            if judged.output in known:
                raise _problem(key, f"{judged.output!r} is listed twice")
            known.add(judged.output)
        return self

    @model_validator(mode="after")
    def _metrics_have_names(self) -> "EvaluationConfig":
        for index, judged in enumerate(self.judged):
            names = [metric.name for metric in judged.metrics]
            if len(set(names)) < len(names):
                of = "" if self.outputs is None else f"outputs.{index}."
                raise _problem(
                    f"evaluation.{of}metrics", "two have one name; give one a config.name"
                )
        return self

    @property
    def judged(self) -> tuple[OutputConfig, ...]:
        """What is judged of each output; of one output without `outputs`, that one."""
        if self.outputs is not None:
            return self.outputs
        assert self.label is not None and self.metrics is not None
        return (
            OutputConfig.model_construct(
                output=self.output,
                label=self.label,
                metrics=self.metrics,
                vocabulary=self.vocabulary,
                example_weight=self.example_weight,
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


class RetentionConfig(_Section):
    """Which versions stay at the destination; the current and signed-off ones always do."""

    keep: Count


class PushConfig(_Section):
    """Where a blessed model goes, and what goes along."""

    destination: AnyPath
    retention: RetentionConfig | None = None
    signing_key: ConfigPath | None = None
    golden_samples: int = Field(default=8, strict=True, ge=0, le=10_000)

    @property
    def keep(self) -> int | None:
        """How many of the newest versions stay; None for all."""
        return None if self.retention is None else self.retention.keep


def _variable(name: str) -> str:
    # A message of our own: the usual one repeats the value, which may be a password by mistake.
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("expected the name of an environment variable, not the password itself")
    return name


# ML Metadata puts it into SQL statements as it is.
_DatabaseName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=63)]
_Port = Annotated[int, Field(strict=True, ge=1, le=65535)]


def _without(values: Any, key: str, problem: str) -> Any:
    """Returns a section's values, after checking that they do not have a key that is refused."""
    if isinstance(values, dict) and key.rpartition(".")[2] in values:
        raise _problem(key, problem)
    return values


class _ServerConfig(_Section):
    """A database server that keeps ML Metadata; the password is never part of the config."""

    # Where in the config a section of the class is.
    key: ClassVar[str]

    database: _DatabaseName
    user: str = Field(min_length=1)
    password_env: Annotated[str, AfterValidator(_variable)] | None = None
    password_file: ConfigPath | None = None
    create_database: bool = True

    @model_validator(mode="before")
    @classmethod
    def _no_password(cls, values: Any) -> Any:
        return _without(
            values,
            f"{cls.key}.password",
            "a password does not belong in a config; put it into an environment variable or a "
            "file, and name that: password_env or password_file",
        )

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password_env is not None and self.password_file is not None:
            raise _problem(f"{self.key}.password_env", "give password_env or password_file")
        return self


class MySQLTLSConfig(_Section):
    """How the connection to a MySQL server is encrypted: the options of MySQL's own client."""

    key: ConfigPath | None = None
    cert: ConfigPath | None = None
    ca: ConfigPath | None = None
    capath: ConfigPath | None = None
    cipher: str | None = None
    verify_server_cert: bool = True


class MySQLConfig(_ServerConfig):
    """A MySQL or MariaDB server."""

    key: ClassVar[str] = "metadata.mysql"

    host: str | None = Field(default=None, min_length=1)
    port: _Port = 3306
    socket: ConfigPath | None = None
    ssl: MySQLTLSConfig | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.host is None) == (self.socket is None):
            raise _problem(f"{self.key}.host", "give exactly one of host and socket")
        return self


class PostgreSQLConfig(_ServerConfig):
    """A PostgreSQL server."""

    key: ClassVar[str] = "metadata.postgresql"

    # A name or address, or the directory of the server's socket.
    host: str = Field(min_length=1)
    port: _Port = 5432

    @model_validator(mode="before")
    @classmethod
    def _no_tls(cls, values: Any) -> Any:
        return _without(
            values,
            f"{cls.key}.ssl",
            "ML Metadata's PostgreSQL client is built without TLS; reach the server through a "
            "tunnel, or use mysql",
        )


class MetadataConfig(_Section):
    """Where ML Metadata is kept: a file, or a server that several machines share."""

    sqlite: ConfigPath | None = None
    mysql: MySQLConfig | None = None
    postgresql: PostgreSQLConfig | None = None

    @model_validator(mode="after")
    def _one_store(self) -> "MetadataConfig":
        if sum(store is not None for store in (self.sqlite, self.mysql, self.postgresql)) > 1:
            raise _problem("metadata", "give at most one of sqlite, mysql and postgresql")
        return self

    @property
    def server(self) -> MySQLConfig | PostgreSQLConfig | None:
        """The server; None where the store is a file."""
        return self.mysql or self.postgresql


class BeamConfig(_Section):
    """How Beam runs inside the components."""

    # Named, because Beam's default would first look for a runner to download.
    args: tuple[str, ...] = ("--runner=FnApiRunner",)


class ScheduleConfig(_Section):
    """When the pipeline runs by itself; one specification for every clock.

    There is never more than one run at once.
    """

    cron: str
    time_zone: str = "UTC"
    # Whether the ticks that were missed are made up for, by one run.
    catch_up: bool = Field(default=False, strict=True)
    start: datetime | None = None
    end: datetime | None = None

    @field_validator("cron")
    @classmethod
    def _ticks(cls, cron: str) -> str:
        CronExpression.parse(cron)
        return cron

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, time_zone: str) -> str:
        try:
            ZoneInfo(time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"{time_zone!r} is not a time zone, expected a name like Europe/Berlin"
            ) from error
        return time_zone

    @field_validator("start", "end", mode="before")
    @classmethod
    def _is_a_time(cls, moment: Any) -> Any:
        # A number would be taken for seconds since 1970.
        if isinstance(moment, bool | int | float):
            raise ValueError(f"expected a time like 2026-01-31 06:00, received {moment!r}")
        return moment

    @model_validator(mode="after")
    def _ends_after_start(self) -> "ScheduleConfig":
        for key in ("start", "end"):
            moment = getattr(self, key)
            if moment is not None and moment.tzinfo is None:
                # A time without a zone is one of the schedule's.
                object.__setattr__(self, key, moment.replace(tzinfo=self.zone))
        if self.start and self.end and self.end <= self.start:
            raise _problem("schedule.end", "is not after schedule.start")
        return self

    @property
    def expression(self) -> CronExpression:
        """When it ticks."""
        return CronExpression.parse(self.cron)

    @property
    def zone(self) -> ZoneInfo:
        """The zone that the fields are in."""
        return ZoneInfo(self.time_zone)

    def next_tick(self, after: datetime) -> datetime | None:
        """Returns the first tick after a moment, between start and end; None where none is left.

        Args:
            after: With a time zone.
        """
        if self.start is not None and after < self.start:
            # A tick at the very start counts.
            after = self.start - timedelta(microseconds=1)
        tick = self.expression.next_after(after, self.zone)
        return None if self.end is not None and tick > self.end else tick


# Bytes; of experiments, which are called as the config by default. Names of runs may be longer.
_LONGEST_KUBEFLOW_NAME = 128


def _short_enough_for_kubeflow(name: str) -> str:
    length = len(name.encode("utf-8"))
    if not 1 <= length <= _LONGEST_KUBEFLOW_NAME:
        raise ValueError(
            f"is {length} bytes long, but Kubeflow takes names of 1 to {_LONGEST_KUBEFLOW_NAME}"
        )
    return name


class VolumeConfig(_Section):
    """A persistent volume that every container has, on Kubeflow Pipelines of one's own."""

    claim: str = Field(min_length=1)
    mount: str = Field(pattern=r"^/")


# The components that have containers.
CONTAINERS = (
    "ImportExampleGen",
    "CsvExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "Trainer",
    "CalibrationSampler",
    "TFLiteQuantizer",
    "QuantizationEvaluator",
    "Pusher",
)


class KubeflowConfig(_Section):
    """How the pipeline runs on Kubeflow Pipelines or Vertex AI."""

    image: str = Field(min_length=1)
    # None leaves it to the server.
    pipeline_root: str | None = Field(default=None, pattern=r"^(gs|s3|minio)://[^/]+")
    namespace: str | None = None
    experiment: Annotated[str, AfterValidator(_short_enough_for_kubeflow)] | None = None
    service_account: str | None = None
    # Cores, and bytes as Kubernetes writes them; requested for every component, and its limit.
    cpu: Cores | None = None
    memory: Memory | None = None
    # What single components are given, by name.
    resources: dict[str, ContainerResources] = {}
    # Of every container; what is secret comes from Kubernetes.
    env: dict[Variable, Text] = {}
    secrets: dict[Variable, SecretKey] = {}
    node_selector: dict[LabelKey, LabelValue] = {}
    tolerations: tuple[Toleration, ...] = ()
    image_pull_secrets: tuple[ObjectName, ...] = ()
    labels: dict[OwnLabelKey, LabelValue] = {}
    cache: bool = False
    # What a model that is not pushed makes of the task of the push.
    when_refused: Literal["succeed", "fail"] = "succeed"
    # How often a task that fails is tried again.
    retries: int = Field(default=0, ge=0, le=100)
    # From files or directories of this machine to where the containers have them.
    paths: dict[ConfigPath, str] = {}
    volumes: tuple[VolumeConfig, ...] = ()
    # The cluster's, which its clock reads cron expressions in.
    time_zone: str = "UTC"

    @field_validator("paths")
    @classmethod
    def _places(cls, paths: dict[str, str]) -> dict[str, str]:
        for place in paths.values():
            if not place.startswith("/") and is_local(place):
                raise ValueError(f"{place!r} is neither an absolute path nor a URI")
        return paths

    @model_validator(mode="after")
    def _components_exist(self) -> "KubeflowConfig":
        for name in self.resources:
            if name not in CONTAINERS:
                raise _problem(
                    f"kubeflow.resources.{name}",
                    f"is no component; there are: {listed(CONTAINERS, 20)}",
                )
        return self

    @model_validator(mode="after")
    def _secrets_are_in_kubernetes(self) -> "KubeflowConfig":
        name = secret_in(self.env)
        if name is not None:
            raise _problem(
                f"kubeflow.env.{name}",
                "a secret has no place in a config: give its name in Kubernetes under "
                f"kubeflow.secrets, like {{{name}: {{secret: …, key: …}}}}",
            )
        for name in self.secrets:
            if name in self.env:
                raise _problem(f"kubeflow.secrets.{name}", "is under kubeflow.env as well")
        return self

    def resources_of(self, component: str) -> ContainerResources:
        """Returns what the containers of a component are given in all.

        Args:
            component: Its name, like `Trainer`.
        """
        own = self.resources.get(component, ContainerResources())
        return own.model_copy(
            update={
                "cpu": self.cpu if own.cpu is None else own.cpu,
                "memory": self.memory if own.memory is None else own.memory,
                "node_selector": {**self.node_selector, **own.node_selector},
                "tolerations": (*self.tolerations, *own.tolerations),
            }
        )

    def place_of(self, path: str) -> str | None:
        """Returns where containers have a path of this machine; None where that is not said."""
        for local in sorted(self.paths, key=len, reverse=True):
            if Path(path).is_relative_to(local):
                rest = Path(path).relative_to(local).as_posix()
                place = self.paths[local].rstrip("/")
                return place if rest == "." else f"{place}/{rest}"
        return None


class PipelineConfig(_Section):
    """Everything that one pipeline needs to know."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    root: ConfigPath
    data: DataConfig
    model: ModelConfig
    calibration: CalibrationConfig = CalibrationConfig()
    quantization: QuantizationConfig = QuantizationConfig()
    evaluation: EvaluationConfig
    gate: Gate
    push: PushConfig
    metadata: MetadataConfig = MetadataConfig()
    beam: BeamConfig = BeamConfig()
    schedule: ScheduleConfig | None = None
    kubeflow: KubeflowConfig | None = None

    @model_validator(mode="after")
    def _splits_exist(self) -> "PipelineConfig":
        wanted = [
            ("calibration.split", self.calibration.split),
            ("evaluation.split", self.evaluation.split),
        ]
        if self.model.trainer is not None:
            wanted += [("model.trainer", "train"), ("model.trainer", "eval")]
        for key, split in wanted:
            if split not in self.data.splits:
                raise _problem(
                    key, f"needs split {split!r}, but data.splits has: {listed(self.data.splits)}"
                )
        return self

    @model_validator(mode="after")
    def _rules_can_be_judged(self) -> "PipelineConfig":
        try:
            rule_directions(self.gate, self.evaluation.metrics_in_question)
        except RuleError as error:
            raise _problem(error.key, error.problem) from error
        for index, rule in enumerate(self.gate.rules):
            on_slices = isinstance(rule, MetricRule) and rule.slices == "each"
            if on_slices and not self.evaluation.slices:
                raise _problem(
                    f"gate.rules.{index}.slices", "is 'each', but evaluation.slices is empty"
                )
        return self

    @model_validator(mode="after")
    def _spans_have_a_split(self) -> "PipelineConfig":
        if self.data.spans > 1 and not self.rolled_splits & {"train", self.calibration.split}:
            raise _problem(
                "data.spans",
                f"is {self.data.spans}, but evaluation.split, of which the newest span alone is "
                "taken, is the split to train on, too",
            )
        return self

    @model_validator(mode="after")
    def _kubeflow_takes_the_name(self) -> "PipelineConfig":
        if self.kubeflow is not None:
            try:
                _short_enough_for_kubeflow(self.name)
            except ValueError as error:
                raise _problem("name", str(error)) from error
        return self

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

    @property
    def metadata_path(self) -> str:
        """The sqlite file of ML Metadata, where `metadata` names no server."""
        return self.metadata.sqlite or str(Path(self.root) / "metadata.sqlite")

    @property
    def artifacts_path(self) -> str:
        """The directory below which TFX keeps artifacts."""
        return str(Path(self.root) / "artifacts")

    def local_paths(self) -> dict[str, str]:
        """Returns the paths on this machine that a run reads or writes, by key.

        Where runs leave what is theirs alone, `root` and `metadata`, is not among them.
        """
        found = dict(_local_paths(self, ""))
        return {
            key: path
            for key, path in found.items()
            if key.split(".")[0] not in _OWN and key not in _READ_AT_ONCE
        }


_OWN = frozenset({"root", "metadata", "kubeflow"})
# What is in the file becomes part of the pipeline, so that no container needs the file.
_READ_AT_ONCE = frozenset({"evaluation.vocabulary"})


def _local_paths(section: BaseModel, prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in type(section).model_fields.items():
        key, value = prefix + (field.alias or name), getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _local_paths(value, f"{key}.")
        elif isinstance(value, str) and is_local(value) and _is_path(field):
            yield key, value


def _is_path(field: FieldInfo) -> bool:
    return _absolute in _validators(field.metadata) or _absolute in _validators_in(field.annotation)


def _validators(metadata: Iterable[Any]) -> list[Any]:
    return [entry.func for entry in metadata if isinstance(entry, AfterValidator)]


def _validators_in(annotation: Any) -> list[Any]:
    """Returns the validators of an annotation and of the members of a union."""
    own = _validators(getattr(annotation, "__metadata__", ()))
    return own + [func for member in get_args(annotation) for func in _validators_in(member)]
