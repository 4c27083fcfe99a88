"""Nothing that was swapped, cut, damaged or aged between two stages is judged or pushed.

Every input of every stage is attacked in every way, of artifacts that real runs have made: the
stages before come from the cache, the one that takes the input is launched once for every attack,
and the run ends in one line.
"""

import contextlib
import functools
import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import CONFIGS
from tests.forked import tfx_tflite
from tests.pipelines.runs import attacks
from tests.pipelines.runs.attacks import ATTACKS, Attack, files_of
from tfx_tflite.components.errors import ArtifactError, user_error_in
from tfx_tflite.pipelines.runs import runners
from tfx_tflite.pipelines.runs.results import FailedAfterVerdict, RunResult
from tfx_tflite.pipelines.tfx.patches import Launch

pytestmark = pytest.mark.slow

# What each stage takes, and which output of which stage that is.
INPUTS = {
    ("StatisticsGen", "examples"): ("ImportExampleGen", "examples"),
    ("SchemaGen", "statistics"): ("StatisticsGen", "statistics"),
    ("Trainer", "examples"): ("ImportExampleGen", "examples"),
    ("Trainer", "schema"): ("SchemaGen", "schema"),
    ("CalibrationSampler", "examples"): ("ImportExampleGen", "examples"),
    ("CalibrationSampler", "schema"): ("SchemaGen", "schema"),
    ("TFLiteQuantizer", "model"): ("Trainer", "model"),
    ("TFLiteQuantizer", "calibration_examples"): ("CalibrationSampler", "calibration_examples"),
    ("TFLiteQuantizer", "schema"): ("SchemaGen", "schema"),
    ("QuantizationEvaluator", "examples"): ("ImportExampleGen", "examples"),
    ("QuantizationEvaluator", "model"): ("TFLiteQuantizer", "quantized_model"),
    ("QuantizationEvaluator", "baseline_model"): ("Trainer", "model"),
    ("QuantizationEvaluator", "schema"): ("SchemaGen", "schema"),
    ("Pusher", "model"): ("TFLiteQuantizer", "quantized_model"),
    ("Pusher", "model_blessing"): ("QuantizationEvaluator", "blessing"),
}
STAGES = sorted({stage for stage, _ in INPUTS})
# Of runs that are like this one, but for what is told here.
OLDER = ("calibration.seed=1",)
OTHER = ("calibration.seed=2", "quantization.scheme=int8_float_io", "push.golden_samples=7")


@dataclass(frozen=True)
class Refusal:
    """What came of a stage that was launched when one of its inputs had been attacked.

    Attributes:
        file: The file that the attack has touched.
        error: What the stage failed with; None if it did not.
    """

    file: Path
    error: Exception | None


@dataclass(frozen=True)
class Attacked:
    """A run in which a stage is launched once for every attack on each of its inputs.

    Attributes:
        refusals: By input and attack.
        last: That of the last launch, with which the run ends.
        end: What the run raised.
        pushed: The versions at the destination before and after.
    """

    refusals: dict[tuple[str, Attack], Refusal]
    last: Refusal
    end: Exception
    pushed: tuple[list[str], list[str]]


@dataclass(frozen=True, eq=False)
class Runs:
    """Three runs of one root: an older one, another one, and the last.

    Attributes:
        directory: Where root, data and destination are.
        older: The artifacts of the older run, by stage and output.
        other: Those of the other one.
        last: Those of the last one.
    """

    directory: Path
    older: dict[tuple[str, str], Path]
    other: dict[tuple[str, str], Path]
    last: dict[tuple[str, str], Path]

    @property
    def pushed(self) -> list[str]:
        """The versions at the destination."""
        return sorted(path.name for path in (self.directory / "pushed").glob("[0-9]*"))


def run_once(directory: Path, *overrides: str) -> RunResult:
    """Runs the digits on the data in a directory, in this process."""
    from tfx_tflite.pipelines.config.file import load_config
    from tfx_tflite.pipelines.config.preflight import inspect
    from tfx_tflite.pipelines.runs.run import run
    from tfx_tflite.pipelines.runs.runners import StageObserver

    observer = StageObserver(started=lambda name: None, ended=lambda result: None)
    config = load_config(CONFIGS / "digits.yaml", [*settings(directory), *overrides])
    return run(inspect(config), "local", observer)


def settings(directory: Path) -> list[str]:
    return [
        "data.builtin=null",
        f"data.input_base={directory}/data",
        f"root={directory}/root",
        f"push.destination={directory}/pushed",
        "model.trainer.train_steps=100",
        "gate.rules=[{metric: SparseCategoricalAccuracy, max_drop: 1}]",
    ]


def newest(directory: Path) -> dict[tuple[str, str], Path]:
    """Returns the newest artifacts below a root, by stage and output."""
    return {
        (stage, key): max(
            (directory / "root" / "artifacts" / stage / key).iterdir(), key=lambda d: int(d.name)
        )
        for stage, key in {*INPUTS.values(), ("QuantizationEvaluator", "evaluation")}
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, digits_arrays: dict, write_records) -> Runs:
    directory = tmp_path_factory.mktemp("swapped")

    def write(of: int, **more: float) -> None:
        for split, (images, labels) in digits_arrays.items():
            rows = np.random.default_rng(of).permutation(len(labels))[: 700 if of else None]
            examples = [{"image": images[row], "label": labels[row], **more} for row in rows]
            write_records(directory / "data" / split / "data.tfrecord", examples)

    write(1, age=1.0)
    run_once(directory, *OLDER)
    older = newest(directory)
    write(2, weight=0.5)
    run_once(directory, *OTHER)
    other = newest(directory)
    write(0)
    result = run_once(directory)
    assert result.status == "pushed"
    return Runs(directory, older, other, newest(directory))


@contextlib.contextmanager
def put_back(directory: Path) -> Iterator[None]:
    """Puts a directory back as it was when the block ends."""
    kept = directory.with_name(f"{directory.name}-kept")
    shutil.copytree(directory, kept)
    yield
    shutil.rmtree(directory)
    kept.rename(directory)


@pytest.fixture
def intact(runs: Runs) -> Iterator[Runs]:
    """The runs, whose artifacts are put back as they were when the test is over."""
    with put_back(runs.directory / "root" / "artifacts"):
        yield runs


@functools.cache
def attacked_run(runs: Runs, stage: str) -> Attacked:
    """Runs the last run once more, with attacks on all that a stage takes."""
    refusals: dict[tuple[str, Attack], Refusal] = {}
    launch_once = runners._Progress._launch_once
    # Each run of a stage ends with another attack.
    turn = STAGES.index(stage) % len(ATTACKS)
    attacks_in_turn = (*ATTACKS[turn:], *ATTACKS[:turn])

    def launch_attacked(progress, launch: Launch, is_last: bool = False):
        if launch.node != stage:
            return launch_once(progress, launch, is_last)
        for key in (key for taker, key in INPUTS if taker == stage):
            artifact = runs.last[INPUTS[stage, key]]
            for attack in attacks_in_turn:
                from_elsewhere = runs.older if attack.__name__ == "age" else runs.other
                info, error = None, None
                with put_back(artifact):
                    file = attack(artifact, from_elsewhere[INPUTS[stage, key]])
                    try:
                        info = launch_once(progress, launch, is_last)
                    except Exception as failure:
                        error = failure
                refusals[key, attack] = Refusal(file, error)
        if error is not None:
            raise error
        return info

    before = runs.pushed
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runners._Progress, "_launch_once", launch_attacked)
        with pytest.raises((ArtifactError, FailedAfterVerdict)) as caught:
            run_anew(runs, {stage}, patch)
    [*_, last] = refusals.values()
    return Attacked(refusals, last, caught.value, (before, runs.pushed))


def run_anew(runs: Runs, stages: Iterable[str], monkeypatch: pytest.MonkeyPatch) -> RunResult:
    """Runs the last run once more, with some of its stages not taken from the cache."""
    monkeypatch.setattr(runners, "NEVER_CACHED", frozenset({"Pusher", *stages}))
    return run_once(runs.directory)


def test_the_table_has_every_input_of_every_stage(runs: Runs):
    from tfx_tflite.pipelines.config.file import load_config
    from tfx_tflite.pipelines.pipeline import create_pipeline

    config = load_config(CONFIGS / "digits.yaml", settings(runs.directory))
    nodes = create_pipeline(config, str(runs.directory / "data")).components
    taken = {(node.id, key) for node in nodes for key in node.inputs}
    assert taken == INPUTS.keys()


def test_nothing_is_the_matter_as_long_as_nobody_attacks(
    intact: Runs, monkeypatch: pytest.MonkeyPatch
):
    assert run_anew(intact, STAGES, monkeypatch).status == "pushed"


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
@pytest.mark.parametrize(("stage", "key"), INPUTS, ids=map("-".join, INPUTS))
def test_a_stage_refuses_an_input_that_is_not_what_was_made(
    runs: Runs, stage: str, key: str, attack: Attack
):
    refusal = attacked_run(runs, stage).refusals[key, attack]
    assert refusal.error is not None
    failure = user_error_in(refusal.error)
    assert isinstance(failure, ArtifactError)
    message = str(failure)
    assert message.startswith(f"input {key!r}: {refusal.file} ")
    assert re.search("changed since|is gone since|was not there when", message)
    assert f"remove {runs.last[INPUTS[stage, key]]} to have all of it made anew" in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_ends_with_what_a_stage_refuses_and_pushes_nothing(runs: Runs, stage: str):
    attacked = attacked_run(runs, stage)
    end = attacked.end
    failure = end.failure if isinstance(end, FailedAfterVerdict) else end
    assert isinstance(failure, ArtifactError)
    assert str(failure) == str(user_error_in(attacked.last.error))
    before, after = attacked.pushed
    assert after == before


@pytest.mark.parametrize("made_by", sorted({*INPUTS.values()}), ids="-".join)
def test_a_flipped_bit_in_whichever_file_of_an_artifact_is_found(
    intact: Runs, made_by: tuple[str, str]
):
    from tfx_tflite.components import artifact_digests

    [artifact] = [found for found in artifacts_of(intact) if found.uri == str(intact.last[made_by])]
    artifact_digests.check("input", artifact)
    for file in files_of(intact.last[made_by]):
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(ArtifactError, match=f"{re.escape(str(file))} changed since it was mad"):
            artifact_digests.check("input", artifact)
        file.write_bytes(content)


def artifacts_of(runs: Runs) -> list:
    """Returns all artifacts of a root as TFX has them."""
    from ml_metadata.proto import metadata_store_pb2
    from tfx.orchestration import metadata
    from tfx.types import artifact_utils

    path = str(runs.directory / "root" / "metadata.sqlite")
    config = metadata.sqlite_metadata_connection_config(path)
    with metadata.Metadata(config) as handle:
        found = handle.store.get_artifacts()
        types: dict[int, metadata_store_pb2.ArtifactType] = {
            kind.id: kind for kind in handle.store.get_artifact_types()
        }
    return [artifact_utils.deserialize_artifact(types[entry.type_id], entry) for entry in found]


def test_what_is_removed_is_made_anew_as_the_message_says(
    intact: Runs, monkeypatch: pytest.MonkeyPatch
):
    made_by = ("TFLiteQuantizer", "quantized_model")
    shutil.rmtree(intact.last[made_by])
    result = run_anew(intact, (), monkeypatch)
    assert result.status == "pushed"
    assert newest(intact.directory)[made_by] != intact.last[made_by]


def test_an_edited_report_is_not_shown_as_what_was_found(
    intact: Runs, monkeypatch: pytest.MonkeyPatch
):
    report = intact.last["QuantizationEvaluator", "evaluation"] / "report.json"
    report.write_text(report.read_text().replace('"blessed"', '"refused"'))
    with pytest.raises(ArtifactError, match=r"report.json changed since it was made"):
        run_anew(intact, (), monkeypatch)


CONFIG = """\
name: attacked
root: root
data: {{input_base: data, schema: schema.pbtxt}}
model: {{saved_model: {model}, signature: serving_tensors}}
calibration: {{samples: 50}}
quantization: {{scheme: int8}}
evaluation: {{label: label, metrics: [SparseCategoricalAccuracy]}}
gate:
  min_examples: 100
  rules: [{{metric: SparseCategoricalAccuracy, max_drop: 1}}]
push: {{destination: pushed}}
"""
# For runs of which the scheme decides nothing: neither sample nor calibration.
FLOAT = ("--set", "quantization.scheme=float32")
SCHEMA = """\
feature { name: "image" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 64 } } }
feature { name: "label" type: INT presence { min_fraction: 1 } shape { dim { size: 1 } } }
"""


@pytest.fixture
def config(tmp_path: Path, digits_model: Path, digits_data: Path) -> Path:
    """The config of a trained model and of a schema, both of which are given."""
    shutil.copytree(digits_model, tmp_path / "model")
    shutil.copytree(digits_data, tmp_path / "data")
    (tmp_path / "schema.pbtxt").write_text(SCHEMA)
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG.format(model=tmp_path / "model"))
    return path


def attacked(
    config: Path, stage: str, source: Path, target: str, *options: str
) -> "subprocess.CompletedProcess[str]":
    """Runs a config; when a stage has ended, a file below its root becomes another."""
    call = (stage, source, target, "run", config, "--runner", "local", "--json", *options)
    return tfx_tflite(*call, main=attacks.main)


def pushed_at(config: Path) -> list[Path]:
    return sorted((config.parent / "pushed").glob("[0-9]*"))


def assert_refused_in_a_line(
    done: subprocess.CompletedProcess, config: Path, expected: str
) -> None:
    """Checks that a run has failed in one line and has pushed nothing."""
    assert done.returncode == 1, done.stderr
    [error] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert expected in error and "Traceback" not in done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["status"] == "failed" and document["pushed_to"] is None
    assert error == f"error: {document['error']}"
    assert not pushed_at(config)


def test_a_float16_model_put_over_the_int8_one_is_not_pushed_as_int8(
    config: Path, tmp_path: Path, convert_to
):
    float16 = tmp_path / "float16.tflite"
    float16.write_bytes(convert_to("float16"))
    done = attacked(
        config,
        "TFLiteQuantizer",
        float16,
        "artifacts/TFLiteQuantizer/quantized_model/*/Format-Serving/tflite",
    )
    assert_refused_in_a_line(done, config, "Format-Serving/tflite changed since it was made")
    # The next run finds it as it was left, and says the same.
    again = tfx_tflite("run", config, "--runner", "local", "--json")
    assert_refused_in_a_line(again, config, "Format-Serving/tflite changed since it was made")


@pytest.fixture
def convert_to(digits_model: Path, tmp_path: Path):
    """Converts the digits net to a scheme without calibration."""
    from tfx_tflite.components.quantization.conversion.converter import Converter
    from tfx_tflite.components.quantization.recipe import Recipe
    from tfx_tflite.components.quantization.schemes import Scheme

    def convert(scheme: str) -> bytes:
        (tmp_path / "conversion").mkdir()
        with Converter(tmp_path / "conversion") as converter:
            recipe = Recipe(Scheme(scheme))
            return converter.convert(digits_model, "serving_tensors", recipe, None)

    return convert


def test_a_split_that_is_cut_between_two_of_its_records_is_not_judged_by_the_rest(
    config: Path, tmp_path: Path, digits_arrays: dict, write_records_to
):
    images, labels = digits_arrays["eval"]
    rows = [{"image": images[row], "label": labels[row]} for row in range(150)]
    fewer = write_records_to(tmp_path / "fewer.gz", rows)
    done = attacked(
        config,
        "ImportExampleGen",
        fewer,
        "artifacts/ImportExampleGen/examples/*/Split-eval/*.gz",
        *FLOAT,
    )
    assert_refused_in_a_line(done, config, "Split-eval/data_tfrecord-00000-of-00001.gz changed")


def test_a_model_that_is_replaced_during_a_run_is_that_of_the_next_run(
    config: Path, tmp_path: Path, digits_model: Path
):
    import tensorflow as tf

    from tfx_tflite.components.digests import directory_digest

    def constant(image):
        return {"probabilities": tf.zeros([tf.shape(image)[0], 10]) + 0.1}

    other = tmp_path / "other"
    spec = tf.TensorSpec([None, 8, 8, 1], tf.float32, name="image")
    serving = tf.function(constant, input_signature=[spec])
    tf.saved_model.save(tf.Module(), str(other), {"serving_tensors": serving})
    first = directory_digest(tmp_path / "model")
    source, target = other / "saved_model.pb", "../model/saved_model.pb"
    done = attacked(config, "ImportExampleGen", source, target, *FLOAT)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((pushed_at(config)[0] / "manifest.json").read_text())
    assert manifest["digests"]["float_model"] == first
    second = directory_digest(tmp_path / "model")
    assert second != first
    # Nothing of it is in the cache, under whichever digest.
    for content, digest in ((None, second), (digits_model / "saved_model.pb", first)):
        if content is not None:
            shutil.copyfile(content, tmp_path / "model" / "saved_model.pb")
        done = tfx_tflite("run", config, "--runner", "local", "--force", *FLOAT)
        assert done.returncode == 0, done.stderr
        manifest = json.loads((pushed_at(config)[-1] / "manifest.json").read_text())
        assert manifest["digests"]["float_model"] == digest


def test_the_copy_of_a_model_that_is_replaced_during_a_run_is_not_read(
    config: Path, tmp_path: Path
):
    other = tmp_path / "other.pb"
    other.write_bytes((tmp_path / "model" / "saved_model.pb").read_bytes() + b"\x00")
    done = attacked(config, "CalibrationSampler", other, "models/*/saved_model.pb")
    # People know it by the path in the config.
    assert_refused_in_a_line(
        done, config, f"input 'model': {tmp_path}/model/saved_model.pb changed since it was made"
    )
    # The copy is looked at before a run, and made anew.
    again = tfx_tflite("run", config, "--runner", "local")
    assert again.returncode == 0, again.stderr


def test_a_model_with_a_link_to_elsewhere_is_refused(config: Path, tmp_path: Path):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "model" / "assets" / "vocabulary").symlink_to(tmp_path / "secret")
    done = tfx_tflite("run", config, "--runner", "local", "--json", *FLOAT)
    assert_refused_in_a_line(done, config, f"is a link to {tmp_path}/secret, outside")


def test_a_schema_that_is_replaced_before_it_is_imported_is_that_of_no_run(
    config: Path, tmp_path: Path
):
    other = tmp_path / "other.pbtxt"
    other.write_text(SCHEMA.replace('"label"', '"other"'))
    done = attacked(config, "FloatModel", other, "schemas/*/schema.pbtxt", *FLOAT)
    assert_refused_in_a_line(done, config, "/schema.pbtxt changed since the run began")
    # Nothing of it is in the cache.
    again = tfx_tflite("run", config, "--runner", "local", *FLOAT)
    assert again.returncode == 0, again.stderr


def test_a_model_that_is_replaced_before_it_is_read_is_not_read_in_a_pipeline_of_ones_own(
    config: Path, tmp_path: Path
):
    from tfx.orchestration.local.local_dag_runner import LocalDagRunner

    from tfx_tflite.pipelines.config.file import load_config
    from tfx_tflite.pipelines.pipeline import create_pipeline
    from tfx_tflite.pipelines.tfx.patches import no_package_of_tfx

    loaded = load_config(config, ["quantization.scheme=float16"])
    pipeline = create_pipeline(loaded, str(tmp_path / "data"))
    with (tmp_path / "model" / "saved_model.pb").open("ab") as file:
        file.write(b"\x00")
    changed = r"model/saved_model.pb changed since it was made"
    with no_package_of_tfx(), pytest.raises(ArtifactError, match=changed):
        LocalDagRunner().run(pipeline)
    assert not pushed_at(config)
