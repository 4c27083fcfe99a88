"""Answers of Flink 1.19.1's REST API as they were recorded, served on this machine.

`overview.json` is what a cluster answered after a run, an interrupted one and two killed ones.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

RECORDED = Path(__file__).parent / "recorded"


class Flink:
    """A cluster's jobs.

    Attributes:
        page: Its address.
        jobs: As the overview lists them.
        asked: The jobs that somebody asked to cancel.
        looks: How often a job is still listed as running after that.
        refusal: The code that a cancellation is answered with instead of being done.
        before_answers: Is called before each answer.
    """

    def __init__(self, page: str):
        self.page = page
        self.jobs: list[dict[str, Any]] = json.loads((RECORDED / "overview.json").read_text())[
            "jobs"
        ]
        self.asked: list[str] = []
        self.looks = 0
        self.refusal: int | None = None
        self.before_answers: Callable[[], None] = lambda: None

    def runs(self, *names: str) -> None:
        """Lets jobs run, by their names."""
        for job in self.jobs:
            if job["name"] in names:
                job["state"] = "RUNNING"

    def overview(self) -> dict[str, Any]:
        self.before_answers()
        for job in self.jobs:
            if job["jid"] in self.asked and job["state"] == "CANCELLING":
                self.looks -= 1
                if self.looks <= 0:
                    job["state"] = "CANCELED"
        return {"jobs": self.jobs}

    def cancel(self, jid: str) -> int:
        self.asked.append(jid)
        [job] = [job for job in self.jobs if job["jid"] == jid]
        if self.refusal is not None:
            job["state"] = "FINISHED"
            return self.refusal
        job["state"] = "CANCELLING"
        return 202


@contextmanager
def flink() -> Iterator[Flink]:
    """Serves a cluster's answers while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/jobs/overview"
            self._answer(200, cluster.overview())

        def do_PATCH(self) -> None:
            url = urlsplit(self.path)
            assert url.query == "mode=cancel"
            self._answer(cluster.cancel(url.path.removeprefix("/jobs/")), {})

        def _answer(self, code: int, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("localhost", 0), Handler)
    cluster = Flink(f"http://localhost:{server.server_port}")
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()
