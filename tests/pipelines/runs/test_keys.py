"""What a run does again and what it takes from the cache: real runs with a trainer of one's own."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tfx_tflite.components.errors import DataError
from tfx_tflite.pipelines.runs.results import RunResult

pytestmark = pytest.mark.slow

TRAINER = Path(__file__).with_name("linear_trainer.py")
OWN_METRICS = Path(__file__).with_name("own_metrics.py")
CONFIG = """\
name: keys
root: root
data:
  input_base: data
model:
  trainer: {module_file: code/trainer.py, train_steps: 1, eval_steps: 1}
  signature: serving_tensors
quantization: {scheme: float16}
evaluation: {label: label, metrics: [SparseCategoricalAccuracy]}
gate:
  min_examples: 1
  rules:
    - {metric: SparseCategoricalAccuracy, max_drop: 1}
push: {destination: pushed, golden_samples: 1}
"""


def rows(seed: int) -> list[dict]:
    data = np.random.default_rng(seed).normal(size=(60, 4)).astype(np.float32)
    return [{"x": row, "label": int(row.sum() > 0)} for row in data]


def run(
    directory: Path,
    *overrides: str,
    runner: str = "local",
    takes_from_cache: bool = True,
    before: Callable[[str], object] = str,
) -> tuple[RunResult, dict[str, str]]:
    """Runs the config, and returns the result and how each stage went.

    Args:
        directory: Where the config is.
        overrides: As of `--set`.
        runner: As of `--runner`.
        takes_from_cache: As that of a run.
        before: Is called with the name of each stage before it.
    """
    from tfx_tflite.pipelines.config.file import load_config
    from tfx_tflite.pipelines.config.preflight import inspect
    from tfx_tflite.pipelines.runs.run import run as run_once
    from tfx_tflite.pipelines.runs.runners import StageObserver

    stages: dict[str, str] = {}
    observer = StageObserver(
        started=before, ended=lambda stage: stages.update({stage.name: stage.outcome})
    )
    found = inspect(load_config(directory / "c.yaml", overrides))
    return run_once(found, runner, observer, takes_from_cache=takes_from_cache), stages


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, write_records) -> Path:
    """A config, its data, and a trainer whose work is in a package beside it; it has run once."""
    path = tmp_path_factory.mktemp("project")
    for split in ("train", "eval"):
        write_records(path / "data" / split / "a.tfrecord", rows(0))
    (path / "code" / "parts").mkdir(parents=True)
    (path / "code" / "parts" / "linear.py").write_bytes(TRAINER.read_bytes())
    (path / "code" / "trainer.py").write_text("from parts.linear import run_fn\n")
    (path / "c.yaml").write_text(CONFIG)
    result, stages = run(path)
    assert result.status == "pushed" and set(stages.values()) == {"done"}
    return path


@pytest.fixture
def directory(project: Path) -> Iterator[Path]:
    """The project, with its files as they were."""
    files = [*(project / "data").rglob("*.tfrecord"), *(project / "code").rglob("*.py")]
    before = {file: file.read_bytes() for file in files}
    yield project
    for file, content in before.items():
        file.write_bytes(content)


def swap(path: Path, content: bytes) -> None:
    """Puts other contents of the same size into a file, with its time set back."""
    before = path.stat()
    path.write_bytes(content)
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_what_has_not_changed_is_taken_from_the_cache_and_no_cache_does_it_again(directory: Path):
    _, stages = run(directory)
    assert {name for name, outcome in stages.items() if outcome == "done"} == {"Pusher"}
    result, stages = run(directory, takes_from_cache=False)
    assert set(stages.values()) == {"done"} and result.status == "pushed"


@pytest.mark.parametrize(("runner", "scale"), [("local", 5), ("beam", 6)])
def test_a_module_beside_the_trainer_of_the_same_size_and_time_is_another(
    directory: Path, runner: str, scale: int
):
    linear = directory / "code" / "parts" / "linear.py"
    source = linear.read_text()
    assert "4 * np.stack" in source
    swap(linear, source.replace("4 * np.stack", f"{scale} * np.stack").encode())
    _, stages = run(directory, runner=runner)
    assert stages["ImportExampleGen"] == "cached" and stages["Trainer"] == "done"


def test_data_of_the_same_size_and_time_are_others_and_copied_ones_are_not(
    directory: Path, write_records
):
    data = directory / "data" / "train" / "a.tfrecord"
    swap(data, write_records(directory / "other", rows(1)).read_bytes())
    _, stages = run(directory)
    assert stages["ImportExampleGen"] == stages["Trainer"] == "done"
    shutil.copyfile(data, directory / "copy")
    (directory / "copy").replace(data)
    _, stages = run(directory)
    assert stages["ImportExampleGen"] == stages["Trainer"] == "cached"


@pytest.mark.parametrize("stage", ["ImportExampleGen", "Trainer"])
def test_what_is_changed_while_it_is_read_is_not_kept_under_the_key_of_before(
    directory: Path, write_records, stage: str
):
    files = {
        "ImportExampleGen": directory / "data" / "train" / "a.tfrecord",
        "Trainer": directory / "code" / "parts" / "linear.py",
    }
    first, _ = run(directory)
    before = files[stage].read_bytes()
    other = {
        "ImportExampleGen": write_records(directory / "other", rows(1)).read_bytes(),
        "Trainer": before.replace(b"4 * np.stack", b"5 * np.stack"),
    }

    def change(name: str) -> None:
        if name == stage:
            swap(files[stage], other[stage])

    with pytest.raises(DataError, match=f"what {stage} reads was changed during the run"):
        run(directory, takes_from_cache=False, before=change)
    # What came of the other contents is not taken for what comes of these.
    swap(files[stage], before)
    again, _ = run(directory)
    assert again.pushed_to == first.pushed_to


def test_another_module_of_a_metric_is_another_evaluation(directory: Path):
    """The metric's module lies beside the trainer, where it is found as the trainer's are."""
    (directory / "code" / "own_metrics.py").write_bytes(OWN_METRICS.read_bytes())
    metrics = (
        "evaluation.metrics=[{class_name: OwnCount, module: own_metrics}]",
        "gate.rules=[{metric: OwnCount, max_drop: 1, direction: higher_is_better}]",
    )
    result, stages = run(directory, *metrics)
    assert result.rules[0].metric == "OwnCount" and result.rules[0].float_value == 60
    assert stages["QuantizationEvaluator"] == "done"
    _, stages = run(directory, *metrics)
    assert stages["QuantizationEvaluator"] == "cached"
    text = OWN_METRICS.read_text()
    swap(directory / "code" / "own_metrics.py", text.replace("another", "ANOTHER").encode())
    _, stages = run(directory, *metrics)
    assert stages["Trainer"] == "cached" and stages["QuantizationEvaluator"] == "done"


def test_other_code_of_ours_is_not_answered_from_the_cache(
    directory: Path, monkeypatch: pytest.MonkeyPatch
):
    from tfx_tflite.components import versions

    def edited(package: Path) -> str:
        return "sha256:edited"

    monkeypatch.setattr(versions, "code_digest", edited)
    _, stages = run(directory)
    assert stages["Trainer"] == "cached"
    assert stages["TFLiteQuantizer"] == stages["QuantizationEvaluator"] == "done"
