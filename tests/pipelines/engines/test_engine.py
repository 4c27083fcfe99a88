"""Which job server a config needs, and how it is started."""

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.conftest import CONFIGS
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines.checks.beam import engine_can_be_started
from tfx_tflite.pipelines.checks.mistake import Mistake
from tfx_tflite.pipelines.checks.subject import Subject
from tfx_tflite.pipelines.config.beam import BeamConfig
from tfx_tflite.pipelines.config.file import load_config
from tfx_tflite.pipelines.engines import engine as module
from tfx_tflite.pipelines.engines.engine import Engine, why_java_will_not_do
from tfx_tflite.pipelines.kubeflow.compile import kubeflow_of

CLUSTER = {"engine": "flink", "master": "h:8081", "workers": {"pool": "localhost:1"}}


def engine(**keys: Any) -> Engine | None:
    return Engine.of(BeamConfig.model_validate(keys))


def needed(**keys: Any) -> Engine:
    found = engine(**keys)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"workers": 2},
        {"args": ["--runner=DataflowRunner"]},
        {"args": ["--runner=PortableRunner", "--job_endpoint=localhost:1"]},
        {"engine": "flink", "args": ["--job_endpoint", "localhost:1"]},
        {"args": ["--runner=FlinkRunner", "--flink_master=h:1", "--flink_submit_uber_jar"]},
    ],
)
def test_no_job_server_is_needed(keys: dict[str, Any]):
    assert engine(**keys) is None


@pytest.mark.parametrize(
    ("keys", "name", "master"),
    [
        ({"engine": "flink"}, "flink", "[local]"),
        ({"engine": "spark", "workers": 2}, "spark", "local[2]"),
        (CLUSTER, "flink", "h:8081"),
        ({"args": ["--runner=flink", "--flink_master", "h:8081"]}, "flink", "h:8081"),
        ({"args": ["--runner=SparkRunner"]}, "spark", "local[4]"),
    ],
)
def test_keys_and_args_of_beam_name_the_same_engines(keys: dict[str, Any], name: str, master: str):
    assert (needed(**keys).name, needed(**keys).master) == (name, master)


@pytest.mark.parametrize(
    ("master", "address", "page"),
    [
        ("[local]", None, None),
        ("h:8081", ("h", 8081), "http://h:8081"),
        ("https://h:8081/flink", ("h", 8081), "https://h:8081/flink"),
        ("[::1]:8081", ("::1", 8081), "http://[::1]:8081"),
        ("h", None, "http://h"),
    ],
)
def test_flinks_master_has_an_address_and_a_page(
    master: str, address: tuple[str, int] | None, page: str | None
):
    found = Engine("flink", master)
    assert (found.address, found.page) == (address, page)


def test_sparks_first_master_is_the_one_that_is_tried():
    assert Engine("spark", "spark://a:7077,b:7077").address == ("a", 7077)


def test_the_jar_that_is_named_must_be_there(tmp_path: Path):
    with pytest.raises(ConfigError, match="there is no job server's jar at"):
        Engine("flink", "[local]", given_jar=str(tmp_path / "j.jar")).jar()


@pytest.fixture
def jar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `make engines` made for Spark in the working directory, which is no checkout."""
    jar = tmp_path / ".engines" / "spark" / "job-server.jar"
    jar.parent.mkdir(parents=True)
    jar.touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "_CHECKOUT", tmp_path / "elsewhere")
    return jar


def test_the_jar_that_make_engines_made_is_found(jar: Path):
    assert Engine("spark", "local[1]").jar() == jar
    assert Engine("flink", "[local]").jar() is None


def test_that_of_the_checkout_comes_first(jar: Path):
    checkout = jar.parents[2] / "elsewhere"
    other = checkout / ".engines" / "spark" / "job-server.jar"
    other.parent.mkdir(parents=True)
    other.touch()
    assert Engine("spark", "local[1]").jar() == other


@pytest.mark.parametrize(
    "args", [["--spark_version=3"], ["--spark_job_server_jar=https://example.com/j.jar"]]
)
def test_what_args_ask_for_is_for_beam_to_fetch(jar: Path, args: list[str]):
    assert needed(engine="spark").jar() == jar
    assert needed(engine="spark", args=args).jar() is None


def test_a_jar_of_somebody_else_is_not_run(jar: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.geteuid", lambda: jar.stat().st_uid + 1)
    monkeypatch.setattr(module, "_OTHERS_THAT_MAY", frozenset())
    assert Engine("spark", "local[1]").jar() is None


@pytest.mark.parametrize("args", [["--job_endpoint"], ["--flink_master"], ["--job_port=x"]])
def test_an_option_without_its_value_is_told(args: list[str]):
    with pytest.raises(ConfigError, match=r"beam\.args: argument --"):
        engine(engine="flink", args=args)


def test_ports_and_folder_in_args_are_the_job_servers(tmp_path: Path):
    args = ["--artifacts_dir=/shared", "--artifact_port=8098", "--expansion_port=8097"]
    command = needed(engine="flink", args=args).command(Path("j.jar"), 7, tmp_path)
    assert {"--artifacts-dir=/shared", "--artifact-port=8098", "--expansion-port=8097"} < set(
        command
    )


def test_the_command_has_the_memory_and_what_beam_args_say_of_java(tmp_path: Path):
    found = needed(
        engine="flink",
        job_server_memory="512m",
        args=["--job_server_java_launcher=/j/bin/java", "--job_server_jvm_property=-Dx=y"],
    )
    command = found.command(Path("j.jar"), 7, tmp_path)
    assert command[0] == "/j/bin/java" and {"-Xmx512m", "-Dx=y", "--job-port=7"} < set(command)
    assert command.index("-Dx=y") < command.index("-jar")


@pytest.mark.parametrize(
    ("keys", "early"),
    [
        ({"engine": "flink"}, ["-Dtfxtflite.parallelism=1"]),
        ({"engine": "flink", "workers": 3}, ["-Dtfxtflite.parallelism=3"]),
        ({"engine": "flink", "args": ["--parallelism=4"]}, ["-Dtfxtflite.parallelism=4"]),
        ({"args": ["--runner=FlinkRunner"]}, []),
        (CLUSTER, []),
        ({"engine": "spark"}, []),
    ],
)
def test_a_flink_inside_the_job_server_starts_before_the_first_job(
    tmp_path: Path, keys: dict[str, object], early: list[str]
):
    command = needed(**keys).command(Path("j.jar"), 7, tmp_path)
    assert [word for word in command if "parallelism" in word] == early


def test_a_java_that_is_not_there_is_told():
    assert "there is no nosuchjava here" in str(why_java_will_not_do("nosuchjava"))


@pytest.mark.parametrize(
    ("said", "expected"),
    [('openjdk version "17.0.15"', None), ('java version "1.8.0_402"', "is Java 8")],
)
def test_an_old_java_is_told(tmp_path: Path, said: str, expected: str | None):
    java = tmp_path / "java"
    java.write_text(f"#!/bin/sh\necho '{said}' >&2\n")
    java.chmod(0o755)
    problem = why_java_will_not_do(str(java))
    assert problem is None if expected is None else expected in str(problem)


def test_kubeflow_does_not_take_an_engine():
    config = load_config(CONFIGS / "digits.yaml", ["beam.engine=flink"])
    with pytest.raises(
        ConfigError, match=r"beam\.engine: Kubeflow's containers start no job server"
    ):
        kubeflow_of(config)


def mistakes(*overrides: str) -> dict[str, Mistake]:
    config = load_config(CONFIGS / "digits.yaml", overrides)
    subject = cast(Subject, SimpleNamespace(config=config))
    return {mistake.key: mistake for mistake in engine_can_be_started(subject)}


def test_validate_finds_a_jar_that_is_not_there(tmp_path: Path):
    found = mistakes("beam.engine=flink", f"beam.job_server_jar={tmp_path}/j.jar")
    assert (
        found["beam.job_server_jar"].problem == f"there is no job server's jar at {tmp_path}/j.jar"
    )


def test_validate_finds_that_there_is_no_java():
    found = mistakes("beam.engine=spark", "beam.args=[--job_server_java_launcher=nosuchjava]")
    assert "needs Java 11" in found["beam.engine"].problem


def test_validate_warns_of_a_master_that_does_not_answer():
    with socket.create_server(("localhost", 0)) as listener:
        master = f"localhost:{listener.getsockname()[1]}"
    found = mistakes(
        "beam.engine=flink", f"beam.master={master}", "beam.workers={pool: 'localhost:1'}"
    )
    assert found["beam.master"].is_warning
    assert found["beam.master"].problem.startswith(f"Flink does not answer at {master}")


def test_validate_finds_nothing_in_process():
    assert not mistakes()
