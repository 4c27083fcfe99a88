"""Set-ups as a user would break them: each is found before a run, with its line, and only it."""

import gzip
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.conftest import CONFIGS, ROOT
from tfx_tflite.components.errors import ConfigError, DataError, TfxTfliteError
from tfx_tflite.pipelines.checks import targets
from tfx_tflite.pipelines.checks.table import checked
from tfx_tflite.pipelines.cli.main import main
from tfx_tflite.pipelines.config.file import ConfigFile

CONFIG = """\
name: broken
root: runs
data:
  input_base: data
model:
  saved_model: model
  signature: serving_tensors
calibration:
  samples: 5
  strategy: stratified
  stratify_by: label
evaluation:
  label: label
  metrics:
  - SparseCategoricalAccuracy
  slices:
  - [country]
gate:
  rules:
  - {metric: SparseCategoricalAccuracy, max_drop: 0.01}
beam:
  args:
  - --runner=FnApiRunner
push:
  destination: pushed
"""
TRAINED = CONFIG.replace(
    "  saved_model: model\n",
    "  trainer: {module_file: trainer.py, train_steps: 1, eval_steps: 1}\n",
)
TRAINER = Path(__file__).with_name("trainer.py").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, write_records) -> Path:
    """A directory with a config, its data, its model and a trainer, in which nothing is wrong."""
    import tensorflow as tf

    image = tf.TensorSpec([None, 2, 2], tf.float32, name="image")

    @tf.function(input_signature=[image])
    def serving_tensors(image):
        return {"scores": tf.nn.softmax(tf.reshape(image, [-1, 4]))}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serving_default(examples):
        feature = tf.io.FixedLenFeature([2, 2], tf.float32)
        return serving_tensors(tf.io.parse_example(examples, {"image": feature})["image"])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def preprocess(examples):
        features = {
            "image": tf.io.FixedLenFeature([2, 2], tf.float32),
            "label": tf.io.FixedLenFeature([], tf.int64),
        }
        parsed = tf.io.parse_example(examples, features)
        return {"image": parsed["image"] / 2.0, "kind": parsed["label"]}

    folder = tmp_path_factory.mktemp("whole")
    signatures = {
        "serving_tensors": serving_tensors,
        "serving_default": serving_default,
        "preprocess": preprocess,
    }
    tf.saved_model.save(tf.Module(), str(folder / "model"), signatures)
    for split in ("train", "eval"):
        write_records(folder / "data" / split / "a.tfrecord", rows())
    write_records(folder / "narrow.tfrecord", rows(image=np.zeros(3, np.float32)))
    write_records(folder / "pairs.tfrecord", rows(country=["de", "at"]))
    (folder / "c.yaml").write_text(CONFIG)
    (folder / "trainer.py").write_text(TRAINER)
    (folder / "layers.py").write_text("def build(): ...\n")
    return folder


def rows(**changes) -> list[dict]:
    """Examples that the model takes."""
    return [{"image": np.ones(4, np.float32), "label": 1, "country": "de", **changes}] * 6


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy that may be broken."""
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    return copy


def messages(folder: Path, kind: type[TfxTfliteError] = ConfigError) -> list[str]:
    """Returns the lines that are said of a config, without the folder that it is in."""
    with pytest.raises(kind) as caught:
        checked(ConfigFile.read(folder / "c.yaml"))
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def edit(old: str, new: str) -> Callable[[Path], None]:
    """Returns what replaces a text of the config."""
    assert old in CONFIG

    def change(folder: Path) -> None:
        (folder / "c.yaml").write_text(CONFIG.replace(old, new, 1))

    return change


def with_trainer(old: str, new: str) -> Callable[[Path], None]:
    """Returns what has the model trained, by a trainer in which a text is replaced."""
    assert old in TRAINER

    def change(folder: Path) -> None:
        (folder / "c.yaml").write_text(TRAINED)
        (folder / "trainer.py").write_text(TRAINER.replace(old, new, 1))

    return change


def write(name: str, content: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Returns what changes the bytes of a file."""

    def change(folder: Path) -> None:
        (folder / name).write_bytes(content((folder / name).read_bytes()))

    return change


def text_as_data(folder: Path) -> None:
    for split in ("train", "eval"):
        (folder / "data" / split / "a.tfrecord").write_text("image,label\n0,1\n" * 9)


def narrow_data(folder: Path) -> None:
    for split in ("train", "eval"):
        shutil.copy(folder / "narrow.tfrecord", folder / "data" / split / "a.tfrecord")


def two_groups_an_example(folder: Path) -> None:
    edit("  slices:", "  group_by: country\n  slices:")(folder)
    shutil.copy(folder / "pairs.tfrecord", folder / "data" / "eval" / "a.tfrecord")


def scores_of_groups(aggregate: str) -> Callable[[Path], None]:
    """Returns what has groups judged by the scores of their examples."""
    judged = CONFIG[CONFIG.index("  metrics:") : CONFIG.index("beam:")]
    return edit(
        judged,
        f"  metrics: [AUC]\n  aggregate: {{by: country, {aggregate}}}\n"
        "gate:\n  rules:\n  - {metric: AUC, max_drop: 0.01}\n",
    )


def a_file_in_the_way(folder: Path) -> None:
    (folder / "pushed").write_text("not a directory")


def with_file(batch_size: int | None) -> Callable[[Path], None]:
    """Returns what takes a TensorFlow Lite file of some batch size, for a microcontroller."""

    def change(folder: Path) -> None:
        import tensorflow as tf

        image = tf.TensorSpec([batch_size, 2, 2], tf.float32, name="image")
        function = tf.function(lambda image: {"scores": image + 1.0}, input_signature=[image])
        tf.saved_model.save(tf.Module(), str(folder / "f"), {"serving_tensors": function})
        converter = tf.lite.TFLiteConverter.from_saved_model(
            str(folder / "f"), signature_keys=["serving_tensors"]
        )
        (folder / "m.tflite").write_bytes(converter.convert())
        text = CONFIG.replace("saved_model: model", "tflite: m.tflite")
        target = "target: {runtime: tflite-micro}\ncalibration:"
        (folder / "c.yaml").write_text(text.replace("calibration:", target))

    return change


@dataclass(frozen=True)
class Setup:
    """A set-up that is broken.

    Attributes:
        breaks: Breaks a copy of the whole one.
        said: The lines that are said of it.
        error: What they are raised as.
    """

    breaks: Callable[[Path], None]
    said: tuple[str, ...]
    error: type[TfxTfliteError] = ConfigError


SETUPS = {
    "a signature that is misspelt": Setup(
        edit("serving_tensors", "serving_tensor"),
        (
            "c.yaml:7: model.signature: the model has no signature 'serving_tensor'; did you mean "
            "'serving_tensors'?",
        ),
    ),
    "a signature of serialized examples": Setup(
        edit("serving_tensors", "serving_default"),
        (
            "c.yaml:7: model.signature: input 'examples' of signature 'serving_default' takes "
            "strings (serialized tf.Examples?), which TensorFlow Lite cannot parse; name one that "
            "takes tensors: serving_tensors",
        ),
    ),
    "a label that is misspelt": Setup(
        edit("label: label", "label: lable"),
        (
            "c.yaml:13: evaluation.label: there is no feature 'lable' in split 'eval'; did you "
            "mean 'label'?",
        ),
    ),
    "a label input that is misspelt": Setup(
        edit("label: label", "label: {input: imagge}"),
        (
            "c.yaml:13: evaluation.label: signature 'serving_tensors' has no input 'imagge'; did "
            "you mean 'image'?",
        ),
    ),
    "stratify_by that is misspelt": Setup(
        edit("stratify_by: label", "stratify_by: labels"),
        (
            "c.yaml:11: calibration.stratify_by: there is no feature 'labels' of split 'train'; "
            "did you mean 'label'?",
        ),
    ),
    "a slice that is misspelt": Setup(
        edit("[country]", "[label, county]"),
        (
            "c.yaml:17: evaluation.slices.0.1: there is no feature 'county' of split 'eval'; did "
            "you mean 'country'?",
        ),
    ),
    "groups by a feature that is misspelt": Setup(
        edit("  slices:", "  group_by: countri\n  slices:"),
        (
            "c.yaml:16: evaluation.group_by: feature 'countri' is not in every example of split "
            "'eval'; did you mean 'country'?",
        ),
    ),
    "groups by numbers that are not whole": Setup(
        edit("  slices:", "  group_by: image\n  slices:"),
        (
            "c.yaml:16: evaluation.group_by: feature 'image' holds numbers that need not be whole; "
            "groups are strings or whole numbers",
        ),
    ),
    "several groups in an example": Setup(
        two_groups_an_example,
        (
            "c.yaml:16: evaluation.group_by: feature 'country' has 2 values in an example of split "
            "'eval', expected one: the example's group",
        ),
    ),
    "a score that is several values": Setup(
        scores_of_groups("score: output"),
        (
            "c.yaml:15: evaluation.aggregate.score: is output, but output 'scores' has 4 values an "
            "example, and a score is one",
        ),
    ),
    "a score that is an error from texts": Setup(
        scores_of_groups("score: mean_squared_error, target: country"),
        (
            "c.yaml:15: evaluation.aggregate.target: feature 'country' holds texts or bytes; a "
            "target is numbers",
        ),
    ),
    "a score that is an error from something of another size": Setup(
        scores_of_groups("score: mean_squared_error, target: label"),
        (
            "c.yaml:15: evaluation.aggregate.target: feature 'label' has 1 values in an example, "
            "but output 'scores' has 4",
        ),
    ),
    "a metric that is misspelt": Setup(
        edit("  - SparseCategoricalAccuracy", "  - AUC\n  - SparseCategoricalAccuracy\n  - Auc_Pr"),
        (
            "c.yaml:17: evaluation.metrics.2: neither TFMA nor Keras has a metric 'Auc_Pr'; did "
            "you mean 'AUC'?",
        ),
    ),
    "an output that is misspelt": Setup(
        edit("label: label", "label: label\n  output: score"),
        (
            "c.yaml:14: evaluation.output: signature 'serving_tensors' has no output 'score'; did "
            "you mean 'scores'?",
        ),
    ),
    "features of another size": Setup(
        narrow_data,
        tuple(
            f"c.yaml:7: model.signature: feature 'image' of split '{split}' has 3 values in an "
            "example, but the input has shape [?, 2, 2] (4 values an example)"
            for split in ("train", "eval")
        ),
    ),
    "data that are cut off": Setup(
        write("data/eval/a.tfrecord", lambda content: content[:-7]),
        (
            "c.yaml:3: data.splits.eval: data/eval/a.tfrecord is not a whole TFRecord file: it "
            "breaks off after 5 examples",
        ),
        DataError,
    ),
    "a split without examples": Setup(
        write("data/eval/a.tfrecord", lambda content: b""),
        ("c.yaml:3: data.splits.eval: split 'eval' holds no examples",),
        DataError,
    ),
    "gzipped data under a plain name": Setup(
        write("data/train/a.tfrecord", gzip.compress),
        (
            "c.yaml:3: data.splits.train: data/train/a.tfrecord is gzipped, but its name does not "
            "end in .gz; rename it",
        ),
        DataError,
    ),
    "format csv on TFRecords": Setup(
        edit("input_base: data", "input_base: data\n  format: csv"),
        tuple(
            f"c.yaml:3: data.splits.{split}: data/{split}/a.tfrecord is not CSV but binary; "
            "TFRecords need data.format: tfrecord"
            for split in ("train", "eval")
        ),
        DataError,
    ),
    "CSV without format csv": Setup(
        text_as_data,
        tuple(
            f"c.yaml:3: data.splits.{split}: data/{split}/a.tfrecord is a text file, not "
            "TFRecords; CSV needs data.format: csv"
            for split in ("train", "eval")
        ),
        DataError,
    ),
    "a runner that is misspelt": Setup(
        edit("FnApiRunner", "FlinkRuner"),
        ("c.yaml:22: beam.args: Beam has no runner 'FlinkRuner'; did you mean FlinkRunner?",),
    ),
    "an option of Beam that is misspelt": Setup(
        edit("=FnApiRunner", "=FnApiRunner\n  - --direct_num_worker=2"),
        (
            "c.yaml:22: beam.args: Beam has no option --direct_num_worker; did you mean "
            "--direct_num_workers?",
        ),
    ),
    "a file system that does not exist": Setup(
        edit("destination: pushed", "destination: s4://bucket/models"),
        (
            "c.yaml:25: push.destination: there is no file system for s4://; there are: abfs, "
            "abfss, az, file, gs, s3",
        ),
    ),
    "a destination that cannot be written": Setup(
        a_file_in_the_way, ("c.yaml:25: push.destination: pushed is not a directory",)
    ),
    "a trainer that does not parse": Setup(
        with_trainer("def run_fn(fn_args):", "def run_fn(fn_args)"),
        (
            "c.yaml:6: model.trainer.module_file: trainer.py:12: expected ':'; it cannot be "
            "imported",
        ),
    ),
    "a trainer without run_fn": Setup(
        with_trainer("def run_fn", "def run"),
        (
            "c.yaml:6: model.trainer.module_file: trainer.py has no function run_fn(fn_args), "
            "which TFX calls; did you mean 'run'?",
        ),
    ),
    "a trainer that imports what is not there": Setup(
        with_trainer("import layers", "import layer"),
        (
            "c.yaml:6: model.trainer.module_file: trainer.py:3: there is no module 'layer', "
            "neither installed nor in FOLDER; did you mean 'layers'?",
        ),
    ),
    "a scheme that TensorFlow Lite Micro does not run": Setup(
        edit(
            "calibration:",
            "quantization: {scheme: dynamic_range}\ntarget: {runtime: tflite-micro}\ncalibration:",
        ),
        (
            "c.yaml:8: quantization.scheme: is dynamic_range, but TensorFlow Lite Micro has no "
            "kernels that compute in float with int8 weights (target tflite-micro); take int8, "
            "int16x8, int8_float_io or float32",
        ),
    ),
    "a scheme that an accelerator does not run": Setup(
        edit(
            "calibration:",
            "quantization: {scheme: float32}\ntargets:\n- {runtime: litert}\n"
            "- {accelerator: ethos-u55-128}\ncalibration:",
        ),
        (
            "c.yaml:8: quantization.scheme: is float32, but ethos-u55-128 computes with integers "
            "alone (target litert, ethos-u55-128); take int8 or int16x8",
        ),
    ),
    "a TensorFlow Lite file with a batch of any size for a microcontroller": Setup(
        with_file(None),
        (
            "c.yaml:6: model.tflite: input 'image' takes a batch of any size, but target "
            "tflite-micro needs a fixed one; convert the model again with a batch size of 1",
        ),
    ),
    "a TensorFlow Lite file with another batch size than the config": Setup(
        with_file(4),
        (
            "c.yaml:6: model.tflite: input 'image' takes 4 examples at once, and target "
            "tflite-micro is given 1; set quantization.batch_size: 4",
        ),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SETUPS)
def test_a_broken_setup_is_found_with_its_line(folder: Path, name: str):
    setup = SETUPS[name]
    setup.breaks(folder)
    said = [line.replace(str(folder), "FOLDER") for line in messages(folder, setup.error)]
    assert tuple(said) == setup.said


def test_the_table_has_31_kinds_of_them():
    assert len(SETUPS) == 31


@pytest.mark.slow
def test_nothing_is_found_where_nothing_is_wrong(folder: Path):
    assert checked(ConfigFile.read(folder / "c.yaml")).warnings == ()
    (folder / "c.yaml").write_text(TRAINED)
    assert checked(ConfigFile.read(folder / "c.yaml")).warnings == ()


@pytest.mark.slow
def test_a_misspelt_metric_is_not_told_again_of_its_rule(folder: Path):
    edit("  - SparseCategoricalAccuracy", "  - SparseCategoricalAcuracy")(folder)
    [line] = messages(folder)
    assert line.startswith("c.yaml:15: evaluation.metrics.0: neither TFMA nor Keras has a metric ")
    assert line.endswith("did you mean 'SparseCategoricalAccuracy'?")


KERAS_FILES = ["m.keras", "m.h5"]


@pytest.mark.slow
@pytest.mark.parametrize("name", KERAS_FILES)
def test_a_keras_file_in_place_of_a_saved_model_is_told_with_the_way_out(folder: Path, name: str):
    (folder / name).write_bytes(b"PK")
    edit("saved_model: model", f"saved_model: {name}")(folder)
    [line] = messages(folder)
    assert line.startswith(
        f"c.yaml:6: model.saved_model: {name} is a Keras file"
    ) and line.endswith("give it as model.keras")


@pytest.mark.slow
def test_the_folder_above_a_saved_model_is_told_with_the_one_below(folder: Path):
    (folder / "models").mkdir()
    (folder / "model").rename(folder / "models" / "1")
    edit("saved_model: model", "saved_model: models")(folder)
    [line] = messages(folder)
    assert line == "c.yaml:6: model.saved_model: models holds a SavedModel in 1/; name models/1"


@pytest.mark.slow
def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(folder: Path):
    text = CONFIG.replace("label: label", "label: lable").replace("FnApi", "Fn")
    text = text.replace("samples: 5", "sampels: 5").replace("serving_tensors", "serving")
    (folder / "c.yaml").write_text(text)
    assert [line.split(": ")[:2] for line in messages(folder)] == [
        ["c.yaml:7", "model.signature"],
        ["c.yaml:9", "calibration.sampels"],
        ["c.yaml:13", "evaluation.label"],
        ["c.yaml:22", "beam.args"],
    ]


@pytest.mark.slow
def test_evaluating_on_what_was_trained_on_is_a_warning(folder: Path):
    splits = 'input_base: data\n  splits: {train: "*/*", eval: "eval/*"}'
    (folder / "c.yaml").write_text(CONFIG.replace("input_base: data", splits))
    [warning] = checked(ConfigFile.read(folder / "c.yaml")).warnings
    assert warning.startswith(f"{folder}/c.yaml:5: data.splits.train: has 1 files in common with")
    result = CliRunner().invoke(main, ["validate", str(folder / "c.yaml")])
    assert result.exit_code == 0 and f"warning: {warning}\n" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", ["validate", "run"])
def test_both_commands_say_it_before_anything_is_loaded(folder: Path, command: str):
    edit("label: label", "label: lable")(folder)
    script = (
        "import sys\n"
        "from tfx_tflite.pipelines.cli.main import main\n"
        f"try: main({[command, str(folder / 'c.yaml')]!r})\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = ('tensorflow', 'tfx', 'apache_beam')\n"
        "print(code, [name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "2 []\n"
    assert done.stderr.startswith(f"error: {folder}/c.yaml:13: evaluation.label: there is no")


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_not_called_wrong(folder: Path):
    (folder / "data/eval/a.tfrecord").chmod(0)
    [line] = messages(folder, TfxTfliteError)
    assert "cannot read data/eval/a.tfrecord: Permission denied" in line


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_nothing_is_found_in_the_shipped_configs(path: Path):
    assert checked(ConfigFile.read(path)).warnings == ()


PREPROCESSED = edit("serving_tensors", "serving_tensors\n  preprocessing_signature: preprocess")
RIGHT = {
    "a label that a preprocessing signature gives": [PREPROCESSED, ("label: label", "label: kind")],
    "a label that is a feature beside a preprocessing signature": [PREPROCESSED],
    "a label that is an input": [("label: label", "label: {input: image}")],
    "an output that is named": [("label: label", "label: label\n  output: scores")],
    "several outputs": [
        (
            "  label: label\n  metrics:\n  - SparseCategoricalAccuracy",
            "  outputs:\n  - {output: scores, label: label, metrics: [SparseCategoricalAccuracy]}",
        )
    ],
    "metrics by other names": [
        ("  - SparseCategoricalAccuracy", "  - SparseCategoricalAccuracy\n  - TPR\n  - MeanIoU")
    ],
    "a runner in other letters": [("--runner=FnApiRunner", "--runner=direct")],
    "a runner of one's own": [("--runner=FnApiRunner", "--runner=my.package.Runner")],
    "options with values of their own": [
        ("--runner=FnApiRunner", "--direct_num_workers\n  - '2'\n  - --runner=FnApiRunner")
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RIGHT)
def test_nothing_is_found_in_set_ups_that_are_right(folder: Path, name: str):
    for change in RIGHT[name]:
        if callable(change):
            change(folder)
        else:
            text = (folder / "c.yaml").read_text()
            assert change[0] in text
            (folder / "c.yaml").write_text(text.replace(*change, 1))
    assert checked(ConfigFile.read(folder / "c.yaml")).warnings == ()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("preprocess", "preproces", "model.preprocessing_signature: the model has no signature"),
        ("label: label", "label: knid", "evaluation.label: .*; did you mean 'kind'?"),
        (": preprocess", ": serving_default", "model.preprocessing_signature: .* does not give im"),
        (": preprocess", ": serving_tensors", "model.preprocessing_signature: .* takes image, exp"),
    ],
)
def test_a_preprocessing_signature_that_is_wrong_is_told(
    folder: Path, old: str, new: str, said: str
):
    PREPROCESSED(folder)
    text = (folder / "c.yaml").read_text()
    at = text.rindex(old) if old != "label: label" else text.index("  label: label")
    (folder / "c.yaml").write_text(text[:at] + text[at:].replace(old, new, 1))
    assert re.match(rf"c.yaml:\d+: {said}", messages(folder)[0])


@pytest.mark.slow
def test_a_feature_that_only_later_examples_have_is_a_warning(folder: Path, write_records):
    examples = rows() * 9
    write_records(folder / "data/eval/a.tfrecord", [*examples, *rows(device="phone")])
    edit("[country]", "[country, device]")(folder)
    [warning] = checked(ConfigFile.read(folder / "c.yaml")).warnings
    assert "there is no feature 'device' in the first examples of split 'eval'" in warning


@pytest.mark.slow
def test_data_in_a_store_are_not_looked_at(folder: Path):
    edit("input_base: data", "input_base: gs://bucket/data")(folder)
    assert checked(ConfigFile.read(folder / "c.yaml")).warnings == ()


@pytest.mark.slow
def test_an_input_that_is_misspelt_is_told(folder: Path):
    edit("serving_tensors", "serving_tensors\n  inputs: {imag: image}")(folder)
    [line] = messages(folder)
    assert line == (
        "c.yaml:8: model.inputs.imag: signature 'serving_tensors' has no input 'imag'; did you "
        "mean 'image'?"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "is_right"),
    [(b"", False), (b"PK\x03\x04rest", True), (b"\x89HDF\r\n\x1a\nrest", True), (b"text", False)],
)
def test_a_keras_file_begins_as_keras_writes_it(folder: Path, content: bytes, is_right: bool):
    (folder / "m.keras").write_bytes(content)
    edit("saved_model: model", "keras: m.keras")(folder)
    if is_right:
        assert checked(ConfigFile.read(folder / "c.yaml")).warnings == ()
    else:
        [line] = messages(folder)
        assert (
            line == "c.yaml:6: model.keras: m.keras is no file that Keras' model.save has written"
        )


@pytest.mark.slow
@pytest.mark.parametrize("place", ["input_base: data", "destination: pushed"])
def test_a_uri_that_lacks_a_slash_is_told_once(folder: Path, place: str):
    key = place.partition(":")[0]
    edit(place, f"{key}: s3:/bucket/place")(folder)
    [line] = messages(folder)
    assert line.endswith(f"{key}: write s3://bucket/place, with two slashes")


@pytest.mark.slow
def test_what_only_an_image_of_kubeflow_has_is_a_warning(folder: Path):
    with_trainer("import layers", "import only_in_the_image")(folder)
    text = (folder / "c.yaml").read_text()
    (folder / "c.yaml").write_text(f"{text}kubeflow: {{image: i}}\n")
    [warning] = checked(ConfigFile.read(folder / "c.yaml")).warnings
    assert "there is no module 'only_in_the_image'" in warning


@pytest.mark.parametrize(
    "imports",
    [
        "import contextlib\nwith contextlib.suppress(ImportError):\n    import no_such_module\n",
        "import sys\nsys.path.insert(0, '/opt/models')\nimport no_such_module\n",
        "from sys import path\npath.append('/opt/models')\nimport no_such_module\n",
    ],
)
def test_an_import_that_may_well_succeed_is_no_error(folder: Path, imports: str):
    with_trainer("", imports)(folder)
    found = checked(ConfigFile.read(folder / "c.yaml"))
    assert all("no_such_module" in line for line in found.warnings)


def test_empty_files_before_others_are_no_split_without_examples(folder: Path, write_records):
    later = folder / "data/eval/z.tfrecord"
    (folder / "data/eval/a.tfrecord").rename(later)
    for number in range(20):
        write_records(folder / f"data/eval/a-{number:02}.tfrecord", [])
    assert checked(ConfigFile.read(folder / "c.yaml")).warnings == ()
    later.write_bytes(b"")
    assert "split 'eval' holds no examples" not in "".join(
        checked(ConfigFile.read(folder / "c.yaml")).warnings
    )


def test_a_feature_that_only_a_file_that_was_not_looked_at_has_is_a_warning(
    folder: Path, write_records
):
    edit("- [country]", "- [size]")(folder)
    for number in range(20):
        write_records(folder / f"data/eval/b-{number:02}.tfrecord", rows())
    write_records(folder / "data/eval/c.tfrecord", rows(size=1))
    [line] = checked(ConfigFile.read(folder / "c.yaml")).warnings
    assert "there is no feature 'size' in the first examples of split 'eval'" in line


@pytest.mark.slow
def test_an_input_of_whole_numbers_is_fed_by_the_feature_that_has_such(folder: Path, write_records):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.int32, name="tokens")])
    def serving_tensors(tokens):
        return {"scores": tf.nn.softmax(tf.cast(tokens, tf.float32))}

    shutil.rmtree(folder / "model")
    signatures = {"serving_tensors": serving_tensors}
    tf.saved_model.save(tf.Module(), str(folder / "model"), signatures)
    feeds = {"codes": np.arange(4), "measured": np.full(4, 0.5, np.float32)}
    for split in ("train", "eval"):
        write_records(folder / f"data/{split}/a.tfrecord", [{**row, **feeds} for row in rows()])
    assert checked(ConfigFile.read(folder / "c.yaml")).warnings == ()
    for split in ("train", "eval"):
        others = [{**row, **feeds, "marks": np.arange(4)} for row in rows()]
        write_records(folder / f"data/{split}/a.tfrecord", others)
    assert "several could feed it: codes, marks" in messages(folder)[0]


def test_what_a_decorator_makes_of_the_entry_is_not_known(folder: Path):
    decorated = "def given(function): ...\n\n\n@given\ndef run_fn(fn_args, settings): ...\n"
    with_trainer("", "")(folder)
    (folder / "trainer.py").write_text(decorated)
    assert checked(ConfigFile.read(folder / "c.yaml")).warnings == ()


TARGETS = {
    "target: {runtime: tflite-micro}": (
        "c.yaml:8: target.runtime: tflite-micro needs the package tflite-micro, which is not "
        "installed; pip install tflite-micro"
    ),
    "targets:\n- {runtime: litert}\n- {accelerator: ethos-u55-128}": (
        "c.yaml:10: targets.1.accelerator: ethos-u55-128 needs the package ethos-u-vela, which is "
        "not installed; pip install ethos-u-vela"
    ),
}


def without_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets nothing be installed that runs a model for a target."""
    monkeypatch.setattr(targets, "is_importable", lambda module: False)


@pytest.mark.parametrize("target", TARGETS)
def test_a_package_that_a_target_needs_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, target: str
):
    edit("calibration:", f"{target}\ncalibration:")(folder)
    assert checked(ConfigFile.read(folder / "c.yaml")).warnings == ()
    without_packages(monkeypatch)
    assert messages(folder) == [TARGETS[target]]


def test_a_package_that_may_be_in_an_image_of_kubeflow_is_a_warning_and_ends_a_run_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    text = "target: {runtime: tflite-micro}\nkubeflow: {image: i}\ncalibration:"
    edit("calibration:", text)(folder)
    without_packages(monkeypatch)
    found = checked(ConfigFile.read(folder / "c.yaml"))
    [warning] = found.warnings
    assert "target.runtime: tflite-micro needs the package tflite-micro" in warning
    with pytest.raises(ConfigError, match=r"^target\.runtime: tflite-micro needs the package"):
        targets.check_packages(found.config)


def test_whether_a_package_is_there_is_told_without_importing_it():
    script = (
        "import sys\n"
        "from tfx_tflite.pipelines.checks import targets\n"
        "here = [targets.is_importable(m) for m in ('tflite_micro', 'ethosu.vela', 'no.such')]\n"
        "print(here, [name for name in ('tflite_micro', 'ethosu.vela') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, cwd=ROOT)
    assert done.stdout == b"[True, True, False] []\n"
