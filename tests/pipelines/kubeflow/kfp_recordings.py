"""The recorded answers of Kubeflow's API server; `server/README.md` says what they are."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("server")
_MANY_USERS = ("error_401", "error_403")
# What stands for a compiled pipeline that was cut.
CUT = {"cut": "the compiled pipeline, as in create_run.json"}


@dataclass(frozen=True)
class Recording:
    """One request to the server, and its answer.

    Attributes:
        name: The file's name without its suffix.
        method: The HTTP method.
        path: The path with the query, as it was sent.
        status: The HTTP status of the answer.
        request: The request's document; text where it is no JSON; None where there is none.
        headers: Headers of the request.
        answer_headers: Headers of the answer.
        answer: The answer's document; text where it is no JSON.
    """

    name: str
    method: str
    path: str
    status: int
    request: Any
    headers: dict[str, str]
    answer_headers: dict[str, str]
    answer: Any

    @property
    def body(self) -> bytes:
        """The request as it was sent, with a whole pipeline where one was cut."""
        if self.request is None:
            return b""
        request = self.request if isinstance(self.request, str) else json.dumps(whole(self.request))
        return request.encode("utf-8")

    @property
    def is_multi_user(self) -> bool:
        """Whether it was recorded with a server for many users."""
        return (
            "namespace" in self.name
            or "multi_user" in self.name
            or self.name.startswith(_MANY_USERS)
        )


def recording(name: str) -> Recording:
    """Returns the recording of a name."""
    document = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return Recording(
        name,
        document["method"],
        document["path"],
        document["status"],
        document["request"],
        document["request_headers"],
        document["response_headers"],
        document["response"],
    )


def names() -> list[str]:
    """Returns the names of all recordings of one request."""
    return sorted(path.stem for path in FOLDER.glob("*.json") if path.stem not in flows())


def flows() -> list[str]:
    """Returns the names of the recorded sequences of requests."""
    return sorted(path.stem for path in FOLDER.glob("flow_*.json"))


def flow(name: str) -> list[dict[str, Any]]:
    """Returns a sequence of requests, each with method, path, status and document."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@cache
def _pipeline() -> str:
    return json.dumps(recording("create_run").request["pipeline_spec"])


def pipeline() -> dict[str, Any]:
    """Returns the compiled pipeline of the recordings."""
    return json.loads(_pipeline())


def whole(document: Any) -> Any:
    """Returns a document with the compiled pipeline where it was cut."""
    if document == CUT:
        return pipeline()
    if isinstance(document, dict):
        return {key: whole(value) for key, value in document.items()}
    if isinstance(document, list):
        return [whole(entry) for entry in document]
    return document


def cut(document: Any) -> Any:
    """Returns a document with a note in the place of every compiled pipeline."""
    if isinstance(document, dict):
        return {
            key: CUT if key == "pipeline_spec" and value else cut(value)
            for key, value in document.items()
        }
    if isinstance(document, list):
        return [cut(entry) for entry in document]
    return document
