"""What goes of old runs and what stays, whoever refers to it and whatever cannot be read."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from ml_metadata.proto import metadata_store_pb2 as pb

from tests.conftest import CONFIGS
from tests.forked import tfx_tflite
from tests.pipelines.runs.cleaning_cut_short import CutShort
from tests.pipelines.runs.past_runs import PastRuns
from tfx_tflite.components.errors import ConfigError, MetadataError, NotKnownError
from tfx_tflite.components.locks import only_one
from tfx_tflite.components.object_stores import files
from tfx_tflite.pipelines.cli.main import main
from tfx_tflite.pipelines.config.file import load_config
from tfx_tflite.pipelines.runs import RUN_LOCK
from tfx_tflite.pipelines.runs.cleaning import clean

is_below = Path.is_relative_to
LIVE, DELETED = pb.Artifact.LIVE, pb.Artifact.DELETED
# What a push reads and gives, which a version at the destination refers to.
OF_A_PUSH = ("quantized_model", "blessing", "pushed_model")


@pytest.fixture
def past(tmp_path: Path) -> PastRuns:
    return PastRuns(tmp_path)


def command(past: PastRuns, *options: str):
    return CliRunner().invoke(main, ["clean", str(past.path), *options])


def test_the_newest_runs_stay_and_others_go(past: PastRuns):
    runs = [past.run(pushes=False) for _ in range(4)]
    cleaned = clean(past.config, keep=2)
    assert past.there() == runs[2].directories() | runs[3].directories()
    assert cleaned.runs == 2 and cleaned.is_done and cleaned.notes == ()
    assert len([name for name in cleaned.directories if ".system" not in name]) == 16
    assert past.logs() == [
        f"20260101-0000{number:02}-7.{kind}" for number in (3, 4) for kind in ("json", "log")
    ]


def test_what_went_is_deleted_in_ml_metadata_and_what_stays_is_not(past: PastRuns):
    old, new = past.run(pushes=False), past.run(pushes=False)
    clean(past.config, keep=1)
    assert past.states() == {
        **{str(path): DELETED for path in old.directories()},
        **{str(path): LIVE for path in new.directories()},
    }


def test_what_a_search_keeps_beside_its_outputs_stays(past: PastRuns):
    for _ in range(3):
        past.run(pushes=False)
    kept = Path(past.config.artifacts_path) / "QuantizationTuner" / ".kept"
    for file in (kept / "tried" / "1" / "2.json", kept / "last" / "3.json"):
        file.parent.mkdir(parents=True)
        file.write_text("{}")
    clean(past.config, keep=1)
    assert len([path for path in kept.rglob("*") if path.is_file()]) == 2


def test_the_log_of_a_job_server_goes_with_that_of_its_run(past: PastRuns):
    for _ in range(2):
        past.run(pushes=False)
    runs = [Path(past.config.root) / "logs" / name for name in past.logs() if "log" in name]
    beside = [log.with_suffix(".job-server.log") for log in runs]
    for log in beside:
        log.touch()
    clean(past.config, keep=1)
    assert [log.exists() for log in beside] == [log.exists() for log in runs]
    assert {log.exists() for log in beside} == {True, False}


def test_cleaning_again_finds_nothing(past: PastRuns):
    for _ in range(3):
        past.run(pushes=False)
    clean(past.config, keep=1)
    again = clean(past.config, keep=1)
    assert again.directories == again.logs == () and again.size_bytes == 0


def test_a_dry_run_says_the_same_and_removes_nothing(past: PastRuns):
    for _ in range(3):
        past.run()
    before, logs, states = past.there(), past.logs(), past.states()
    dry = clean(past.config, keep=1, is_dry=True)
    assert (past.there(), past.logs(), past.states()) == (before, logs, states)
    wet = clean(past.config, keep=1)
    assert dry.directories == wet.directories and dry.logs == wet.logs
    assert (dry.status, wet.status) == ("would_clean", "cleaned")
    assert dry.size_bytes == wet.size_bytes > 0


def test_a_long_past_is_not_compared_each_with_each(past: PastRuns, monkeypatch):
    """Of 1,000 runs it took minutes, of a year of hours a day."""
    for _ in range(6):
        past.run()
    compared: list[Path] = []
    monkeypatch.setattr(
        Path, "is_relative_to", lambda path, *other: compared.append(path) or is_below(path, *other)
    )
    cleaned = clean(past.config, keep=1)
    # Each artifact and directory a few times.
    assert len(cleaned.directories) > 30 and len(compared) < 6 * len(cleaned.directories)


def test_ten_times_as_many_logs_are_not_compared_each_with_each(past: PastRuns, monkeypatch):
    past.run()
    compared: list[Path] = []
    is_same = Path.__eq__
    monkeypatch.setattr(
        Path, "__eq__", lambda path, other: compared.append(path) or is_same(path, other)
    )
    each = []
    for many in (20, 200):
        for number in range(many):
            (past.root / "logs" / f"20200101-000000-{number}.json").write_text("{}")
        compared.clear()
        assert len(clean(past.config, keep=1, is_dry=True).logs) == many
        each.append(len(compared) / many)
    assert each[1] <= 1.2 * each[0]


# Who refers to it


def test_what_the_newest_run_was_served_from_the_cache_stays(past: PastRuns):
    first = past.run(pushes=False)
    past.run(pushes=False)
    last = past.run("ImportExampleGen", "Trainer", of=first, pushes=False)
    clean(past.config, keep=1)
    assert past.there() == first.directories("examples", "model", "model_run") | last.directories()


def test_the_newest_outputs_of_each_node_stay_after_runs_that_failed_early(past: PastRuns):
    whole = past.run(pushes=False)
    failed = past.run(fails_at="Trainer")
    clean(past.config, keep=1)
    assert whole.directories("model", "quantized_model", "evaluation") <= past.there()
    assert failed.directories("examples") <= past.there()


def test_what_a_run_that_failed_left_goes(past: PastRuns):
    failed = past.run(fails_at="Trainer")
    past.run(pushes=False)
    clean(past.config, keep=1)
    number = failed.executions["Trainer"]
    assert not (past.root / "artifacts" / "Trainer" / "model" / str(number)).exists()


@pytest.mark.parametrize("is_noted", [True, False], ids=["by execution", "by digest"])
def test_what_a_pushed_version_refers_to_stays(past: PastRuns, is_noted: bool):
    pushed = past.run(is_noted=is_noted)
    past.run(pushes=False)
    past.run(pushes=False)
    clean(past.config, keep=1)
    assert pushed.directories(*OF_A_PUSH) <= past.there()
    assert not pushed.directories("examples", "model", "evaluation") & past.there()


def imported(past: PastRuns, name: str, uri: str = "", **options) -> Path:
    """Returns the copy of the SavedModel that a run has read, which was not trained.

    Args:
        past: The runs.
        name: Of the copy.
        uri: Where workers have read it, if it is not that copy.
        options: Of the run.
    """
    run = past.run(**options)
    copy = past.root / "models" / name
    copy.mkdir(parents=True, exist_ok=True)
    (copy / "saved_model.pb").write_text(name)
    run.artifacts["model"].uri = uri or str(copy)
    past.store.put_artifacts([run.artifacts["model"]])
    return copy


def test_copies_of_saved_models_go_with_the_last_run_that_read_them(past: PastRuns):
    old, current = (imported(past, name, pushes=False) for name in ("one", "two"))
    of_nobody = past.root / "models" / "three"
    of_nobody.mkdir()
    dry = clean(past.config, keep=1, is_dry=True)
    assert old.is_dir() and "models/one" in dry.directories
    wet = clean(past.config, keep=1)
    assert wet.directories == dry.directories and wet.size_bytes == dry.size_bytes
    assert not old.exists() and current.is_dir() and of_nobody.is_dir()
    # Who imports it again finds what was known of it.
    assert past.states()[str(old)] == LIVE


def test_copies_of_models_go_from_the_object_store_too_that_workers_read_them_in(
    past: PastRuns, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    files.forget_connections()
    place = "s3://models/cleaned"
    past.path.write_text(f"{past.path.read_text()}artifacts: {place}\n")
    for name in ("old", "current"):
        shared = f"{place}/models/{name}"
        files.write(f"{shared}/saved_model.pb", b"1")
        imported(past, name, uri=shared, pushes=False)
    dry = clean(past.config, keep=1, is_dry=True)
    logs = sum((past.root / name).stat().st_size for name in dry.logs)
    assert dry.directories == (f"{place}/models/old", "models/old")
    assert dry.size_bytes == len("1") + len("old") + logs
    assert clean(past.config, keep=1).directories == dry.directories
    assert files.below(f"{place}/models") == {"current/saved_model.pb": 1}
    assert [path.name for path in (past.root / "models").iterdir()] == ["current"]


def test_what_a_version_referred_to_goes_when_the_version_is_gone(past: PastRuns):
    pushed = past.run()
    current = past.run()
    past.run(pushes=False)
    shutil.rmtree(past.destination.path(pushed.pushed))
    clean(past.config, keep=1)
    assert not pushed.directories() & past.there()
    assert current.directories(*OF_A_PUSH) <= past.there()


def test_the_report_of_the_last_result_stays(past: PastRuns):
    judged = past.run(pushes=False)
    for _ in range(3):
        past.run(fails_at="Trainer")
    clean(past.config, keep=1)
    assert judged.directories("evaluation") <= past.there()
    assert "20260101-000001-7.json" in past.logs()


def test_the_report_of_the_last_tick_stays(past: PastRuns):
    ticked = past.run(pushes=False)
    past.run(pushes=False)
    report = f"{ticked.artifacts['evaluation'].uri}/report.html"
    record = {"scheduled": "2026-01-01T00:00:00Z", "status": "pushed", "result": {"page": report}}
    (past.root / "schedule").mkdir()
    (past.root / "schedule" / "runs.jsonl").write_text(json.dumps(record) + "\n")
    clean(past.config, keep=1)
    assert ticked.directories("evaluation") <= past.there()
    assert not ticked.directories("model") & past.there()


def test_a_running_stage_is_left_alone(past: PastRuns):
    for _ in range(3):
        past.run(pushes=False)
    before = past.there()
    with only_one(past.root / RUN_LOCK, "run"):
        result = command(past, "--keep", "1")
    assert result.exit_code == 1 and "another run is going on" in result.stderr
    assert past.there() == before


# Whose it is


def test_what_is_outside_of_the_root_is_never_touched(past: PastRuns, tmp_path: Path):
    own = tmp_path / "model" / "5"
    own.mkdir(parents=True)
    runs = [past.run(pushes=False) for _ in range(3)]
    imported = runs[0].artifacts["model"]
    imported.uri = str(own)
    past.store.put_artifacts([imported])
    clean(past.config, keep=1)
    assert own.is_dir() and past.states()[str(own)] == LIVE


def test_what_the_store_does_not_know_is_left_alone(past: PastRuns):
    runs = [past.run(pushes=False) for _ in range(3)]
    strange = [
        past.root / "artifacts" / "Trainer" / "model" / "999999",
        past.root / "artifacts" / "Trainer" / "model" / "backup",
        # That execution was another node's.
        past.root / "artifacts" / "Trainer" / "model" / str(runs[0].executions["Pusher"]),
        past.root / "artifacts" / "mine",
        past.root / "data",
    ]
    for path in strange:
        path.mkdir(parents=True)
    clean(past.config, keep=1)
    assert all(path.is_dir() for path in strange)


def test_nothing_goes_through_a_link(past: PastRuns, tmp_path: Path):
    old = past.run(pushes=False)
    past.run(pushes=False)
    elsewhere = tmp_path / "elsewhere"
    [place] = old.directories("model")
    shutil.move(place, elsewhere)
    place.symlink_to(elsewhere)
    clean(past.config, keep=1)
    assert (elsewhere / "part" / "file").exists()


def test_the_runs_of_another_root_in_the_same_store_are_not_counted(tmp_path: Path):
    store = tmp_path / "shared.sqlite"
    one, other = (PastRuns(tmp_path / name, store=store) for name in ("one", "other"))
    runs = [one.run(pushes=False) for _ in range(2)]
    others = [other.run(pushes=False) for _ in range(3)]
    clean(one.config, keep=1)
    assert one.there() == runs[1].directories()
    assert other.there() == set.union(*(run.directories() for run in others))


def test_another_pipeline_below_the_same_root_is_left_alone(past: PastRuns, tmp_path: Path):
    past.run(pushes=False)
    (tmp_path / "c.yaml").write_text(past.path.read_text().replace("name: mine", "name: its"))
    result = command(past, "--keep", "1")
    assert result.exit_code == 2 and "knows no run of its" in result.stderr


def test_a_root_that_was_moved_loses_nothing(past: PastRuns, tmp_path: Path):
    for _ in range(3):
        past.run(pushes=False)
    shutil.move(past.root, tmp_path / "moved")
    config = load_config(past.path, (f"root={tmp_path}/moved",))
    cleaned = clean(config, keep=1)
    assert cleaned.directories == () and cleaned.runs == 0
    assert len(list((tmp_path / "moved").glob("artifacts/*/model/*"))) == 3


# What cannot be read is not "nothing refers to it"


def test_a_destination_that_cannot_be_read_may_refer_to_all_that_was_pushed(past: PastRuns):
    pushed = past.run()
    past.run(pushes=False)
    (Path(past.config.push.destination) / "LATEST").unlink()
    os.mkfifo(Path(past.config.push.destination) / "LATEST")
    manifest = Path(past.destination.path(pushed.pushed, "manifest.json"))
    manifest.unlink()
    manifest.mkdir()
    cleaned = clean(past.config, keep=1)
    assert pushed.directories(*OF_A_PUSH) <= past.there()
    assert not pushed.directories("examples", "model", "evaluation") & past.there()
    [note] = cleaned.notes
    assert note.startswith("all that was pushed stays: ")


def test_a_store_of_objects_that_is_away_may_refer_to_all_that_was_pushed(
    past: PastRuns, monkeypatch: pytest.MonkeyPatch
):
    runs = [past.run() for _ in range(3)]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    away = ("push.destination=s3://models/mine", "push.timeout=1")
    cleaned = clean(load_config(past.path, away), keep=1)
    for run in runs:
        assert run.directories(*OF_A_PUSH) <= past.there()
    assert "s3://models/mine" in cleaned.notes[0]
    start = time.monotonic()
    options = ("--keep", "1", "--dry-run", "--timeout", "1", "--set", away[0])
    assert "s3://models/mine" in command(past, *options).stdout
    assert time.monotonic() - start < 15, "30 s are the default"


@pytest.mark.parametrize("damage", ["gone", "garbage", "directory"])
def test_a_store_that_cannot_be_read_does_not_say_that_there_were_no_runs(
    past: PastRuns, damage: str
):
    for _ in range(3):
        past.run(pushes=False)
    before, path = past.there(), Path(past.config.metadata_path)
    path.unlink()
    if damage == "garbage":
        path.write_text("not a database" * 1000)
    elif damage == "directory":
        path.mkdir()
    with pytest.raises((ConfigError, MetadataError)) as caught:
        clean(past.config, keep=1)
    assert len(str(caught.value).splitlines()) == 1
    assert past.there() == before
    assert path.exists() == (damage != "gone")


def test_records_that_cannot_be_read_end_it_before_anything_goes(past: PastRuns):
    for _ in range(3):
        past.run(pushes=False)
    before = past.there()
    (past.root / "schedule").mkdir()
    os.mkfifo(past.root / "schedule" / "runs.jsonl")
    with pytest.raises(NotKnownError, match="cannot read"):
        clean(past.config, keep=1)
    assert past.there() == before


# In the middle


def test_a_kill_at_any_step_leaves_the_rest_to_the_next(tmp_path: Path, record_property):
    """Nobody is served half an artifact meanwhile, and what stays is whole."""
    kills = CutShort(tmp_path).kills(range(1, 400, 13))
    assert kills > 10
    record_property("summary", f"{kills} kills")


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("fault", ["EIO", "ENOSPC"])
def test_a_disk_that_fails_at_any_step_leaves_the_rest_to_the_next(
    tmp_path: Path, fault: str, record_property
):
    ended = CutShort(tmp_path).faults(fault, stride=53)
    assert ended
    record_property("summary", f"{ended} ended by {fault}")


# The command


def test_the_command_says_what_went(past: PastRuns):
    for _ in range(3):
        past.run(pushes=False)
    dry = command(past, "--keep", "1", "--dry-run")
    assert dry.exit_code == 0 and dry.stdout.splitlines()[-1].startswith("would remove 26 direct")
    result = command(past, "--keep", "1")
    assert result.exit_code == 0
    assert "  artifacts/Trainer/model/2\n" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("removed 26 directories of artifacts and 4")


def test_the_command_prints_json_where_it_is_asked_for(past: PastRuns):
    past.run(pushes=False)
    past.run(pushes=False)
    document = json.loads(command(past, "--keep", "1", "--json").stdout)
    assert document["status"] == "cleaned" and document["runs_kept"] == 1
    assert "artifacts/Trainer/model/2" in document["artifacts"]
    assert document["logs"] and document["size_bytes"] > 0 and document["notes"] == []
    failed = command(past, "--json", "--set", "root=nowhere", "--keep", "1")
    assert failed.exit_code == 2 and json.loads(failed.stdout)["status"] == "failed"


def test_how_many_stay_comes_from_the_config_or_the_command_line(past: PastRuns):
    for _ in range(4):
        past.run(pushes=False)
    result = command(past)
    assert result.exit_code == 2 and "retention.keep_runs" in result.stderr
    by_config = command(past, "--json", "--dry-run", "--set", "retention.keep_runs=3")
    assert json.loads(by_config.stdout)["runs_kept"] == 3
    both = command(past, "--json", "--set", "retention.keep_runs=3", "--keep", "2")
    assert json.loads(both.stdout)["runs_kept"] == 2


@pytest.mark.parametrize("keep", ["0", "-1", "x"])
def test_no_run_staying_is_no_number(past: PastRuns, keep: str):
    assert command(past, "--keep", keep).exit_code == 2
    assert command(past, "--set", f"retention.keep_runs={keep}").exit_code == 2


@pytest.mark.slow
def test_a_root_of_real_runs_is_cleaned(tmp_path: Path):
    """Three real runs with `retention`; the last is a repeat, which needs no TFX any more."""
    settings = (
        f"root={tmp_path}/runs",
        f"push.destination={tmp_path}/pushed",
        "model.trainer.train_steps=60",
        "retention.keep_runs=1",
    )

    def run(*more: str) -> dict:
        options = [part for setting in (*settings, *more) for part in ("--set", setting)]
        done = tfx_tflite("run", CONFIGS / "digits.yaml", "--json", *options)
        assert done.returncode in (0, 3), done.stderr
        return {**json.loads(done.stdout.splitlines()[-1]), "said": done.stderr}

    run("calibration.samples=50")
    second = run("calibration.samples=60")
    assert "removed " in second["said"] and "the newest stay: 1" in second["said"]
    artifacts = tmp_path / "runs" / "artifacts"
    assert len(list(artifacts.glob("ImportExampleGen/examples/*"))) == 1
    assert len(list(artifacts.glob("CalibrationSampler/calibration_examples/*"))) == 1
    assert len(list(artifacts.glob("QuantizationEvaluator/evaluation/*"))) == 1
    assert Path(second["report"]).is_file()
    again = run("calibration.samples=60")
    assert again["status"] == second["status"]
    assert "loading TFX" not in again["said"], "it would only repeat the last one"
    forced = run("calibration.samples=60", "quantization.time_limit=3000")
    assert forced["said"].count("unchanged, from cache") >= 4
