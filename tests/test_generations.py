"""The tests that CI runs on both generations of TFX: what they are to have at least."""

import ast

import pytest

from tests.conftest import ROOT

CHOSEN = {
    "a component that reads new data": "pipelines/runs/test_rolling_pipeline.py",
    "the component that draws the sample": "components/calibration_sampler/test_executor.py",
    "the component that quantizes": "components/tflite_quantizer/test_executor.py",
    "the component that evaluates": "components/quantization_evaluator/test_executor.py",
    "the component that pushes": "components/pusher/test_executor.py",
    "what is used of TFX's inside": "pipelines/tfx/test_patches.py",
    "what is used of the converter's": "components/quantization/conversion/test_tensorflow_lite.py",
    "the interpreters": "components/models/test_runtime.py",
    "digits, whole": "pipelines/runs/test_shipped_configs.py",
    "a rollback": "pipelines/cli/test_destination.py",
    "Kubeflow's compiler": "pipelines/kubeflow/test_compile.py",
    "Beam's portable runner": "pipelines/runs/test_portable_runner.py",
}


@pytest.mark.parametrize("what", CHOSEN)
def test_both_generations_are_tested_on(what: str):
    tree = ast.parse((ROOT / "tests" / CHOSEN[what]).read_text())
    marks = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    assert "generations" in marks
