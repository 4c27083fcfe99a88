"""MLPerf Tiny's anomaly task by config alone: an autoencoder, windows of files, an AUC of files."""

from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics as sk
from ai_edge_litert.interpreter import Interpreter

from tests.pipelines.runs.bare_loop import outputs_of_file
from tests.pipelines.runs.kinds import KindOfModel

pytestmark = pytest.mark.slow

WINDOW, WINDOWS, FILES = 64, 12, 60
# A file is anomalous if the machine's tone drifts.
ANOMALOUS = np.arange(FILES) % 3 == 0


def sounds(files: int, anomalous: np.ndarray, seed: int) -> np.ndarray:
    """Returns windows of a machine's sound, float32 of shape (files, WINDOWS, WINDOW)."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi, (files, WINDOWS, 1))
    drift = np.where(anomalous, rng.uniform(0.0, 0.02, files), 0.0)[:, None, None]
    time = np.arange(WINDOW)
    tone = np.sin(phase + time * (0.4 + drift)) + 0.5 * np.sin(2 * phase + time * 0.8)
    return (tone + rng.normal(0, 0.3, tone.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def net():
    import keras

    keras.utils.set_random_seed(3)
    layers = [keras.layers.Dense(size, activation="relu") for size in (32, 8, 32)]
    found = keras.Sequential(
        [keras.Input((WINDOW,), name="x"), *layers, keras.layers.Dense(WINDOW)]
    )
    normal = sounds(60, np.zeros(60, bool), 1).reshape(-1, WINDOW)
    found.compile("adam", "mse")
    found.fit(normal, normal, epochs=30, verbose=0)
    return found


def rows(files: np.ndarray, anomalous: np.ndarray) -> list[dict]:
    """Returns an example a window, the files mixed."""
    found = [
        {"x": window, "file": f"machine {number}.wav", "anomalous": int(anomalous[number])}
        for number, windows in enumerate(files)
        for window in windows
    ]
    order = np.random.default_rng(0).permutation(len(found))
    return [found[place] for place in order]


def test_the_auc_of_files_is_scikit_learns_of_a_bare_loop(net, write_records, tmp_path: Path):
    judged = sounds(FILES, ANOMALOUS, 2)
    normal = np.zeros(20, bool)
    write_records(tmp_path / "data/train/a.tfrecord", rows(sounds(20, normal, 4), normal))
    write_records(tmp_path / "data/eval/a.tfrecord", rows(judged, ANOMALOUS))
    net.export(str(tmp_path / "model"), verbose=False)
    kind = KindOfModel(
        tmp_path,
        tmp_path / "data",
        {"saved_model": str(tmp_path / "model")},
        quantization={"scheme": "int8"},
        evaluation={
            "label": "anomalous",
            "aggregate": {"by": "file", "score": "mean_squared_error", "reduce": "mean"},
            "metrics": ["AUC"],
        },
        gate={
            "min_examples": FILES,
            "min_class_examples": int(ANOMALOUS.sum()),
            "rules": [{"metric": "AUC", "max_drop": 0.2, "confidence": 0.9}],
        },
    )
    result = kind.run()
    [rule] = result.rules
    windows = judged.reshape(-1, WINDOW)
    tflite = Interpreter(str(kind.pushed_file))
    [taken], [given] = tflite.get_input_details(), tflite.get_output_details()
    assert taken["dtype"] == np.int8
    [answers] = outputs_of_file(kind.pushed_file, windows).values()
    scale, zero_point = given["quantization"]
    restored = (answers.astype(np.float32) - zero_point) * np.float32(scale)
    for figure, outputs in (
        (rule.float_value, net.predict(windows, verbose=0)),
        (rule.quantized_value, restored),
    ):
        errors = np.square(outputs.astype(np.float64) - windows).mean(axis=1)
        expected = sk.roc_auc_score(ANOMALOUS, errors.reshape(FILES, WINDOWS).mean(axis=1))
        assert 0.7 < expected < 1
        assert figure == pytest.approx(expected, abs=1e-12)
    assert (rule.examples, rule.groups) == (FILES * WINDOWS, FILES)
    assert "bootstrap" in rule.method and "groups" in rule.method
    assert result.status == "pushed"
