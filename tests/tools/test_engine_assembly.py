"""Which job servers `make engines` makes, and what it says where it cannot."""

import shutil
import sys
from pathlib import Path

import pytest

from tools.engines import __main__ as program
from tools.engines import assembly
from tools.engines.assembly import NAMES, JobServer

# As Maven 3.8 prints it without a network, and where a mirror lacks something.
OFFLINE = """\
[ERROR] Failed to execute goal on project flink-job-server: Could not resolve dependencies for
project tfx-tflite:flink-job-server:pom:1: Failed to collect dependencies: Could not transfer
artifact org.apache.beam:beam-runners-flink-1.19:pom:2.62.0 from/to central (https://repo): timeout
""".replace("\ntransfer", " transfer").replace("transfer\nartifact", "transfer artifact")
NO_PLUGIN = (
    "[ERROR] Plugin org.apache.maven.plugins:maven-jar-plugin:3.4.1 or one of its dependencies "
    "could not be resolved: Cannot access central in offline mode"
)


@pytest.fixture
def server(tmp_path: Path) -> JobServer:
    shutil.copytree(assembly.ROOT / "engines", tmp_path / "engines")
    return JobServer("flink", tmp_path / "engines", tmp_path / "assembled")


def assembled(server: JobServer, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Assembles with a Maven that writes what ours writes, and returns what it was given."""
    poms = []

    def maven(pom: Path) -> None:
        poms.append(pom)
        build = server.jar.parent / "build"
        build.mkdir(parents=True)
        (build / "job-server.jar").write_text("classes")

    monkeypatch.setattr(assembly, "_run_maven", maven)
    server.assemble()
    return poms


def test_a_job_server_is_where_runs_look_for_it():
    from tfx_tflite.pipelines.engines.engine import ASSEMBLED, JAR

    for name in NAMES:
        assert JobServer(name).jar == assembly.ROOT / ASSEMBLED / name / JAR


def test_it_is_made_once(server: JobServer, monkeypatch: pytest.MonkeyPatch):
    assert assembled(server, monkeypatch) == [server.pom]
    assert server.jar.read_text() == "classes" and not (server.jar.parent / "build").exists()
    assert assembled(server, monkeypatch) == []


def test_it_is_made_again_if_its_pom_changes(server: JobServer, monkeypatch: pytest.MonkeyPatch):
    assembled(server, monkeypatch)
    server.pom.write_text(server.pom.read_text() + "<!-- changed -->")
    assert assembled(server, monkeypatch) == [server.pom]


def test_it_is_made_again_if_a_class_of_ours_changes(
    server: JobServer, monkeypatch: pytest.MonkeyPatch
):
    assembled(server, monkeypatch)
    source = next(server.pom.parent.rglob("JobServer.java"))
    source.write_text(source.read_text() + "// changed")
    assert assembled(server, monkeypatch) == [server.pom]


def test_it_is_named_with_the_versions_of_its_pom():
    titles = [JobServer(name).title for name in NAMES]
    assert titles == [
        "Flink 1.19.0, job server of Beam 2.62.0",
        "Spark 3.5.0, job server of Beam 2.62.0",
    ]
    for name, versions in (("flink", ("1.19", "2.62.0")), ("spark", ("3.5.0", "2.62.0"))):
        dependencies = JobServer(name).pom.read_text().partition("<dependencies>")[2]
        assert all(version in dependencies for version in versions)


@pytest.mark.parametrize(
    ("said", "artifact"),
    [
        (OFFLINE, "org.apache.beam:beam-runners-flink-1.19:pom:2.62.0"),
        (NO_PLUGIN, "org.apache.maven.plugins:maven-jar-plugin:3.4.1"),
        ("[ERROR] Non-parseable POM pom.xml", None),
    ],
)
def test_what_maven_could_not_fetch_is_named(said: str, artifact: str | None):
    assert assembly.unfetched(said) == artifact


def test_without_java_and_maven_one_line_says_so_and_nothing_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("PATH", str(tmp_path))
    assembly.java_version.cache_clear()
    assert program.main() == 0
    assembly.java_version.cache_clear()
    assert capsys.readouterr().out == (
        "engines: nothing is run on Flink and Spark: "
        "this machine lacks Java 11 or newer (there is none) and Maven (mvn)\n"
    )


def test_without_a_compiler_one_line_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(assembly, "java_version", lambda java: 17)
    monkeypatch.setattr(shutil, "which", {"mvn": "/bin/mvn"}.get)
    assert list(assembly.missing_programs()) == ["a JDK (javac)"]


def test_without_a_network_one_line_names_what_is_lacking_and_that_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def fail(server: JobServer) -> None:
        raise assembly.CannotFetchError("Maven's org.example:a:jar:1")

    monkeypatch.setattr(program, "missing_programs", lambda: [])
    monkeypatch.setattr(JobServer, "assemble", fail)
    assert program.main() == 0
    assert capsys.readouterr().out == (
        "engines: nothing is run on Flink and Spark: "
        "this cannot be fetched: Maven's org.example:a:jar:1\n"
    )


def test_nothing_is_run_if_only_jars_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(program, "missing_programs", lambda: [])
    monkeypatch.setattr(JobServer, "assemble", lambda server: None)
    monkeypatch.setattr(program, "fetch_flink", lambda: None)
    monkeypatch.setattr(sys, "argv", ["engines", "--only-assemble"])
    assert program.main() == 0
    assert capsys.readouterr().out == ""
