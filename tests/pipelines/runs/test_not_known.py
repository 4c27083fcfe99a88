"""What decides by absence, on this machine: what cannot be read is not taken for what is not there.

Each row takes the permission for one thing away, or puts something in its place that is none. The
run ends with exit 1 before anything is loaded or computed, and says what cannot be read.
"""

import io
import multiprocessing
import shutil
import sqlite3
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.components.examples.test_spans import deliver
from tests.pipelines.config.test_config import MINIMAL
from tests.pipelines.runs.test_new_data import ROLLING
from tfx_tflite.components.errors import MetadataError, NotKnownError
from tfx_tflite.components.examples.spans import NoSpanError, RollingSplits, Span, local_glob
from tfx_tflite.pipelines.cli.console import RunPrinter
from tfx_tflite.pipelines.cli.main import main
from tfx_tflite.pipelines.cli.one_run import OneRun
from tfx_tflite.pipelines.config.file import load_config
from tfx_tflite.pipelines.config.preflight import inspect
from tfx_tflite.pipelines.metadata.store import check_connection

WITH_FILES = ("data.schema=schema.pbtxt", "evaluation.vocabulary=words.txt")
TRAINED = "model={trainer: {module_file: trainer.py, train_steps: 1, eval_steps: 1}}"


@pytest.fixture
def project(tmp_path: Path, sound_files: Callable[[Path], None]) -> Path:
    """All that a run reads; it has run before, and pushed."""
    path = tmp_path / "project"
    texts = {
        "rolling.yaml": ROLLING,
        "plain.yaml": MINIMAL,
        "model/saved_model.pb": "model",
        "trainer.py": "import layers\n",
        "layers.py": "",
        "schema.pbtxt": "feature {}",
        "words.txt": "ant\nbee\n",
        "data/train/a": "examples",
        "data/eval/a": "examples",
        "runs/last_data.json": "{}",
        "runs/last_run.json": "{}",
        "runs/metadata.sqlite": "",
        "runs/artifacts/Trainer/model/1/saved_model.pb": "model",
        "pushed/7/manifest.json": "{}",
        "pushed/LATEST": "7\n",
    }
    for name, text in texts.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    deliver(path / "data", "span-1", "span-2")
    sound_files(path)
    _import_all(path)
    return path


def _import_all(project: Path) -> None:
    """Imports what a run needs before it loads TFX: it may lie where root alone can read it."""
    for config in ("rolling.yaml", "plain.yaml"):
        found = inspect(load_config(project / config, [*WITH_FILES, TRAINED]))
        one_run = OneRun(found, RunPrinter(io.StringIO()), project / "log")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(OneRun, "_run", lambda *_: None)
            one_run.result("local", force=False)
    CliRunner().invoke(main, ["run", str(project / "no.yaml")])
    check_connection(load_config(project / "plain.yaml", [f"metadata.sqlite={project}/warm"]))


def denied(name: str) -> Callable[[Path], object]:
    return lambda project: (project / name).chmod(0)


def directory_for(name: str) -> Callable[[Path], object]:
    def change(project: Path) -> None:
        (project / name).unlink()
        (project / name).mkdir()

    return change


def endless_link(name: str) -> Callable[[Path], object]:
    def change(project: Path) -> None:
        path = project / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        path.symlink_to(path.name)

    return change


DENIED, IS_A_DIRECTORY, LOOP = "Permission denied", "Is a directory", "Too many levels"
# What is taken away, what of it the message names, why, and the config with overrides.
PLACES: dict[str, tuple[Callable[[Path], object], str, str, tuple[str, ...]]] = {
    "a folder of a span": (denied("data/span-2"), "data/span-2", DENIED, ("rolling.yaml",)),
    "a folder of a split": (
        denied("data/span-2/train"),
        "data/span-2/train",
        DENIED,
        ("rolling.yaml",),
    ),
    "the folder of an earlier span": (denied("data/span-1"), "span-1", DENIED, ("rolling.yaml",)),
    "the folder of the spans": (denied("data"), "data", DENIED, ("rolling.yaml",)),
    "a span that is a link to itself": (
        endless_link("data/span-2"),
        "data/span-2",
        LOOP,
        ("rolling.yaml",),
    ),
    "a file of the data": (
        denied("data/span-2/train/data.tfrecord"),
        "data.tfrecord",
        DENIED,
        ("rolling.yaml",),
    ),
    "the folder of a split without spans": (
        denied("data/train"),
        "data/train",
        DENIED,
        ("plain.yaml",),
    ),
    "the record of the data of the last run": (
        denied("runs/last_data.json"),
        "last_data.json",
        DENIED,
        ("rolling.yaml",),
    ),
    "a directory for the record of the data": (
        directory_for("runs/last_data.json"),
        "last_data.json",
        IS_A_DIRECTORY,
        ("rolling.yaml",),
    ),
    "the record of the last run": (
        denied("runs/last_run.json"),
        "last_run.json",
        DENIED,
        ("plain.yaml",),
    ),
    "a link to itself for the record of the last run": (
        endless_link("runs/last_run.json"),
        "last_run.json",
        LOOP,
        ("plain.yaml",),
    ),
    "the current version, which decides whether anything is new": (
        denied("pushed/7"),
        "pushed/7",
        DENIED,
        ("rolling.yaml",),
    ),
    "the pointer of the destination": (
        denied("pushed/LATEST"),
        "LATEST",
        DENIED,
        ("rolling.yaml",),
    ),
    "the trainer's module": (
        denied("trainer.py"),
        "trainer.py",
        DENIED,
        ("plain.yaml", TRAINED),
    ),
    "a module that the trainer imports": (
        denied("layers.py"),
        "layers.py",
        DENIED,
        ("plain.yaml", TRAINED),
    ),
    "the trained model": (
        denied("model/saved_model.pb"),
        "saved_model.pb",
        DENIED,
        ("plain.yaml",),
    ),
    "the schema": (denied("schema.pbtxt"), "schema.pbtxt", DENIED, ("plain.yaml", *WITH_FILES)),
    "the vocabulary": (denied("words.txt"), "words.txt", DENIED, ("plain.yaml", *WITH_FILES)),
    "the store of ML Metadata": (
        denied("runs/metadata.sqlite"),
        "metadata.sqlite",
        "cannot be used as ML Metadata's store",
        ("plain.yaml", "--no-cache"),
    ),
}


@pytest.mark.parametrize(("change", "named", "why", "asked"), PLACES.values(), ids=PLACES)
def test_what_cannot_be_read_is_said_and_nothing_is_run(
    project: Path,
    as_a_user,
    capfd: pytest.CaptureFixture[str],
    change: Callable[[Path], object],
    named: str,
    why: str,
    asked: tuple[str, ...],
):
    change(project)
    config, *more = asked
    options = [option for option in more if option.startswith("--")]
    for override in (override for override in more if not override.startswith("--")):
        options += ["--set", override]
    done = CliRunner().invoke(main, ["run", str(project / config), *options])
    # While it runs, it prints to the process's own streams.
    told = "".join((done.output, done.stderr, *capfd.readouterr()))
    line, *more = [line for line in told.splitlines() if line.startswith("error: ")]
    assert done.exit_code == 1 and set(more) <= {line}, told
    assert named in line and why in line and "cannot" in line
    assert "there is no" not in line and "nothing new" not in told and "loading TFX" not in told


# --- What is not there is said to be so ---


@pytest.mark.parametrize(
    ("name", "override"),
    [
        ("schema.pbtxt", "data.schema=schema.pbtxt"),
        ("words.txt", "evaluation.vocabulary=words.txt"),
        ("trainer.py", TRAINED),
    ],
)
def test_a_file_that_is_not_there_is_a_wrong_config(project: Path, name: str, override: str):
    (project / name).unlink()
    done = CliRunner().invoke(main, ["run", str(project / "plain.yaml"), "--set", override])
    assert done.exit_code == 2 and f"there is no file {project}/{name}" in done.stderr


PATTERNS = {"train": "span-{SPAN}/train/*", "eval": "span-{SPAN}/eval/*"}


def newest(base: Path) -> tuple[Span, ...]:
    return RollingSplits.parse(str(base), PATTERNS, spans=9).newest(local_glob)


def test_a_folder_without_spans_has_none(tmp_path: Path):
    (tmp_path / "span-1").write_text("a file, no span")
    (tmp_path / "other").mkdir()
    for base in (tmp_path, tmp_path / "none"):
        with pytest.raises(NoSpanError):
            newest(base)


@pytest.mark.parametrize("name", ["", "span-2", "span-2/train", "span-1/eval"])
def test_a_span_that_cannot_be_listed_is_not_passed_over(project: Path, as_a_user, name: str):
    base = project / "data"
    assert newest(base) == (Span(2), Span(1))
    (base / name).chmod(0)
    with pytest.raises(NotKnownError, match="Permission denied"):
        newest(base)


def test_a_folder_that_is_none_of_the_pattern_is_not_looked_into(project: Path, as_a_user):
    (project / "data" / "lost+found").mkdir()
    (project / "data" / "lost+found").chmod(0)
    assert newest(project / "data") == (Span(2), Span(1))


# --- ML Metadata ---


def test_a_store_that_another_process_holds_is_not_a_new_one(project: Path):
    path = project / "runs" / "metadata.sqlite"
    path.unlink()
    config = load_config(project / "plain.yaml")
    check_connection(config)
    # In a process of its own: locks are kept from other processes only.
    processes = multiprocessing.get_context("fork")
    is_held, is_over = processes.Event(), processes.Event()
    holder = processes.Process(target=_hold, args=(path, is_held, is_over))
    holder.start()
    try:
        assert is_held.wait(30)
        with pytest.raises(MetadataError, match=r"metadata\.sqlite cannot be used .*Concurrent"):
            check_connection(config)
    finally:
        is_over.set()
        holder.join()


def _hold(path: Path, is_held: Event, is_over: Event) -> None:
    connection = sqlite3.connect(path)
    connection.execute("BEGIN EXCLUSIVE")
    is_held.set()
    is_over.wait(60)


def test_a_folder_of_the_store_that_cannot_be_read_is_not_a_new_one(project: Path, as_a_user):
    (project / "store").mkdir()
    config = load_config(project / "plain.yaml", [f"metadata.sqlite={project}/store/m.sqlite"])
    check_connection(config)
    (project / "store").chmod(0)
    with pytest.raises(MetadataError, match="Permission denied"):
        check_connection(config)
    (project / "store").chmod(0o700)
    assert [path.name for path in (project / "store").iterdir()] == ["m.sqlite"]
