"""The pipeline on real database servers, and what goes wrong between the two."""

import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import CONFIGS
from tests.forked import tfx_tflite
from tests.pipelines.metadata.servers import PASSWORD, SERVERS, USER, Server
from tfx_tflite.components.errors import ConfigError, MetadataError
from tfx_tflite.pipelines.config.file import load_config
from tfx_tflite.pipelines.config.preflight import inspect
from tfx_tflite.pipelines.metadata.store import check_connection, connected

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "tfx_tflite.pipelines"]


@pytest.fixture(scope="module", params=sorted(SERVERS))
def server(request: pytest.FixtureRequest):
    with SERVERS[request.param]() as found:
        yield found


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n")
    return path


def settings(directory: Path, model: Path, metadata: str) -> list[str]:
    return [
        f"root={directory}/root",
        f"push.destination={directory}/pushed",
        f"model={{saved_model: {model}, signature: serving_tensors}}",
        "quantization.scheme=float16",
        metadata,
    ]


def config_of(server: Server, directory: Path, password_file: Path, **changes: object):
    metadata = server.settings(password_file, **changes)
    return load_config(CONFIGS / "digits.yaml", [f"root={directory}/root", metadata])


def arguments(directory: Path, model: Path, metadata: str, runner: str = "beam") -> list[str]:
    overrides = settings(directory, model, metadata)
    command = ["run", str(CONFIGS / "digits.yaml"), "--json", "--runner", runner]
    return [*command, *(part for text in overrides for part in ("--set", text))]


def everything_written(directory: Path) -> str:
    return "\n".join(
        path.read_text(encoding="utf-8", errors="replace")
        for path in directory.rglob("*")
        if path.is_file()
    )


def is_secret(text: str) -> bool:
    """Whether nothing of the password is in a text, in whichever quotes."""
    return "s3cret" not in text and "elsewhere" not in text


@pytest.fixture(scope="module")
def two_runs(server: Server, digits_model: Path, tmp_path_factory: pytest.TempPathFactory):
    """Two runs of one pipeline that begin with an empty store, at once, each with its root."""
    directory = tmp_path_factory.mktemp("team")
    password = directory.parent / f"{directory.name}-password"
    password.write_text(PASSWORD)
    homes = [directory / "beam", directory / "local"]
    metadata = server.settings(password)
    with ThreadPoolExecutor() as pool:
        runs = [
            pool.submit(tfx_tflite, *arguments(home, digits_model, metadata, home.name))
            for home in homes
        ]
        ended = [(run.result(), run.result().stdout, run.result().stderr) for run in runs]
    return homes, ended, password


def test_two_runs_at_once_share_a_store_and_both_push(two_runs):
    for process, stdout, stderr in two_runs[1]:
        assert process.returncode == 0, stderr
        document = json.loads(stdout.splitlines()[-1])
        assert document["status"] == "pushed"
        assert (Path(document["pushed_to"]) / "model.tflite").is_file()


def test_each_of_them_has_its_artifacts_below_its_own_root(two_runs):
    homes, ended, _ = two_runs
    for home, (_, stdout, _) in zip(homes, ended, strict=True):
        report = Path(json.loads(stdout.splitlines()[-1])["report"])
        assert report.is_relative_to(home)
        lineage = json.loads(report.read_text())["lineage"]
        examples = Path(lineage["examples"])
        assert examples.is_relative_to(home)


def test_the_password_is_nowhere(two_runs):
    homes, ended, _ = two_runs
    for home, (_, stdout, stderr) in zip(homes, ended, strict=True):
        assert is_secret(stdout) and is_secret(stderr)
        assert is_secret(everything_written(home))


@pytest.fixture
def run_again(two_runs, server: Server, digits_model: Path):
    """Runs the pipeline of one of the two roots once more, in this process."""
    from tfx_tflite.pipelines.runs.run import run
    from tfx_tflite.pipelines.runs.runners import StageObserver

    homes, _, password = two_runs

    def again() -> dict[str, str]:
        stages = []
        overrides = settings(homes[0], digits_model, server.settings(password))
        observer = StageObserver(started=lambda name: None, ended=stages.append)
        result = run(inspect(load_config(CONFIGS / "digits.yaml", overrides)), "local", observer)
        assert result.status == "pushed"
        assert result.report.startswith(str(homes[0]))
        return {stage.name: stage.outcome for stage in stages}

    return homes[0], again


def test_a_second_run_is_answered_from_the_cache(run_again):
    _, again = run_again
    outcomes = again()
    assert outcomes["ImportExampleGen"] == outcomes["QuantizationEvaluator"] == "cached"


def test_an_artifact_that_is_gone_is_made_anew(run_again):
    home, again = run_again
    shutil.rmtree(home / "root" / "artifacts" / "TFLiteQuantizer")
    outcomes = again()
    assert outcomes["ImportExampleGen"] == "cached"
    assert outcomes["TFLiteQuantizer"] == outcomes["QuantizationEvaluator"] == "done"


def problem(config) -> str:
    with pytest.raises(MetadataError) as caught:
        check_connection(config)
    message = str(caught.value)
    assert len(message.splitlines()) == 1 and is_secret(message)
    return message


def test_a_wrong_password_is_one_line(server: Server, tmp_path: Path):
    wrong = tmp_path / "wrong"
    wrong.write_text("not it")
    found = problem(config_of(server, tmp_path, wrong))
    assert f"127.0.0.1:{server.port}" in found and repr(USER) in found and str(wrong) in found
    assert "not it" not in found


def test_a_database_of_others_is_one_line(server: Server, tmp_path: Path, password_file: Path):
    found = problem(config_of(server, tmp_path, password_file, database="others"))
    assert "denied" in found and "'others'" in found


def test_a_server_that_is_not_there_is_one_line(server: Server, tmp_path: Path, password_file):
    found = problem(config_of(server, tmp_path, password_file, port=1))
    assert found.startswith(f"metadata.{server.kind}: no server answers at 127.0.0.1:1 (")


def test_the_command_says_it_before_anything_is_loaded_and_keeps_the_password_to_itself(
    server: Server, tmp_path: Path, digits_model: Path, password_file: Path
):
    metadata = server.settings(password_file, port=1)
    command = [*COMMAND, *arguments(tmp_path / "home", digits_model, metadata)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    stdout, stderr = done.stdout, done.stderr
    assert done.returncode == 1
    [line] = [line for line in stderr.splitlines() if line.startswith("error:")]
    assert "no server answers" in line
    assert json.loads(stdout.splitlines()[-1])["status"] == "failed"
    assert "loading TFX" not in stderr
    assert is_secret(stdout + stderr + everything_written(tmp_path / "home"))


def test_a_server_that_stops_during_a_run_fails_the_stage_and_names_the_server(
    tmp_path: Path, digits_model: Path, password_file: Path
):
    from tfx_tflite.pipelines.runs.run import RunFailed, run
    from tfx_tflite.pipelines.runs.runners import StageObserver

    with SERVERS["mysql"]() as own:
        overrides = settings(tmp_path, digits_model, own.settings(password_file))

        def stop(result: object) -> None:
            os.kill(own.process.pid, signal.SIGKILL)
            own.process.wait()

        observer = StageObserver(started=lambda name: None, ended=stop)
        with pytest.raises(RunFailed) as caught:
            run(inspect(load_config(CONFIGS / "digits.yaml", overrides)), "local", observer)
    assert f"127.0.0.1:{own.port}" in str(caught.value)
    assert is_secret(str(caught.value))


def test_nodes_are_listed_in_order_and_texts_with_backslashes_survive(
    server: Server, tmp_path: Path, password_file: Path
):
    import ml_metadata
    from ml_metadata.proto import metadata_store_pb2

    from tfx_tflite.pipelines.metadata.store import connection_config

    config = config_of(server, tmp_path, password_file)
    text = '{"config": "{\\"name\\": \\"it\'s\\"}"}'
    with connected(config):
        store = ml_metadata.MetadataStore(connection_config(config))
        kind = store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Thing"))
        things = [metadata_store_pb2.Artifact(type_id=kind, uri=f"u\\{i}") for i in range(9)]
        things[0].custom_properties["text"].string_value = text
        ids = store.put_artifacts(things)
        # What is changed later is listed last by PostgreSQL.
        store.put_artifacts(store.get_artifacts_by_id(ids[:2]))
        assert [thing.id for thing in store.get_artifacts_by_type("Thing")] == ids
        wanted = [ids[4], ids[0], ids[7]]
        found = store.get_artifacts_by_id(wanted)
        assert [thing.id for thing in found] == wanted
        assert found[1].custom_properties["text"].string_value == text
        assert [thing.id for thing in store.get_artifacts_by_uri("u\\3")] == [ids[3]]


def test_what_tfx_is_given_and_what_debugging_logs_has_no_password(
    server: Server, tmp_path: Path, password_file: Path, caplog: pytest.LogCaptureFixture
):
    import absl.logging
    import ml_metadata

    from tfx_tflite.pipelines.metadata.store import connection_config

    config = config_of(server, tmp_path, password_file)
    absl.logging.set_verbosity(absl.logging.DEBUG)
    try:
        with caplog.at_level("DEBUG"), connected(config):
            store = ml_metadata.MetadataStore(connection_config(config))
    finally:
        absl.logging.set_verbosity(absl.logging.WARNING)
    assert is_secret(str(connection_config(config))) and is_secret(str(vars(store)))
    assert is_secret(caplog.text)


def test_a_variable_that_is_not_set_is_a_mistake_in_the_config(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("NO_SUCH_PASSWORD", raising=False)
    metadata = server.settings(tmp_path).replace("password_file", "password_env")
    metadata = metadata.replace(str(tmp_path), "NO_SUCH_PASSWORD")
    config = load_config(CONFIGS / "digits.yaml", [metadata])
    with pytest.raises(ConfigError, match="variable NO_SUCH_PASSWORD is not set"):
        check_connection(config)
    monkeypatch.setenv("NO_SUCH_PASSWORD", PASSWORD)
    check_connection(config)
