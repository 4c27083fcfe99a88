"""Compiled pipelines, run as Kubeflow Pipelines and Vertex AI call their containers.

`ENDINGS=50 pytest tests/pipelines/kubeflow/test_run.py -k s3` pushes fifty times where a test run
pushes three.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from tests.conftest import CONFIGS, ROOT
from tests.pipelines.kubeflow.container import given_to_user, skip_without_containers

if TYPE_CHECKING:
    from tests.pipelines.kubeflow.harness import Harness

pytestmark = pytest.mark.slow

DIGITS = CONFIGS / "digits.yaml"
# A stock installation has MinIO.
ROOTS = {"2.17": "minio://mlpipeline/v2/artifacts", "2.0": "s3://models/roots/digits"}
SWAPPED = {"2.17": ROOTS["2.0"], "2.0": ROOTS["2.17"]}
# Other values than the config's, so that it shows which were taken.
VALUES = {
    "model_trainer_train_steps": 250,
    "calibration_samples": 120,
    "gate_rules_0_max_drop": 0.03,
    "quantization_scheme": "int8_float_io",
}
PUSHES = int(os.environ.get("ENDINGS", "3"))


@pytest.fixture(scope="module", autouse=True)
def _containers() -> None:
    skip_without_containers()


@pytest.fixture(scope="module", params=list(ROOTS))
def form(request: pytest.FixtureRequest) -> str:
    return request.param


def compiled(config: Path, directory: Path, settings: Sequence[str]) -> Path:
    """Compiles a config in this process, which has loaded TFX."""
    from tfx_tflite.pipelines.config.file import load_config
    from tfx_tflite.pipelines.kubeflow.compile import compile_pipeline

    loaded = load_config(config, [f"root={directory}/root", *settings])
    path = directory / "pipeline.yaml"
    compile_pipeline(loaded).write(path)
    return path


def run(
    path: Path,
    directory: Path,
    form: str,
    root: str,
    image: Mapping[str, Path] = MappingProxyType({}),
    values: Mapping[str, int | float | str] = MappingProxyType({}),
    variables: Mapping[str, str] = MappingProxyType({}),
) -> "Harness":
    """Returns a run that is to begin; containers have the shipped configs and a `/pushed`."""
    from tests.pipelines.kubeflow.harness import FORMS, Harness, read_yaml

    (directory / "pushed").mkdir()
    given_to_user(directory / "pushed")
    places = {"/app/configs": CONFIGS, "/pushed": directory / "pushed", **image}
    return Harness(
        read_yaml(path), directory / "run", FORMS[form], root, places, values, dict(variables)
    )


def pushed_versions(run: "Harness") -> list[Path]:
    return sorted(run.image["/pushed"].glob("*/[0-9]*"))


def last_line(run: "Harness", task: str) -> str:
    return run.ended[task].log.splitlines()[-1]


def texts_in(directory: Path) -> Iterator[tuple[Path, str]]:
    """Yields the small text files below a directory."""
    for path in directory.rglob("*"):
        if path.is_file() and path.suffix in (".json", ".html", ".pbtxt", ".txt", ""):
            yield path, path.read_text(encoding="utf-8", errors="replace")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits pipeline, compiled by the command from the shipped config."""
    path = tmp_path_factory.mktemp("compiled") / "digits.yaml"
    command = [sys.executable, "-m", "tfx_tflite.pipelines", "compile", str(DIGITS)]
    command += ["--output", str(path), "--set", f"root={path.parent}/root"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def digits_run(
    digits: Path, form: str, s3: dict[str, str], tmp_path_factory: pytest.TempPathFactory
):
    directory = tmp_path_factory.mktemp("digits")
    begun = run(digits, directory, form, ROOTS[form], values=VALUES, variables=s3)
    return begun.run()


@pytest.fixture(scope="module")
def report(digits_run) -> dict:
    path = digits_run.path("QuantizationEvaluator", "evaluation") / "report.json"
    return json.loads(path.read_text())


def test_it_ends_in_a_pushed_model_where_the_container_has_the_destination(digits_run):
    assert len(digits_run.ended) == 8
    [version] = pushed_versions(digits_run)
    assert (version / "model.tflite").stat().st_size > 0
    pushed = digits_run.artifacts["Pusher", "pushed_model"].metadata
    assert pushed["pushed"] == 1
    assert pushed["pushed_destination"] == f"/pushed/digits/{version.name}"


def test_the_last_line_of_a_log_is_the_verdict(digits_run, report):
    evaluated = f"blessed: evaluated on {report['examples']} examples"
    assert last_line(digits_run, "QuantizationEvaluator") == evaluated
    [version] = pushed_versions(digits_run)
    assert last_line(digits_run, "Pusher") == f"pushed to /pushed/digits/{version.name}"


def test_the_run_has_the_values_that_it_was_given(digits_run, report):
    [version] = pushed_versions(digits_run)
    assert json.loads((version / "manifest.json").read_text())["scheme"] == "int8_float_io"
    assert report["verdict"] == "blessed" and report["rules"][0]["bound"] == 0.03
    assert report["calibration_sample"]["size"] == 120


def test_the_data_has_the_fingerprint_that_the_driver_finds(digits_run):
    examples = digits_run.artifacts["ImportExampleGen", "examples"].metadata
    assert examples["custom:span"] == 0
    assert "split:train,num_files:1" in examples["input_fingerprint"]


def test_kubeflow_can_show_the_report_and_the_figures(digits_run):
    page = digits_run.path("QuantizationEvaluator", "page")
    assert page.is_file() and "<html" in page.read_text()
    figures = digits_run.artifacts["QuantizationEvaluator", "figures"].metadata
    assert figures["SparseCategoricalAccuracy_float"] > 0.9


def test_blessing_report_and_manifest_name_uris_and_never_the_launchers_copies(digits_run, report):
    root = digits_run.root
    assert report["lineage"]["float_model"].startswith(f"{root}/digits/")
    blessing = digits_run.artifacts["QuantizationEvaluator", "blessing"].metadata
    model = digits_run.artifacts["TFLiteQuantizer", "quantized_model"]
    assert blessing["current_model"] == model.uri
    assert blessing["current_model_id"] == str(model.id)
    assert blessing["baseline_model"] == digits_run.artifacts["Trainer", "model"].uri
    copies = [f"/{scheme}/{root.partition('://')[2]}" for scheme in ("minio", "s3")]
    read = 0
    for directory in (digits_run.directory / "store", digits_run.image["/pushed"]):
        for path, text in texts_in(directory):
            read += 1
            assert not any(copy in text for copy in copies), path
    for artifact in digits_run.artifacts.values():
        assert not any(copy in json.dumps(dict(artifact.metadata)) for copy in copies)
    assert read > 10


def test_a_push_that_is_retried_says_that_it_has_happened_and_succeeds(digits_run):
    [version] = pushed_versions(digits_run)
    ended = digits_run.again("Pusher")
    assert ended.code == 0
    assert ended.log.splitlines()[-1] == (
        f"pushed before: /pushed/digits/{version.name} holds this very model and is current"
    )
    assert pushed_versions(digits_run) == [version]


def test_every_push_to_s3_ends_with_0(digits_run, s3: dict[str, str], record_property):
    """TensorFlow's plugin for S3, which pushed before, aborted a process that ended as usual."""
    base = f"s3://models/pushed-{os.getpid()}-{digits_run.root[:2]}"
    for number in range(PUSHES):
        target = {"filesystem": {"base_directory": f"{base}/{number}"}}
        ended = digits_run.again("Pusher", push_destination=json.dumps(target))
        assert ended.code == 0, ended.log[-2000:]
        assert ended.log.splitlines()[-1].startswith(f"pushed to {base}/{number}/")
    record_property("summary", f"{PUSHES} pushes to S3 ended with 0")


def test_the_command_itself_ends_with_0_after_a_push_to_s3(digits_run, s3: dict[str, str]):
    digits_run.is_forked = False
    target = {"filesystem": {"base_directory": f"s3://models/by-command-{digits_run.root[:2]}"}}
    ended = digits_run.again("Pusher", push_destination=json.dumps(target))
    digits_run.is_forked = True
    assert ended.code == 0, ended.log[-2000:]


def test_a_task_that_fails_says_why_in_the_last_line_with_the_uri(digits_run):
    blessing = digits_run.path("QuantizationEvaluator", "blessing") / "report.json"
    content = blessing.read_text()
    blessing.write_text(content + " ")
    ended = digits_run.again("Pusher")
    blessing.write_text(content)
    assert ended.code == 1
    uri = digits_run.artifacts["QuantizationEvaluator", "blessing"].uri
    assert ended.log.splitlines()[-1].startswith(
        f"error: input 'model_blessing': {uri}/report.json changed since it was made: "
    )


@pytest.mark.parametrize(
    ("task", "key", "made_by"),
    [
        ("StatisticsGen", "examples", ("ImportExampleGen", "examples")),
        ("QuantizationEvaluator", "model", ("TFLiteQuantizer", "quantized_model")),
    ],
)
def test_a_task_refuses_an_input_that_is_not_what_was_made(
    digits_run, task: str, key: str, made_by: tuple[str, str]
):
    [file, *_] = [path for path in sorted(digits_run.path(*made_by).rglob("*")) if path.is_file()]
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    ended = digits_run.again(task)
    file.write_bytes(content)
    assert ended.code == 1
    uri = f"{digits_run.artifacts[made_by].uri}/{file.relative_to(digits_run.path(*made_by))}"
    last = ended.log.splitlines()[-1]
    assert last.startswith(f"error: input {key!r}: {uri} changed since it was made: sha256:")


@pytest.fixture(scope="module")
def refused_run(form: str, tmp_path_factory: pytest.TempPathFactory):
    """The refused digits; a model that is not pushed fails the task of the push."""
    from tests.pipelines.kubeflow.harness import TaskFailed

    directory = tmp_path_factory.mktemp("refused")
    paths = "{.: /app/configs, ../pushed: /pushed}"
    settings = [f"kubeflow={{image: i, paths: {paths}, when_refused: fail}}"]
    path = compiled(CONFIGS / "digits_refused.yaml", directory, settings)
    values = {"model_trainer_train_steps": 60}
    begun = run(path, directory, form, SWAPPED[form], values=values)
    with pytest.raises(TaskFailed) as failure:
        begun.run()
    assert failure.value.task == "Pusher"
    return begun


def test_a_refused_model_is_not_pushed_and_every_log_says_why(refused_run):
    assert pushed_versions(refused_run) == []
    line = last_line(refused_run, "QuantizationEvaluator")
    assert line.startswith("refused: SparseCategoricalCrossentropy")
    push = last_line(refused_run, "Pusher")
    assert push == f"{line}; nothing was pushed"


def test_a_refused_model_fails_its_push_if_that_is_asked_for_with_the_commands_code(refused_run):
    assert refused_run.ended["Pusher"].code == 3
    assert refused_run.ended["QuantizationEvaluator"].code == 0
    [arguments] = [
        executor.container.args
        for label, executor in refused_run.deployment.executors.items()
        if label == "Pusher_executor"
    ]
    place = list(arguments).index("--when_refused") + 1
    assert arguments[place] == "fail"
    arguments[place] = "succeed"
    ended = refused_run.again("Pusher")
    assert ended.code == 0 and ended.log.splitlines()[-1] == last_line(refused_run, "Pusher")


def test_a_saved_model_in_the_object_store_is_quantized_and_pushed(
    form: str, digits_model: Path, tmp_path: Path
):
    from tests.pipelines.kubeflow.harness import _copy_files

    scheme = SWAPPED[form].partition("://")[0]
    paths = f"{{.: /app, ../pushed: /pushed, {digits_model}: '{scheme}://models/float/digits'}}"
    settings = [f"model={{saved_model: {digits_model}, signature: serving_tensors}}"]
    settings += [f"kubeflow.paths={paths}", "evaluation.metrics=[SparseCategoricalAccuracy]"]
    begun = run(compiled(DIGITS, tmp_path, settings), tmp_path, form, SWAPPED[form])
    _copy_files(digits_model, begun.stored(f"{scheme}://models/float/digits"))
    begun.run()
    assert len(pushed_versions(begun)) == 1
    report = json.loads(
        (begun.path("QuantizationEvaluator", "evaluation") / "report.json").read_text()
    )
    assert report["lineage"]["float_model"] == f"{scheme}://models/float/digits"


@pytest.mark.parametrize("name", ["2.17"])
def test_a_recipe_is_searched_for_with_the_bound_that_the_run_is_given(
    digits_model: Path, tmp_path: Path, name: str
):
    paths = f"{{.: /app, ../pushed: /pushed, {digits_model}: /models/digits}}"
    settings = [f"model={{saved_model: {digits_model}, signature: serving_tensors}}"]
    settings += [f"kubeflow.paths={paths}", "evaluation.metrics=[SparseCategoricalAccuracy]"]
    settings += ["quantization={scheme: auto, auto: {tuning_samples: 300}}"]
    settings += ["gate.rules=[{metric: SparseCategoricalAccuracy, max_drop: 0.01}]"]
    begun = run(
        compiled(DIGITS, tmp_path, settings),
        tmp_path,
        name,
        ROOTS[name],
        image={"/models/digits": digits_model},
        values={"gate_rules_0_max_drop": 0.07, "calibration_samples": 90},
    )
    begun.run(until="TFLiteQuantizer")
    found = begun.path("QuantizationTuner", "recipe")
    tuning = json.loads((found / "tuning.json").read_text())
    assert tuning["outcome"] == "plain" and tuning["evaluations"] == 1
    assert tuning["tried"][0]["rules"][0]["bound"] == 0.07 and tuning["examples"] == 300
    made = begun.path("TFLiteQuantizer", "quantized_model") / "Format-Serving" / "tflite"
    assert made.read_bytes() == (found / "quantized.tflite").read_bytes()
    sample = begun.artifacts["CalibrationSampler", "calibration_examples"].metadata
    assert 90 in sample.values()


def test_a_trainer_of_ones_own_finds_the_modules_beside_it(form: str, tmp_path: Path):
    (tmp_path / "own").mkdir()
    own = ROOT / "tests" / "pipelines" / "runs" / "own_trainer.py"
    for source in (own, CONFIGS / "digits_trainer.py"):
        (tmp_path / "own" / source.name).write_bytes(source.read_bytes())
    settings = [
        f"model.trainer.module_file={own}",
        f"kubeflow.paths={{{own.parent}: /app/own, ../pushed: /pushed}}",
    ]
    path = compiled(DIGITS, tmp_path, settings)
    begun = run(path, tmp_path, form, SWAPPED[form], image={"/app/own": tmp_path / "own"})
    begun.run(until="Trainer")
    assert list(begun.path("Trainer", "model").rglob("saved_model.pb"))


@pytest.fixture(scope="module")
def three_spans(tmp_path_factory: pytest.TempPathFactory, write_records) -> Path:
    directory = tmp_path_factory.mktemp("spans")
    for span in (1, 2, 3):
        for split in ("train", "eval"):
            write_records(directory / f"data/span-{span}/{split}/a.tfrecord", [{"x": float(span)}])
    return directory


@pytest.mark.parametrize("name", ["2.17", "2.0", "vertex"])
def test_the_newest_spans_are_trained_on_and_the_newest_one_is_evaluated_on(
    three_spans: Path, tmp_path: Path, name: str
):
    import tensorflow as tf

    splits = "{train: 'span-{SPAN}/train/*', eval: 'span-{SPAN}/eval/*'}"
    settings = [
        f"data={{input_base: {three_spans}/data, spans: 2, splits: {splits}}}",
        f"kubeflow.paths={{{CONFIGS.parent}: /app, {three_spans}/data: /volume/data}}",
    ]
    path = compiled(DIGITS, tmp_path, settings)
    root = "gs://bucket/pipelines" if name == "vertex" else ROOTS[name]
    image = {"/volume/data": three_spans / "data"}
    done = run(path, tmp_path, name, root, image=image).run(until="ImportExampleGen")
    examples = done.path("ImportExampleGen", "examples")
    found = {}
    for split in ("train", "eval"):
        files = [str(file) for file in (examples / f"Split-{split}").iterdir()]
        records = tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator()
        read = [tf.train.Example.FromString(record).features.feature["x"] for record in records]
        found[split] = sorted(feature.float_list.value[0] for feature in read)
    assert found == {"train": [2.0, 3.0], "eval": [3.0]}
    assert done.artifacts["ImportExampleGen", "examples"].metadata["custom:span"] == 3


@pytest.fixture(scope="module")
def vertex_run(digits: Path, tmp_path_factory: pytest.TempPathFactory):
    """As on Vertex AI, by its documentation: types are there, and ExampleGen's driver runs first.

    The bucket is mounted, so that a retried task finds what the attempt before it has written.
    """
    return run(digits, tmp_path_factory.mktemp("vertex"), "vertex", "gs://bucket/pipelines").run()


def test_where_the_back_end_runs_the_driver_and_mounts_the_bucket_a_model_is_pushed_too(vertex_run):
    assert len(pushed_versions(vertex_run)) == 1
    examples = vertex_run.artifacts["ImportExampleGen", "examples"].metadata
    assert "split:train,num_files:1" in examples["input_fingerprint"]


@pytest.mark.parametrize(
    ("task", "output"),
    [
        ("StatisticsGen", "statistics"),
        ("CalibrationSampler", "calibration_examples"),
        ("QuantizationEvaluator", "evaluation"),
    ],
)
def test_a_task_that_is_retried_leaves_nothing_of_the_attempt_before(vertex_run, task, output):
    directory = vertex_run.path(task, output)
    written = sorted(path for path in directory.rglob("*"))
    (directory / "half-written").write_text("of the attempt before")
    assert vertex_run.again(task).code == 0
    assert sorted(path for path in directory.rglob("*")) == written
