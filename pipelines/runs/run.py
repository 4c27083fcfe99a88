"""One run of a pipeline, from a config to a result. Importing this loads TFX."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tfx.orchestration.pipeline import Pipeline

from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.errors import DataError, TfxTfliteError, in_one_line, user_error_in
from tfx_tflite.pipelines.metadata import store as metadata_store
from tfx_tflite.pipelines.config import preflight
from tfx_tflite.pipelines.config.beam_options import check_beam_args
from tfx_tflite.pipelines.runs.builtin_data import write_builtin_data
from tfx_tflite.pipelines.tfx.cache import cache_of_root
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.pipeline import create_pipeline
from tfx_tflite.pipelines.runs.results import FailedAfterVerdict
from tfx_tflite.pipelines.runs.runners import (
    StageFailed,
    StageObserver,
    StageResult,
    output_artifact,
    run_pipeline,
)


@dataclass(frozen=True)
class RunResult:
    """What came of a run; `to_json` is what `tfx-tflite run --json` prints.

    Attributes:
        status: `pushed`, `refused`, or `failed` if the push failed.
        reasons: Why it was refused.
        report: The evaluation's report.
        report_path: Where it is.
        pushed_to: The directory of the pushed version; None where it was refused.
        warnings: What the user should know of though it is no failure.
    """

    status: str
    reasons: tuple[str, ...]
    report: dict[str, Any]
    report_path: str
    pushed_to: str | None
    warnings: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Returns the contract's keys."""
        return {
            "status": self.status,
            "scheme": self.report["scheme"],
            "examples": self.report["examples"],
            "rules": self.report["rules"],
            "reasons": list(self.reasons),
            "size_bytes": self.report["size_bytes"],
            "pushed_to": self.pushed_to,
            "report": self.report_path,
            "page": str(Path(self.report_path).with_suffix(".html")),
            "warnings": list(self.warnings),
        }


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
        raise FailedAfterVerdict(explained, judged.to_json()) from explained
    return _result(pipeline, results)


def _compared_version(config: PipelineConfig) -> int | None:
    """Returns the pushed version that rules compare with, 0 for none; None without such rules."""
    if not config.gate.against("pushed"):
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
    report_path = Path(evaluation.uri) / "report.json"
    report = json.loads(report_path.read_text(encoding="utf-8"))
    return RunResult(
        status="failed",
        reasons=tuple(report["reasons"]),
        report=report,
        report_path=str(report_path),
        pushed_to=None,
        warnings=_warnings(report),
    )


def _result(pipeline: Pipeline, results: dict[str, StageResult]) -> RunResult:
    judged = _judged(pipeline, results)
    pushed = output_artifact(pipeline, results["Pusher"], "pushed_model")
    note = pushed.get_string_custom_property("push_note")
    notes = (note,) if note else ()
    if pushed.get_int_custom_property("pushed") != 1:
        return replace(judged, status="refused", reasons=(*judged.reasons, *notes))
    return replace(
        judged,
        status="pushed",
        pushed_to=pushed.get_string_custom_property("pushed_destination"),
        warnings=(*judged.warnings, *notes),
    )


def _warnings(report: dict[str, Any]) -> tuple[str, ...]:
    sample, found = report["calibration_sample"], list(report.get("warnings", []))
    if sample and sample["size"] < sample["requested"]:
        found.append(
            f"calibrated with {sample['size']} examples: the split has no more, "
            f"calibration.samples is {sample['requested']}"
        )
    return tuple(found)
