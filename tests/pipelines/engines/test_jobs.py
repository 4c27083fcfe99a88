"""Waiting for the jobs of a run: how long, and what becomes of them."""

import threading
from typing import cast

import pytest

from tfx_tflite.components.errors import EngineError
from tfx_tflite.pipelines.engines import jobs as module
from tfx_tflite.pipelines.engines.engine import Engine
from tfx_tflite.pipelines.engines.job_server import JobServer
from tfx_tflite.pipelines.engines.jobs import JobFailed, Jobs


class Job:
    """A job that runs until it is cancelled, as Beam's result of a submission."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    @property
    def state(self) -> str:
        return "CANCELLED" if self.ended.is_set() else "RUNNING"

    def cancel(self) -> None:
        self.ended.set()

    def until_it_ends(self) -> str:
        self.ended.wait()
        raise RuntimeError("Pipeline job failed in state CANCELLED: unknown error")


class Server:
    """What is asked of a job server."""

    engine = Engine("flink", "h:8081")
    token = "0a1b2c3d"

    def __init__(self, is_gone: bool = False):
        self.is_gone = is_gone
        self.is_busy = False
        self.was_told_to_cancel = False

    def endpoint(self, download: object) -> str:
        return "localhost:1"

    def say(self, line: str) -> None:
        self.said = line

    def begins_a_job(self) -> None:
        self.is_busy = True

    def ends_a_job(self) -> None:
        self.is_busy = False

    def cancel_jobs(self) -> None:
        self.was_told_to_cancel = True

    def why_it_ended(self) -> str:
        return "Flink's job server ended during the work"


def jobs(server: Server | None = None, limit: float | None = None) -> Jobs:
    found = Jobs("digits", cast("JobServer | None", server), limit)
    found.begin("CalibrationSampler")
    return found


def fails() -> str:
    raise RuntimeError("Pipeline job failed in state FAILED: call is closed")


def test_the_last_state_is_returned():
    assert jobs().wait(Job(), lambda: "DONE") == "DONE"


def test_jobs_are_named_by_pipeline_stage_and_run():
    assert jobs(Server()).name() == "digits-CalibrationSampler-0a1b2c3d"
    assert jobs().name() == "digits-CalibrationSampler"


def test_a_name_of_the_users_is_kept_and_the_run_added():
    assert jobs(Server()).name("nightly") == "nightly-0a1b2c3d"


def test_a_failure_keeps_what_the_engine_said():
    with pytest.raises(JobFailed, match="call is closed"):
        jobs().wait(Job(), fails)


def test_a_cluster_is_told_of_a_job_that_its_job_server_calls_failed():
    server = Server()
    with pytest.raises(JobFailed):
        jobs(server).wait(Job(), fails)
    assert server.was_told_to_cancel


def test_a_job_server_that_does_not_answer_does_not_hold_up_the_limit():
    class Silent(Job):
        @property
        def state(self) -> str:
            threading.Event().wait()
            return ""

    job = Silent()
    monkeypatched = pytest.MonkeyPatch()
    with monkeypatched.context() as patch, pytest.raises(EngineError, match="in an unknown state"):
        patch.setattr(module, "_LOOK", 0.05)
        jobs(limit=0.2).wait(job, job.until_it_ends)


def test_beam_knows_where_jobs_go_if_there_is_no_job_server():
    assert jobs().endpoint(str) is None


def test_a_job_that_was_sent_is_not_done_until_it_ends():
    server = Server()
    running = jobs(server)
    assert running.endpoint(str) == "localhost:1" and server.is_busy
    running.wait(Job(), lambda: "DONE")
    assert not server.is_busy


@pytest.mark.parametrize("server", [None, Server()])
def test_a_job_that_takes_too_long_is_cancelled(server: Server | None):
    job = Job()
    with pytest.raises(EngineError) as caught:
        jobs(server, limit=0.01).wait(job, job.until_it_ends)
    name, where = (
        ("digits-CalibrationSampler", "")
        if server is None
        else ("digits-CalibrationSampler-0a1b2c3d", " at http://h:8081")
    )
    assert str(caught.value) == (
        "CalibrationSampler took longer than beam.stage_time_limit, 0.01 s, and its job "
        f"{name} was cancelled; it was not begun yet{where}. Workers that cannot start are "
        "waited for without end: look at their logs"
    )
    assert job.ended.is_set() and (server is None or server.was_told_to_cancel)


def test_ctrl_c_cancels_the_job(monkeypatch: pytest.MonkeyPatch):
    def interrupted(waiting: threading.Thread, seconds: float) -> bool:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(module._Waiting, "ends_within", interrupted)
    job, server = Job(), Server()
    with pytest.raises(KeyboardInterrupt):
        jobs(server).wait(job, job.until_it_ends)
    assert job.ended.is_set() and server.was_told_to_cancel


def test_a_job_server_that_is_gone_is_what_is_told():
    server = Server(is_gone=True)
    with pytest.raises(EngineError, match="job server ended during the work"):
        jobs(server).wait(Job(), fails)
    assert server.was_told_to_cancel
