"""The features of builtin data are known before the data are written."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conftest import CONFIGS
from tfx_tflite.components.examples import first_records
from tfx_tflite.pipelines.checks.builtin_features import records_of
from tfx_tflite.pipelines.cli.main import main


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "breast_cancer", "diabetes"])
def test_they_are_those_that_are_written(name: str, tmp_path: Path):
    from tfx_tflite.pipelines.runs.builtin_data import write_builtin_data

    written = write_builtin_data(name, tmp_path)
    for split in ("train", "eval"):
        found = first_records.read(str(written / split / "data.tfrecord"), "tfrecord")
        assert found.features == records_of(name).features


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("evaluation.label=lable", "--set: evaluation.label: there is no feature 'lable' in split"),
        ("evaluation.slices=[[digit]]", "--set: evaluation.slices.0.0: there is no feature 'digit"),
        ("calibration.stratify_by=lbl", "--set: calibration.stratify_by: there is no feature 'lb"),
    ],
)
def test_a_misspelt_feature_of_a_shipped_config_is_told(override: str, said: str):
    result = CliRunner().invoke(main, ["validate", str(CONFIGS / "digits.yaml"), "--set", override])
    assert result.exit_code == 2 and result.stderr.startswith(f"error: {said}")
