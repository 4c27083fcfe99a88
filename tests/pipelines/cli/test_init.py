"""`tfx-tflite init`: what it writes runs, and nothing is overwritten."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.conftest import CONFIGS, ENVIRONMENT, ROOT
from tests.forked import tfx_tflite
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines.cli.init import silent_libraries
from tfx_tflite.pipelines.cli.main import main
from tfx_tflite.pipelines.config.file import load_config


def init(*arguments: object, answers: str | None = None) -> Result:
    return CliRunner().invoke(main, ["init", *map(str, arguments)], input=answers)


def run(config: Path) -> tuple[int, dict]:
    """Runs a config as a user would; returns the exit code and the JSON."""
    done = tfx_tflite("run", config, "--json")
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "diabetes"])
def test_an_example_is_the_shipped_one_with_its_runs_beside_it(tmp_path: Path, name: str):
    done = init(tmp_path / "mine", "--example", name)
    assert done.exit_code == 0 and f"run it: tfx-tflite run {tmp_path}/mine" in done.output
    found, shipped = (
        load_config(folder / f"{name}.yaml") for folder in (tmp_path / "mine", CONFIGS)
    )
    assert found.root == f"{tmp_path}/mine/runs/{name}"
    assert found.push.destination == f"{tmp_path}/mine/pushed/{name}"
    assert (found.evaluation, found.gate) == (shipped.evaluation, shipped.gate)
    trainer = Path(found.model.trainer.module_file)
    assert trainer.parent == tmp_path / "mine"
    assert trainer.read_bytes() == Path(shipped.model.trainer.module_file).read_bytes()


@pytest.mark.parametrize("present", ["digits.yaml", "digits_trainer.py"])
def test_an_example_overwrites_nothing(tmp_path: Path, present: str):
    (tmp_path / present).write_text("mine")
    done = init(tmp_path, "--example", "digits")
    assert done.exit_code == 2 and f"{present} is there already" in done.output
    assert [path.name for path in tmp_path.iterdir()] == [present]
    assert (tmp_path / present).read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--model is needed, or --example NAME"),
        (["--model", "m"], "--data is needed"),
        (["--example", "digits", "--model", "m"], "give --example, or --model and --data"),
        (["--model", "m", "--data", "nothing.csv"], "--data nothing.csv: no file matches"),
    ],
)
def test_a_call_that_lacks_something_is_told(tmp_path: Path, arguments: list[str], message: str):
    done = init(tmp_path / "mine", *arguments)
    assert done.exit_code == 2 and message in done.output
    assert not (tmp_path / "mine").exists()


@pytest.fixture
def tables(tmp_path: Path, digits_arrays) -> Path:
    """The digits as .npz, a file a split."""
    (tmp_path / "data").mkdir()
    for split, (images, labels) in digits_arrays.items():
        np.savez(tmp_path / "data" / f"{split}.npz", image=images, label=labels)
    return tmp_path / "data"


@pytest.mark.slow
def test_what_is_written_for_arrays_runs_and_says_what_was_decided(
    tmp_path: Path, tables: Path, digits_model: Path
):
    done = init(tmp_path / "mine", "--model", digits_model, "--data", tables)
    assert done.exit_code == 0, done.output
    assert "model: signature 'serving_tensors', takes image [?, 8, 8, 1]" in done.output
    assert "label: label; classification, 10 classes, probabilities" in done.output
    config = load_config(tmp_path / "mine/config.yaml")
    assert config.data.splits == {"train": "train.npz", "eval": "eval.npz"}
    assert config.calibration.stratify_by == "label" and config.evaluation.slices == (("label",),)
    code, document = run(tmp_path / "mine/config.yaml")
    assert (code, document["status"]) == (0, "pushed")


@pytest.mark.slow
def test_what_is_written_for_records_runs(tmp_path: Path, digits_data: Path, digits_model: Path):
    done = init(tmp_path, "--model", digits_model, "--data", digits_data, "--scheme", "float16")
    assert done.exit_code == 0, done.output
    code, document = run(tmp_path / "config.yaml")
    assert (code, document["status"], document["scheme"]) == (0, "pushed", "float16")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model of two columns, and one CSV file with them, a text as label, and another column."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("table")
    rng = np.random.default_rng(0)
    width, height = rng.normal(size=(2, 600)).astype(np.float32)
    kinds = np.array(["flat", "tall"])[(height > width).astype(int)]
    rows = zip(width, height, kinds, rng.integers(0, 9, 600), strict=True)
    lines = [f"{w},{h},{kind},{shop}" for w, h, kind, shop in rows]
    (folder / "boxes.csv").write_text("\n".join(["width,height,kind,shop", *lines, ""]))
    weights = tf.constant([[4.0, -4.0], [-4.0, 4.0]])
    spec = [
        tf.TensorSpec([None, 1], tf.float32, name="width"),
        tf.TensorSpec([None, 1], tf.float32, name="height"),
    ]

    @tf.function(input_signature=spec)
    def serving_default(width, height):
        return {"scores": tf.concat([width, height], 1) @ weights}

    tf.saved_model.save(tf.Module(), str(folder / "model"), {"serving_default": serving_default})
    return folder / "model", folder / "boxes.csv"


@pytest.mark.slow
def test_nothing_is_printed_but_what_was_decided(tmp_path: Path, table):
    """Google's packages say with their import that Python 3.10 ends; TensorFlow 2.21 logs."""
    model, data = table
    arguments = ["init", tmp_path, "--model", model, "--data", data, "--label", "kind"]
    command = [sys.executable, "-m", "tfx_tflite", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_libraries_wrote_is_seen_if_they_fail(capfd: pytest.CaptureFixture[str]):
    with pytest.raises(ZeroDivisionError), silent_libraries():
        os.write(2, b"I0000 a.cc: no GPU\n")
        raise ZeroDivisionError
    print("afterwards", file=sys.stderr)
    assert capfd.readouterr().err == "I0000 a.cc: no GPU\nafterwards\n"


@pytest.mark.parametrize("error", [ConfigError("no label"), KeyboardInterrupt()])
def test_it_is_not_seen_with_a_mistake_of_the_user(
    capfd: pytest.CaptureFixture[str], error: BaseException
):
    with pytest.raises(type(error)), silent_libraries():
        os.write(2, b"I0000 a.cc: no GPU\n")
        raise error
    print("afterwards", file=sys.stderr)
    assert capfd.readouterr().err == "afterwards\n"


@pytest.mark.slow
def test_nothing_else_is_printed_for_a_keras_file_either(tmp_path: Path):
    import keras

    net = keras.Sequential([keras.Input((2,), name="x"), keras.layers.Dense(1, "sigmoid")])
    net.save(tmp_path / "net.keras")
    for split in ("train", "eval"):
        arrays = {"x": np.eye(2, dtype=np.float32), "label": np.array([0, 1])}
        np.savez(tmp_path / f"{split}.npz", **arrays)
    arguments = ["init", tmp_path / "mine", "--model", tmp_path / "net.keras", "--data", tmp_path]
    command = [sys.executable, "-m", "tfx_tflite", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_data_without_a_label_are_refused_by_what_they_lack(tmp_path: Path, table):
    model, _ = table
    (tmp_path / "boxes.csv").write_text("width,height\n" + "1.5,2.5\n" * 40)
    done = init(tmp_path / "mine", "--model", model, "--data", tmp_path / "boxes.csv")
    assert done.exit_code == 2
    assert "the data have no label: every feature is an input (" in done.output
    assert not (tmp_path / "mine").exists()


@pytest.mark.slow
def test_a_model_of_strings_is_refused_by_what_it_takes(tmp_path: Path, table):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="kind")])
    def serving_default(kind):
        return {"length": tf.strings.length(kind)}

    model = tmp_path / "model"
    tf.saved_model.save(tf.Module(), str(model), {"serving_default": serving_default})
    done = init(tmp_path / "mine", "--model", model, "--data", table[1])
    assert (
        "no signature of the model takes batches of numbers: serving_default; strings"
        in done.output
    )
    assert not (tmp_path / "mine").exists()


@pytest.mark.slow
def test_one_csv_file_is_divided_and_texts_are_classes(tmp_path: Path, table):
    model, data = table
    done = init(tmp_path, "--model", model, "--data", data, "--label", "kind")
    assert done.exit_code == 0, done.output
    assert "classes in the order of the alphabet: flat, tall" in done.output
    config = load_config(tmp_path / "config.yaml")
    assert config.data.hash_buckets == {"train": 2, "eval": 1}
    [judged] = config.evaluation.judged
    assert judged.metrics[1].config == {"from_logits": True}
    code, document = run(tmp_path / "config.yaml")
    assert code in (0, 3) and document["rules"][0]["float"] > 0.95
    assert 150 < document["examples"] < 250


@pytest.mark.slow
def test_a_label_that_nothing_tells_is_asked_for_on_a_terminal_only(tmp_path: Path, table):
    model, data = table
    # Both fit two scores, and neither is called a label.
    other = tmp_path / "boxes.csv"
    lines = data.read_text().replace("shop", "heavy").splitlines()
    rows = [f"{line[:-1]}{index % 2}" for index, line in enumerate(lines[1:])]
    other.write_text("\n".join([lines[0], *rows]))
    done = init(tmp_path / "mine", "--model", model, "--data", other)
    assert done.exit_code == 2
    assert "name the label by --label; these would fit: kind, heavy" in done.output
    assert not (tmp_path / "mine").exists()


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory: pytest.TempPathFactory, keras_digits) -> Path:
    """The digits' net as a Keras file."""
    path = tmp_path_factory.mktemp("keras") / "digits.keras"
    keras_digits.save(path)
    return path


@pytest.fixture(scope="module")
def tflite_file() -> Path:
    """A net for the digits that was converted from PyTorch."""
    return ROOT / "tests" / "components" / "models" / "converted" / "torch_digits.tflite"


@pytest.mark.slow
@pytest.mark.parametrize("key", ["keras", "tflite"])
def test_files_of_keras_and_tensorflow_lite_are_models_and_inputs_are_matched(
    tmp_path: Path, tables: Path, digits_arrays, request: pytest.FixtureRequest, key: str
):
    for split, (images, labels) in digits_arrays.items():
        np.savez(tables / f"{split}.npz", pixels=images, label=labels)
    model = request.getfixturevalue(f"{key}_file")
    done = init(tmp_path / "mine", "--model", model, "--data", tables)
    assert done.exit_code == 0, done.output
    assert "is fed by feature 'pixels', the only one of its shape and type" in done.output
    config = load_config(tmp_path / "mine/config.yaml")
    assert getattr(config.model, key) == str(model)
    assert list(config.model.inputs.values()) == ["pixels"]
    code, document = run(tmp_path / "mine/config.yaml")
    assert (code, document["status"]) == (0, "pushed")


@pytest.mark.slow
def test_what_is_no_model_is_told(tmp_path: Path, tables: Path, digits_model: Path):
    (tmp_path / "export").mkdir()
    (tmp_path / "export/1").symlink_to(digits_model)
    done = init(tmp_path / "mine", "--model", tmp_path / "export", "--data", tables)
    assert done.exit_code == 2 and f"{tmp_path}/export/1 is one" in done.output
    done = init(tmp_path / "mine", "--model", tables / "eval.npz", "--data", tables)
    assert done.exit_code in (1, 2) and "error: " in done.output
    assert not (tmp_path / "mine").exists()


@pytest.mark.slow
def test_a_config_is_never_overwritten(tmp_path: Path, tables: Path, digits_model: Path):
    (tmp_path / "config.yaml").write_text("mine")
    done = init(tmp_path, "--model", digits_model, "--data", tables)
    assert done.exit_code == 2 and "config.yaml is there already" in done.output
    assert (tmp_path / "config.yaml").read_text() == "mine"


@pytest.mark.slow
def test_data_that_do_not_feed_the_model_are_told_with_what_is_there(
    tmp_path: Path, digits_model: Path
):
    np.savez(tmp_path / "train.npz", pixels=np.zeros((30, 7)), label=np.zeros(30, int))
    done = init(tmp_path / "mine", "--model", digits_model, "--data", tmp_path / "train.npz")
    assert done.exit_code == 1
    assert "nothing fits image (float32 [?, 8, 8, 1])" in done.output
    assert "pixels (float, 7 values)" in done.output


@pytest.mark.slow
def test_the_wheel_has_what_init_needs(tmp_path: Path):
    source = tmp_path / "source"
    shutil.copytree(
        ROOT,
        source,
        ignore=shutil.ignore_patterns(
            *(".venv*", ".python", ".uv", ".git", ".site", "*.egg-info", "build", "runs", "pushed")
        ),
    )
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    subprocess.run([*pip, *wheel, str(source)], check=True)
    [built] = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(built)], check=True)
    # Before the editable installation of this environment.
    environment = {**ENVIRONMENT, "PYTHONPATH": str(site), "PYTHONNOUSERSITE": "1"}
    command = [sys.executable, "-m", "tfx_tflite", "init", "mine", "--example", "digits"]
    subprocess.run(command, check=True, cwd=tmp_path, env=environment)
    where = [sys.executable, "-c", "import tfx_tflite.pipelines as p; print(p.__file__)"]
    found = subprocess.run(where, check=True, capture_output=True, text=True, env=environment)
    assert found.stdout.startswith(str(site))
    assert (site / "tfx_tflite/pipelines/first_config/config.yaml.j2").is_file()
    assert load_config(tmp_path / "mine/digits.yaml").name == "digits"
