"""One run of a pipeline, from a config to a result. Importing this loads TFX."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tfx.orchestration.pipeline import Pipeline

from tfx_tflite.components import artifact_digests
from tfx_tflite.components import artifact_layout as layout
from tfx_tflite.components.errors import (
    DataError,
    EvaluationError,
    TfxTfliteError,
    in_one_line,
    user_error_in,
)
from tfx_tflite.components.report.document import Report
from tfx_tflite.components.report.next_steps import next_steps
from tfx_tflite.components.uris import is_local
from tfx_tflite.pipelines.checks.targets import check_packages
from tfx_tflite.pipelines.config.beam_options import check_beam_args
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.preflight import (
    Preflight,
    check_examples,
    check_model,
)
from tfx_tflite.pipelines.engines.job_server import JobServer
from tfx_tflite.pipelines.engines.jobs import Jobs
from tfx_tflite.pipelines.metadata import store as metadata_store
from tfx_tflite.pipelines.pipeline import create_pipeline
from tfx_tflite.pipelines.runs.builtin_data import write_builtin_data
from tfx_tflite.pipelines.runs.damaged_data import damaged_file, may_be_damage
from tfx_tflite.pipelines.runs.file_digests import FileDigests
from tfx_tflite.pipelines.runs.model_copy import own_copy
from tfx_tflite.pipelines.runs.new_data import data_digest, metrics_digest, trainer_digest
from tfx_tflite.pipelines.runs.reports import local_reports
from tfx_tflite.pipelines.runs.results import FailedAfterVerdict, FoundRecipe, RunResult, TriedDraws
from tfx_tflite.pipelines.runs.runners import (
    StageFailed,
    StageObserver,
    StageResult,
    output_artifact,
    run_pipeline,
)
from tfx_tflite.pipelines.runs.shared_inputs import shared
from tfx_tflite.pipelines.runs.user_code import importable
from tfx_tflite.pipelines.tfx.forked_workers import ForkedWorkers
from tfx_tflite.pipelines.tfx.patches import (
    cache_of_root,
    cache_of_what_was_known,
    fingerprints_of_contents,
    unchanged_while_read,
    workers_know_object_stores,
)

# Stages in which a file shows that is corrupt.
_FIRST_READERS = ("ImportExampleGen", "StatisticsGen", "CalibrationSampler", "Trainer")


class RunFailed(Exception):
    """A stage failed for a reason that only its log explains.

    Args:
        stage: The stage.
        summary: Its exception in one line.
    """

    def __init__(self, stage: str, summary: str):
        super().__init__(f"{stage} failed: {summary}")
        self.stage = stage


def run(
    found: Preflight,
    runner: str,
    observer: StageObserver,
    force: bool = False,
    takes_from_cache: bool = True,
    server: JobServer | None = None,
    workers: ForkedWorkers | None = None,
) -> RunResult:
    """Runs the pipeline of a config.

    Args:
        found: The config, and what was found of it.
        runner: `beam` or `local`.
        observer: Is told of each stage.
        force: Whether to push a model that is at the destination already.
        takes_from_cache: Whether stages of which nothing has changed are taken from TFX's cache.
        server: The job server that this run has; None if it has none of its own.
        workers: What forks the worker processes of this run; None if Beam starts what there are.

    Raises:
        TfxTfliteError: The run failed for a reason that the message explains.
        RunFailed: It failed for another.
        FailedAfterVerdict: It failed for either when the model was judged already, or the pushed
            model that a rule is against could not be looked at.
    """
    config = found.config
    check_packages(config)
    if not is_local(config.push.destination):
        # Whether it can be reached shows before anything is computed.
        _ = found.current
    with metadata_store.connected(config), _artifacts_reached(config):
        check_beam_args(config.beam.args, config.beam.implied)
        input_base = found.input_base
        if input_base is None:
            data = write_builtin_data(str(config.data.builtin), Path(config.root) / "data")
            found = found.with_builtin_data(data)
            input_base = shared(str(data), config)
        check_model(config)
        check_examples(found)
        model = own_copy(config)
        if model is not None:
            model = shared(model, config)
        with _keyed_by_contents(found):
            pipeline = create_pipeline(
                config,
                input_base,
                force,
                found.compared_version,
                model,
                takes_from_cache,
            )
            return _run(pipeline, found, runner, observer, server, workers)


@contextmanager
def _artifacts_reached(config: PipelineConfig) -> Iterator[None]:
    """Lets TFX and Beam's workers read and write where artifacts are while the block runs."""
    if is_local(config.artifacts_path):
        yield
        return
    from tfx_tflite.pipelines.tfx import object_files

    object_files.register()
    with workers_know_object_stores():
        yield


def _run(
    pipeline: Pipeline,
    found: Preflight,
    runner: str,
    observer: StageObserver,
    server: JobServer | None,
    workers: ForkedWorkers | None,
) -> RunResult:
    beam = found.config.beam
    jobs = Jobs(found.config.name, server, beam.stage_time_limit) if beam.is_portable else None
    try:
        results = run_pipeline(pipeline, runner, observer, jobs, beam.retries, workers)
    except StageFailed as failure:
        explained = _explained(failure, found, observer.said)
        if "QuantizationEvaluator" not in failure.results:
            raise explained from failure
        explained.__cause__ = failure
        try:
            judged = _judged(pipeline, failure.results, found.config)
        except TfxTfliteError:
            # The report is not what was found.
            raise explained from failure
        raise FailedAfterVerdict(explained, judged) from explained
    return _result(pipeline, results, found.config)


@contextmanager
def _keyed_by_contents(found: Preflight) -> Iterator[None]:
    """Lets TFX's cache go by the contents of all that the stages read while the block runs."""
    config, digests = found.config, FileDigests(found.config.root)
    beside = {"Trainer": trainer_digest(config), "QuantizationEvaluator": metrics_digest(config)}
    known = {node: digest for node, digest in beside.items() if digest is not None}
    with ExitStack() as stack:
        stack.enter_context(cache_of_root(config.artifacts_path, known))
        stack.enter_context(cache_of_what_was_known())
        stack.enter_context(fingerprints_of_contents(lambda files: data_digest(digests, files)))
        stack.enter_context(unchanged_while_read(dict(_read_by_stages(found, digests))))
        if config.model.trainer is not None:
            stack.enter_context(importable(config.model.trainer.module_file))
        yield


def _read_by_stages(
    found: Preflight, digests: FileDigests
) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yields stages that read what a user may change during a run, and what tells its digest."""
    config = found.config
    if config.model.trainer is not None:
        yield "Trainer", lambda: str(trainer_digest(config))
    patterns = [f"{found.input_base}/{data.pattern}" for data in found.data]
    if patterns:
        yield (
            config.data.example_gen,
            lambda: ", ".join(data_digest(digests, files) for files in patterns),
        )


def _explained(
    failure: StageFailed, found: Preflight, say: Callable[[str], None]
) -> TfxTfliteError | RunFailed:
    error = user_error_in(failure)
    if error is not None:
        return error
    if failure.stage in _FIRST_READERS and may_be_damage(failure):
        damaged = damaged_file(found, say)
        if damaged is not None:
            return DataError(damaged)
    return RunFailed(failure.stage, in_one_line(failure.__cause__ or failure))


def _judged(
    pipeline: Pipeline, results: dict[str, StageResult], config: PipelineConfig
) -> RunResult:
    """Returns what the evaluator found, as the result of a run that failed after it.

    Raises:
        FailedAfterVerdict: It could not look at the pushed model, so another run must.
    """
    evaluation = output_artifact(pipeline, results["QuantizationEvaluator"], "evaluation")
    # Nobody else looks whether the report is still what was found.
    artifact_digests.check("evaluation", evaluation)
    path = local_reports(evaluation, config) / layout.REPORT_FILE
    report = Report.parse(path.read_bytes(), str(path))
    judged = _unpushed(report, path)
    if report.pushed_problem is not None:
        raise FailedAfterVerdict(EvaluationError(report.pushed_problem), judged)
    return judged


def _unpushed(report: Report, path: Path) -> RunResult:
    return RunResult(
        status="failed",
        scheme=report.scheme,
        examples=report.examples,
        rules=report.rules,
        reasons=report.reasons,
        next_steps=next_steps(report),
        targets=tuple(target.judged for target in report.targets),
        recipe=FoundRecipe.of(report.tuning, report.recipe, report.draws),
        draws=TriedDraws.of(report.draws),
        size_bytes=report.size_bytes,
        report=str(path),
        page=str(path.with_name(layout.PAGE_FILE)),
        warnings=_warnings(report),
        notes=report.notes,
    )


def _result(
    pipeline: Pipeline, results: dict[str, StageResult], config: PipelineConfig
) -> RunResult:
    judged = _judged(pipeline, results, config)
    pushed = output_artifact(pipeline, results["Pusher"], "pushed_model")
    note = pushed.get_string_custom_property(layout.PUSH_NOTE)
    notes = (note,) if note else ()
    if pushed.get_int_custom_property(layout.PUSHED) != 1:
        refused = {
            "status": "refused",
            "reasons": (*judged.reasons, *notes),
            "push_note": note,
        }
        return judged.model_copy(update=refused)
    command = pushed.get_string_custom_property(layout.APPROVE_COMMAND)
    return judged.model_copy(
        update={
            "status": "pushed",
            "pushed_to": pushed.get_string_custom_property(layout.PUSHED_DESTINATION),
            "version": int(pushed.get_string_custom_property(layout.PUSHED_VERSION)),
            "waits_for_approval": bool(command),
            "approve_command": command,
            # The page that names the version.
            "page": str(local_reports(pushed, config) / layout.PAGE_FILE),
            "warnings": (*judged.warnings, *notes),
            "push_note": note,
        }
    )


def _warnings(report: Report) -> tuple[str, ...]:
    sample = report.calibration_sample
    if sample is None or sample.size >= sample.requested:
        return report.warnings
    return (
        *report.warnings,
        f"calibrated with {sample.size} examples: the split has no more, calibration.samples is "
        f"{sample.requested}",
    )
