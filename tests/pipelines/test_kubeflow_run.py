"""The digits pipeline, compiled for Kubeflow and run as a back end would, pushes a model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CONFIGS

pytestmark = pytest.mark.slow

# Other values than the config's, so that it shows which were taken.
VALUES = {
    "model_trainer_train_steps": 250,
    "calibration_samples": 120,
    "gate_rules_0_max_drop": 0.03,
    "quantization_scheme": "int8_float_io",
}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the containers have the config's files."""
    directory = tmp_path_factory.mktemp("image")
    (directory / "configs").mkdir()
    (directory / "configs" / "digits_trainer.py").write_bytes(
        (CONFIGS / "digits_trainer.py").read_bytes()
    )
    return directory


@pytest.fixture(scope="module")
def compiled(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits pipeline, compiled by the command."""
    path = tmp_path_factory.mktemp("compiled") / "digits.yaml"
    paths = f"{{{CONFIGS}: {image}/configs, {CONFIGS.parent}/pushed: {image}/pushed}}"
    settings = [f"root={path.parent}/root", f"kubeflow.paths={paths}"]
    command = [sys.executable, "-m", "tfx_tflite.pipelines", "compile"]
    command += [str(CONFIGS / "digits.yaml"), "--output", str(path)]
    command += [part for setting in settings for part in ("--set", setting)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def run(compiled: Path, tmp_path_factory: pytest.TempPathFactory):
    from tests.pipelines.kubeflow_harness import OPEN_SOURCE, Harness, read_yaml

    return Harness(
        read_yaml(compiled), tmp_path_factory.mktemp("cluster"), OPEN_SOURCE, VALUES
    ).run()


@pytest.fixture(scope="module")
def report(run) -> dict:
    return json.loads((run.path("QuantizationEvaluator", "evaluation") / "report.json").read_text())


def test_it_ends_in_a_pushed_model_where_the_container_has_the_destination(run, image: Path):
    [version] = (image / "pushed" / "digits").glob("[0-9]*")
    assert (version / "model.tflite").stat().st_size > 0
    pushed = run.artifacts["Pusher", "pushed_model"].metadata
    assert pushed["pushed"] == 1
    assert pushed["pushed_destination"] == str(version)


def test_the_pushed_model_is_of_the_scheme_that_the_run_was_given(run, image: Path):
    [manifest] = (image / "pushed" / "digits").glob("*/manifest.json")
    assert json.loads(manifest.read_text())["scheme"] == "int8_float_io"


def test_the_gate_has_the_margin_that_the_run_was_given(report):
    assert report["verdict"] == "blessed"
    assert report["rules"][0]["bound"] == 0.03


def test_the_calibration_sample_has_the_size_that_the_run_was_given(report):
    assert report["calibration_sample"]["size"] == 120


def test_the_data_has_the_fingerprint_that_the_driver_finds(run):
    examples = run.artifacts["ImportExampleGen", "examples"].metadata
    assert examples["custom:span"] == 0
    assert "split:train,num_files:1" in examples["input_fingerprint"]


def test_kubeflow_can_show_the_report_and_the_figures(run):
    page = run.path("QuantizationEvaluator", "page")
    assert page.is_file() and "<html" in page.read_text()
    figures = run.artifacts["QuantizationEvaluator", "figures"].metadata
    assert figures["SparseCategoricalAccuracy_float"] > 0.9


def test_where_the_back_end_runs_the_driver_and_types_artifacts_the_data_is_the_same(
    run, compiled: Path, tmp_path: Path
):
    from tests.pipelines.kubeflow_harness import VERTEX, Harness, read_yaml

    other = Harness(read_yaml(compiled), tmp_path, VERTEX).run(until="ImportExampleGen")
    names = [
        sorted(path.relative_to(each.path("ImportExampleGen", "examples")).as_posix() for path in
               each.path("ImportExampleGen", "examples").glob("*/*"))
        for each in (run, other)
    ]  # fmt: skip
    assert names[0] == names[1] and len(names[0]) == 2
    metadata = other.artifacts["ImportExampleGen", "examples"].metadata
    assert "split:train,num_files:1" in metadata["input_fingerprint"]


@pytest.fixture(scope="module")
def compiled_for_two_spans(tmp_path_factory: pytest.TempPathFactory, write_records) -> Path:
    """A pipeline on the newest two of three spans, whose data are where containers have them."""
    directory = tmp_path_factory.mktemp("spans")
    for span in (1, 2, 3):
        for split in ("train", "eval"):
            write_records(directory / f"data/span-{span}/{split}/a.tfrecord", [{"x": float(span)}])
    splits = "{train: 'span-{SPAN}/train/*', eval: 'span-{SPAN}/eval/*'}"
    settings = [
        f"root={directory}/root",
        f"data={{input_base: {directory}/data, spans: 2, splits: {splits}}}",
        f"kubeflow.paths={{{CONFIGS.parent}: /app, {directory}/data: {directory}/data}}",
    ]
    path = directory / "p.yaml"
    command = [
        sys.executable,
        "-m",
        "tfx_tflite.pipelines",
        "compile",
        str(CONFIGS / "digits.yaml"),
    ]
    command += [part for setting in settings for part in ("--set", setting)]
    done = subprocess.run([*command, "--output", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return path


@pytest.mark.parametrize("name", ["OPEN_SOURCE", "VERTEX"])
def test_the_newest_spans_are_trained_on_and_the_newest_one_is_evaluated_on(
    compiled_for_two_spans: Path, tmp_path: Path, name: str
):
    import tensorflow as tf

    from tests.pipelines import kubeflow_harness

    backend = getattr(kubeflow_harness, name)
    spec = kubeflow_harness.read_yaml(compiled_for_two_spans)
    run = kubeflow_harness.Harness(spec, tmp_path, backend).run(until="ImportExampleGen")
    examples = run.path("ImportExampleGen", "examples")
    found = {}
    for split in ("train", "eval"):
        files = [str(file) for file in (examples / f"Split-{split}").iterdir()]
        records = tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator()
        read = [tf.train.Example.FromString(record).features.feature["x"] for record in records]
        found[split] = sorted(feature.float_list.value[0] for feature in read)
    assert found == {"train": [2.0, 3.0], "eval": [3.0]}
    assert run.artifacts["ImportExampleGen", "examples"].metadata["custom:span"] == 3
