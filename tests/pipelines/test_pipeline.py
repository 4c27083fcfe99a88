"""Which nodes a config's pipeline has."""

import json
from pathlib import Path

import pytest

from tests.pipelines.config.test_config import MINIMAL
from tfx_tflite.pipelines.config.file import load_config

JUDGED = ["FloatModel", "CalibrationSampler", "TFLiteQuantizer", "QuantizationEvaluator", "Pusher"]


@pytest.fixture
def pipeline(tmp_path: Path):
    """Makes the pipeline of a config."""
    from tfx_tflite.pipelines.pipeline import create_pipeline

    (tmp_path / "c.yaml").write_text(MINIMAL)
    (tmp_path / "schema.pbtxt").write_text("")
    (tmp_path / "model").mkdir()

    def of(*overrides: str):
        config = load_config(tmp_path / "c.yaml", overrides)
        return create_pipeline(config, str(tmp_path / "data"))

    return of


@pytest.fixture
def nodes(pipeline):
    """Returns the ids of a pipeline's nodes and what each takes from others, by id."""
    return lambda *overrides: {
        node.id: {upstream.id for upstream in node.upstream_nodes}
        for node in pipeline(*overrides).components
    }


@pytest.fixture
def settings_of(pipeline):
    """Returns what the stages of a pipeline are asked for, by id."""
    return lambda *overrides: {
        node.id: node.exec_properties.get("settings") for node in pipeline(*overrides).components
    }


def test_a_schema_that_is_inferred_takes_statistics(nodes):
    found = nodes()
    assert found.keys() == {
        "ImportExampleGen",
        "StatisticsGen",
        "SchemaGen",
        *JUDGED,
    }
    assert found["SchemaGen"] == {"StatisticsGen"}


@pytest.mark.parametrize(
    ("overrides", "component"),
    [
        ([], "RecordExampleGen"),
        (["data.shuffle=true"], "ImportExampleGen"),
        (["data.splits={all: '*'}", "data.hash_buckets={train: 2, eval: 1}"], "ImportExampleGen"),
    ],
)
def test_records_are_copied_unless_they_are_shuffled_or_divided(
    pipeline, overrides: list[str], component: str
):
    [example_gen] = [node for node in pipeline(*overrides).components if "ExampleGen" in node.id]
    assert (type(example_gen).__name__, example_gen.id) == (component, "ImportExampleGen")


def test_several_spans_of_records_are_copied_too(pipeline):
    spans = ["data.splits={train: '{SPAN}/t/*', eval: '{SPAN}/e/*'}", "data.spans=2"]
    for overrides, component in (
        (spans, "RollingRecordExampleGen"),
        ([*spans, "data.shuffle=true"], "RollingImportExampleGen"),
    ):
        nodes = {node.id: node for node in pipeline(*overrides).components}
        assert type(nodes["ImportExampleGen"]).__name__ == component


def test_statistics_of_a_sample_have_a_component_of_their_own(pipeline):
    nodes = {node.id: node for node in pipeline("data.statistics=1000").components}
    assert json.loads(nodes["StatisticsGen"].exec_properties["settings"])["sample"] == 1000


@pytest.mark.parametrize("override", [(), ("data.schema=schema.pbtxt",)])
def test_nothing_can_run_beside_the_evaluator_which_measures_latency(nodes, override):
    """Every other stage but the Pusher is one that it waits for."""
    upstream = nodes(*override)
    before: set[str] = set()
    waiting = {"QuantizationEvaluator"}
    while waiting:
        stage = waiting.pop()
        before.add(stage)
        waiting |= upstream[stage] - before
    assert upstream.keys() - before == {"Pusher"}
    assert "QuantizationEvaluator" in upstream["Pusher"]


def test_a_root_that_a_pipeline_with_a_schema_makes_is_its_owners_alone(pipeline, tmp_path: Path):
    """As `compile` does, before any run."""
    pipeline("data.schema=schema.pbtxt")
    assert (tmp_path / "runs").stat().st_mode & 0o777 == 0o700


def test_a_schema_that_is_given_takes_no_statistics(nodes):
    found = nodes("data.schema=schema.pbtxt")
    assert found.keys() == {"ImportExampleGen", "SchemaGen", *JUDGED}
    assert found["SchemaGen"] == set()
    assert "SchemaGen" in found["CalibrationSampler"]


def test_a_scheme_without_calibration_has_no_sampler(nodes):
    assert "CalibrationSampler" not in nodes("quantization.scheme=float16")


@pytest.mark.parametrize(
    ("scheme", "is_there"), [("int8", True), ("int16x8", True), ("auto", True), ("float16", False)]
)
def test_several_draws_are_tried_before_the_model_is_made(nodes, scheme: str, is_there: bool):
    found = nodes("calibration.seeds=3", f"quantization.scheme={scheme}")
    assert ("QuantizationTuner" in found) == is_there
    assert ("QuantizationTuner" in found["TFLiteQuantizer"]) == is_there


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("calibration.samples=10", {"CalibrationSampler"}),
        ("calibration.seeds=3", {"CalibrationSampler", "TFLiteQuantizer"}),
        # Of a random sample the strata are nobody's.
        ("calibration.stratify_by=label", set()),
        ("calibration.ranges=minmax", {"TFLiteQuantizer"}),
        ("quantization.scheme=int8_float_io", {"TFLiteQuantizer"}),
        ("quantization.time_limit=60", {"TFLiteQuantizer"}),
        ("gate.rules.0.max_drop=0.5", {"QuantizationEvaluator"}),
        ("push.golden_samples=3", {"QuantizationEvaluator"}),
        ("push.retention={keep: 3}", {"Pusher"}),
        ("push.approval=required", {"Pusher"}),
        ("model.signature=other", {"TFLiteQuantizer", "QuantizationEvaluator"}),
        ("beam.args=['--runner=FlinkRunner']", set()),
    ],
)
def test_a_key_is_told_to_none_but_the_stages_whose_results_it_changes(
    settings_of, override: str, stages: set[str]
):
    before, after = settings_of(), settings_of(override)
    assert {stage for stage in JUDGED[1:] if before[stage] != after[stage]} == stages


@pytest.mark.parametrize("data_format", ["tfrecord", "csv", "parquet", "npz"])
@pytest.mark.parametrize("spans", [1, 2])
def test_a_single_split_stays_whole_unless_it_is_to_be_divided(
    pipeline, data_format: str, spans: int
):
    def output_config(*overrides: str) -> dict:
        nodes = pipeline(f"data.format={data_format}", *overrides).components
        [example_gen] = [node for node in nodes if node.id.endswith("ExampleGen")]
        return json.loads(example_gen.exec_properties["output_config"])

    one = ["calibration.split=eval", "data.splits={eval: 'e/*'}"]
    if spans == 1:
        assert not output_config(*one).get("split_config", {}).get("splits")
        divided = output_config("data.splits={all: '*'}", "data.hash_buckets={train: 3, eval: 1}")
        buckets = {
            split["name"]: split["hash_buckets"] for split in divided["split_config"]["splits"]
        }
        assert buckets == {"train": 3, "eval": 1}
    else:
        rolled = ["data.splits={train: '{SPAN}/t/*', eval: '{SPAN}/e/*'}", "data.spans=2"]
        assert not output_config(*rolled).get("split_config", {}).get("splits")
