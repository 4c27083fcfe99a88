"""The digits pipeline with three draws of calibration examples, and what is known of it after."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.pipelines.runs.test_shipped_configs import pushed_versions, run_in_process
from tfx_tflite.components.quantization.draws import DrawsReport
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.report.document import Report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("draws")


def run(directory: Path):
    return run_in_process(
        "digits.yaml",
        directory,
        # So few that the draws are not alike.
        "calibration.samples=20",
        "calibration.seeds=3",
        "quantization={scheme: int8, auto: {tuning_samples: 400}}",
    )


@pytest.fixture(scope="module")
def first(directory: Path):
    return run(directory)


def test_the_middle_draw_is_pushed_and_everybody_knows_which_it_is(directory: Path, first):
    result, stages = first
    assert result["status"] == "pushed" and stages["QuantizationTuner"].outcome == "done"
    drops, chosen = result["draws"]["drops"], result["draws"]["chosen"]
    assert len(drops) == 3 and drops[chosen] == np.median(drops)
    assert result["draws"]["spread"] == np.ptp(drops) and result["recipe"] is None
    report = Report.parse(Path(result["report"]).read_bytes(), "report.json")
    [kept] = (directory / "root").rglob("draws.json")
    assert report.draws == DrawsReport.parse(kept.read_bytes(), "draws.json")
    assert (report.draws.split, report.draws.examples, report.draws.size) == ("train", 400, 20)
    assert len({draw.digest for draw in report.draws.draws}) == 3
    version, *_ = pushed_versions(directory)
    manifest = json.loads((directory / "pushed" / version / "manifest.json").read_text())
    assert manifest["model"]["digest"] == report.draws.draws[chosen].digest
    assert manifest["recipe"]["draw"] == chosen and manifest["recipe"]["scheme"] == "int8"
    shipped = (directory / "pushed" / version / "recipe.json").read_bytes()
    assert Recipe.parse(shipped, "recipe.json") == Recipe(Scheme.INT8, draw=chosen)


def test_if_nothing_has_changed_no_draw_is_tried_again(directory: Path, first):
    _, stages = run(directory)
    outcomes = {name: stage.outcome for name, stage in stages.items()}
    assert outcomes.pop("Pusher") == "done" and set(outcomes.values()) == {"cached"}
