"""One run of a pipeline, from a config to a result. Importing this loads TFX."""

import posixpath
from pathlib import Path

from tfx.orchestration.pipeline import Pipeline

from tfx_tflite.components import artifact_layout as layout
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.errors import DataError, TfxTfliteError, in_one_line, user_error_in
from tfx_tflite.components.report.document import Report
from tfx_tflite.pipelines.metadata import store as metadata_store
from tfx_tflite.pipelines.config import preflight
from tfx_tflite.pipelines.config.beam_options import check_beam_args
from tfx_tflite.pipelines.runs.builtin_data import write_builtin_data
from tfx_tflite.pipelines.tfx.cache import cache_of_root
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.pipeline import create_pipeline
from tfx_tflite.pipelines.runs.results import FailedAfterVerdict, RunResult
from tfx_tflite.pipelines.runs.runners import (
    StageFailed,
    StageObserver,
    StageResult,
    output_artifact,
    run_pipeline,
)


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
    config: PipelineConfig, runner: str, observer: StageObserver, force: bool = False
) -> RunResult:
    """Runs the pipeline of a config.

    Args:
        config: The config.
        runner: `beam` or `local`.
        observer: Is told of each stage.
        force: Whether to push a model that is at the destination already.

    Raises:
        TfxTfliteError: The run failed for a reason that the message explains.
        RunFailed: It failed for another.
        FailedAfterVerdict: It failed for either when the model was judged already.
    """
    preflight.check_files(config)
    preflight.check_destination(config)
    with metadata_store.connected(config):
        return _run(config, runner, observer, force)


def _run(config: PipelineConfig, runner: str, observer: StageObserver, force: bool) -> RunResult:
    check_beam_args(config.beam.args)
    preflight.check_model(config)
    input_base = config.data.input_base or str(
        write_builtin_data(str(config.data.builtin), Path(config.root) / "data")
    )
    preflight.check_data(config, input_base)
    pipeline = create_pipeline(config, input_base, force, _compared_version(config))
    try:
        with cache_of_root(config.artifacts_path):
            results = run_pipeline(pipeline, runner, observer)
    except StageFailed as failure:
        explained = _explained(failure, config, input_base)
        if "QuantizationEvaluator" not in failure.results:
            raise explained from failure
        explained.__cause__ = failure
        judged = _judged(pipeline, failure.results)
        raise FailedAfterVerdict(explained, judged) from explained
    return _result(pipeline, results)


def _compared_version(config: PipelineConfig) -> int | None:
    """Returns the pushed version that rules compare with, 0 for none; None without such rules."""
    if not config.gate.against("pushed").rules:
        return None
    return Destination.open(config.push.destination).current() or 0


def _explained(
    failure: StageFailed, config: PipelineConfig, input_base: str
) -> TfxTfliteError | RunFailed:
    error = user_error_in(failure)
    if error is not None:
        return error
    if failure.stage in ("ImportExampleGen", "StatisticsGen"):
        corrupt = preflight.find_corrupt_file(config, input_base)
        if corrupt is not None:
            return DataError(corrupt)
    return RunFailed(failure.stage, in_one_line(failure.__cause__ or failure))


def _judged(pipeline: Pipeline, results: dict[str, StageResult]) -> RunResult:
    """Returns what the evaluator found, as the result of a run that failed after it."""
    evaluation = output_artifact(pipeline, results["QuantizationEvaluator"], "evaluation")
    path = Path(evaluation.uri) / layout.REPORT_FILE
    report = Report.parse(path.read_bytes(), str(path))
    return RunResult(
        status="failed",
        scheme=report.scheme,
        examples=report.examples,
        rules=report.rules,
        reasons=report.reasons,
        size_bytes=report.size_bytes,
        report=str(path),
        page=str(path.with_name(layout.PAGE_FILE)),
        warnings=_warnings(report),
    )


def _result(pipeline: Pipeline, results: dict[str, StageResult]) -> RunResult:
    judged = _judged(pipeline, results)
    pushed = output_artifact(pipeline, results["Pusher"], "pushed_model")
    note = pushed.get_string_custom_property(layout.PUSH_NOTE)
    notes = (note,) if note else ()
    if pushed.get_int_custom_property(layout.PUSHED) != 1:
        refused = {"status": "refused", "reasons": (*judged.reasons, *notes)}
        return judged.model_copy(update=refused)
    return judged.model_copy(
        update={
            "status": "pushed",
            "pushed_to": pushed.get_string_custom_property(layout.PUSHED_DESTINATION),
            # The page that names the version.
            "page": posixpath.join(pushed.uri, layout.PAGE_FILE),
            "warnings": (*judged.warnings, *notes),
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
