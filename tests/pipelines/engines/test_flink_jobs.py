"""The jobs of a run on a Flink cluster, cancelled by its REST API."""

import socket
import time
from collections.abc import Iterator
from threading import Thread
from typing import Any, cast

import pytest

from tests.pipelines.engines.flink import Flink, flink
from tfx_tflite.pipelines.engines.flink_jobs import FlinkJobs

SAMPLER, STATISTICS = "digits-CalibrationSampler-cf4f99cc", "digits-StatisticsGen-cf4f99cc"
OF_ANOTHER_RUN = "digits-ImportExampleGen-5419aef6"


@pytest.fixture
def cluster() -> Iterator[Flink]:
    with flink() as found:
        yield found


def test_all_jobs_of_the_run_that_have_not_ended_are_cancelled(cluster: Flink):
    cluster.runs(SAMPLER, STATISTICS, OF_ANOTHER_RUN)
    cluster.looks = 3
    cancelled = FlinkJobs(cluster.page, "cf4f99cc", listed=0).cancel(60)
    assert set(cancelled.names) == {SAMPLER, STATISTICS} and cancelled.problem is None
    states = {job["name"]: job["state"] for job in cluster.jobs}
    assert states[OF_ANOTHER_RUN] == "RUNNING"


def test_each_job_is_asked_once(cluster: Flink):
    cluster.runs(SAMPLER)
    cluster.looks = 5
    FlinkJobs(cluster.page, "cf4f99cc", listed=0).cancel(60)
    assert len(cluster.asked) == 1


@pytest.mark.parametrize("code", [404, 409])
def test_a_job_that_ends_meanwhile_is_not_called_cancelled(cluster: Flink, code: int):
    cluster.runs(SAMPLER)
    cluster.refusal = code
    cancelled = FlinkJobs(cluster.page, "cf4f99cc", listed=0).cancel(60)
    assert cancelled.names == () and cancelled.problem is None


def test_a_job_that_does_not_end_is_told(cluster: Flink):
    cluster.runs(SAMPLER)
    cluster.looks = 10**6
    cancelled = FlinkJobs(cluster.page, "cf4f99cc", listed=0).cancel(0)
    assert cancelled.problem == f"{SAMPLER} still runs 0 s later"


def test_a_cluster_that_does_not_answer_is_told():
    with flink() as gone:
        page = gone.page
    problem = FlinkJobs(page, "cf4f99cc").cancel(60).problem
    assert problem is not None and problem.startswith(f"Flink at {page} answers: ")


def test_a_page_that_is_not_flinks_is_told(cluster: Flink):
    for jobs in ([{"id": 1}], [{"jid": "1", "name": None, "state": "RUNNING"}], None):
        cluster.jobs = cast("list[dict[str, Any]]", jobs)
        assert FlinkJobs(cluster.page, "x").cancel(60).problem is not None


def test_what_does_not_speak_http_is_told():
    with socket.create_server(("localhost", 0)) as listener:
        page = f"http://localhost:{listener.getsockname()[1]}"
        Thread(target=answer_something_else, args=(listener,), daemon=True).start()
        assert FlinkJobs(page, "x").cancel(60).problem is not None


def answer_something_else(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(1000)
        connection.sendall(b"220 mail.example.com ESMTP\r\n")


def test_none_is_believed_to_be_left_only_after_a_while(cluster: Flink):
    looks: list[float] = []
    cluster.before_answers = lambda: looks.append(time.monotonic())
    FlinkJobs(cluster.page, "cf4f99cc", listed=0.5).cancel(60)
    assert looks[-1] - looks[0] >= 0.5


def test_a_proxy_for_the_web_is_not_asked(cluster: Flink, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "http://localhost:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert FlinkJobs(cluster.page, "cf4f99cc", listed=0).cancel(60).problem is None
