"""Running a TFX pipeline, one stage at a time, and telling an observer of each."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from apache_beam.options.pipeline_options import StandardOptions
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import compiler
from tfx.orchestration import metadata
from tfx.orchestration.beam import beam_dag_runner
from tfx.orchestration.local import local_dag_runner
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import launcher
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.types import Artifact

from tfx_tflite.pipelines.tfx.beam_packages import no_package_of_tfx

# A push looks at the destination every time: what the cache remembers may be gone from there.
NEVER_CACHED = frozenset({"Pusher"})
_CACHED = metadata_store_pb2.Execution.CACHED
_FAILED = metadata_store_pb2.Execution.FAILED


Outcome = Literal["done", "cached", "failed", "interrupted"]


@dataclass(frozen=True)
class StageResult:
    """How a stage went.

    Attributes:
        name: The node's id.
        seconds: Elapsed time.
        outcome: `cached` where its outputs were taken from an earlier run.
        execution_id: Its execution in ML Metadata; None where it did not end well.
    """

    name: str
    seconds: float
    outcome: Outcome
    execution_id: int | None = None


class StageFailed(Exception):
    """A stage failed; the cause is its own exception.

    Args:
        stage: The node's id.
        results: Of the stages before it, by node id.
    """

    def __init__(self, stage: str, results: dict[str, StageResult]):
        super().__init__(stage)
        self.stage = stage
        self.results = results


@dataclass(frozen=True)
class StageObserver:
    """What is told of each stage.

    Attributes:
        started: Called with the node's id.
        ended: Called with the result.
    """

    started: Callable[[str], None]
    ended: Callable[[StageResult], None]


def run_pipeline(
    pipeline: Pipeline, runner: str, observer: StageObserver
) -> dict[str, StageResult]:
    """Runs a pipeline and returns the result of each stage by node id.

    Args:
        pipeline: The pipeline.
        runner: `beam` (TFX's BeamDagRunner) or `local` (LocalDagRunner).
        observer: Is told of each stage.

    Raises:
        StageFailed: A stage failed; those after it were not run.
        KeyboardInterrupt: The run was interrupted.
    """
    compiled = compiler.Compiler().compile(pipeline)
    for node in compiled.nodes:
        if node.pipeline_node.node_info.id in NEVER_CACHED:
            node.pipeline_node.execution_options.caching_options.enable_cache = False
    # Beam's default would first look for a runner to download.
    StandardOptions.DEFAULT_RUNNER = "FnApiRunner"
    dag_runner = (
        beam_dag_runner.BeamDagRunner() if runner == "beam" else local_dag_runner.LocalDagRunner()
    )
    with no_package_of_tfx(), _observed_launches(observer) as record:
        try:
            dag_runner.run_with_ir(compiled)
        except Exception as error:
            # Beam passes on a stage's exception, and Ctrl-C in it, as text alone.
            if record.error is not None and _is_interrupt(record.error):
                raise KeyboardInterrupt from error
            raise StageFailed(record.running, record.results) from (record.error or error)
    return record.results


class _Record:
    """What has happened so far in a run."""

    def __init__(self) -> None:
        self.results: dict[str, StageResult] = {}
        self.running = ""
        self.error: BaseException | None = None


@contextlib.contextmanager
def _observed_launches(observer: StageObserver) -> Iterator[_Record]:
    """Tells an observer of every launch of a node while the block runs.

    Both runners launch nodes through `launcher.Launcher` and offer no hook, so the class is
    replaced by one that reports, for as long as the block runs.
    """
    record = _Record()

    class ObservedLauncher(launcher.Launcher):
        def launch(self) -> Any:
            name = self._pipeline_node.node_info.id
            record.running = name
            observer.started(name)
            start = time.monotonic()
            try:
                info = super().launch()
                state = _execution_state(self._mlmd_connection, info)
                if state == _FAILED:
                    raise RuntimeError(f"{name} did not get its inputs, see the log")
            except BaseException as error:
                record.error = error
                outcome: Outcome = "interrupted" if _is_interrupt(error) else "failed"
                observer.ended(StageResult(name, time.monotonic() - start, outcome))
                raise
            cached = state == _CACHED and self._system_node_handler is None
            result = StageResult(
                name,
                time.monotonic() - start,
                "cached" if cached else "done",
                info.execution_id if info else None,
            )
            record.results[name] = result
            observer.ended(result)
            return info

    original = launcher.Launcher
    launcher.Launcher = ObservedLauncher
    try:
        yield record
    finally:
        launcher.Launcher = original


def _is_interrupt(error: BaseException) -> bool:
    return isinstance(error, KeyboardInterrupt) or "KeyboardInterrupt" in str(error)


def _execution_state(connection: metadata.Metadata, info: Any) -> int | None:
    if info is None or not info.execution_id:
        return None
    with connection as handle:
        [execution] = handle.store.get_executions_by_id([info.execution_id])
    return execution.last_known_state


def output_artifact(pipeline: Pipeline, result: StageResult, key: str) -> Artifact:
    """Returns an artifact that a stage gave, in this run or in the one it was cached from.

    Args:
        pipeline: The pipeline that was run.
        result: The stage's result.
        key: The name of the output.
    """
    with metadata.Metadata(pipeline.metadata_connection_config) as handle:
        outputs = execution_lib.get_output_artifacts(handle, result.execution_id)
    [artifact] = outputs[key]
    return artifact
