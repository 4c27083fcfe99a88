"""The one job server of a run: what it leaves, however the run ends."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.pipelines.engines.flink import Flink, flink
from tfx_tflite.components.errors import ConfigError, EngineError
from tfx_tflite.pipelines.engines.engine import Engine
from tfx_tflite.pipelines.engines.job_server import check_master, job_server
from tfx_tflite.pipelines.engines.record import end_left_over

HERE = Path(__file__).parent
SAMPLER, STATISTICS = "digits-CalibrationSampler-cf4f99cc", "digits-StatisticsGen-cf4f99cc"


@pytest.fixture
def java(tmp_path: Path) -> Path:
    """A Java whose every job server is a program that listens and does nothing."""
    return _java(tmp_path, "")


def _java(folder: Path, option: str) -> Path:
    java = folder / f"java{option}"
    java.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = -version ]; then echo \'openjdk version "17.0.1"\' >&2; exit; fi\n'
        f'exec {sys.executable} {HERE}/listener.py {option} "$@"\n'
    )
    java.chmod(0o755)
    return java


@pytest.fixture
def cluster() -> Iterator[Flink]:
    with flink() as found:
        yield found


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


class Run:
    """A run in a process of its own that has a job server."""

    def __init__(self, root: Path, java: Path, master: str, temporary: Path, *options: str):
        module = "tests.pipelines.engines.run_with_server"
        self.root, self.temporary = root, temporary
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, str(root), str(java), master, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(temporary)},
        )
        assert self.process.stdout is not None
        self.endpoint, self.token = self.process.stdout.readline().split()

    def ends_by(self, number: signal.Signals) -> str:
        self.process.send_signal(number)
        return self.process.communicate()[0]

    @property
    def listens(self) -> bool:
        host, _, port = self.endpoint.partition(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
            return True
        return False

    @property
    def has_left_nothing(self) -> bool:
        return not (
            self.listens or list(self.root.glob("job-server-*")) or list(self.temporary.iterdir())
        )


def comes(condition: Callable[[], bool]) -> bool:
    """Waits for a condition, for long enough on a busy machine."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def named(cluster: Flink, token: str) -> None:
    """Lets a job of a run be at work on a cluster."""
    for job in cluster.jobs:
        if job["name"] == SAMPLER:
            job["name"], job["state"] = f"digits-CalibrationSampler-{token}", "RUNNING"


def test_it_listens_for_the_run_and_leaves_nothing(tmp_path: Path, java: Path, temporary: Path):
    said: list[str] = []
    engine = Engine("flink", "[local]", given_jar=str(java), java=str(java))
    with job_server(engine, tmp_path / "root", tmp_path / "run.log", said.append) as server:
        assert server is not None
        host, _, port = server.endpoint(lambda: "").partition(":")
        socket.create_connection((host, int(port))).close()
        assert not server.is_gone
    assert server.is_gone and said == []
    assert not list(temporary.iterdir()) and not list((tmp_path / "root").glob("*.json"))


def test_without_an_engine_nothing_is_started(tmp_path: Path):
    with job_server(None, tmp_path, tmp_path / "run.log", print) as server:
        assert server is None


def test_a_job_server_that_ends_at_once_is_told_with_its_reason(tmp_path: Path, temporary: Path):
    java = _java(tmp_path, "--ends")
    engine = Engine("spark", "local[1]", given_jar=str(java), java=str(java))
    with (
        job_server(engine, tmp_path / "root", tmp_path / "run.log", print) as server,
        pytest.raises(EngineError) as caught,
    ):
        assert server is not None
        server.endpoint(lambda: "")
    assert str(caught.value) == (
        "Spark's job server did not start: it ended with code 3 (java.lang.IllegalStateException: "
        f"no room for jobs); its log: {tmp_path}/run.job-server.log"
    )
    assert not list(temporary.iterdir())


def test_without_java_nothing_is_started(tmp_path: Path):
    engine = Engine("flink", "[local]", given_jar=__file__, java="nosuchjava")
    with (
        pytest.raises(ConfigError, match=r"beam\.engine: there is no nosuchjava here"),
        job_server(engine, tmp_path, tmp_path / "run.log", print),
    ):
        pass


def test_a_jar_that_beam_cannot_fetch_is_told_with_the_way_out(
    tmp_path: Path, java: Path, monkeypatch: pytest.MonkeyPatch
):
    def download() -> str:
        raise OSError("no route to host")

    monkeypatch.setattr(Engine, "jar", lambda engine: None)
    engine = Engine("flink", "[local]", java=str(java))
    with (
        job_server(engine, tmp_path, tmp_path / "run.log", print) as server,
        pytest.raises(ConfigError, match=r"could not be fetched \(no route.*`make engines`"),
    ):
        assert server is not None
        server.endpoint(download)


def test_a_master_that_does_not_answer_is_told_before_anything_starts():
    with socket.create_server(("localhost", 0)) as listener:
        port = listener.getsockname()[1]
        check_master(Engine("flink", f"localhost:{port}"))
    with pytest.raises(EngineError, match=rf"beam\.master: Flink does not answer at .*:{port}"):
        check_master(Engine("flink", f"localhost:{port}"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_the_run_ends_its_jobs_are_cancelled_and_nothing_is_left(
    tmp_path: Path, java: Path, cluster: Flink, temporary: Path, number: signal.Signals
):
    run = Run(tmp_path / "root", java, cluster.page, temporary, "--leaves")
    named(cluster, run.token)
    cluster.runs(STATISTICS)
    said = run.ends_by(number)
    assert comes(lambda: run.has_left_nothing)
    states = {job["name"]: job["state"] for job in cluster.jobs}
    assert states[f"digits-CalibrationSampler-{run.token}"] == "CANCELED"
    # Those of others go on.
    assert states[STATISTICS] == "RUNNING"
    if number is not signal.SIGKILL:
        assert f"cancelled digits-CalibrationSampler-{run.token} at {cluster.page}" in said


def test_a_run_without_jobs_asks_nothing_of_the_cluster(
    tmp_path: Path, java: Path, cluster: Flink, temporary: Path
):
    run = Run(tmp_path / "root", java, cluster.page, temporary)
    named(cluster, run.token)
    run.ends_by(signal.SIGTERM)
    assert comes(lambda: run.has_left_nothing) and not cluster.asked


def killed_with_its_keeper(run: Run) -> None:
    children = f"/proc/{run.process.pid}/task/{run.process.pid}/children"
    for keeper in map(int, Path(children).read_text().split()):
        os.kill(keeper, signal.SIGKILL)
    run.ends_by(signal.SIGKILL)
    assert comes(lambda: not run.listens)


def test_the_next_run_ends_what_a_run_left_that_was_killed_with_its_keeper(
    tmp_path: Path, java: Path, cluster: Flink, temporary: Path
):
    run = Run(tmp_path / "root", java, cluster.page, temporary, "--leaves")
    named(cluster, run.token)
    killed_with_its_keeper(run)
    assert not cluster.asked
    said: list[str] = []
    end_left_over(tmp_path / "root", 60, said.append)
    assert not list((tmp_path / "root").glob("job-server-*"))
    assert said == [
        f"cancelled digits-CalibrationSampler-{run.token} of an earlier run, which was killed"
    ]


def test_a_job_that_is_listed_only_after_the_job_server_is_gone_is_cancelled(
    tmp_path: Path, java: Path, cluster: Flink, temporary: Path
):
    run = Run(tmp_path / "root", java, cluster.page, temporary, "--leaves")
    cluster.before_answers = lambda: None if run.listens else named(cluster, run.token)
    run.ends_by(signal.SIGKILL)
    assert comes(lambda: run.has_left_nothing)
    assert len(cluster.asked) == 1


def test_a_job_server_that_died_is_started_again_for_the_next_job(
    tmp_path: Path, java: Path, temporary: Path
):
    engine = Engine("flink", "[local]", given_jar=str(java), java=str(java))
    with job_server(engine, tmp_path / "root", tmp_path / "run.log", print) as server:
        assert server is not None
        first = server.endpoint(lambda: "")
        assert server.endpoint(lambda: "") == first
        # The listener is the child of the keeper, which is the child of this process.
        for process in listeners(temporary):
            os.kill(process, signal.SIGKILL)
        assert comes(lambda: server.is_gone)
        assert server.endpoint(lambda: "") != first and not server.is_gone
    assert not list(temporary.iterdir()) and not list((tmp_path / "root").iterdir())


def listeners(temporary: Path) -> list[int]:
    """Returns the processes whose working directory is a job server's."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").resolve().parent == temporary.resolve():
                found.append(int(process.name))
    return found


def test_the_record_has_nothing_of_the_command(
    tmp_path: Path, java: Path, cluster: Flink, temporary: Path
):
    engine = Engine(
        "flink", cluster.page, given_jar=str(java), java=str(java), java_options=("-Dpassword=x",)
    )
    with job_server(engine, tmp_path / "root", tmp_path / "run.log", print) as server:
        assert server is not None
        server.endpoint(lambda: "")
        [record] = (tmp_path / "root").iterdir()
        assert json.loads(record.read_text()) == {"page": cluster.page, "token": server.token}
        assert record.stat().st_mode & 0o777 == 0o600
        [folder] = temporary.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert not any(b"password" in command for command in command_lines_of_keepers())


def command_lines_of_keepers() -> list[bytes]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes()
            if b"engines.keeper" in command:
                found.append(command)
    assert found
    return found


def test_what_cannot_be_cancelled_is_told_each_time_and_kept_for_the_next(tmp_path: Path):
    with flink() as cluster:
        page = cluster.page
    record = tmp_path / "job-server-0a1b2c3d.json"
    record.write_text(json.dumps({"page": page, "token": "0a1b2c3d"}))
    for _ in range(2):
        said: list[str] = []
        end_left_over(tmp_path, 60, said.append)
        assert len(said) == 1 and said[0].startswith("warning: jobs of an earlier run may be left")
    assert record.exists()


@pytest.mark.parametrize(
    "content", ["", '{"page": "ht', '{"page": 1, "token": "0a1b2c3d"}', '{"token": "0a1b2c3d"}']
)
def test_what_is_no_record_is_removed(tmp_path: Path, content: str):
    record = tmp_path / "job-server-0a1b2c3d.json"
    record.write_text(content)
    end_left_over(tmp_path, 60, print)
    assert not record.exists()


def test_a_record_cannot_name_the_jobs_of_all_runs(tmp_path: Path, cluster: Flink):
    cluster.runs(STATISTICS)
    record = tmp_path / "job-server-.json"
    record.write_text(json.dumps({"page": cluster.page, "token": ""}))
    end_left_over(tmp_path, 60, print)
    assert not cluster.asked


def test_a_record_that_is_a_link_is_not_followed(tmp_path: Path):
    (tmp_path / "of_others").write_text("{}")
    (tmp_path / "job-server-0a1b2c3d.json").symlink_to(tmp_path / "of_others")
    said: list[str] = []
    end_left_over(tmp_path, 60, said.append)
    assert len(said) == 1 and (tmp_path / "of_others").exists()
