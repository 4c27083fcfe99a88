"""What a user can get wrong is one clear error; nothing is pushed, nothing half-written is left."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.components.models.reading import with_unused_reader
from tfx_tflite.components.errors import (
    ConfigError,
    ConversionError,
    DataError,
    EvaluationError,
    ModelError,
    PushError,
    TfxTfliteError,
)
from tfx_tflite.pipelines.runs.results import FailedAfterVerdict

pytestmark = pytest.mark.slow

CONFIG = """\
name: bad_input
root: root
data:
  input_base: data
model:
  saved_model: {model}
  signature: serving_tensors
calibration: {{samples: 20}}
quantization: {{scheme: float32}}
evaluation:
  label: label
  metrics: [SparseCategoricalAccuracy]
gate:
  min_examples: 1
  rules:
    - {{metric: SparseCategoricalAccuracy, max_drop: 1}}
push:
  destination: pushed
"""

IMAGE = np.linspace(0, 1, 64, dtype=np.float32)


def rows(count: int = 30, **changes) -> list[dict]:
    """Examples of the digits' form; a change of None leaves a feature out."""
    example = {"image": IMAGE, "label": 1, **changes}
    return [{name: value for name, value in example.items() if value is not None}] * count


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bad_input")


@pytest.fixture
def tmp_path(folder: Path) -> Path:
    """One folder for all tests, with nothing of the test before but the root of its runs.

    So stages whose inputs are those of a test before are taken from TFX's cache, and each test pays
    for what is bad in it.
    """
    for path in folder.iterdir():
        if path.name == "root":
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return folder


@pytest.fixture
def run(tmp_path: Path, digits_model: Path, write_records):
    """Runs a config on examples and returns its JSON."""
    from tfx_tflite.pipelines.config.file import load_config
    from tfx_tflite.pipelines.config.preflight import inspect
    from tfx_tflite.pipelines.runs.run import run as run_once
    from tfx_tflite.pipelines.runs.runners import StageObserver

    def once(
        train=None,
        evaluated=None,
        *overrides: str,
        model=digits_model,
        runner="local",
        takes_from_cache=True,
    ):
        for split, examples in (("train", train), ("eval", evaluated)):
            examples = rows() if examples is None else examples
            write_records(tmp_path / "data" / split / "a.tfrecord", examples)
        path = tmp_path / "c.yaml"
        path.write_text(CONFIG.format(model=model))
        observer = StageObserver(started=lambda name: None, ended=lambda result: None)
        found = inspect(load_config(path, overrides))
        result = run_once(found, runner, observer, takes_from_cache=takes_from_cache)
        return result.to_keys()

    return once


def problem(kind: type[TfxTfliteError], run, tmp_path: Path, *arguments, **settings) -> str:
    """Runs what must fail, and checks that the error is short and nothing was pushed."""
    with pytest.raises(kind) as caught:
        run(*arguments, **settings)
    message = str(caught.value)
    assert len(message.splitlines()) <= 2 and "Traceback" not in message
    assert not (tmp_path / "pushed").exists()
    return message


def test_these_examples_are_fine_when_nothing_is_wrong_with_them(run):
    assert run()["status"] == "pushed"


def test_a_signature_that_is_not_there(run, tmp_path: Path):
    found = problem(ModelError, run, tmp_path, None, None, "model.signature=other")
    assert "no signature 'other'; it has: serving_default, serving_tensors" in found


def test_a_signature_of_serialized_examples(run, tmp_path: Path):
    found = problem(ModelError, run, tmp_path, None, None, "model.signature=serving_default")
    assert "takes strings" in found


@pytest.mark.parametrize("runner", ["local", "beam"])
def test_a_feature_that_the_signature_needs_and_the_examples_lack(run, tmp_path, runner: str):
    lacking = rows(image=None, picture=IMAGE[:60])
    found = problem(DataError, run, tmp_path, lacking, lacking, runner=runner)
    assert "no feature has the name of 'image': image (float32 [?, 8, 8, 1])" in found
    assert "could take none. Features: picture (FLOAT [60])." in found


def test_two_features_that_an_input_could_take(run, tmp_path: Path):
    doubtful = rows(image=None, picture=IMAGE, negative=-IMAGE)
    found = problem(DataError, run, tmp_path, doubtful, doubtful)
    assert "could take negative, picture" in found
    assert "model: {inputs: {image: negative}}" in found


def test_an_input_that_the_config_names_and_the_signature_does_not_have(run, tmp_path: Path):
    found = problem(ModelError, run, tmp_path, None, None, "model.inputs={imag: image}")
    assert "model.inputs: the signature has no input 'imag' (did you mean 'image'?)" in found


def test_a_feature_of_the_wrong_length(run, tmp_path: Path):
    short = rows(image=IMAGE[:60])
    overrides = ["quantization.scheme=int8"]
    found = problem(DataError, run, tmp_path, short, short, *overrides)
    assert "'image' has 60 values in an example, but input 'image'" in found
    assert "[?, 8, 8, 1] (64 values an example)" in found


def test_an_empty_split(run, tmp_path: Path):
    found = problem(DataError, run, tmp_path, None, [])
    assert "split 'eval' holds no examples" in found


@pytest.mark.parametrize("runner", ["local", "beam"])
def test_a_corrupt_tfrecord(run, tmp_path: Path, write_records, runner: str):
    whole = write_records(tmp_path / "data" / "train" / "b.tfrecord", rows()).read_bytes()
    (tmp_path / "data" / "train" / "b.tfrecord").write_bytes(whole[: len(whole) // 2 + 5])
    found = problem(DataError, run, tmp_path, runner=runner)
    assert "train/b.tfrecord is not a whole TFRecord file: it breaks off after 1" in found


def test_a_file_that_is_no_tfrecord_at_all(run, tmp_path: Path):
    (tmp_path / "data" / "train").mkdir(parents=True)
    (tmp_path / "data" / "train" / "0.tfrecord").write_text("a,b\n1,2\n" * 20)
    found = problem(DataError, run, tmp_path)
    assert "train/0.tfrecord is not a whole TFRecord file: it breaks off after 0" in found


def test_a_feature_of_another_type_in_one_record(run, tmp_path: Path):
    mixed = [*rows(7), *rows(1, image=["a picture"]), *rows(7)]
    found = problem(DataError, run, tmp_path, mixed)
    assert f"record 7 of {tmp_path}/data/train/a.tfrecord has BYTES in feature 'image'" in found


def test_a_feature_of_another_type_than_the_schema_says(run, tmp_path: Path):
    (tmp_path / "schema.pbtxt").write_text(SCHEMA)
    mixed = [*rows(7), *rows(1, label=0.5), *rows(7)]
    found = problem(DataError, run, tmp_path, None, mixed, "data.schema=schema.pbtxt")
    assert "record 7 of " in found and "has FLOAT in feature 'label', expected INT" in found
    assert "/Split-eval/data_tfrecord-00000-of-00001.gz" in found


def test_a_model_that_needs_flex_operators(run, tmp_path: Path):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 1], tf.float32, name="image")])
    def serving_tensors(image):
        return {"output": tf.reshape(tf.linalg.inv(tf.squeeze(image, -1)), [-1, 64])}

    model = tmp_path / "flex"
    tf.saved_model.save(tf.Module(), str(model), {"serving_tensors": serving_tensors})
    found = problem(ConversionError, run, tmp_path, model=model)
    assert "no builtin for: MatrixInverse" in found


def test_a_model_that_would_read_files(run, tmp_path: Path, digits_model: Path):
    reading = with_unused_reader(digits_model, tmp_path / "reading")
    message = problem(ConfigError, run, tmp_path, model=reading)
    assert message.startswith(f"model.saved_model: the SavedModel at {reading} has operator ReadFi")
    assert run(None, None, "model.trust=true", model=reading)["status"] == "pushed"


@pytest.mark.parametrize("runner", ["local", "beam"])
def test_a_label_outside_the_outputs_range(run, tmp_path: Path, runner: str):
    found = problem(DataError, run, tmp_path, None, rows(label=10), runner=runner)
    assert "label 'label' is 10 in record " in found
    assert ", but the output has classes 0 to 9" in found


def test_an_output_that_is_not_there(run, tmp_path: Path):
    found = problem(EvaluationError, run, tmp_path, None, None, "evaluation.output=other")
    assert "evaluation.output is 'other'; signature 'serving_tensors' has: probabilities" in found


def test_a_metric_that_tfma_does_not_have(run, tmp_path: Path):
    overrides = ["evaluation.metrics=[NoSuchMetric]"]
    rule = "gate.rules=[{metric: NoSuchMetric, max_drop: 1, direction: lower_is_better}]"
    found = problem(ConfigError, run, tmp_path, None, None, *overrides, rule)
    assert "evaluation.metrics: TFMA cannot make 'NoSuchMetric'" in found


def test_a_slice_by_a_feature_that_is_not_there(run, tmp_path: Path):
    overrides = ["evaluation.slices=[[label], [nothing]]"]
    found = problem(EvaluationError, run, tmp_path, None, None, *overrides)
    assert "evaluation.slices: there is no feature 'nothing'; the schema has: image, label" in found


def test_fewer_examples_than_samples_is_a_warning_with_the_true_count(run):
    document = run(rows(7), None, "quantization.scheme=int8")
    [warning] = document["warnings"]
    assert warning.startswith("calibrated with 7 examples")
    assert "calibration.samples is 20" in warning


def test_infinity_in_a_calibration_example(run, tmp_path: Path):
    image = IMAGE.copy()
    image[5] = np.inf
    bad = [*rows(3), *rows(1, image=image)]
    found = problem(DataError, run, tmp_path, bad, None, "quantization.scheme=int8")
    assert "has infinity in input 'image'" in found


def test_a_destination_that_cannot_be_written(run, tmp_path: Path):
    (tmp_path / "pushed").write_text("a file in the way")
    with pytest.raises((PushError, TfxTfliteError), match=r"push.destination: .*not a directory"):
        run()
    assert (tmp_path / "pushed").read_text() == "a file in the way"


def test_a_push_that_fails_keeps_what_the_evaluation_found(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def no_trial(*arguments, **settings):
        raise PushError("the model was not pushed: it cannot be tried")

    monkeypatch.setattr("tfx_tflite.components.pusher.executor.try_model", no_trial)
    with pytest.raises(FailedAfterVerdict, match="it cannot be tried") as caught:
        run()
    result = caught.value.result.to_keys()
    assert result["status"] == "failed" and result["pushed_to"] is None
    assert [rule["verdict"] for rule in result["rules"]] == ["blessed"]
    assert result["size_bytes"]["quantized"] > 0
    assert Path(result["report"]).is_file() and Path(result["page"]).is_file()
    assert isinstance(caught.value.failure, PushError)


SCHEMA = """\
feature { name: "image" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 64 } } }
feature { name: "label" type: INT presence { min_fraction: 1 } shape { dim { size: 1 } } }
"""


def test_a_schema_of_ones_own_that_is_edited_is_not_answered_from_the_cache(run, tmp_path: Path):
    schema = tmp_path / "schema.pbtxt"
    schema.write_text(SCHEMA)
    assert run(None, None, "data.schema=schema.pbtxt")["status"] == "pushed"
    schema.write_text(SCHEMA.replace('"image"', '"picture"'))
    with pytest.raises(DataError, match=r"'image' .* is not in the examples|is missing in"):
        run(None, None, "data.schema=schema.pbtxt")


def test_a_folder_named_like_a_library_where_the_command_is_run_does_no_harm(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text("raise RuntimeError('the wrong one')")
    monkeypatch.chdir(tmp_path)
    assert run(takes_from_cache=False)["status"] == "pushed"
