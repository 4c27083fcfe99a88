"""The jobs that a run gives to an engine: where they go, how long they may take, how they end.

Importing this loads no Beam.
"""

import threading
import time
from collections.abc import Callable
from typing import Protocol

from tfx_tflite.components.errors import EngineError
from tfx_tflite.components.progress import Step, tell
from tfx_tflite.pipelines.engines.job_server import JobServer

# Seconds between looks at a running job, and for each; for a job server to cancel one.
_LOOK, _CANCEL_LIMIT = 2.0, 20.0


class Job(Protocol):
    """A job as Beam hands it out when it is submitted: `portable_runner.PipelineResult`."""

    @property
    def state(self) -> str:
        """How it stands, asked of the job server."""

    def cancel(self) -> None:
        """Asks the job server to cancel it."""


class JobFailed(RuntimeError):
    """A job ended otherwise than well; what it said is the message."""


class Jobs:
    """The jobs of one run.

    Args:
        pipeline: The pipeline's name, which jobs are named by.
        server: The job server; None if the run has none of its own.
        time_limit: For how many seconds the jobs of a stage may run; None for any time.
    """

    def __init__(self, pipeline: str, server: JobServer | None, time_limit: float | None):
        self._pipeline = pipeline
        self._server = server
        self._time_limit = time_limit
        self._stage = ""
        self._began = 0.0
        self._state = "not begun yet"

    def begin(self, stage: str) -> None:
        """Counts the time of a stage from now on."""
        self._stage, self._began = stage, time.monotonic()

    def name(self, given: str | None = None) -> str:
        """Returns what the next job is called.

        Args:
            given: The name that the user gives jobs, if any. What tells the jobs of this run from
                others is added, because they are cancelled by it.
        """
        token = () if self._server is None else (self._server.token,)
        return "-".join((given or f"{self._pipeline}-{self._stage}", *token))

    def endpoint(self, download: Callable[[], str]) -> str | None:
        """Returns where jobs are to be sent; None if that is for Beam to know.

        Args:
            download: Returns the path of Beam's own job server, if none is here.

        Raises:
            EngineError: The job server did not start.
        """
        if self._server is None:
            return None
        endpoint = self._server.endpoint(download)
        self._server.begins_a_job()
        return endpoint

    def wait(self, job: Job, until_it_ends: Callable[[], str]) -> str:
        """Waits until a job ends, and cancels it if it takes too long or the run is interrupted.

        Args:
            job: The job.
            until_it_ends: Waits for it and returns its last state, or raises why it failed.

        Returns:
            What `until_it_ends` returned.

        Raises:
            JobFailed: It failed.
            EngineError: It took too long, or the job server is gone.
        """
        waiting = _Waiting(until_it_ends)
        waiting.start()
        try:
            while not waiting.ends_within(self._pause()):
                if self._is_over():
                    raise self._too_long()
                self._look_at(job)
        except BaseException:
            if self._server is not None:
                self._server.say(f"cancelling {self.name()}{self._where()}")
            _cancel(job, waiting)
            if self._server is not None:
                self._server.cancel_jobs()
            raise
        if waiting.error is None:
            if self._server is not None:
                self._server.ends_a_job()
            return waiting.state
        if self._server is not None:
            # That it failed is what the job server believes.
            self._server.cancel_jobs()
            if self._server.is_gone:
                raise EngineError(self._server.why_it_ended()) from waiting.error
        raise JobFailed(str(waiting.error)) from waiting.error

    def _pause(self) -> float:
        if self._time_limit is None:
            return _LOOK
        return max(0.0, min(_LOOK, self._began + self._time_limit - time.monotonic()))

    def _is_over(self) -> bool:
        return self._time_limit is not None and time.monotonic() >= self._began + self._time_limit

    def _too_long(self) -> EngineError:
        return EngineError(
            f"{self._stage} took longer than beam.stage_time_limit, {self._time_limit:g} s, and "
            f"its job {self.name()} was cancelled; it was {self._state}{self._where()}. "
            "Workers that cannot start are waited for without end: look at their logs"
        )

    def _look_at(self, job: Job) -> None:
        self._state = _state_of(job)
        tell(Step("job", job=f"{self.name()} {self._state}{self._where()}"))

    def _where(self) -> str:
        page = None if self._server is None else self._server.engine.page
        return "" if page is None else f" at {page}"


class _Waiting(threading.Thread):
    """Waits for something, so that the main thread can be interrupted and can look at the clock.

    Args:
        until_it_ends: Returns what it comes to, or raises why it fails.
    """

    def __init__(self, until_it_ends: Callable[[], str]):
        super().__init__(name="job", daemon=True)
        self._until_it_ends = until_it_ends
        self.state = ""
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.state = self._until_it_ends()
        except Exception as error:
            self.error = error

    def ends_within(self, seconds: float) -> bool:
        self.join(seconds)
        return not self.is_alive()


def _cancel(job: Job, waiting: _Waiting) -> None:
    """Cancels a job by its job server, and waits until that says that it has ended."""

    def cancel() -> str:
        job.cancel()
        return ""

    # The job server may be what does not answer.
    asking = _Waiting(cancel)
    asking.start()
    asking.ends_within(_CANCEL_LIMIT)
    waiting.ends_within(_CANCEL_LIMIT)


def _state_of(job: Job) -> str:
    """Returns the state of a job, if the job server answers soon."""
    looking = _Waiting(lambda: job.state.lower())
    looking.start()
    return looking.state if looking.ends_within(_LOOK) and looking.state else "in an unknown state"
