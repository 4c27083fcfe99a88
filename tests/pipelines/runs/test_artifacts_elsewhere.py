"""Whole runs whose artifacts are in an object store."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import boto3
import pytest

from tests.conftest import CONFIGS
from tests.forked import tfx_tflite
from tests.pipelines.metadata.servers import free_port
from tests.pipelines.runs.test_portable_runner import server
from tfx_tflite.components.object_stores import any_place, files
from tfx_tflite.pipelines.config.file import load_config
from tfx_tflite.pipelines.config.preflight import inspect
from tfx_tflite.pipelines.runs import last_run
from tfx_tflite.pipelines.runs.artifacts_place import take_place

pytestmark = pytest.mark.slow
SECRET = "s3cret-of-the-store"
# Those of two runs of which the same inputs give the same bytes.
SAME = ("SchemaGen", "CalibrationSampler", "TFLiteQuantizer")


@pytest.fixture(scope="module")
def store(s3: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """How the store is reached; in this process, too, while the tests of this module run."""
    variables = {**s3, "AWS_SECRET_ACCESS_KEY": SECRET}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        files.forget_connections()
        yield variables
    files.forget_connections()


def client():
    return boto3.client("s3", endpoint_url=os.environ["S3_ENDPOINT"])


def options(directory: Path, model: Path, place: str | None, *more: str) -> list[str]:
    """Returns what is set of the config of digits for a run below a directory."""
    return [
        f"root={directory}/root",
        f"push.destination={directory}/pushed",
        f"model={{saved_model: {model}, signature: serving_tensors}}",
        *([f"artifacts={place}"] if place else []),
        *more,
    ]


def run(overrides: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    settings = [part for text in overrides for part in ("--set", text)]
    return tfx_tflite("run", CONFIGS / "digits.yaml", *settings, "--json", *arguments)


def document(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def elsewhere(store, tmp_path_factory: pytest.TempPathFactory, digits_model: Path):
    """A run with its artifacts in the store."""
    directory = tmp_path_factory.mktemp("elsewhere")
    overrides = options(directory, digits_model, "s3://models/elsewhere")
    return directory, overrides, run(overrides)


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory, digits_model: Path):
    """The same on this machine's disk."""
    directory = tmp_path_factory.mktemp("on_disk")
    return directory, run(options(directory, digits_model, None))


def contents(artifacts: Path) -> dict[str, bytes]:
    """Returns the files of stages whose outputs must be the same, by node, output and name."""
    found = {}
    for node in SAME:
        for path in sorted((artifacts / node).rglob("*")):
            if path.is_file() and path.name != "quantization.json" and ".system" not in path.parts:
                [output, _, *name] = path.relative_to(artifacts / node).parts
                found["/".join((node, output, *name))] = path.read_bytes()
    return found


def test_a_run_pushes_the_model_that_a_run_on_disk_pushes(elsewhere, on_disk, tmp_path: Path):
    _, _, done = elsewhere
    assert done.returncode == 0, done.stderr
    expected_directory, expected = on_disk
    assert expected.returncode == 0, expected.stderr
    any_place.fetch("s3://models/elsewhere", tmp_path)
    found = contents(tmp_path)
    assert found == contents(expected_directory / "root" / "artifacts")
    assert {name.rpartition("/")[2] for name in found} >= {"tflite", "ranges.json", "sample.json"}
    same = ("status", "scheme", "examples", "rules", "size_bytes")
    assert {key: document(done)[key] for key in same} == {
        key: document(expected)[key] for key in same
    }


def test_all_artifacts_are_there_and_none_below_the_root(elsewhere):
    directory, _, _ = elsewhere
    assert not (directory / "root" / "artifacts").exists()
    there = files.below("s3://models/elsewhere")
    nodes = {name.split("/")[0] for name in there}
    assert nodes >= {"ImportExampleGen", "StatisticsGen", "QuantizationEvaluator", "Pusher", *SAME}
    assert [name for name in there if "beam-temp" in name or ".trial-" in name] == []


def test_the_report_is_on_this_machine(elsewhere):
    directory, _, done = elsewhere
    found = document(done)
    for key in ("report", "page"):
        assert Path(str(found[key])).is_relative_to(directory / "root" / "reports")
    assert json.loads(Path(str(found["report"])).read_text())["verdict"] == "blessed"
    assert "Pushed as version" in Path(str(found["page"])).read_text()
    shown = tfx_tflite("report", directory / "root")
    assert shown.returncode == 0 and str(found["page"]) in shown.stdout


def test_the_stores_key_is_nowhere(elsewhere):
    directory, _, done = elsewhere
    here = [path for path in directory.rglob("*") if path.is_file()]
    assert {"metadata.sqlite"} <= {path.name for path in here}
    assert [path for path in here if SECRET.encode() in path.read_bytes()] == []
    place = "s3://models/elsewhere"
    there = [f"{place}/{name}" for name in files.below(place)]
    assert [uri for uri in there if SECRET.encode() in files.read(uri)] == []
    assert SECRET not in done.stdout + done.stderr


def test_the_next_run_takes_its_stages_from_the_cache_and_old_runs_are_cleaned(elsewhere):
    directory, overrides, _ = elsewhere
    (directory / "root" / last_run._FILE_NAME).unlink(missing_ok=True)
    again = run([*overrides, "gate.min_examples=201"])
    assert again.returncode == 0, again.stderr
    cached = [line for line in again.stderr.splitlines() if "unchanged, from cache" in line]
    # All but those that have no cache, or are asked something else.
    assert len(cached) == 5, again.stderr
    settings = [part for text in overrides for part in ("--set", text)]
    cleaned = tfx_tflite("clean", CONFIGS / "digits.yaml", *settings, "--keep", "1", "--json")
    assert cleaned.returncode == 0, cleaned.stderr
    found = json.loads(cleaned.stdout.splitlines()[-1])
    gone = found["artifacts"]
    assert any("QuantizationEvaluator/evaluation/" in name for name in gone), gone
    left = files.below("s3://models/elsewhere")
    for name in gone:
        below = name.removeprefix("s3://models/elsewhere/")
        assert not any(path.startswith(f"{below}/") for path in left)
    # What the cache is served from is there.
    assert any(name.startswith("ImportExampleGen/examples/") for name in left)
    assert any(name.startswith("QuantizationEvaluator/evaluation/") for name in left)


def test_another_root_does_not_take_the_place(elsewhere, tmp_path: Path, digits_model: Path):
    done = run(options(tmp_path, digits_model, "s3://models/elsewhere"))
    assert done.returncode == 2
    assert "artifacts: s3://models/elsewhere holds the artifacts of another root" in done.stderr


@pytest.mark.parametrize("place", ["s3://not-there/x", "s3://models/x"])
def test_a_place_that_cannot_be_written_ends_the_run_before_tfx_is_loaded(
    store, place: str, tmp_path: Path, digits_model: Path, monkeypatch: pytest.MonkeyPatch
):
    if place == "s3://models/x":
        with socket.create_server(("127.0.0.1", 0)) as closed:
            monkeypatch.setenv("S3_ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
    done = run(options(tmp_path, digits_model, place))
    assert done.returncode == 1
    reason = "no such bucket" if place == "s3://not-there/x" else "unreachable"
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert f"artifacts: cannot write {place}/.trial-" in line and reason in line
    assert "loading TFX" not in done.stderr


def test_a_store_that_fails_in_the_middle_is_said_and_the_next_run_begins_there(
    store, tmp_path: Path, digits_model: Path
):
    from tfx_tflite.components.errors import TfxTfliteError
    from tfx_tflite.pipelines.runs.run import run as run_here
    from tfx_tflite.pipelines.runs.runners import StageObserver, StageResult

    bucket = boto3.resource("s3", endpoint_url=store["S3_ENDPOINT"]).create_bucket(Bucket="fails")
    config = load_config(
        CONFIGS / "digits.yaml", options(tmp_path, digits_model, "s3://fails/digits")
    )
    take_place(config)

    def lose(stage: StageResult) -> None:
        if stage.name == "SchemaGen":
            bucket.objects.all().delete()
            bucket.delete()

    observer = StageObserver(started=lambda name: None, ended=lose)
    with pytest.raises(TfxTfliteError) as failure:
        run_here(inspect(config), "local", observer)
    assert "s3://fails/digits" in str(failure.value) and "no such bucket" in str(failure.value)
    assert len(str(failure.value).splitlines()) == 1
    assert not (tmp_path / "pushed").exists()
    boto3.resource("s3", endpoint_url=store["S3_ENDPOINT"]).create_bucket(Bucket="fails")
    stages: list[StageResult] = []
    observer = StageObserver(started=lambda name: None, ended=stages.append)
    assert run_here(inspect(config), "local", observer).status == "pushed"
    # What was lost with the bucket is made anew.
    assert {stage.outcome for stage in stages} == {"done"}


def can_hide_folders() -> bool:
    """Returns whether processes can be started that do not see a folder of this machine."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_hide_folders(), reason="needs root and unshare to hide the root")
def test_workers_that_do_not_see_the_root_make_the_same_model(
    store, on_disk, tmp_path: Path, digits_model: Path
):
    from tfx_tflite.pipelines.runs.run import run as run_here
    from tfx_tflite.pipelines.runs.runners import StageObserver

    root = tmp_path / "root"
    root.mkdir()
    jobs, workers = free_port(), free_port()
    hidden = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(root)]
    with (
        server(
            "apache_beam.runners.portability.local_job_service_main",
            *("-p", str(jobs)),
            port=jobs,
            log=tmp_path / "jobs",
        ),
        server(
            "apache_beam.runners.worker.worker_pool_main",
            f"--service_port={workers}",
            port=workers,
            log=tmp_path / "workers",
            before=hidden,
        ),
    ):
        args = [
            "--runner=PortableRunner",
            f"--job_endpoint=localhost:{jobs}",
            "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{workers}",
        ]
        place = "s3://models/hidden"
        overrides = options(tmp_path, digits_model, place, f"beam.args={json.dumps(args)}")
        observer = StageObserver(started=lambda name: None, ended=lambda stage: None)
        found = inspect(load_config(CONFIGS / "digits.yaml", overrides))
        result = run_here(found, "local", observer)
    expected_directory, expected = on_disk
    any_place.fetch(place, tmp_path / "fetched")
    assert contents(tmp_path / "fetched") == contents(expected_directory / "root" / "artifacts")
    assert [rule.drop for rule in result.rules] == [
        rule["drop"] for rule in document(expected)["rules"]
    ]
    assert SECRET.encode() not in (tmp_path / "workers").read_bytes()
    assert SECRET.encode() not in (tmp_path / "jobs").read_bytes()
