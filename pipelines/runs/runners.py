"""Running a TFX pipeline, one stage at a time, and telling an observer of each."""

import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import compiler
from tfx.orchestration import metadata
from tfx.orchestration.beam import beam_dag_runner
from tfx.orchestration.local import local_dag_runner
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.proto.orchestration import pipeline_pb2
from tfx.types import Artifact

from tfx_tflite.components.errors import EngineError, user_error_in
from tfx_tflite.components.progress import VARIABLE
from tfx_tflite.components.quantization.conversion.early_start import (
    EarlyConverter,
    early_converter,
)
from tfx_tflite.pipelines.engines.jobs import JobFailed, Jobs
from tfx_tflite.pipelines.runs.damaged_data import may_be_damage
from tfx_tflite.pipelines.runs.split_sizes import tell_split_sizes
from tfx_tflite.pipelines.tfx import patches
from tfx_tflite.pipelines.tfx.forked_workers import ForkedWorkers
from tfx_tflite.pipelines.tfx.training_steps import told_training_steps

# A push looks at the destination every time: what the cache remembers may be gone from there.
NEVER_CACHED = frozenset({"Pusher"})
_QUANTIZER = "TFLiteQuantizer"
# The outputs, of ExampleGen and StatisticsGen, by which the sizes of splits are known.
_WITH_SIZES = ("examples", "statistics")
_CACHED = metadata_store_pb2.Execution.CACHED
_FAILED = metadata_store_pb2.Execution.FAILED


Outcome = Literal["done", "cached", "failed", "failed, tried again", "interrupted"]


@dataclass(frozen=True)
class StageResult:
    """How a stage went.

    Attributes:
        name: The node's id.
        seconds: Elapsed time.
        outcome: `cached` where its outputs were taken from an earlier run.
        execution_id: Its execution in ML Metadata; None if it did not end well.
        is_cacheable: Whether a run that changes nothing takes its outputs from the cache.
    """

    name: str
    seconds: float
    outcome: Outcome
    execution_id: int | None = None
    is_cacheable: bool = False


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
        said: Called with what else people are to know, in a line.
    """

    started: Callable[[str], None]
    ended: Callable[[StageResult], None]
    said: Callable[[str], None] = lambda line: None


def run_pipeline(
    pipeline: Pipeline,
    runner: str,
    observer: StageObserver,
    jobs: Jobs | None = None,
    retries: int = 0,
    workers: ForkedWorkers | None = None,
) -> dict[str, StageResult]:
    """Runs a pipeline and returns the result of each stage by node id.

    Args:
        pipeline: The pipeline.
        runner: `beam` (TFX's BeamDagRunner) or `local` (LocalDagRunner).
        observer: Is told of each stage.
        jobs: What stages give to an engine; None if they do all in this process.
        retries: How often a stage is done again if the engine fails.
        workers: What forks worker processes on this machine, if there are to be any.

    Raises:
        StageFailed: A stage failed; those after it were not run.
        KeyboardInterrupt: The run was interrupted.
    """
    compiled = compiler.Compiler().compile(pipeline)
    for node in compiled.nodes:
        if node.pipeline_node.node_info.id in NEVER_CACHED:
            node.pipeline_node.execution_options.caching_options.enable_cache = False
    dag_runner = (
        beam_dag_runner.BeamDagRunner() if runner == "beam" else local_dag_runner.LocalDagRunner()
    )
    with (
        early_converter() as early,
        patches.no_command_line(),
        patches.named_beam_runner(),
        patches.options_parsed_once(),
        patches.signatures_looked_at_once(),
        patches.no_package_of_tfx(),
        patches.features_in_order(),
        told_training_steps(),
        nullcontext() if jobs is None else patches.kept_jobs(jobs),
        nullcontext() if workers is None else patches.forked_workers(workers),
        patches.observed_launches(
            progress := _Progress(
                observer, early, _upstream_of(compiled, _QUANTIZER), jobs, retries
            )
        ),
    ):
        try:
            dag_runner.run_with_ir(compiled)
        except Exception as error:
            # Beam passes on a stage's exception, and Ctrl-C in it, as text alone.
            if progress.error is not None and _is_interrupt(progress.error):
                raise KeyboardInterrupt from error
            raise StageFailed(progress.running, progress.results) from (progress.error or error)
    return progress.results


def _upstream_of(compiled: pipeline_pb2.Pipeline, node: str) -> frozenset[str]:
    """Returns the ids of a node and of all that it depends on."""
    above = {
        entry.pipeline_node.node_info.id: entry.pipeline_node.upstream_nodes
        for entry in compiled.nodes
    }
    found: set[str] = set()
    waiting = [node]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(above.get(name, ()))
    return frozenset(found)


class _Progress:
    """What has happened so far in a run.

    Args:
        observer: Is told of each stage.
        early: Is started when there will be a conversion.
        leads_to_conversion: The nodes after which there is one, if their outputs are new.
        jobs: Is told of each stage; None if none is given to an engine.
        retries: How often a stage is done again if the engine fails.
    """

    def __init__(
        self,
        observer: StageObserver,
        early: EarlyConverter,
        leads_to_conversion: frozenset[str],
        jobs: Jobs | None,
        retries: int,
    ):
        self._observer = observer
        self._early = early
        self._leads_to_conversion = leads_to_conversion
        self._jobs = jobs
        self._retries = retries
        self.results: dict[str, StageResult] = {}
        self.running = ""
        self.error: BaseException | None = None

    def launch(self, launch: patches.Launch) -> ExecutionInfo | None:
        """Launches a node, and says how long it took and what came of it.

        If the engine fails it is launched again: TFX removes what a failed one left, and gives the
        next one new places for its outputs.
        """
        for _ in range(self._retries):
            try:
                return self._launch_once(launch)
            except Exception as error:
                if not _is_the_engines(error):
                    raise
        return self._launch_once(launch, is_last=True)

    def _launch_once(self, launch: patches.Launch, is_last: bool = False) -> ExecutionInfo | None:
        name = self.running = launch.node
        self.error = None
        if self._jobs is not None:
            self._jobs.begin(name)
        self._observer.started(name)
        start = time.monotonic()
        try:
            info = launch.run()
            state = _execution_state(launch.connection, info)
            if state == _FAILED:
                raise RuntimeError(f"{name} did not get its inputs, see the log")
        except BaseException as error:
            self.error = error
            outcome: Outcome = "interrupted" if _is_interrupt(error) else "failed"
            if not is_last and _is_the_engines(error):
                outcome = "failed, tried again"
            self._observer.ended(StageResult(name, time.monotonic() - start, outcome))
            raise
        self.results[name] = StageResult(
            name,
            time.monotonic() - start,
            "cached" if state == _CACHED and not launch.is_system_node else "done",
            info.execution_id if info else None,
            is_cacheable=not launch.is_system_node and name not in NEVER_CACHED,
        )
        self._observer.ended(self.results[name])
        if info is not None and VARIABLE in os.environ:
            _tell_sizes(launch.connection, info)
        return info

    def executes(self, node: str) -> None:
        """Starts the converter's process if the outputs of a node lead to a conversion."""
        if node in self._leads_to_conversion:
            self._early.start()


def _is_the_engines(error: BaseException) -> bool:
    """Returns whether the engine failed, and not the data, the model or this package."""
    cause = user_error_in(error)
    if cause is not None:
        return isinstance(cause, EngineError)
    return isinstance(error, JobFailed) and not (
        # A worker says what it raised, and Beam that somebody else cancelled the job.
        "Traceback (most recent call last)" in str(error)
        or "in state CANCELLED" in str(error)
        or may_be_damage(error)
    )


def _tell_sizes(connection: metadata.Metadata, info: ExecutionInfo) -> None:
    """Tells how many examples the splits have, if the outputs of a stage say it."""
    if not any(key in info.output_dict for key in _WITH_SIZES):
        return
    with connection as handle:
        # TFX's own objects lack what the executor recorded of them.
        outputs = execution_lib.get_output_artifacts(handle, info.execution_id)
    for key in _WITH_SIZES:
        for artifact in outputs.get(key, ()):
            tell_split_sizes(artifact)


def _is_interrupt(error: BaseException) -> bool:
    return isinstance(error, KeyboardInterrupt) or "KeyboardInterrupt" in str(error)


def _execution_state(connection: metadata.Metadata, info: ExecutionInfo | None) -> int | None:
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
