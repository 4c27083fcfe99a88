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
from tfx_tflite.components.quantization_evaluator.gate import Gate, direction_of
from tfx_tflite.components.schemes import Quantization, Scheme
from tfx_tflite.components.spans import RollingSplits, SpanPattern
from tfx_tflite.components.tflite_quantizer.range_policy import RangePolicy
from tfx_tflite.components.uris import is_local
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


class EvaluationConfig(_Section):
    """What float and quantized model are compared on."""

    split: str = "eval"
    label: str
    output: str | None = None
    metrics: tuple[MetricConfig, ...] = Field(min_length=1)
    slices: tuple[tuple[str, ...], ...] = ()

    @field_validator("metrics", mode="before")
    @classmethod
    def _class_names(cls, metrics: Any) -> Any:
        if not isinstance(metrics, list | tuple):
            return metrics
        return [{"class_name": entry} if isinstance(entry, str) else entry for entry in metrics]


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


_MEMORY_UNITS = {
    **{unit: 1000**power for power, unit in enumerate("KMGT", start=1)},
    **{f"{unit}i": 1024**power for power, unit in enumerate("KMGT", start=1)},
}


class VolumeConfig(_Section):
    """A persistent volume that every container has, on Kubeflow Pipelines of one's own."""

    claim: str = Field(min_length=1)
    mount: str = Field(pattern=r"^/")


class KubeflowConfig(_Section):
    """How the pipeline runs on Kubeflow Pipelines or Vertex AI."""

    image: str = Field(min_length=1)
    # None leaves it to the server.
    pipeline_root: str | None = Field(default=None, pattern=r"^(gs|s3|minio)://[^/]+")
    namespace: str | None = None
    experiment: str | None = None
    service_account: str | None = None
    # Cores, and bytes as Kubernetes writes them; requested for every component, and its limit.
    cpu: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    memory: str | None = Field(default=None, pattern=r"^[1-9][0-9]*(\.[0-9]+)?[KMGT]i?$")
    cache: bool = False
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

    @property
    def memory_bytes(self) -> float | None:
        """The memory in bytes."""
        if self.memory is None:
            return None
        number = self.memory.rstrip("KMGTi")
        return float(number) * _MEMORY_UNITS[self.memory[len(number) :]]

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
        classes = {metric.name: metric.class_name for metric in self.evaluation.metrics}
        if len(classes) < len(self.evaluation.metrics):
            raise _problem("evaluation.metrics", "two have one name; give one a config.name")
        for index, rule in enumerate(self.gate.rules):
            key = f"gate.rules.{index}"
            if rule.metric is None:
                continue
            if rule.metric not in classes:
                raise _problem(
                    f"{key}.metric",
                    f"{rule.metric!r} is not evaluated; evaluation.metrics has: {listed(classes)}",
                )
            if rule.direction is None and direction_of(classes[rule.metric]) is None:
                raise _problem(
                    key,
                    f"which way {rule.metric} is better is not known; add a direction, "
                    "higher_is_better or lower_is_better",
                )
            if rule.slices == "each" and not self.evaluation.slices:
                raise _problem(f"{key}.slices", "is 'each', but evaluation.slices is empty")
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
        return {key: path for key, path in found.items() if key.split(".")[0] not in _OWN}


_OWN = frozenset({"root", "metadata", "kubeflow"})


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
