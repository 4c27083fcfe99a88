"""When the converter's process is started, and what is known of each stage."""

from types import SimpleNamespace

import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx.proto.orchestration import pipeline_pb2

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

    def of(upstream: dict[str, tuple[str, ...]]):
        early = Early()
        observer = runners.StageObserver(lambda name: None, lambda result: None)
        leads = runners._upstream_of(compiled(upstream), "TFLiteQuantizer")
        return runners._Progress(observer, early, leads), early

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
