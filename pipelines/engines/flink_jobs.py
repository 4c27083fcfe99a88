"""The jobs of a run on a Flink cluster, by Flink's REST API.

A job goes on when the job server that sent it is gone, so it is the cluster that must be told.
Importing this loads nothing but the standard library.
"""

import http.client
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

# org.apache.flink.api.common.JobStatus: those that a job does not leave.
_ENDED = frozenset({"FINISHED", "CANCELED", "FAILED"})
# Not found, and conflict.
_ENDED_MEANWHILE = frozenset({404, 409})
_ANSWER_LIMIT = 10.0
_PAUSE = 0.2
# Seconds after which a job that was just sent is listed for certain.
_LISTED = 2.0
# What a connection that breaks, or an answer that is not Flink's, comes to.
_NO_ANSWER = (
    *(OSError, http.client.HTTPException),
    *(ValueError, KeyError, TypeError, AttributeError),
)


@dataclass(frozen=True)
class Cancelled:
    """What came of a cancellation.

    Attributes:
        names: Of the jobs that were cancelled.
        problem: Why it is not known that none is left; None if none is.
    """

    names: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True)
class FlinkJobs:
    """Jobs on a cluster.

    Attributes:
        page: The address of its master, with `http://`.
        token: What the names of the jobs end with.
        listed: For how many seconds none must be listed before it is believed that none is left.
    """

    page: str
    token: str
    listed: float = _LISTED

    def cancel(self, limit: float) -> Cancelled:
        """Cancels the jobs that have not ended, and waits until they have.

        Args:
            limit: For how many seconds it waits.
        """
        names: dict[str, str] = {}
        try:
            problem = self._cancel(names, limit)
        except _NO_ANSWER as error:
            problem = f"Flink at {self.page} answers: {error}"
        return Cancelled(tuple(names.values()), problem)

    def _cancel(self, names: dict[str, str], limit: float) -> str | None:
        """Adds the names of cancelled jobs by their ids, and returns what is left, if anything."""
        begin = since = time.monotonic()
        while True:
            running = self._running()
            for job, name in running.items():
                if job not in names and self._is_cancelled(job):
                    names[job] = name
            now = time.monotonic()
            if running:
                since = now
                if now - begin > limit:
                    return f"{', '.join(running.values())} still runs {limit:.0f} s later"
            elif now - since >= self.listed:
                return None
            time.sleep(_PAUSE)

    def _is_cancelled(self, job: str) -> bool:
        """Asks for a cancellation; returns False if the job has ended since it was looked at."""
        try:
            self._ask(f"jobs/{job}?mode=cancel", "PATCH")
        except urllib.error.HTTPError as error:
            if error.code in _ENDED_MEANWHILE:
                return False
            raise
        return True

    def _running(self) -> dict[str, str]:
        """Returns the names of the jobs that have not ended, by their ids."""
        jobs = json.loads(self._ask("jobs/overview"))["jobs"]
        return {
            job["jid"]: job["name"]
            for job in jobs
            if job["name"].endswith(f"-{self.token}") and job["state"] not in _ENDED
        }

    def _ask(self, path: str, method: str = "GET") -> bytes:
        request = urllib.request.Request(f"{self.page.rstrip('/')}/{path}", method=method)
        # The job server reaches the cluster directly, too, whatever proxy there is for the web.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=_ANSWER_LIMIT) as answer:
            content: bytes = answer.read()
            return content
