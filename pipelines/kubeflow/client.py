"""What is on a Kubeflow Pipelines server: experiments, runs and recurring runs."""

import itertools
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Annotated

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
)
from typing_extensions import Self

from tfx_tflite.components.presence import ABSENT
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.kubeflow import KubeflowConfig
from tfx_tflite.pipelines.kubeflow import connection as kubeflow_connection
from tfx_tflite.pipelines.kubeflow.compile import CompiledPipeline
from tfx_tflite.pipelines.kubeflow.connection import (
    DEFAULT_TIMEOUT,
    AnswerLost,
    Connection,
    Document,
    Gone,
    ServerError,
)
from tfx_tflite.pipelines.kubeflow.pipeline_spec import Value

__all__ = [
    "DEFAULT_TIMEOUT",
    "AnswerLost",
    "RecurringRun",
    "Run",
    "Server",
    "ServerError",
    "connect",
    "rfc3339",
]

_EXISTS = 409


class UnreadableAnswer(ServerError):
    """The server answered something that is not of its API."""


class _Answer(BaseModel):
    """A part of what the API answers; what is not named here is left out."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def read(cls, document: JsonValue) -> Self:
        """Returns what a document of the API says.

        Raises:
            UnreadableAnswer: It is of another form.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise UnreadableAnswer(
                f"the server's answer is none of the API v2beta1: {cls.__name__}.{place}: "
                f"{first['msg']}"
            ) from error


def _moment(text: object) -> datetime:
    if not isinstance(text, str):
        raise ValueError("expected a time")
    return datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)


# To the second.
_Moment = Annotated[datetime, BeforeValidator(_moment)]


class _Started(_Answer):
    id: str = Field(alias="run_id", min_length=1)


class _Info(_Answer):
    name: str = ""


class _PipelineSpec(_Answer):
    info: _Info = Field(default=_Info(), alias="pipelineInfo")
    # Beside what is asked of Kubernetes, the pipeline is one level deeper.
    pipeline_spec: "_PipelineSpec | None" = None

    @property
    def name(self) -> str:
        return self.pipeline_spec.name if self.pipeline_spec else self.info.name


class _CronSchedule(_Answer):
    cron: str = ""


class _PeriodicSchedule(_Answer):
    # Text, as 64-bit integers are in the API's JSON.
    interval_second: str | int = "?"


class _Trigger(_Answer):
    cron_schedule: _CronSchedule | None = None
    periodic_schedule: _PeriodicSchedule | None = None

    def __str__(self) -> str:
        if self.cron_schedule is not None:
            return repr(self.cron_schedule.cron)
        if self.periodic_schedule is not None:
            return f"every {self.periodic_schedule.interval_second} s"
        return "never"


class _Experiment(_Answer):
    id: str = Field(alias="experiment_id", min_length=1)
    # Without it, it could not be told from one of another name.
    name: str = Field(alias="display_name")
    storage_state: str = ""

    @property
    def is_archived(self) -> bool:
        return self.storage_state == "ARCHIVED"


class RecurringRun(_Answer):
    """A recurring run on the server, whoever made it.

    Attributes:
        id: Its id.
        name: Its name, which others may have as well.
        description: What was said of it when it was made.
        experiment_id: The experiment of its runs, which may be gone.
        spec: Its pipeline; without a name if it refers to an uploaded one.
        trigger: When it starts runs; as text a quoted cron expression or `every N s`.
        status: Whether it starts runs: `ENABLED`.
        created_at: When it was made.
        updated_at: When it was last enabled or disabled.
    """

    id: str = Field(alias="recurring_run_id", min_length=1)
    name: str = Field(alias="display_name")
    description: str = ""
    experiment_id: str = ""
    spec: _PipelineSpec = Field(default=_PipelineSpec(), alias="pipeline_spec")
    trigger: _Trigger = _Trigger()
    status: str = ""
    created_at: _Moment
    updated_at: _Moment | None = None

    @property
    def is_enabled(self) -> bool:
        """Whether it starts runs."""
        return self.status == "ENABLED"

    @property
    def is_untouched(self) -> bool:
        """Whether it was neither enabled nor disabled since it was made."""
        return self.updated_at in (None, self.created_at)


class Run(_Answer):
    """A run on the server.

    Attributes:
        id: Its id.
        recurring_run_id: What started it; empty if somebody did.
        spec: Its pipeline; without a name if it refers to an uploaded one.
        created_at: When it was made.
        planned_at: When it was meant to start, if not at once.
        state: The server's word for how it goes, in lower case.
    """

    id: str = Field(alias="run_id")
    recurring_run_id: str = ""
    spec: _PipelineSpec = Field(default=_PipelineSpec(), alias="pipeline_spec")
    created_at: _Moment
    planned_at: _Moment | None = Field(default=None, alias="scheduled_at")
    state: Annotated[str, StringConstraints(to_lower=True)] = "pending"

    @property
    def scheduled_at(self) -> datetime:
        """When it was meant to start."""
        return self.planned_at or self.created_at


def rfc3339(moment: datetime | None) -> str | None:
    """Returns a time as the API takes it."""
    if moment is None:
        return None
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def connect(kubeflow: KubeflowConfig, host: str, timeout: float = DEFAULT_TIMEOUT) -> "Server":
    """Returns a server that answers; takes and raises what `connection.connect` does."""
    return Server(kubeflow_connection.connect(kubeflow, host, timeout), kubeflow)


class Server:
    """What is asked of a server.

    Args:
        connection: The connection to it.
        kubeflow: Experiment, service account and the like.
    """

    def __init__(self, connection: Connection, kubeflow: KubeflowConfig):
        self._connection = connection
        self._kubeflow = kubeflow

    def link(self, page: str) -> str:
        """Returns the address of a page of Kubeflow's own."""
        return self._connection.link(page)

    # Experiments

    def experiment(self, config: PipelineConfig) -> str:
        """Returns the id of the config's experiment, which is made if there is none.

        Raises:
            ServerError: The server refuses it, or the experiment is archived.
        """
        name = self._kubeflow.experiment or config.name
        found = self._experiment_named(name) or self._made_experiment(name)
        if found.is_archived:
            raise ServerError(
                f"experiment {name!r} is archived: restore it on "
                f"{self.link('archive/experiments')}, or name another one in kubeflow.experiment"
            )
        return found.id

    def _experiments_like(self, name: str) -> list[_Experiment]:
        """Returns the experiments whose names are a name but for upper and lower case."""
        entries = self._connection.entries(
            "experiments",
            "experiments",
            {"display_name": name},
            namespace=self._connection.namespace,
        )
        return [_Experiment.read(entry) for entry in entries]

    def _experiment_named(self, name: str) -> _Experiment | None:
        return next((e for e in self._experiments_like(name) if e.name == name), None)

    def _made_experiment(self, name: str) -> _Experiment:
        body = {"display_name": name, "namespace": self._connection.namespace or ""}
        try:
            return _Experiment.read(self._connection.post("experiments", body))
        except ServerError as error:
            if error.status != _EXISTS:
                raise
            # Somebody may have made it meanwhile.
            found = self._experiment_named(name)
            if found is not None:
                return found
            others = [repr(e.name) for e in self._experiments_like(name)]
            raise ServerError(
                f"the server takes experiment {name!r} for one that is there"
                + (f", {others[0]}" if others else "")
                + ": spell it so in kubeflow.experiment, or name another one"
            ) from error

    def experiment_problem(self, experiment_id: str) -> str:
        """Returns what is wrong with an experiment: `archived`, `gone`, or nothing."""
        document = self._connection.find(f"experiments/{experiment_id}")
        if document is ABSENT:
            return "gone"
        return "archived" if _Experiment.read(document).is_archived else ""

    # Runs

    def submit(
        self, compiled: CompiledPipeline, config: PipelineConfig, values: Mapping[str, Value]
    ) -> str:
        """Starts a run and returns its link.

        Args:
            compiled: The pipeline.
            config: Its config.
            values: The runtime parameters.

        Raises:
            ServerError: The server refuses it.
        """
        experiment = self.experiment(config)
        body = {
            "experiment_id": experiment,
            "display_name": f"{config.name} {time.strftime('%Y-%m-%d %H:%M:%S')}",
            **self._body_of_runs(compiled, values, self._kubeflow.cache),
        }
        try:
            run = _Started.read(self._connection.post("runs", body))
        except (AnswerLost, UnreadableAnswer) as error:
            raise AnswerLost(
                f"{error}; the run may have started all the same: look at "
                f"{self.link(f'experiments/details/{experiment}')} before submitting again"
            ) from error
        return self.link(f"runs/details/{run.id}")

    def _body_of_runs(
        self, compiled: CompiledPipeline, values: Mapping[str, Value], may_cache: bool
    ) -> Document:
        """Returns what a run and a recurring run are made of alike."""
        spec = compiled.kubeflow_spec
        if not may_cache:
            for task in spec["root"]["dag"]["tasks"].values():
                task.pop("cachingOptions", None)
        runtime: dict[str, object] = {"parameters": dict(values)}
        if self._kubeflow.pipeline_root:
            runtime["pipeline_root"] = self._kubeflow.pipeline_root
        account = self._kubeflow.service_account
        return {
            "pipeline_spec": {"pipeline_spec": spec, "platform_spec": compiled.platform}
            if compiled.platform
            else spec,
            "runtime_config": runtime,
            **({"service_account": account} if account else {}),
        }

    def last_runs(self, recurring_run: RecurringRun, limit: int) -> list[Run]:
        """Returns the last runs of a recurring run, the newest first.

        They are asked for by what started them: their experiment may be gone.
        """
        page = self._connection.entries(
            "runs",
            "runs",
            {"recurring_run_id": recurring_run.id},
            namespace=self._connection.namespace,
            page_size=limit,
            sort_by="created_at desc",
        )
        return [Run.read(entry) for entry in itertools.islice(page, limit)]

    def runs_since(self, experiment_id: str, moment: datetime, limit: int) -> list[Run]:
        """Returns the last runs in an experiment that were made after a time, the newest first.

        They are none if the experiment is gone.
        """
        entries = self._connection.entries(
            "runs", "runs", experiment_id=experiment_id, sort_by="created_at desc"
        )
        runs = map(Run.read, itertools.islice(entries, limit))
        try:
            return list(itertools.takewhile(lambda run: run.created_at > moment, runs))
        except Gone:
            return []

    # Recurring runs

    def create_recurring_run(
        self,
        compiled: CompiledPipeline,
        config: PipelineConfig,
        cron: str,
        description: str,
        experiment_id: str,
    ) -> RecurringRun:
        """Creates a recurring run of a config's schedule, paused, and returns it.

        A server that is killed meanwhile leaves something in Kubernetes that it does not know
        itself; paused, that starts nothing.

        Args:
            compiled: The pipeline.
            config: Its config, with a schedule.
            cron: The schedule's cron expression as Kubeflow takes it.
            description: What is said of the recurring run.
            experiment_id: The experiment of its runs.
        """
        schedule = config.schedule
        assert schedule is not None
        times = {"start_time": rfc3339(schedule.start), "end_time": rfc3339(schedule.end)}
        body = {
            "display_name": config.name,
            "description": description,
            "experiment_id": experiment_id,
            "trigger": {
                "cron_schedule": {"cron": cron, **{k: t for k, t in times.items() if t is not None}}
            },
            "mode": "DISABLE",
            # Text, as 64-bit integers are in the API's JSON.
            "max_concurrency": "1",
            "no_catchup": not schedule.catch_up,
            # Otherwise every tick would be served the first one's results.
            **self._body_of_runs(compiled, compiled.values, may_cache=False),
        }
        return RecurringRun.read(self._connection.post("recurringruns", body))

    def recurring_runs(self, name: str) -> list[RecurringRun]:
        """Returns the recurring runs of exactly a name, whoever made them, the oldest first."""
        entries = self._connection.entries(
            "recurringruns",
            "recurringRuns",
            {"display_name": name},
            namespace=self._connection.namespace,
            sort_by="created_at",
        )
        return [run for run in map(RecurringRun.read, entries) if run.name == name]

    def has_recurring_run(self, recurring_run_id: str) -> bool:
        """Returns whether the server knows a recurring run."""
        return self._connection.find(f"recurringruns/{recurring_run_id}") is not ABSENT

    def pause(self, recurring_run: RecurringRun) -> None:
        """Stops a recurring run from starting runs."""
        self._connection.post(f"recurringruns/{recurring_run.id}:disable")

    def resume(self, recurring_run: RecurringRun) -> None:
        """Lets a recurring run start runs again."""
        self._connection.post(f"recurringruns/{recurring_run.id}:enable")

    def delete(self, recurring_run: RecurringRun) -> None:
        """Deletes a recurring run; its runs stay."""
        self._connection.delete(f"recurringruns/{recurring_run.id}")
