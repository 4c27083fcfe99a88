"""What `make engines` takes for the same."""

import json
from pathlib import Path

import pytest

from tools.engines.comparison import NothingToCompareError, differences, outputs

REPORT = {
    "verdict": "blessed",
    "metrics": [{"metric": "Accuracy", "quantized": 0.9}],
    "latency_ms": {"float": 0.1},
    "digests": {"float_model": "sha256:1", "quantized_model": "sha256:2"},
    "lineage": {"examples": "/one/root"},
}


def written(root: Path, number: int, **files: object) -> Path:
    """Writes what a run leaves, below an artifact's id, and returns the root."""
    contents: dict[str, object] = {
        "CalibrationSampler/calibration_examples/{}/sample.json": {},
        "TFLiteQuantizer/quantized_model/{}/ranges.json": {"a": [0, 1]},
        "TFLiteQuantizer/quantized_model/{}/quantization.json": {"scheme": "int8"},
        "TFLiteQuantizer/quantized_model/{}/Format-Serving/tflite": "model",
        "QuantizationEvaluator/evaluation/{}/comparison.json": {},
        "QuantizationEvaluator/evaluation/{}/report.json": REPORT,
        "Pusher/pushed_model/{}/golden/input_0.bin": "golden",
        "Pusher/pushed_model/{}/model.tflite": "model",
    }
    for name, content in contents.items():
        path = root / "artifacts" / name.format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = files.get(path.stem, content)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return root


def found_between(one: Path, other: Path) -> list[str]:
    return list(differences(outputs(one), outputs(other)))


def test_runs_with_other_ids_are_the_same(tmp_path: Path):
    assert found_between(written(tmp_path / "a", 4), written(tmp_path / "b", 5)) == []


def test_times_and_places_of_a_run_are_not_compared(tmp_path: Path):
    report = {
        **REPORT,
        "latency_ms": {"float": 0.2},
        "digests": {**REPORT["digests"], "float_model": "sha256:3"},
        "lineage": {"examples": "/other/root"},
    }
    assert (
        found_between(written(tmp_path / "a", 4), written(tmp_path / "b", 4, report=report)) == []
    )


def test_a_figure_of_the_report_that_differs_is_named(tmp_path: Path):
    report = {**REPORT, "metrics": [{"metric": "Accuracy", "quantized": 0.9000001}]}
    assert found_between(written(tmp_path / "a", 4), written(tmp_path / "b", 4, report=report)) == [
        "QuantizationEvaluator/evaluation/report.json: metrics"
    ]


def test_a_key_that_one_report_lacks_is_named(tmp_path: Path):
    report = {key: value for key, value in REPORT.items() if key != "verdict"}
    assert found_between(written(tmp_path / "a", 4), written(tmp_path / "b", 4, report=report)) == [
        "QuantizationEvaluator/evaluation/report.json: verdict"
    ]


def test_a_nested_key_that_differs_is_named(tmp_path: Path):
    digests = {**REPORT["digests"], "quantized_model": "sha256:9"}
    report = {**REPORT, "digests": digests}
    assert found_between(written(tmp_path / "a", 4), written(tmp_path / "b", 4, report=report)) == [
        "QuantizationEvaluator/evaluation/report.json: digests.quantized_model"
    ]


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"ranges": {"a": [0, 2]}}, "TFLiteQuantizer/quantized_model/ranges.json"),
        ({"sample": {"seed": 1}}, "CalibrationSampler/calibration_examples/sample.json"),
        ({"tflite": "other"}, "TFLiteQuantizer/quantized_model/Format-Serving/tflite"),
        ({"input_0": "other"}, "Pusher/pushed_model/golden/input_0.bin"),
    ],
)
def test_a_file_that_differs_is_named(tmp_path: Path, changed: dict[str, object], name: str):
    assert found_between(written(tmp_path / "a", 4), written(tmp_path / "b", 4, **changed)) == [
        name
    ]


def test_a_file_that_one_run_has_alone_is_named(tmp_path: Path):
    one, other = written(tmp_path / "a", 4), written(tmp_path / "b", 4)
    (other / "artifacts/Pusher/pushed_model/4/golden/input_1.bin").write_text("more")
    assert found_between(one, other) == [
        "Pusher/pushed_model/golden/input_1.bin is of one of them only"
    ]


def test_a_run_that_wrote_nothing_is_not_the_same(tmp_path: Path):
    with pytest.raises(NothingToCompareError, match="CalibrationSampler"):
        outputs(tmp_path)
