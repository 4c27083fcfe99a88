"""Which nodes a config's pipeline has."""

from pathlib import Path

import pytest

from tests.pipelines.config.test_config import MINIMAL
from tfx_tflite.pipelines.config.file import load_config

JUDGED = ["FloatModel", "CalibrationSampler", "TFLiteQuantizer", "QuantizationEvaluator", "Pusher"]


@pytest.fixture
def nodes(tmp_path: Path):
    """Returns the ids of a pipeline's nodes and what each takes from others, by id."""
    from tfx_tflite.pipelines.pipeline import create_pipeline

    (tmp_path / "c.yaml").write_text(MINIMAL)
    (tmp_path / "schema.pbtxt").write_text("")
    (tmp_path / "model").mkdir()

    def of(*overrides: str) -> dict[str, set[str]]:
        config = load_config(tmp_path / "c.yaml", overrides)
        pipeline = create_pipeline(config, str(tmp_path / "data"))
        return {
            node.id: {upstream.id for upstream in node.upstream_nodes}
            for node in pipeline.components
        }

    return of


def test_a_schema_that_is_inferred_takes_statistics(nodes):
    found = nodes()
    assert found.keys() == {
        "ImportExampleGen",
        "StatisticsGen",
        "SchemaGen",
        *JUDGED,
    }
    assert found["SchemaGen"] == {"StatisticsGen"}


def test_a_schema_that_is_given_takes_no_statistics(nodes):
    found = nodes("data.schema=schema.pbtxt")
    assert found.keys() == {"ImportExampleGen", "SchemaGen", *JUDGED}
    assert found["SchemaGen"] == set()
    assert "SchemaGen" in found["CalibrationSampler"]


def test_a_scheme_without_calibration_has_no_sampler(nodes):
    assert "CalibrationSampler" not in nodes("quantization.scheme=float16")
