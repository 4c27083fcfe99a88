"""Every shipped config runs whole: TFX, ML Metadata, trainer, converter, TFMA and push for real."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import CONFIGS
from tests.forked import tfx_tflite
from tfx_tflite.pipelines.runs import RUN_LOCK

pytestmark = pytest.mark.slow


def run_command(config: str, directory: Path, *overrides: str):
    """Runs `tfx-tflite run` with everything it writes below a directory."""
    settings = [f"root={directory}/root", f"push.destination={directory}/pushed", *overrides]
    command = [sys.executable, "-m", "tfx_tflite.pipelines", "run"]
    command += [str(CONFIGS / config), *(part for text in settings for part in ("--set", text))]
    temporary = directory / "tmp"
    temporary.mkdir(exist_ok=True)
    # Python writes bytecode, as it does for a user, even if this machine keeps it from that.
    variables = {key: os.environ[key] for key in os.environ if key != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(
        [*command, "--json"],
        capture_output=True,
        text=True,
        env={**variables, "TMPDIR": str(temporary)},
    )


def processes_with(temporary: Path) -> list[str]:
    """Returns the processes that were started with a directory for their temporary files."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"TMPDIR={temporary}\0".encode() in environment.read_bytes():
                found.append(environment.parent.name)
    return found


def run_in_process(config: str, directory: Path, *overrides: str, runner: str = "local"):
    """Runs a config in this process, which has TFX loaded already."""
    from tfx_tflite.pipelines.config.file import load_config
    from tfx_tflite.pipelines.config.preflight import inspect
    from tfx_tflite.pipelines.runs.run import run
    from tfx_tflite.pipelines.runs.runners import StageObserver

    stages = []
    settings = [f"root={directory}/root", f"push.destination={directory}/pushed", *overrides]
    observer = StageObserver(started=lambda name: None, ended=stages.append)
    result = run(inspect(load_config(CONFIGS / config, settings)), runner, observer)
    return result.to_keys(), {stage.name: stage for stage in stages}


def pushed_versions(directory: Path) -> list[str]:
    return sorted(
        entry.name for entry in (directory / "pushed").iterdir() if entry.name.isdecimal()
    )


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory):
    """The main job, as `make demo` runs it, with its JSON."""
    directory = tmp_path_factory.mktemp("digits")
    done = run_command("digits.yaml", directory)
    assert done.returncode == 0, done.stderr
    return directory, done, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.generations
def test_digits_is_pushed_with_less_than_half_the_bytes_and_within_a_point(digits):
    _, _, document = digits
    assert document["status"] == "pushed" and document["scheme"] == "int8"
    accuracy = document["rules"][0]
    assert accuracy["metric"] == "SparseCategoricalAccuracy" and accuracy["slice"] == "overall"
    assert accuracy["float"] >= 0.95
    assert accuracy["float"] - accuracy["quantized"] <= 0.01
    assert document["size_bytes"]["quantized"] < 0.5 * document["size_bytes"]["float"]


@pytest.mark.generations
def test_the_pushed_model_takes_and_gives_integers(digits):
    import numpy as np

    from tfx_tflite.components.models.tflite_model import TFLiteModel

    _, _, document = digits
    model = TFLiteModel((Path(document["pushed_to"]) / "model.tflite").read_bytes())
    assert model.inputs["image"].dtype == np.int8
    assert model.outputs["probabilities"].dtype == np.int8


@pytest.mark.generations
def test_the_manifest_names_what_was_blessed(digits):
    from tfx_tflite.components.digests import file_digest

    _, _, document = digits
    pushed = Path(document["pushed_to"])
    manifest = json.loads((pushed / "manifest.json").read_text())
    assert manifest["model"]["digest"] == file_digest(pushed / "model.tflite")
    assert manifest["digests"]["quantized_model"] == manifest["model"]["digest"]
    assert manifest["digests"]["calibration_sample"].startswith("sha256:")


def test_a_run_leaves_no_temporary_file_no_process_and_no_lock(digits):
    directory, _, _ = digits
    temporary = directory / "tmp"
    assert list(temporary.iterdir()) == []
    assert processes_with(temporary) == []
    for lock in (directory / "root" / RUN_LOCK, directory / "pushed" / ".lock"):
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.generations
def test_progress_is_a_line_a_stage_and_json_is_alone_on_stdout(digits):
    _, done, _ = digits
    assert len(done.stdout.splitlines()) == 1
    for stage in ("ImportExampleGen", "Trainer", "TFLiteQuantizer", "Pusher"):
        assert sum(line.split()[:1] == [stage] for line in done.stderr.splitlines()) == 1
    assert "blessed" in done.stderr and "pushed to" in done.stderr


def test_everything_else_is_in_the_log(digits):
    directory, done, _ = digits
    [log] = (directory / "root" / "logs").glob("*.log")
    assert log.stat().st_size > 0
    assert "WARNING" not in done.stderr


@pytest.mark.generations
def test_a_second_run_takes_unchanged_stages_from_the_cache_and_pushes_nothing_new(digits):
    directory, _, first = digits
    document, stages = run_in_process("digits.yaml", directory, runner="beam")
    assert {stage.outcome for name, stage in stages.items() if name != "Pusher"} == {"cached"}
    assert document["pushed_to"] == first["pushed_to"]
    assert pushed_versions(directory) == [Path(first["pushed_to"]).name]


def test_another_scheme_reuses_data_training_and_sample(digits):
    import numpy as np

    from tfx_tflite.components.models.tflite_model import TFLiteModel

    directory, _, first = digits
    overrides = ["quantization.scheme=int8", "quantization.io_type=uint8"]
    document, stages = run_in_process("digits.yaml", directory, *overrides)
    assert stages["Trainer"].outcome == stages["CalibrationSampler"].outcome == "cached"
    assert stages["TFLiteQuantizer"].outcome == "done"
    assert Path(document["pushed_to"]).name > Path(first["pushed_to"]).name
    model = TFLiteModel((Path(document["pushed_to"]) / "model.tflite").read_bytes())
    assert model.inputs["image"].dtype == np.uint8


def test_a_destination_that_was_emptied_is_filled_again_though_all_is_cached(digits):
    import shutil

    directory, _, _ = digits
    shutil.rmtree(directory / "pushed")
    document, _ = run_in_process("digits.yaml", directory)
    assert (Path(document["pushed_to"]) / "model.tflite").is_file()


@pytest.mark.generations
@pytest.mark.parametrize(
    ("scheme", "calibrated"),
    [
        ("float32", False),
        ("dynamic_range", False),
        ("float16", False),
        ("int8_float_io", True),
        ("int16x8", True),
    ],
)
def test_every_other_scheme_is_pushed_and_samples_only_where_it_calibrates(
    digits, scheme: str, calibrated: bool
):
    directory, _, _ = digits
    document, stages = run_in_process("digits.yaml", directory, f"quantization.scheme={scheme}")
    assert ("CalibrationSampler" in stages) is calibrated
    assert document["status"] == "pushed" and document["scheme"] == scheme


def test_a_bad_retrain_does_not_replace_a_good_pushed_model(tmp_path: Path):
    """Float and quantized agree on every run; only the model pushed before shows the difference."""
    rules = "[{metric: SparseCategoricalAccuracy, max_drop: 0.01}, "
    rules += (
        "{metric: SparseCategoricalAccuracy, max_drop: 0.02, against: pushed, confidence: 0.9}]"
    )
    setting = f"gate.rules={rules}"

    def against_pushed(document):
        [rule] = [rule for rule in document["rules"] if rule["against"] == "pushed"]
        return rule

    first, _ = run_in_process("digits.yaml", tmp_path, setting)
    assert first["status"] == "pushed"
    rule = against_pushed(first)
    assert rule["verdict"] == "not_judged" and "nothing was pushed yet" in rule["reason"]
    bad, stages = run_in_process("digits.yaml", tmp_path, setting, "model.trainer.train_steps=3")
    assert bad["status"] == "refused" and stages["Trainer"].outcome == "done"
    rule = against_pushed(bad)
    assert rule["verdict"] == "refused" and rule["float"] > 0.95 > rule["quantized"]
    number = Path(first["pushed_to"]).name
    assert f"(against the pushed version {number})" in bad["reasons"][0]
    assert (tmp_path / "pushed" / "LATEST").read_text() == f"{number}\n"
    # The good one again is compared with itself, though the evaluation of before is in the cache.
    again, stages = run_in_process("digits.yaml", tmp_path, setting)
    assert again["status"] == "pushed" and again["pushed_to"] == first["pushed_to"]
    assert stages["QuantizationEvaluator"].outcome == "done"
    assert against_pushed(again)["drop"] == 0


def test_a_model_that_is_already_trained_is_quantized(digits_model: Path, tmp_path: Path):
    document, stages = run_in_process(
        "digits.yaml",
        tmp_path,
        f"model={{saved_model: {digits_model}, signature: serving_tensors}}",
    )
    assert document["status"] == "pushed"
    assert "Trainer" not in stages and "FloatModel" in stages


@pytest.mark.parametrize(
    ("config", "metric"), [("breast_cancer", "BinaryAccuracy"), ("diabetes", "MeanAbsoluteError")]
)
def test_tables_are_pushed(config: str, metric: str, tmp_path: Path):
    document, _ = run_in_process(f"{config}.yaml", tmp_path)
    assert document["status"] == "pushed"
    [rule] = [rule for rule in document["rules"] if rule["metric"] == metric]
    assert rule["drop"] <= rule["bound"]


@pytest.mark.parametrize("runner", ["beam", "local"])
def test_an_interrupt_ends_the_run_with_one_line_and_without_leftovers(
    digits, runner: str, tmp_path: Path
):
    """Interrupts the converter's stage, whose child process must not outlive the run."""
    directory, _, _ = digits
    # What the digits run has cached is reused, so that the converter's stage comes at once.
    settings = [f"root={directory}/root", f"push.destination={tmp_path}/pushed"]
    settings += ["quantization.batch_size=7"]
    command = [sys.executable, "-m", "tfx_tflite.pipelines", "run"]
    command += [str(CONFIGS / "digits.yaml"), "--json", "--runner", runner]
    # The converter works below it, in a process group of its own.
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [*command, *(part for text in settings for part in ("--set", text))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.split()[:1] == ["CalibrationSampler"]:
            break
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "error: interrupted" in stderr and "Traceback" not in stderr
    assert json.loads(stdout.splitlines()[-1])["status"] == "failed"
    assert not (tmp_path / "pushed").exists()
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert [process for process in processes() if process.is_relative_to(temporary)] == []


def processes() -> list[Path]:
    """Returns where each process on this machine works."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            found.append(link.readlink())
    return found


@pytest.mark.generations
def test_a_bad_model_is_refused_with_exit_code_3_and_nothing_is_pushed(tmp_path: Path):
    settings = ("--set", f"root={tmp_path}/root", "--set", f"push.destination={tmp_path}/pushed")
    done = tfx_tflite("run", CONFIGS / "digits_refused.yaml", *settings)
    assert done.returncode == 3, done.stderr
    assert "refused: SparseCategoricalCrossentropy (overall) is worse by" in done.stdout
    assert "nothing was pushed" in done.stdout
    assert not (tmp_path / "pushed").exists()
    [path] = (tmp_path / "root").glob("artifacts/QuantizationEvaluator/evaluation/*/report.json")
    report = json.loads(path.read_text())
    assert report["verdict"] == "refused" and report["reasons"]
