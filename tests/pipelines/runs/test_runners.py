"""When the converter's process is started, and what is known of each stage."""

import dataclasses
from types import SimpleNamespace

import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx.proto.orchestration import pipeline_pb2

from tfx_tflite.components.errors import DataError, EngineError
from tfx_tflite.pipelines.engines.jobs import JobFailed
from tfx_tflite.pipelines.runs import runners
from tfx_tflite.pipelines.tfx.patches import Launch

# The chain, with a trained model and a scheme that needs no calibration on the side.
UPSTREAM = {
    "ImportExampleGen": (),
    "StatisticsGen": ("ImportExampleGen",),
    "FloatModel": (),
    "TFLiteQuantizer": ("FloatModel",),
    "QuantizationEvaluator": ("ImportExampleGen", "TFLiteQuantizer"),
}


def compiled(upstream: dict[str, tuple[str, ...]]) -> pipeline_pb2.Pipeline:
    pipeline = pipeline_pb2.Pipeline()
    for name, above in upstream.items():
        node = pipeline.nodes.add().pipeline_node
        node.node_info.id = name
        node.upstream_nodes.extend(above)
    return pipeline


class Early:
    """Counts how often the process is to be started."""

    starts = 0

    def start(self) -> None:
        self.starts += 1


@pytest.fixture
def progress():
    """A run of some nodes whose converter can be started early; returns both."""

    def of(upstream: dict[str, tuple[str, ...]], retries: int = 0, told: list | None = None):
        early = Early()
        ended = (lambda result: None) if told is None else told.append
        observer = runners.StageObserver(lambda name: None, ended)
        leads = runners._upstream_of(compiled(upstream), "TFLiteQuantizer")
        return runners._Progress(observer, early, leads, None, retries), early

    return of


@pytest.mark.parametrize("node", ["FloatModel", "TFLiteQuantizer"])
def test_starts_the_converter_when_a_stage_runs_whose_outputs_lead_to_it(progress, node: str):
    running, early = progress(UPSTREAM)
    running.executes(node)
    assert early.starts == 1


@pytest.mark.parametrize("node", ["ImportExampleGen", "StatisticsGen", "QuantizationEvaluator"])
def test_does_not_start_it_for_what_the_quantizer_does_not_depend_on(progress, node: str):
    running, early = progress(UPSTREAM)
    running.executes(node)
    assert early.starts == 0


def test_follows_the_chain_to_its_beginning(progress):
    running, early = progress({**UPSTREAM, "FloatModel": ("StatisticsGen",)})
    running.executes("ImportExampleGen")
    assert early.starts == 1


def launch(node: str, state: int, is_system_node: bool = False) -> Launch:
    """A launch that comes to an execution of some state."""
    execution = SimpleNamespace(last_known_state=state)

    class Connection:
        store = SimpleNamespace(get_executions_by_id=lambda ids: [execution])

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

    return Launch(node, is_system_node, Connection(), lambda: SimpleNamespace(execution_id=7))


EXECUTION = metadata_store_pb2.Execution


@pytest.mark.parametrize(
    ("launched", "outcome", "is_cacheable"),
    [
        (launch("Trainer", EXECUTION.COMPLETE), "done", True),
        (launch("Trainer", EXECUTION.CACHED), "cached", True),
        (launch("Pusher", EXECUTION.COMPLETE), "done", False),
        (launch("FloatModel", EXECUTION.CACHED, is_system_node=True), "done", False),
    ],
)
def test_a_stage_says_how_it_went(progress, launched: Launch, outcome: str, is_cacheable: bool):
    running, _ = progress(UPSTREAM)
    running.launch(launched)
    result = running.results[launched.node]
    assert (result.outcome, result.is_cacheable, result.execution_id) == (outcome, is_cacheable, 7)


def test_a_stage_without_its_inputs_is_a_failure(progress):
    running, _ = progress(UPSTREAM)
    with pytest.raises(RuntimeError, match="did not get its inputs"):
        running.launch(launch("Trainer", EXECUTION.FAILED))
    assert running.results == {} and running.running == "Trainer"


def failing(times: int, error: Exception) -> Launch:
    """A launch that fails so many times before it comes to an end."""
    ended, left = launch("Trainer", EXECUTION.COMPLETE), [error] * times

    def run() -> object:
        if left:
            raise left.pop()
        return ended.run()

    return dataclasses.replace(ended, run=run)


ENGINE_FAILED = (
    JobFailed("Pipeline failed in state FAILED: call is closed"),
    EngineError("Trainer took longer than beam.stage_time_limit, 60 s"),
)


@pytest.mark.parametrize("error", ENGINE_FAILED)
def test_a_stage_is_done_again_if_the_engine_failed(progress, error: Exception):
    told: list[runners.StageResult] = []
    running, _ = progress(UPSTREAM, 2, told)
    running.launch(failing(2, error))
    again = "failed, tried again"
    assert [result.outcome for result in told] == [again, again, "done"]


@pytest.mark.parametrize("error", ENGINE_FAILED)
def test_it_is_done_again_as_often_as_is_allowed(progress, error: Exception):
    told: list[runners.StageResult] = []
    running, _ = progress(UPSTREAM, 1, told)
    with pytest.raises(type(error)):
        running.launch(failing(2, error))
    assert [result.outcome for result in told] == ["failed, tried again", "failed"]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a fault of this package"),
        DataError("a value is infinite"),
        # As a worker's error comes back from an engine.
        JobFailed(
            "Traceback (most recent call last):\n"
            "tfx_tflite.components.errors.DataError: a value is infinite"
        ),
        JobFailed("Traceback (most recent call last):\nKeyError: 'label'"),
        JobFailed("Pipeline failed in state CANCELLED: unknown error"),
        JobFailed("Pipeline failed in state FAILED: DATA_LOSS: corrupted record at 12"),
    ],
)
def test_what_is_wrong_with_data_or_code_is_not_tried_again(progress, error: Exception):
    told: list[runners.StageResult] = []
    running, _ = progress(UPSTREAM, 2, told)
    with pytest.raises(type(error)):
        running.launch(failing(3, error))
    assert [result.outcome for result in told] == ["failed"]
