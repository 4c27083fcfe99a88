"""A pipeline with `scheme: auto`: searched for, confirmed after a retrain, taken from the cache."""

import json
from pathlib import Path

import pytest

from tests.conftest import CONFIGS
from tests.pipelines.runs.test_shipped_configs import pushed_versions, run_in_process
from tfx_tflite.components.quantization.tuning import TuningReport

pytestmark = pytest.mark.slow

TRAINER = Path(__file__).with_name("unbalanced_trainer.py")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("search")
    for source in (TRAINER, CONFIGS / "digits_trainer.py"):
        (directory / source.name).write_bytes(source.read_bytes())
    return directory


def run(directory: Path, steps: int):
    trainer = f"module_file: {directory / TRAINER.name}, train_steps: {steps}, eval_steps: 2"
    return run_in_process(
        "digits.yaml",
        directory,
        f"model.trainer={{{trainer}}}",
        "quantization={scheme: auto, auto: {tuning_samples: 400}}",
        "gate.rules=[{metric: SparseCategoricalAccuracy, max_drop: 0.03}]",
        "evaluation.metrics=[SparseCategoricalAccuracy]",
    )


def tuning_of(directory: Path) -> TuningReport:
    """Returns what the last search tried."""
    found = sorted((directory / "root").rglob("tuning.json"), key=lambda path: path.stat().st_mtime)
    return TuningReport.parse(found[-1].read_bytes(), "tuning.json")


@pytest.fixture(scope="module")
def first(directory: Path):
    result, stages = run(directory, 120)
    return result, stages, tuning_of(directory)


@pytest.fixture(scope="module")
def second(directory: Path, first):
    result, stages = run(directory, 140)
    return result, stages, tuning_of(directory)


def test_a_net_that_int8_fails_is_pushed_as_int8_with_a_repair(directory: Path, first):
    result, _, tuning = first
    assert result["status"] == "pushed" and result["scheme"] == "int8"
    assert tuning.outcome == "rescued" and not tuning.tried[0].holds and tuning.choice.is_sure
    assert tuning.examples == 400 and tuning.split == "train"


def test_the_manifest_has_the_recipe_and_the_model_is_the_one_that_was_tried(
    directory: Path, first
):
    _, _, tuning = first
    version, *_ = pushed_versions(directory)
    manifest = json.loads((directory / "pushed" / version / "manifest.json").read_text())
    assert manifest["model"]["digest"] == tuning.choice.digest
    assert "equalize" in json.dumps(manifest)


def test_after_a_retrain_the_recipe_is_confirmed_with_one_evaluation(
    directory: Path, first, second
):
    result, stages, tuning = second
    assert stages["QuantizationTuner"].outcome == "done"
    assert result["status"] == "pushed" and len(pushed_versions(directory)) == 2
    assert tuning.outcome == "confirmed" and tuning.evaluations == 1
    before = first[2].choice.recipe
    assert tuning.choice.recipe.repairs == before.repairs and tuning.choice.digest


def test_if_nothing_has_changed_nothing_is_searched_for(directory: Path, second):
    _, stages = run(directory, 140)
    outcomes = {name: stage.outcome for name, stage in stages.items()}
    assert outcomes.pop("Pusher") == "done" and set(outcomes.values()) == {"cached"}
    assert tuning_of(directory) == second[2]
