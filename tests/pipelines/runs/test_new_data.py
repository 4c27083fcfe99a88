"""Whether anything is new, up to where a run would load TFX."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.components.examples.test_spans import deliver
from tests.pipelines.config.test_config import MINIMAL
from tfx_tflite.components import locks
from tfx_tflite.components.digests import file_digest
from tfx_tflite.pipelines.cli.main import main
from tfx_tflite.pipelines.config.file import load_config
from tfx_tflite.pipelines.config.preflight import Preflight, inspect
from tfx_tflite.pipelines.runs import RUN_LOCK
from tfx_tflite.pipelines.runs.new_data import RunInputs
from tfx_tflite.pipelines.runs.results import RunResult

ROLLING = (
    MINIMAL.replace(
        "input_base: data",
        "input_base: data\n  splits: {train: 'span-{SPAN}/train/*', eval: 'span-{SPAN}/eval/*'}",
    )
    + "schedule: {cron: 0 6 * * *}\n"
)


@pytest.fixture
def inputs(tmp_path: Path):
    """Writes config, model and two spans; returns what a run would depend on."""
    path = tmp_path / "c.yaml"
    path.write_text(ROLLING)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_text("model")
    (tmp_path / "runs").mkdir()
    deliver(tmp_path / "data", "span-1", "span-2")

    def now(*overrides: str) -> RunInputs:
        found = RunInputs.of(inspect(load_config(path, overrides)))
        assert found is not None
        return found

    return now


@pytest.fixture
def sound_inputs(inputs, tmp_path: Path, sound_files: Callable[[Path], None]):
    """As `inputs`, of data and a model that `validate` reads."""
    sound_files(tmp_path)
    return inputs


def result(status: str, pushed_to: Path | None = None) -> RunResult:
    return RunResult(status=status, pushed_to=pushed_to and str(pushed_to))


def run(tmp_path: Path, *options: str):
    return CliRunner().invoke(main, ["run", str(tmp_path / "c.yaml"), *options])


@pytest.mark.parametrize("status", ["pushed", "refused"])
def test_nothing_is_new_after_a_run_that_came_to_a_verdict(inputs, tmp_path: Path, status: str):
    assert inputs().used_before(tmp_path / "runs") is None
    inputs().remember(tmp_path / "runs", result(status))
    assert inputs().used_before(tmp_path / "runs").status == status


def test_a_run_that_failed_used_nothing(inputs, tmp_path: Path):
    inputs().remember(tmp_path / "runs", result("failed"))
    assert inputs().used_before(tmp_path / "runs") is None


def change_a_file(root: Path) -> None:
    (root / "data/span-2/train/data.tfrecord").write_text("delivered again")


def swap_a_file(root: Path) -> None:
    """Puts other contents of the same size in its place, and sets the time back."""
    path = root / "data/span-2/train/data.tfrecord"
    before = path.stat()
    path.write_text(path.read_text()[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def rename_over(root: Path) -> None:
    """As `swap_a_file`, with another file that has the name now."""
    path = root / "data/span-2/train/data.tfrecord"
    before = path.stat()
    other = path.with_name(".other")
    other.write_text(path.read_text()[::-1])
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


CHANGES = {
    "a new span": lambda root: deliver(root / "data", "span-3"),
    "another file in the span": lambda root: (root / "data/span-2/train/more").write_text("x"),
    "a file with other contents": change_a_file,
    "a file with other contents of the same size and time": swap_a_file,
    "another file of the same size and time": rename_over,
    "another model": lambda root: (root / "model/saved_model.pb").write_bytes(b""),
}


@pytest.mark.parametrize("settled", [True, False], ids=["long ago", "just now"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_is_new(inputs, tmp_path: Path, change, settled: bool, monkeypatch):
    if settled:
        # Digests are kept only of files that are older than a moment.
        monkeypatch.setattr("tfx_tflite.pipelines.runs.file_digests._SETTLED_NS", -1)
    inputs().remember(tmp_path / "runs", result("pushed"))
    assert inputs().used_before(tmp_path / "runs") is not None
    change(tmp_path)
    assert inputs().used_before(tmp_path / "runs") is None


def copy_a_file(root: Path) -> None:
    path = root / "data/span-2/train/data.tfrecord"
    shutil.copyfile(path, path.with_name(".copy"))
    path.with_name(".copy").replace(path)


def touch_a_file(root: Path) -> None:
    os.utime(root / "data/span-2/eval/data.tfrecord", (1, 1))


@pytest.mark.parametrize("change", [copy_a_file, touch_a_file])
def test_the_same_contents_are_not_new(inputs, tmp_path: Path, change):
    inputs().remember(tmp_path / "runs", result("pushed"))
    change(tmp_path)
    assert inputs().used_before(tmp_path / "runs") is not None


def test_files_are_read_once_for_each_state(inputs, monkeypatch):
    from tfx_tflite.pipelines.runs import file_digests

    read: list[str] = []

    def counted(path: str) -> str:
        read.append(path)
        return file_digest(path)

    monkeypatch.setattr(file_digests, "_SETTLED_NS", -1)
    monkeypatch.setattr(file_digests, "file_digest", counted)
    first = inputs().digest
    assert len(read) == 2 and inputs().digest == first and len(read) == 2


def test_files_of_one_split_are_not_read_again_after_those_of_another_were_asked_for(
    tmp_path: Path, monkeypatch
):
    """As ExampleGen's driver asks: for one split after the other, in each run."""
    from tfx_tflite.pipelines.runs import file_digests

    read: list[str] = []
    monkeypatch.setattr(file_digests, "_SETTLED_NS", -1)
    monkeypatch.setattr(file_digests, "file_digest", lambda path: read.append(path) or "sha256:0")
    files = [str(tmp_path / split) for split in ("train", "eval")]
    for file in files:
        Path(file).write_text("x")
    for _ in range(3):
        digests = file_digests.FileDigests(tmp_path / "runs")
        for file in files:
            digests.of_all([file])
    assert read == files


def test_another_vocabulary_is_new(inputs, tmp_path: Path):
    words = tmp_path / "words.txt"
    words.write_text("ant\nbee\n")
    inputs("evaluation.vocabulary=words.txt").remember(tmp_path / "runs", result("pushed"))
    assert inputs("evaluation.vocabulary=words.txt").used_before(tmp_path / "runs") is not None
    words.write_text("bee\nant\n")
    assert inputs("evaluation.vocabulary=words.txt").used_before(tmp_path / "runs") is None


def push(root: Path, *numbers: int) -> None:
    """Writes versions as far as it takes to be one, the last one current."""
    for number in numbers:
        version = root / "pushed" / str(number)
        version.mkdir(parents=True, exist_ok=True)
        (version / "manifest.json").write_text("{}")
        (root / "pushed" / "LATEST").write_text(f"{number}\n")


AGAINST_PUSHED = "gate.rules=[{metric: AUC, max_drop: 1, against: pushed}]"


def test_a_destination_that_was_emptied_is_reason_for_another_run(inputs, tmp_path: Path):
    push(tmp_path, 7)
    inputs().remember(tmp_path / "runs", result("pushed", tmp_path / "pushed" / "7"))
    assert inputs().used_before(tmp_path / "runs").current == 7
    shutil.rmtree(tmp_path / "pushed")
    assert inputs().used_before(tmp_path / "runs") is None


def test_another_current_version_is_new_only_to_rules_against_it(inputs, tmp_path: Path):
    push(tmp_path, 7, 8)
    compared, alone = inputs(AGAINST_PUSHED), inputs()
    push(tmp_path, 7)
    for before, overrides, is_new in ((compared, [AGAINST_PUSHED], True), (alone, [], False)):
        before.remember(tmp_path / "runs", result("refused"))
        assert (inputs(*overrides).used_before(tmp_path / "runs") is None) == is_new


def test_what_another_pipeline_pushes_during_a_run_is_new_to_the_next(inputs, tmp_path: Path):
    push(tmp_path, 7)
    before = inputs(AGAINST_PUSHED)
    push(tmp_path, 8, 9)
    before.remember(tmp_path / "runs", result("pushed", tmp_path / "pushed" / "8"))
    assert inputs(AGAINST_PUSHED).used_before(tmp_path / "runs") is None


def test_what_waits_is_not_current_and_its_approval_is_nothing_new(inputs, tmp_path: Path):
    push(tmp_path, 7)
    waits = {"pushed_to": str(tmp_path / "pushed" / "8"), "version": 8, "waits_for_approval": True}
    done = result("pushed").model_copy(update=waits)
    inputs(AGAINST_PUSHED).remember(tmp_path / "runs", done)
    used = inputs(AGAINST_PUSHED).used_before(tmp_path / "runs")
    assert (used.status, used.current, used.waiting) == ("pushed", 7, 8)
    push(tmp_path, 7, 8)
    assert inputs(AGAINST_PUSHED).used_before(tmp_path / "runs") is not None
    push(tmp_path, 9)
    assert inputs(AGAINST_PUSHED).used_before(tmp_path / "runs") is None


def test_a_late_span_is_new_only_where_it_is_among_those_taken(inputs, tmp_path: Path):
    def taken(spans: int) -> RunInputs:
        return inputs(f"data.spans={spans}")

    before = {spans: taken(spans) for spans in (1, 2, 3)}
    deliver(tmp_path / "data", "span-0")
    assert [taken(spans) == before[spans] for spans in (1, 2, 3)] == [True, True, False]


def test_another_config_is_new_and_another_schedule_is_not(inputs):
    assert inputs("quantization.scheme=float16").digest != inputs().digest
    assert inputs("schedule.cron=0 7 * * *").digest == inputs().digest


def test_another_version_of_the_code_is_new(inputs, monkeypatch):
    before = inputs().digest
    monkeypatch.setattr("tfx_tflite.pipelines.runs.new_data.code_version", lambda: "tfx-tflite 99")
    assert inputs().digest != before


def test_a_record_that_is_cut_off_is_none(inputs, tmp_path: Path):
    (tmp_path / "runs" / "last_data.json").write_text('{"digest"')
    assert inputs().used_before(tmp_path / "runs") is None


def test_data_without_spans_are_never_asked(tmp_path: Path):
    path = tmp_path / "c.yaml"
    path.write_text(MINIMAL)
    assert RunInputs.of(Preflight(load_config(path), str(tmp_path / "data"), (), ())) is None


def test_a_run_without_anything_new_exits_with_0_and_says_so(sound_inputs, tmp_path: Path):
    sound_inputs().remember(tmp_path / "runs", result("pushed"))
    done = subprocess.run(
        [sys.executable, "-m", "tfx_tflite.pipelines", "run", str(tmp_path / "c.yaml"), "--json"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    [line] = done.stdout.splitlines()
    document = json.loads(line)
    assert document["status"] == "nothing_new" and document["pushed_to"] is None
    assert "mine: nothing new: span 2 was used by the run that was pushed at" in done.stderr
    assert list((tmp_path / "runs" / "logs").iterdir()) == []


def test_its_json_has_the_keys_of_other_results(inputs, tmp_path: Path):
    inputs().remember(tmp_path / "runs", result("pushed"))
    found = inputs().nothing_new(load_config(tmp_path / "c.yaml"))
    assert found is not None and found.to_keys().keys() == result("pushed").to_keys().keys()


def test_saying_so_loads_nothing_heavy(sound_inputs, tmp_path: Path):
    sound_inputs().remember(tmp_path / "runs", result("pushed"))
    script = (
        "import sys\n"
        "from tfx_tflite.pipelines.cli.main import main\n"
        f"try: main(['run', {str(tmp_path / 'c.yaml')!r}])\n"
        "except SystemExit as done: assert done.code == 0\n"
        "print([name for name in ('tensorflow', 'tfx', 'apache_beam') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_no_span_at_all_is_an_error_that_names_the_pattern(sound_inputs, tmp_path: Path):
    found = run(tmp_path, "--set", "data.splits.train=day-{SPAN}/*")
    assert found.exit_code == 2
    assert f"c.yaml:5: data.splits: no span matches {tmp_path}/data/day-{{SPAN}}/*" in found.stderr


def test_a_delivery_under_way_is_a_failure_not_a_wrong_config(sound_inputs, tmp_path: Path):
    deliver(tmp_path / "data", "span-3", splits=("train",))
    found = run(tmp_path)
    assert found.exit_code == 1
    assert "span 3 in 'train', span 2 in 'eval'" in found.stderr


def test_a_run_below_a_root_where_one_is_going_on_fails_at_once(sound_inputs, tmp_path: Path):
    with locks.only_one(tmp_path / "runs" / RUN_LOCK, "run"):
        found = run(tmp_path, "--json")
    assert found.exit_code == 1
    assert f"another run is going on below {tmp_path}/runs (process {os.getpid()}" in found.stderr
    assert json.loads(found.stdout)["status"] == "failed"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("data.splits.train=d/{SPAN}/{SPAN}/*", "data.splits.train: {SPAN} is there twice"),
        ("data.splits.train=train/*", "data.splits: split 'eval' has other placeholders"),
        ("data.spans=0", "data.spans: expected"),
        ("data={builtin: digits, splits: {train: '{SPAN}', eval: '{SPAN}'}}", "has no spans"),
        ("data={input_base: data, spans: 2}", "data.spans: is 2, but data.splits has neither"),
    ],
)
def test_the_config_says_what_is_wrong_with_spans(inputs, tmp_path: Path, override, expected):
    found = run(tmp_path, "--set", override)
    assert found.exit_code == 2
    assert expected in found.stderr
