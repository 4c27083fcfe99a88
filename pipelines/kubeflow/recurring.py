"""The schedule of a config as a recurring run on Kubeflow Pipelines.

The API cannot change a recurring run, so an update makes another: paused, then the old one is
deleted, then the new one is started. Each step can be the last one that is done; each says so, and
scheduling again goes on from there. A recurring run is a config's own if it has exactly the
config's name and a description with the config's mark; every other one is left alone.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.schedule import ScheduleConfig
from tfx_tflite.pipelines.kubeflow import client as kubeflow_client
from tfx_tflite.pipelines.kubeflow.client import RecurringRun, Server, ServerError
from tfx_tflite.pipelines.kubeflow.compile import (
    CompiledPipeline,
    compile_logged,
    container_places,
    kubeflow_of,
    pipeline_name,
)
from tfx_tflite.pipelines.kubeflow.connection import DEFAULT_TIMEOUT

_SHOWN_RUNS = 10
# The last runs, each of which the server sends with its whole pipeline.
_LOOKED_AT = 100
_SHOWN_FILE_NAME = 60
_UNFINISHED = "not started, an update was cut short: schedule again to finish it"
# What is wrong with the experiment of a recurring run, for the end of a line.
_EXPERIMENT_NOTES = {
    "": "",
    "gone": " (its experiment is gone; schedule again to make another)",
    "archived": " (its experiment is archived)",
}
# A run that was due while an update went on may come a little later.
_UPDATE_TIME = timedelta(minutes=10)


@dataclass(frozen=True)
class Mark:
    """What the description of a recurring run says of it.

    Attributes:
        file_name: The config's file, for whoever reads it.
        digest: Of all that the recurring run is made of.
        identity: Of the config; None if an earlier version of this tool made it.
        is_paused: Whether it is to stay as it was made, paused.
    """

    file_name: str
    digest: str
    identity: str | None
    is_paused: bool = False

    _FORM = re.compile(
        r"(?P<file_name>.*), tfx-tflite (?P<digest>sha256:[0-9a-f]{64})"
        r"(?:, config (?P<identity>[0-9a-f]{16})(?P<is_paused>, paused)?)?"
    )

    def __str__(self) -> str:
        state = ", paused" if self.is_paused else ""
        name = self.file_name[:_SHOWN_FILE_NAME]
        return f"{name}, tfx-tflite {self.digest}, config {self.identity}{state}"

    @classmethod
    def read(cls, description: str) -> "Mark | None":
        """Returns the mark in a description; None if it has none."""
        found = cls._FORM.fullmatch(description)
        if found is None:
            return None
        return cls(found["file_name"], found["digest"], found["identity"], bool(found["is_paused"]))


def _identity(config: PipelineConfig) -> str:
    """Returns what tells a config from others: a digest of its name, to the letter."""
    return hashlib.sha256(config.name.encode("utf-8")).hexdigest()[:16]


@dataclass(frozen=True)
class _Own:
    """A recurring run of a config's own, with its mark."""

    run: RecurringRun
    mark: Mark

    @property
    def is_unfinished(self) -> bool:
        """Whether an update was cut short between making and starting it."""
        made_by_this = self.mark.identity is not None and not self.mark.is_paused
        return made_by_this and not self.run.is_enabled and self.run.is_untouched

    @property
    def state(self) -> str:
        """What it does, for the user."""
        if self.run.is_enabled:
            return "enabled"
        return _UNFINISHED if self.is_unfinished else "paused"


@dataclass(frozen=True)
class _Found:
    """The recurring runs of a config's name on a server, the oldest first.

    Attributes:
        own: Those that are the config's own.
        others: Those that somebody else made.
    """

    own: tuple[_Own, ...]
    others: tuple[RecurringRun, ...]

    @property
    def is_paused(self) -> bool:
        """Whether somebody paused the schedule."""
        return bool(self.own) and not any(o.run.is_enabled or o.is_unfinished for o in self.own)

    @property
    def starts_runs(self) -> bool:
        """Whether one of the config's own starts runs."""
        return any(own.run.is_enabled for own in self.own)


def _is_own(run: RecurringRun, mark: Mark, config: PipelineConfig) -> bool:
    if mark.identity is not None:
        return mark.identity == _identity(config)
    # Earlier versions did not say whose it is: its pipeline's name has to be the config's as well.
    return run.spec.name == pipeline_name(config)


class RecurringSchedule:
    """The recurring run of a config's schedule on a server.

    Every method raises ServerError if the server cannot be reached or refuses what is asked; the
    error says what state that leaves.

    Args:
        config: The config.
        host: The server's URL.
        timeout: Seconds until a request that was not answered is given up.
    """

    def __init__(self, config: PipelineConfig, host: str, timeout: float = DEFAULT_TIMEOUT):
        self._config = config
        self._timeout = timeout
        self._host = host
        self._name = config.name

    @cached_property
    def _server(self) -> Server:
        return kubeflow_client.connect(kubeflow_of(self._config), self._host, self._timeout)

    @property
    def _zone(self) -> str:
        return kubeflow_of(self._config).time_zone

    def apply(self, config_path: Path) -> str:
        """Creates the recurring run, or brings it up to date.

        What has not changed is left alone, and what was paused stays so.

        Args:
            config_path: The config's file.

        Returns:
            A line that says what was done, and one for each thing to look at.

        Raises:
            ConfigError: There is no schedule, Kubeflow cannot keep it, or the pipeline is not
                complete.
        """
        config, name = self._config, self._name
        cron = kubeflow_cron(_schedule_of(config), self._zone)
        container_places(config)
        server = self._server
        compiled = compile_logged(config)
        experiment = server.experiment(config)
        found = self._find()
        mark = Mark(
            config_path.name, _digest(compiled, config, cron), _identity(config), found.is_paused
        )
        same = [own.run for own in found.own if own.mark.digest == mark.digest]
        current = next((run for run in same if run.experiment_id == experiment), None)
        done = _name_of_update(found, current)
        if current is None:
            before = "the schedule of before goes on" if found.starts_runs else "nothing runs"
            with _leaving(
                f"{name}: no new schedule was started, {before}; schedule again to go on (what the "
                "server may have made meanwhile is paused and is found then)"
            ):
                current = server.create_recurring_run(compiled, config, cron, str(mark), experiment)
        self._delete_others(found, current)
        if not found.is_paused and not current.is_enabled:
            with _leaving(
                f"{name}: the new schedule is there but does not run, and no other does; "
                "schedule again or --resume to start it"
            ):
                server.resume(current)
        state = "; paused, --resume starts it" if found.is_paused else ""
        line = f"{name}: {done}, {cron!r} in {self._zone}{state}: {self._link(current)}"
        others = [
            f"{name}: another recurring run of this name was not made for this config and is "
            f"left alone: {self._link(other)}"
            for other in found.others
        ]
        return "\n".join([line, *others, *self._orphans(found, current)])

    def list_runs(self) -> list[str]:
        """Returns a line for the recurring run and for each of its last runs."""
        found = self._find()
        lines = [line for own in found.own for line in self._listed(own)]
        lines = lines or [f"{self._name}: not scheduled at {self._host}"]
        lines += [
            f"{self._name}: not made for this config, "
            f"{'enabled' if other.is_enabled else 'paused'}, {other.trigger}: {self._link(other)}"
            for other in found.others
        ]
        return lines + (self._orphans(found, found.own[-1].run) if found.own else [])

    def pause(self) -> str:
        """Stops the recurring run from starting runs, and returns a line that says so."""
        return self._stop(self._server.pause, "pause", "paused")

    def resume(self) -> str:
        """Lets the recurring run start runs again, and returns a line that says so."""
        # Where an update was cut short there are two; the newest is what was asked for last.
        *older, newest = self._own()
        for own in older:
            with _leaving(f"{self._name}: an older schedule is still there; --resume again"):
                self._server.delete(own.run)
        with _leaving(f"{self._name}: not resumed, nothing runs; --resume again"):
            self._server.resume(newest.run)
        return f"{self._name}: resumed"

    def delete(self) -> str:
        """Deletes the recurring run, and returns a line that says so; its runs stay."""
        return f"{self._stop(self._server.delete, 'delete', 'deleted')}; what it has run stays"

    def _stop(self, step: Callable[[RecurringRun], None], option: str, done: str) -> str:
        for own in self._own():
            with _leaving(f"{self._name}: not {done}, it may still start runs; --{option} again"):
                step(own.run)
        return f"{self._name}: {done}"

    def _find(self) -> _Found:
        own: list[_Own] = []
        others: list[RecurringRun] = []
        for run in self._server.recurring_runs(self._name):
            mark = Mark.read(run.description)
            if mark is not None and _is_own(run, mark, self._config):
                own.append(_Own(run, mark))
            else:
                others.append(run)
        return _Found(tuple(own), tuple(others))

    def _own(self) -> Sequence[_Own]:
        """Returns the config's own; ServerError if there is none."""
        found = self._find()
        if found.own:
            return found.own
        others = [
            f"; the recurring run of that name at {self._link(run)} was not made for this config"
            for run in found.others
        ]
        raise ServerError(f"{self._name} is not scheduled at {self._host}{''.join(others)}")

    def _delete_others(self, found: _Found, current: RecurringRun) -> None:
        still = "the schedule of before still runs" if found.starts_runs else "both are paused"
        for own in found.own:
            if own.run.id != current.id:
                with _leaving(
                    f"{self._name}: the new schedule is there but does not run yet, {still}; "
                    "schedule again to finish"
                ):
                    self._server.delete(own.run)

    def _listed(self, own: _Own) -> list[str]:
        """Returns a line for a recurring run of the config's own and for each of its last runs."""
        server = self._server
        line = (
            f"{self._name}: {own.state}, {own.run.trigger} in {self._zone}: "
            f"{self._link(own.run)}{_EXPERIMENT_NOTES[server.experiment_problem(own.run.experiment_id)]}"
        )
        return [line] + [
            f"  {kubeflow_client.rfc3339(run.scheduled_at)} {run.state}: "
            + server.link(f"runs/details/{run.id}")
            for run in server.last_runs(own.run, _SHOWN_RUNS)
        ]

    def _orphans(self, found: _Found, current: RecurringRun) -> list[str]:
        """Returns a line for each recurring run that is left in Kubernetes alone and starts runs.

        The server does not know it any more than one that was deleted. But what `current` took the
        place of has started no runs since.
        """
        known = {run.id for run in (current, *(own.run for own in found.own), *found.others)}
        since = current.created_at + _UPDATE_TIME
        suspects = {
            run.recurring_run_id: run
            for run in self._server.runs_since(current.experiment_id, since, _LOOKED_AT)
            if run.recurring_run_id not in known | {""}
            and run.spec.name == pipeline_name(self._config)
        }
        return [
            f"{self._name}: a recurring run that the server does not know started a run on "
            f"{kubeflow_client.rfc3339(run.created_at)}: it is left in Kubernetes alone. Delete "
            f"the scheduledworkflow with uid {key} there (kubectl get scheduledworkflows -o yaml)"
            for key, run in suspects.items()
            if not self._server.has_recurring_run(key)
        ]

    def _link(self, recurring_run: RecurringRun) -> str:
        return self._server.link(f"recurringrun/details/{recurring_run.id}")


def _name_of_update(found: _Found, current: RecurringRun | None) -> str:
    """Returns the word for what an update does."""
    if not found.own:
        return "created"
    if current is None:
        return "updated"
    is_finished = len(found.own) == 1 and not found.own[0].is_unfinished
    return "unchanged" if is_finished else "finished an update that was cut short"


@contextlib.contextmanager
def _leaving(state: str) -> Iterator[None]:
    """Says, where a step fails or is interrupted, what state it leaves and how to go on."""
    try:
        yield
    except ServerError as error:
        raise ServerError(f"{state}: {error}", error.status) from error
    except KeyboardInterrupt as error:
        raise ServerError(f"{state}: interrupted") from error


def kubeflow_cron(schedule: ScheduleConfig, cluster_zone: str) -> str:
    """Returns a schedule's cron expression as Kubeflow takes it: six fields, seconds first.

    Args:
        schedule: The schedule, with the five fields of crontab.
        cluster_zone: The zone that the cluster reads cron expressions in.

    Raises:
        ConfigError: The zone is another.
    """
    if schedule.time_zone != cluster_zone:
        raise ConfigError(
            f"schedule.time_zone: Kubeflow reads cron expressions in its cluster's zone, "
            f"{cluster_zone} (kubeflow.time_zone), not in {schedule.time_zone}; use that here"
        )
    return f"0 {schedule.expression}"


def _schedule_of(config: PipelineConfig) -> ScheduleConfig:
    if config.schedule is None:
        raise ConfigError("schedule: this section is needed, with a cron; see docs/config.md")
    return config.schedule


def _digest(compiled: CompiledPipeline, config: PipelineConfig, cron: str) -> str:
    """Returns a digest of all that a recurring run is made of."""
    schedule, kubeflow = _schedule_of(config), kubeflow_of(config)
    content = [
        compiled.job,
        compiled.platform,
        compiled.values,
        cron,
        kubeflow_client.rfc3339(schedule.start),
        kubeflow_client.rfc3339(schedule.end),
        schedule.catch_up,
        kubeflow.experiment,
        kubeflow.service_account,
    ]
    text = json.dumps(content, sort_keys=True)
    return "sha256:" + hashlib.sha256(text.encode("utf-8")).hexdigest()
