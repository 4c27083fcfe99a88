"""What `tfx-tflite run` does with a config: it runs, shows what came of it, and keeps it."""

import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tfx_tflite.components.deferred_imports import deferred_imports, uncollected_imports
from tfx_tflite.components.errors import TfxTfliteError
from tfx_tflite.pipelines.cli.console import RunPrinter, save_result
from tfx_tflite.pipelines.cli.outcome import message_of
from tfx_tflite.pipelines.config.preflight import Preflight
from tfx_tflite.pipelines.config.trust import open_to_read
from tfx_tflite.pipelines.runs import last_run
from tfx_tflite.pipelines.runs.artifacts_place import take_place
from tfx_tflite.pipelines.runs.last_run import LastRun, Stage
from tfx_tflite.pipelines.runs.new_data import RunInputs
from tfx_tflite.pipelines.runs.results import RunResult
from tfx_tflite.pipelines.tfx.imports import UNUSED_BY_RUNS

if TYPE_CHECKING:
    from tfx_tflite.pipelines.engines.job_server import JobServer
    from tfx_tflite.pipelines.runs.runners import StageResult

_CACHED_NOTE = "unchanged, from cache"


class OneRun:
    """One run of a config.

    What it depends on is looked at before it begins: what changes in the middle of it is new to the
    next one.

    Args:
        found: The config, and what was found of it.
        printer: Prints what people see of it.
        log: Where everything else goes.
    """

    def __init__(self, found: Preflight, printer: RunPrinter, log: Path):
        self._start = time.monotonic()
        self._found = found
        self._printer = printer
        self._log = log
        self._rolling: RunInputs | None = None
        self._inputs: str | None = None
        self._stages: list[Stage] = []

    def result(self, runner: str, force: bool, takes_from_cache: bool = True) -> RunResult:
        """Returns what came of the run, or of the last one if this would only repeat it.

        Args:
            runner: `beam` or `local`.
            force: Whether it runs in any case, and pushes a model that is there already.
            takes_from_cache: Whether a run, or a stage, of which nothing has changed is not done
                again.

        Raises:
            TfxTfliteError, RunFailed, FailedAfterVerdict: As for `runs.run.run`.
        """
        self._rolling = RunInputs.of(self._found)
        if self._rolling is None:
            self._inputs = last_run.inputs_of(self._found)
        if force or not takes_from_cache:
            return self._run(runner, force, takes_from_cache)
        if self._rolling is not None:
            return self._rolling.nothing_new(self._found.config) or self._run(runner, force)
        last = LastRun.repeated_by(self._found, self._inputs)
        return self._run(runner, force) if last is None else self._repeat(last)

    def _repeat(self, last: LastRun) -> RunResult:
        self._say_what_runs()
        for stage in last.stages:
            self._printer.ended(stage.name, 0.0, _CACHED_NOTE if stage.is_cached else "")
        return last.result

    def _say_what_runs(self) -> None:
        config = self._found.config
        self._printer.note(f"{config.name}: {config.quantization.scheme_name}")

    def _run(self, runner: str, force: bool, takes_from_cache: bool = True) -> RunResult:
        # What can be wrong with the store shows at once, before TFX is loaded.
        from tfx_tflite.pipelines.metadata.store import check_connection
        from tfx_tflite.pipelines.runs.worker_processes import workers_of

        self._say_what_runs()
        self._printer.note(f"log       {self._log}")
        check_connection(self._found.config)
        take_place(self._found.config)
        if self._found.config.gate.is_counted:
            # So does a ledger of judgements that is damaged, or cannot be read.
            open_to_read(self._found.config).events()
        self._printer.started("loading TFX")
        start = time.monotonic()
        with (
            self._job_server() as server,
            workers_of(self._found.config.beam) as workers,
            deferred_imports(UNUSED_BY_RUNS),
        ):
            with uncollected_imports():
                from tfx_tflite.pipelines.runs.run import run
                from tfx_tflite.pipelines.runs.runners import StageObserver

            self._printer.ended("loading TFX", time.monotonic() - start)
            observer = StageObserver(self._printer.started, self._ended, self._printer.note)
            return run(self._found, runner, observer, force, takes_from_cache, server, workers)

    def _job_server(self) -> "contextlib.AbstractContextManager[JobServer | None]":
        """Returns what starts the job server while TFX is loaded, if an engine needs one."""
        from tfx_tflite.pipelines.engines.engine import Engine
        from tfx_tflite.pipelines.engines.job_server import job_server

        config = self._found.config
        engine = Engine.of(config.beam)
        return job_server(engine, Path(config.root), self._log, self._printer.say)

    def _ended(self, stage: "StageResult") -> None:
        notes = {"done": "", "cached": _CACHED_NOTE}
        self._printer.ended(stage.name, stage.seconds, notes.get(stage.outcome, stage.outcome))
        self._stages.append(Stage(name=stage.name, is_cached=stage.is_cacheable))

    def show_and_keep(self, result: RunResult) -> None:
        """Shows what came of the run, and keeps it for `report` and for the next run.

        Args:
            result: As `result` returned it.
        """
        if result.status == "nothing_new":
            self._printer.say(f"{self._found.config.name}: {result.reasons[0]}")
        else:
            self._printer.result(result)
            self._keep(result)
            self._printer.note(f"{time.monotonic() - self._start:.1f} s in all")
        if not self._stages:
            _remove_if_empty(self._log)

    def _clean(self) -> None:
        """Removes what old runs left, if the config says so; the run is what it is all the same."""
        retention = self._found.config.retention
        if retention is None:
            return
        last_run.forget(self._found)
        from tfx_tflite.pipelines.cli.clean import summary
        from tfx_tflite.pipelines.runs.cleaning import clean

        try:
            cleaned = clean(self._found.config, retention.keep_runs)
        except (TfxTfliteError, OSError) as error:
            self._printer.say(f"warning: old runs were not cleaned: {message_of(error)}")
            return
        for note in cleaned.notes:
            self._printer.note(f"retention: {note}")
        self._printer.note(summary(cleaned))

    def _keep(self, result: RunResult) -> None:
        try:
            save_result(result, self._log)
            if self._stages:
                # Before the note of what this run left, which is about what is there then.
                self._clean()
            if self._rolling is not None:
                self._rolling.remember(Path(self._found.config.root), result)
            elif self._stages:
                last_run.remember(self._found, self._inputs, self._stages, result)
        except OSError as error:
            self._printer.say(f"warning: the result was not kept: {message_of(error)}")


def _remove_if_empty(log: Path) -> None:
    """Removes the log of a run that did nothing; a clock would leave thousands."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
        if log.stat().st_size == 0:
            log.unlink()
