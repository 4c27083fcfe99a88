"""Whether a run would only repeat the last one: every way in which it would not, without TFX."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.components.destinations.interruption import make_candidate
from tests.pipelines.config.test_config import MINIMAL
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.quantization.document import Bytes
from tfx_tflite.pipelines.config.file import load_config
from tfx_tflite.pipelines.config.preflight import Preflight, inspect
from tfx_tflite.pipelines.runs.last_run import LastRun, Stage, inputs_of, remember
from tfx_tflite.pipelines.runs.results import RunResult

CONFIG = MINIMAL.replace(
    "saved_model: model", "trainer: {module_file: code/trainer.py, train_steps: 1, eval_steps: 1}"
)
STAGES = (Stage(name="Trainer", is_cached=True), Stage(name="Pusher", is_cached=False))
AGAINST_PUSHED = "gate.rules=[{metric: AUC, max_drop: 1, against: pushed}]"
WITH_SCHEMA = "data.schema=schema.pbtxt"
WITH_WORDS = "evaluation.vocabulary=words.txt"
FILES = {
    "code/trainer.py": "import layers",
    "code/layers.py": "",
    "data/train/a.tfrecord": "examples",
    "data/eval/a.tfrecord": "examples",
    "schema.pbtxt": "feature {}",
    "words.txt": "ant\nbee\n",
    "runs/metadata.sqlite": "executions",
    "runs/artifacts/Trainer/model/1/saved_model.pb": "model",
    "runs/artifacts/TFLiteQuantizer/quantized_model/2/tflite": "flatbuffer",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with all that a run reads, and what it leaves."""
    for name, text in {**FILES, "c.yaml": CONFIG}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def sound_root(root: Path, sound_files: Callable[[Path], None]) -> Path:
    """As `root`, with data and a trainer that `validate` reads."""
    sound_files(root)
    return root


def look(root: Path, *overrides: str) -> Preflight:
    return inspect(load_config(root / "c.yaml", overrides))


def push(root: Path, content: str = "flatbuffer") -> RunResult:
    """Pushes a model, and returns the result of the run that did."""
    candidate = make_candidate(root, content.encode(), {})
    pushed = Destination.open(str(root / "pushed")).push(candidate)
    sizes = Bytes(float=40, quantized=len(content))
    return RunResult(status="pushed", size_bytes=sizes, pushed_to=pushed.uri)


REFUSED = RunResult(status="refused", reasons=("it is worse",))


def repeats(root: Path, *overrides: str) -> LastRun | None:
    """Returns the last run if one that begins now would only repeat it."""
    found = look(root, *overrides)
    return LastRun.repeated_by(found, inputs_of(found))


def has_run(root: Path, result: RunResult, *overrides: str) -> None:
    """Notes a run that has come to a result."""
    found = look(root, *overrides)
    remember(found, inputs_of(found), STAGES, result)


def test_the_same_again_has_the_result_of_the_last_run(root: Path):
    result = push(root)
    has_run(root, result)
    last = repeats(root)
    assert last is not None and last.result == result and last.stages == STAGES
    assert repeats(root) == last


def test_what_waits_is_said_again_until_somebody_has_decided(root: Path):
    destination = Destination.open(str(root / "pushed"))
    pushed = destination.push(make_candidate(root, b"flatbuffer", {}), approval=True)
    result = RunResult(
        status="pushed",
        pushed_to=pushed.uri,
        version=pushed.number,
        waits_for_approval=True,
        approve_command="tfx-tflite approve",
    )
    has_run(root, result)
    last = repeats(root)
    assert last is not None and last.result == result
    destination.approve(pushed.number, "ada")
    assert repeats(root) is None


def test_a_refused_one_is_refused_again(root: Path):
    has_run(root, REFUSED)
    last = repeats(root)
    assert last is not None and last.result == REFUSED


def rewrite(name: str, text: str = "other") -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)

    return change


def with_the_same_time(name: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = root / name
        before = path.stat()
        path.write_text(path.read_text()[::-1])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return change


def replace_store(root: Path) -> None:
    store = root / "runs" / "metadata.sqlite"
    shutil.copy2(store, store.with_name("copy"))
    store.with_name("copy").replace(store)


CHANGES: dict[str, Callable[[Path], object]] = {
    "the trainer's module": rewrite("code/trainer.py"),
    "a module beside it": rewrite("code/layers.py"),
    "one module more": rewrite("code/losses.py"),
    "one module fewer": lambda root: (root / "code/layers.py").unlink(),
    "a data file": rewrite("data/train/a.tfrecord"),
    "a data file whose time was set back": with_the_same_time("data/train/a.tfrecord"),
    "a data file that was touched": lambda root: os.utime(root / "data/eval/a.tfrecord", (1, 1)),
    "one data file more": rewrite("data/eval/b.tfrecord"),
    "the schema": rewrite("schema.pbtxt"),
    "the vocabulary": rewrite("words.txt", "bee\nant\n"),
    "an artifact that is gone": lambda root: shutil.rmtree(root / "runs/artifacts/Trainer"),
    "an artifact of another run": rewrite("runs/artifacts/Pusher/9"),
    "an artifact that was damaged": rewrite(
        "runs/artifacts/TFLiteQuantizer/quantized_model/2/tflite"
    ),
    "no artifacts": lambda root: shutil.rmtree(root / "runs/artifacts"),
    "a store that another run wrote": rewrite("runs/metadata.sqlite"),
    "a store that was put in its place": replace_store,
    "no store": lambda root: (root / "runs/metadata.sqlite").unlink(),
    "a write to the store that was cut off": rewrite("runs/metadata.sqlite-journal"),
    "another current version": lambda root: push(root, "another"),
    "a pointer that is gone": lambda root: (root / "pushed/LATEST").unlink(),
    "a destination that is gone": lambda root: shutil.rmtree(root / "pushed"),
    "a pushed model that was damaged": lambda root: next(
        (root / "pushed").glob("[0-9]*/model.tflite")
    ).write_text("damaged"),
    "a sign-off": lambda root: Destination.open(str(root / "pushed")).sign_off(
        Destination.open(str(root / "pushed")).versions()[-1]
    ),
    "a record that is cut off": rewrite("runs/last_run.json", '{"inputs"'),
    "a record of another kind": rewrite("runs/last_run.json", "[]"),
    "no record": lambda root: (root / "runs/last_run.json").unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_has_changed_is_a_reason_to_run(root: Path, change: Callable[[Path], object]):
    has_run(root, push(root), WITH_SCHEMA, WITH_WORDS)
    assert repeats(root, WITH_SCHEMA, WITH_WORDS) is not None
    change(root)
    assert repeats(root, WITH_SCHEMA, WITH_WORDS) is None


def test_a_trained_model_that_has_changed_is_a_reason_to_run(root: Path):
    (root / "model").mkdir()
    (root / "model" / "saved_model.pb").write_text("model")
    trained = ("model={saved_model: model}",)
    has_run(root, push(root), *trained)
    assert repeats(root, *trained) is not None
    (root / "model" / "saved_model.pb").write_bytes(b"")
    assert repeats(root, *trained) is None


@pytest.mark.parametrize(
    ("override", "is_new"),
    [
        ("quantization.scheme=float16", True),
        ("evaluation.slices=[[label]]", True),
        ("model.trainer.train_steps=2", True),
        ("push.golden_samples=0", True),
        ("push.retention={keep: 3}", True),
        ("beam.args=[--runner=FnApiRunner, --direct_num_workers=2]", True),
        ("schedule={cron: 0 7 * * *}", False),
    ],
)
def test_another_config_is_a_reason_to_run_and_another_schedule_is_not(
    root: Path, override: str, is_new: bool
):
    has_run(root, push(root))
    assert (repeats(root, override) is None) == is_new


def test_other_code_of_ours_is_a_reason_to_run(root: Path, monkeypatch: pytest.MonkeyPatch):
    has_run(root, push(root))
    monkeypatch.setattr("tfx_tflite.pipelines.runs.last_run.code_version", lambda: "99")
    assert repeats(root) is None


@pytest.mark.parametrize("is_new", [True, False])
def test_another_package_is_a_reason_to_run(
    root: Path, monkeypatch: pytest.MonkeyPatch, is_new: bool
):
    packages = root / "packages"
    (packages / ("keras-99.dist-info" if is_new else "keras")).mkdir(parents=True)
    has_run(root, push(root))
    monkeypatch.syspath_prepend(str(packages))
    assert (repeats(root) is None) == is_new


@pytest.mark.parametrize(
    ("name", "is_new"), [("TF_ENABLE_ONEDNN_OPTS", True), ("XLA_FLAGS", True), ("LINES", False)]
)
def test_another_environment_of_the_libraries_is_a_reason_to_run(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str, is_new: bool
):
    has_run(root, push(root))
    monkeypatch.setenv(name, "17")
    assert (repeats(root) is None) == is_new


def test_a_version_that_the_model_was_not_compared_with_is_a_reason_to_run(root: Path):
    before = look(root, AGAINST_PUSHED)
    assert before.compared_version == 0
    remember(before, inputs_of(before), STAGES, push(root))
    assert repeats(root, AGAINST_PUSHED) is None
    # The second run compares with what the first one pushed, and finds it present.
    number = Destination.open(str(root / "pushed")).current()
    has_run(root, RunResult(status="pushed", pushed_to=f"{root}/pushed/{number}"), AGAINST_PUSHED)
    assert repeats(root, AGAINST_PUSHED) is not None


def test_what_another_pipeline_pushes_during_a_run_is_a_reason_for_the_next(root: Path):
    ours = push(root)
    push(root, "theirs")
    has_run(root, ours)
    assert repeats(root) is None


@pytest.mark.parametrize(
    "result",
    [
        RunResult(status="failed"),
        RunResult(status="nothing_new"),
        RunResult(status="refused", push_note="rolled back"),
    ],
    ids=["failed", "nothing new", "withdrawn"],
)
def test_a_result_that_may_not_stand_is_not_noted(root: Path, result: RunResult):
    has_run(root, REFUSED)
    has_run(root, result)
    assert repeats(root) is None


@pytest.mark.parametrize(
    "override",
    [
        "metadata={mysql: {host: db, database: team, user: me}}",
        "data.input_base='gs://bucket/data'",
        "push.destination='s3://bucket/pushed'",
    ],
)
def test_what_cannot_be_seen_without_tfx_is_left_to_it(root: Path, override: str):
    assert inputs_of(look(root, override)) is None


def test_a_repeated_run_prints_the_same_and_loads_nothing_heavy(
    sound_root: Path, monkeypatch: pytest.MonkeyPatch
):
    # As the command sets it.
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "1")
    # Where TFX was imported, setuptools has put packages of its own on the path.
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if "_vendor" not in entry])
    has_run(sound_root, push(sound_root))
    done = subprocess.run(
        [
            *(sys.executable, "-X", "importtime", "-m", "tfx_tflite.pipelines"),
            *("run", str(sound_root / "c.yaml"), "--json"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["status"] == "pushed" and document["pushed_to"].startswith(
        f"{sound_root}/pushed/"
    )
    shown = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert shown[0] == "mine: int8"
    assert shown[1].split() == ["Trainer", "0.0", "s", "unchanged,", "from", "cache"]
    assert shown[2].split() == ["Pusher", "0.0", "s"]
    [log] = (sound_root / "runs" / "logs").glob("*.log")
    lines = [*done.stderr.splitlines(), *log.read_text().splitlines()]
    imported = {line.rpartition("|")[2].strip() for line in lines}
    assert imported.isdisjoint({"tensorflow", "tfx", "apache_beam", "ml_metadata"})
    assert "pydantic" in imported


@pytest.mark.parametrize(("force", "takes_from_cache"), [(True, True), (False, False)])
def test_force_and_no_cache_run_in_any_case(
    root: Path, monkeypatch: pytest.MonkeyPatch, force: bool, takes_from_cache: bool
):
    from tfx_tflite.pipelines.cli.console import RunPrinter
    from tfx_tflite.pipelines.cli.one_run import OneRun

    has_run(root, push(root))
    monkeypatch.setattr(OneRun, "_run", lambda *_: REFUSED)
    one_run = OneRun(look(root), RunPrinter(sys.stderr), root / "log")
    assert one_run.result("local", force, takes_from_cache) is REFUSED
    assert one_run.result("local", force=False).status == "pushed"


def test_the_command_line_says_whether_the_cache_is_asked(
    sound_root: Path, monkeypatch: pytest.MonkeyPatch
):
    from click.testing import CliRunner

    from tfx_tflite.pipelines.cli.main import main
    from tfx_tflite.pipelines.cli.one_run import OneRun

    asked: list[bool] = []

    def result(self: OneRun, runner: str, force: bool, takes_from_cache: bool) -> RunResult:
        asked.append(takes_from_cache)
        return REFUSED

    monkeypatch.setattr(OneRun, "result", result)
    for options in ([], ["--no-cache"]):
        CliRunner().invoke(main, ["run", str(sound_root / "c.yaml"), *options])
    assert asked == [True, False]
