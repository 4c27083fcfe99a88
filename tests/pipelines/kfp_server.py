"""A local HTTP server that answers as the v2beta1 API of Kubeflow Pipelines.

Every path, query and body is checked against the client that is generated from the API's own
definition: what that does not have, or has with another type, is a violation and is refused.
"""

import inspect
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

_APIS = (
    kfp_server_api.HealthzServiceApi,
    kfp_server_api.ExperimentServiceApi,
    kfp_server_api.RunServiceApi,
    kfp_server_api.RecurringRunServiceApi,
)
_NATIVE = {"str": str, "bool": bool, "int": int, "float": float}


@dataclass(frozen=True)
class Route:
    """An operation of the API.

    Attributes:
        name: What the generated client calls it.
        pattern: Matches its path and gives the parameters in it.
        query: The names that its query may have.
        body: The model of its body; None where it has none.
    """

    name: str
    pattern: re.Pattern[str]
    query: frozenset[str]
    body: str | None


def routes() -> dict[str, list[Route]]:
    """Returns the API's operations by HTTP method, read from the generated client."""
    found: dict[str, list[Route]] = {}
    for api in _APIS:
        for name, function in inspect.getmembers(api, inspect.isfunction):
            if not name.endswith("_with_http_info"):
                continue
            source = inspect.getsource(function)
            called = re.search(r"call_api\(\s*'([^']+)', '([A-Z]+)'", source)
            assert called, f"{name} calls no path"
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/:]+)", called[1])
            body = re.search(r":type body: (\w+)", source)
            route = Route(
                name.removesuffix("_with_http_info"),
                re.compile(f"^{pattern}$"),
                frozenset(re.findall(r"query_params\.append\(\('(\w+)'", source)),
                body[1] if body else None,
            )
            found.setdefault(called[2], []).append(route)
    return found


def violations(model: str, value: Any, where: str = "body") -> Iterator[str]:
    """Yields what is wrong with a JSON value that should be of a model of the API."""
    listed = re.match(r"list\[(.*)\]$", model)
    if listed:
        if not isinstance(value, list):
            yield f"{where}: {value!r} is not a list"
            return
        for index, entry in enumerate(value):
            yield from violations(listed[1], entry, f"{where}[{index}]")
    elif model == "object":
        return
    elif model.startswith("dict("):
        if not isinstance(value, dict):
            yield f"{where}: {value!r} is not a mapping"
    elif model in _NATIVE:
        if type(value) is not _NATIVE[model]:
            yield f"{where}: {value!r} is not of type {model}"
    elif model == "datetime":
        if not isinstance(value, str) or not re.match(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$", value
        ):
            yield f"{where}: {value!r} is not a time of RFC 3339"
    else:
        yield from _model_violations(getattr(kfp_server_api.models, model), value, where)


def _model_violations(model: Any, value: Any, where: str) -> Iterator[str]:
    if not model.openapi_types:
        if value not in model.allowable_values:
            yield f"{where}: {value!r} is not one of {model.allowable_values}"
        return
    if not isinstance(value, dict):
        yield f"{where}: {value!r} is not a mapping"
        return
    types = {model.attribute_map[key]: kind for key, kind in model.openapi_types.items()}
    for key, entry in value.items():
        if key not in types:
            yield f"{where}.{key} is no field of {model.__name__}"
        else:
            yield from violations(types[key], entry, f"{where}.{key}")


def spec_violations(spec: Any) -> Iterator[str]:
    """Yields what is wrong with the pipeline spec of a body, which the API's models leave open."""
    has_platform = "pipeline_spec" in spec
    parts = {pipeline_spec_pb2.PipelineSpec: spec["pipeline_spec"] if has_platform else spec}
    if has_platform:
        parts[pipeline_spec_pb2.PlatformSpec] = spec["platform_spec"]
    for message, part in parts.items():
        try:
            json_format.ParseDict(part, message())
        except json_format.ParseError as error:
            yield f"pipeline_spec: {error}"


@dataclass
class FakeKubeflow:
    """The server's state, and how it is to behave.

    Attributes:
        url: Where it answers.
        token: Who does not send it is refused with 401; None lets everybody in.
        namespaces: Where not None, the server has several users, and these namespaces.
    """

    url: str = ""
    token: str | None = None
    namespaces: tuple[str, ...] | None = None
    experiments: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    recurring_runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)

    def called(self, *names: str) -> list[str]:
        """Returns which of some operations were called, in order."""
        return [name for name in self.calls if name in names]

    def answer(
        self, method: str, target: str, headers: Any, body: bytes
    ) -> tuple[int, dict[str, Any]]:
        """Returns the status and the document that answer a request."""
        if self.token is not None and headers.get("Authorization") != f"Bearer {self.token}":
            return 401, _error(16, "Unauthenticated: the token is not valid")
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        for route in routes().get(method, ()):
            matched = route.pattern.match(path)
            if matched:
                wrong = list(self._wrong(route, query, body))
                self.violations += wrong
                if wrong:
                    return 400, _error(3, "; ".join(wrong))
                self.calls.append(route.name)
                if route.name in self.failing:
                    return 500, _error(13, "the database is gone")
                document = json.loads(body) if body and route.body else {}
                first = {key: values[0] for key, values in query.items()}
                return self._operate(route.name, matched.groupdict(), first, document)
        self.violations.append(f"{method} {path} is no operation of the API")
        return 404, _error(5, "not found")

    def _wrong(self, route: Route, query: dict[str, Any], body: bytes) -> Iterator[str]:
        for key in set(query) - route.query:
            yield f"{route.name}: {key} is not in its query"
        if body and route.body is None:
            yield f"{route.name} has no body"
        elif route.body is not None:
            document = json.loads(body or "null")
            yield from violations(route.body, document)
            if isinstance(document, dict) and "pipeline_spec" in document:
                yield from spec_violations(document["pipeline_spec"])

    def _operate(
        self, name: str, path: dict[str, str], query: dict[str, str], body: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        namespace = query.get("namespace") or body.get("namespace")
        is_of_a_namespace = name in ("list_experiments", "create_experiment")
        if self.namespaces is not None and is_of_a_namespace and namespace not in self.namespaces:
            return 403, _error(7, f"User is not authorized in namespace {namespace}")
        if name == "get_healthz":
            return 200, {"multi_user": self.namespaces is not None}
        kind = name.partition("_")[2].removesuffix("s")
        if kind in ("experiment", "run", "recurring_run"):
            return self._operate_on(kind, name.partition("_")[0], path, query, body)
        raise NotImplementedError(name)

    def _operate_on(
        self,
        kind: str,
        action: str,
        path: dict[str, str],
        query: dict[str, str],
        body: dict[str, Any],
    ) -> tuple[int, dict[str, Any]]:
        entries: dict[str, dict[str, Any]] = getattr(self, f"{kind}s")
        if action == "create":
            return 200, self._create(kind, entries, body)
        if action == "list":
            return 200, self._list(kind, entries, query)
        key = path[f"{kind}_id"]
        if key not in entries:
            return 404, _error(5, f"{kind} {key} not found")
        if action == "delete":
            del entries[key]
            return 200, {}
        if action in ("enable", "disable"):
            entries[key]["status"] = f"{action.upper()}D"
            return 200, {}
        return 200, entries[key]

    def _create(
        self, kind: str, entries: dict[str, dict[str, Any]], body: dict[str, Any]
    ) -> dict[str, Any]:
        count = len(self.calls)
        created = datetime(2030, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=count)
        entry = {**body, f"{kind}_id": f"{kind}-{count}", "created_at": created.isoformat()}
        if kind == "recurring_run":
            entry["status"] = f"{body['mode']}D"
        if kind == "run":
            entry["state"] = "PENDING"
        entries[entry[f"{kind}_id"]] = entry
        return entry

    def _list(
        self, kind: str, entries: dict[str, dict[str, Any]], query: dict[str, str]
    ) -> dict[str, Any]:
        found = list(entries.values())
        for predicate in json.loads(query.get("filter") or "{}").get("predicates", ()):
            # The enum's number is as good as its name.
            assert predicate["operation"] in ("EQUALS", 1)
            key, value = predicate["key"], predicate["stringValue"]
            found = [entry for entry in found if entry[key] == value]
        if "experiment_id" in query:
            found = [e for e in found if e["experiment_id"] == query["experiment_id"]]
        key, _, order = query.get("sort_by", "created_at").partition(" ")
        found.sort(key=lambda entry: entry[key], reverse=order == "desc")
        title = "".join(word.capitalize() for word in kind.split("_"))
        model = getattr(kfp_server_api.models, f"V2beta1List{title}sResponse")
        return {model.attribute_map[f"{kind}s"]: found, "total_size": len(found)}


def _error(code: int, message: str) -> dict[str, Any]:
    return {"error": message, "code": code, "message": message, "details": []}


@contextmanager
def serving() -> Iterator[FakeKubeflow]:
    """Yields a server that answers while the block runs; it must not have been misused."""
    state = FakeKubeflow()

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, document = state.answer(self.command, self.path, self.headers, body)
            text = json.dumps(document).encode("utf-8")
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = _handle

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert state.violations == []
