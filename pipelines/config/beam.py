"""The section `beam` of a config: which engine does the work inside the stages, and with what."""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator
from typing_extensions import Self

from tfx_tflite.components.settings import Count, LocalPath, Settings, problem
from tfx_tflite.pipelines.config import beam_arguments

EngineName = Literal["in_process", "flink", "spark"]

# Beam's runner of each engine, and the option that names its master.
_RUNNERS = {"in_process": "FnApiRunner", "flink": "FlinkRunner", "spark": "SparkRunner"}
_MASTER_OPTIONS = {"flink": "--flink_master", "spark": "--spark_master_url"}
# For each job Beam would list all packages of this machine, with pip and for one second or more.
_NO_LIST_OF_PACKAGES = "--experiments=disable_logging_submission_environment"
# How long a worker on Spark waits for its job's next step.
_KEPT_MS = 60_000
# What engines inside the job server are called.
FLINK_LOCAL = "[local]"
_SPARK_LOCAL = re.compile(r"local(\[.+\])?")
_SPARK_URL = re.compile(r"(spark|k8s|mesos)://\S+|yarn")
_FLINK_URL = re.compile(r"(https?://)?[^\s/:]+(:\d+)?(/\S*)?|\[[0-9a-fA-F:]+\](:\d+)?")
_ADDRESS = re.compile(r"(?P<host>[^\s/:]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")


_OF_ENGINES = "needs an engine: beam.engine: flink or spark"
# Beam's runners that take the options of workers in this process.
_IN_PROCESS = ("FnApiRunner", "DirectRunner", "BundleBasedDirectRunner", "SwitchingDirectRunner")


def is_inside(engine: EngineName, master: str) -> bool:
    """Returns whether an engine runs within the job server.

    Args:
        engine: Flink or Spark.
        master: Its address, or what stands in the place of one.
    """
    if engine == "flink":
        return master in (FLINK_LOCAL, "[auto]")
    return bool(_SPARK_LOCAL.fullmatch(master))


class WorkersConfig(Settings):
    """The processes that do the stages' work: how many at once, and where they come from."""

    count: Count = 1
    # The address of Beam's worker pool, as each machine of the cluster reaches its own.
    pool: str | None = None
    # A container image with this package, which the engine starts with Docker.
    image: str | None = Field(default=None, min_length=1)

    @field_validator("pool")
    @classmethod
    def _is_an_address(cls, pool: str | None) -> str | None:
        if pool is not None and not _ADDRESS.fullmatch(pool):
            raise ValueError("expected HOST:PORT, like localhost:50000")
        return pool

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.pool is not None and self.image is not None:
            raise ValueError("give pool or image, not both")
        return self


def _with_count(workers: object) -> object:
    """Returns keys for what may be a number alone."""
    is_number = isinstance(workers, int) and not isinstance(workers, bool)
    return {"count": workers} if is_number else workers


class BeamConfig(Settings):
    """How Beam runs inside the components."""

    engine: EngineName = "in_process"
    master: str | None = Field(default=None, min_length=1)
    workers: Annotated[WorkersConfig, BeforeValidator(_with_count)] = WorkersConfig()
    job_server_jar: LocalPath | None = None
    # The most memory that the job server takes, as Java writes it.
    job_server_memory: str | None = Field(default=None, pattern=r"^[1-9][0-9]*[mgMG]$")
    # In seconds, of a stage's jobs.
    stage_time_limit: Annotated[float, Field(gt=0, le=10**7, allow_inf_nan=False)] | None = None
    # How often the work of a stage is done again if the engine fails.
    retries: Annotated[int, Field(strict=True, ge=0, le=100)] = 0
    # What else Beam is told; these win.
    args: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _keys_go_with_the_engine(self) -> Self:
        if self.engine == "in_process":
            for key in ("master", "job_server_jar", "job_server_memory"):
                if getattr(self, key) is not None:
                    raise problem(f"beam.{key}", _OF_ENGINES)
            for key in ("pool", "image"):
                if getattr(self.workers, key) is not None:
                    raise problem(f"beam.workers.{key}", _OF_ENGINES)
            if self.workers.count > 1 and not self._is_in_process:
                raise problem(
                    "beam.workers", "is for beam.engine; with --runner in beam.args say it there"
                )
        for key in ("stage_time_limit", "retries"):
            if getattr(self, key) and not self.is_portable:
                raise problem(f"beam.{key}", _OF_ENGINES)
        return self

    @model_validator(mode="after")
    def _master_is_the_engines(self) -> Self:
        if self.master is None or self.is_inside_the_job_server:
            return self
        if self.engine == "flink" and not _FLINK_URL.fullmatch(self.master):
            raise problem("beam.master", f"expected HOST:PORT of Flink, or {FLINK_LOCAL}")
        if self.engine == "spark" and not _SPARK_URL.fullmatch(self.master):
            raise problem(
                "beam.master", "expected spark://HOST:PORT, local[N], or another master of Spark's"
            )
        return self

    @model_validator(mode="after")
    def _clusters_have_workers(self) -> Self:
        is_told = self.workers.pool or self.workers.image or self._names("--environment_type")
        if self.engine != "in_process" and not self.is_inside_the_job_server and not is_told:
            raise problem(
                "beam.workers",
                f"a cluster's workers come from a pool or an image: give {{count: "
                f"{self.workers.count}, pool: HOST:PORT}} or image, see docs/beam.md",
            )
        return self

    @model_validator(mode="after")
    def _arguments_name_no_other_runner(self) -> Self:
        given = beam_arguments.runner_in(self.args)
        runners = tuple(_RUNNERS.values())
        if (
            given
            and self.engine != "in_process"
            and beam_arguments.runner_named(given, runners) != self.runner
        ):
            raise problem(
                "beam.args",
                f"--runner={given} is another one than that of beam.engine: {self.engine}; leave "
                "one of them out",
            )
        return self

    @property
    def runner(self) -> str:
        """Beam's runner, as `engine` says it; `args` may name another one."""
        return _RUNNERS[self.engine]

    @property
    def is_portable(self) -> bool:
        """Whether jobs go to a job server, by `engine` or by `args`."""
        given = beam_arguments.runner_in(self.arguments)
        served = beam_arguments.RUNNERS_WITH_JOB_SERVER
        return beam_arguments.runner_named(given, served) in served

    @property
    def _is_in_process(self) -> bool:
        given = beam_arguments.runner_in(self.args)
        return not given or beam_arguments.runner_named(given, _IN_PROCESS) in _IN_PROCESS

    @property
    def has_worker_processes(self) -> bool:
        """Whether stages are done by processes that this one starts."""
        mode = beam_arguments.value_in(self.arguments, "--direct_running_mode")
        is_here = self.engine == "in_process" and self._is_in_process
        return is_here and mode == "multi_processing"

    @property
    def is_inside_the_job_server(self) -> bool:
        """Whether the engine runs within the job server, and not on machines of its own."""
        return self.engine != "in_process" and is_inside(self.engine, self._master())

    @property
    def arguments(self) -> tuple[str, ...]:
        """What Beam is told: what the other keys say, and then `args`."""
        return (*self.implied, *self.args)

    @property
    def implied(self) -> tuple[str, ...]:
        """What the other keys say, as Beam is told it."""
        if self.engine == "in_process":
            # Named, because Beam's default would first look for a runner to download.
            runner = () if beam_arguments.runner_in(self.args) else (f"--runner={self.runner}",)
            return (*runner, *self._workers_of_this_process())
        return (
            f"--runner={self.runner}",
            f"{_MASTER_OPTIONS[self.engine]}={self._master()}",
            *self._environment(),
            _NO_LIST_OF_PACKAGES,
        )

    def _workers_of_this_process(self) -> tuple[str, ...]:
        if self.workers.count == 1:
            return ()
        return (
            f"--direct_num_workers={self.workers.count}",
            "--direct_running_mode=multi_processing",
        )

    def _master(self) -> str:
        given = beam_arguments.value_in(self.args, _MASTER_OPTIONS[self.engine]) or self.master
        if given:
            return given
        return FLINK_LOCAL if self.engine == "flink" else f"local[{self.workers.count}]"

    def _environment(self) -> tuple[str, ...]:
        # Spark's parallelism is that of its master.
        parallelism = f"--parallelism={self.workers.count}"
        return (*((parallelism,) if self.engine == "flink" else ()), *self._origin_of_workers())

    def _origin_of_workers(self) -> tuple[str, ...]:
        workers = self.workers
        if workers.pool is not None:
            kind, place = "EXTERNAL", workers.pool
        elif workers.image is not None:
            kind, place = "DOCKER", workers.image
        else:
            # Threads of the process that submits, which has loaded all that workers need.
            return ("--environment_type=LOOPBACK",) if self.is_inside_the_job_server else ()
        # Spark does a job in dozens of steps, and Beam would start workers anew in each of them.
        kept = (f"--environment_cache_millis={_KEPT_MS}",) if self.engine == "spark" else ()
        return (f"--environment_type={kind}", f"--environment_config={place}", *kept)

    def _names(self, option: str) -> bool:
        return any(argument.partition("=")[0] == option for argument in self.args)
