"""A local HTTP server that answers as the API server of Kubeflow Pipelines does.

It was written after recorded answers (`server/README.md`), and `test_kfp_recordings.py`
replays each of them against it. Beside that every request is checked against the client that is
generated from the API's own definition: a request that breaks it is a fault of ours, whatever the
real server would say.
"""

import base64
import binascii
import json
import re
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

import kfp_server_api
import yaml

from tests.pipelines.kubeflow.kfp_contract import routes, spec_violations, violations
from tests.pipelines.kubeflow.kfp_recordings import recording

_NEVER = "1970-01-01T00:00:00Z"
_START = datetime(2030, 1, 1, tzinfo=timezone.utc)
_DEFAULT_PAGE = 20
# What MariaDB's columns for names take.
_LONGEST_NAME = 191
_LONGEST_EXPERIMENT = 128


@dataclass(frozen=True)
class Answer:
    """What the server answers.

    Attributes:
        status: The HTTP status.
        document: A JSON document, or plain text.
        headers: Headers beside the content's type.
    """

    status: int
    document: Any
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def content_type(self) -> str:
        return "text/plain; charset=utf-8" if isinstance(self.document, str) else "application/json"


class Refused(Exception):
    """The server refuses a request.

    Args:
        status: The HTTP status.
        code: gRPC's code.
        message: What the server says.
        detail: What it says of the cause; None where there are no details.
    """

    def __init__(self, status: int, code: int, message: str, detail: str | None = None):
        super().__init__(message)
        self.status, self.code, self.message, self.detail = status, code, message, detail

    def answer(self) -> Answer:
        """Returns the refusal as an answer."""
        document: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.detail is not None:
            document["details"] = [
                {
                    "@type": "type.googleapis.com/google.rpc.Status",
                    "code": self.code,
                    "message": self.detail,
                }
            ]
        headers = {"Www-Authenticate": self.message} if self.status == 401 else {}
        return Answer(self.status, document, headers)


def _invalid(before: str, detail: str) -> Refused:
    return Refused(400, 3, f"{before}Invalid input error: {detail}", detail)


def _internal(message: str) -> Refused:
    return Refused(500, 13, message, "Internal Server Error")


def _not_found(before: str, kind: str, key: str) -> Refused:
    detail = f"{kind} {key} not found"
    return Refused(404, 5, f"{before}ResourceNotFoundError: {detail}", detail)


@dataclass(frozen=True)
class Kind:
    """A kind of things that the server keeps, and what it says of them.

    Attributes:
        name: As in the names of the API's operations.
        title: What the server's errors call one.
        resource: What Kubernetes' roles call them.
        filters: What they can be filtered by.
        sorts: What they can be sorted by.
        listing: What begins an error of a list's options.
        authorizing: What begins an error of who lists them; `{namespace}` is put in.
        no_namespace: What is said where a server for many users is given none.
    """

    name: str
    title: str
    resource: str
    filters: frozenset[str]
    sorts: frozenset[str]
    listing: str
    authorizing: str
    no_namespace: str

    @property
    def key(self) -> str:
        return f"{self.name}_id"

    @property
    def list_key(self) -> str:
        """What the API calls the list of them in an answer; for one kind it is in camel case."""
        title = "".join(word.capitalize() for word in self.name.split("_"))
        model = getattr(kfp_server_api.models, f"V2beta1List{title}sResponse")
        return model.attribute_map[f"{self.name}s"]


_SORTS = frozenset({"created_at", "updated_at", "display_name", "name", "id"})
EXPERIMENT = Kind(
    "experiment",
    "Experiment",
    "experiments",
    frozenset({"experiment_id", "display_name", "name", "created_at", "storage_state"}),
    _SORTS,
    "Failed to create list options: ",
    "List experiments failed: Failed to authorize with API: ",
    "An experiment cannot have an empty namespace in multi-user mode",
)
RUN = Kind(
    "run",
    "Run",
    "runs",
    frozenset(
        {
            "run_id",
            "display_name",
            "name",
            "created_at",
            "recurring_run_id",
            "experiment_id",
            "state",
        }
    ),
    _SORTS,
    "Failed to list runs due to error parsing the listing options: ",
    "Failed to list runs: Failed to list runs due to authorization error. Check if you have "
    "permission to access namespace {namespace}: ",
    "a run cannot have an empty namespace in multi-user mode",
)
RECURRING_RUN = Kind(
    "recurring_run",
    "Job",
    "jobs",
    frozenset(
        {"recurring_run_id", "display_name", "name", "created_at", "updated_at", "description"}
    ),
    _SORTS,
    "Failed to list recurring runs due to error parsing the listing options: ",
    "Failed to list jobs: Failed to list recurring runs due to authorization error. Check if you "
    "have permission to access namespace {namespace}: ",
    "a recurring run cannot have an empty namespace in multi-user mode",
)
PIPELINE = Kind(
    "pipeline", "Pipeline", "pipelines", frozenset({"display_name"}), _SORTS, "", "", ""
)
_KINDS = {kind.name: kind for kind in (EXPERIMENT, RUN, RECURRING_RUN, PIPELINE)}


# Documents of the user's own, which are answered as they are.
_OPEN = ("pipeline_spec", "runtime_config")


def without_unset(value: Any) -> Any:
    """Returns a document as the API's JSON has it: what is unset, empty or false is left out."""
    if isinstance(value, list):
        return [without_unset(entry) for entry in value]
    if not isinstance(value, dict) or isinstance(value, _Kept):
        return value
    kept = {key: entry if key in _OPEN else without_unset(entry) for key, entry in value.items()}
    return {key: entry for key, entry in kept.items() if entry not in (None, "", False, [], {})}


@dataclass
class FakeKubeflow:
    """The server's state, and how it is to behave.

    Attributes:
        url: Where it answers.
        namespaces: Where not None, the server has many users, who see these namespaces alone.
        token: What a user of such a server sends to be known.
        ids: Ids of what is made next; random ones follow.
        failing: From operations to the names of recordings: what is answered in their place.
        losing: Operations that are done once while their answer is lost.
        hanging: Operations that are never answered while the server runs.
        garbling: From operations to what somebody on the way makes of their answers.
        prefix: Where its API is, as behind Kubeflow's own pages.
        calls: The operations that were called.
        violations: What breaks the API's definition.
    """

    url: str = ""
    namespaces: tuple[str, ...] | None = None
    token: str = "right"
    ids: deque[str] = field(default_factory=deque)
    experiments: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    recurring_runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    pipelines: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    failing: dict[str, str] = field(default_factory=dict)
    losing: set[str] = field(default_factory=set)
    hanging: set[str] = field(default_factory=set)
    garbling: dict[str, Callable[[Answer], Answer]] = field(default_factory=dict)
    prefix: str = ""
    calls: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    _seconds: int = 0

    def called(self, *names: str) -> list[str]:
        """Returns which of some operations were called, in order."""
        return [name for name in self.calls if name in names]

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> Answer:
        """Returns what answers a request."""
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        if not path.startswith(f"{self.prefix}/apis/"):
            return Answer(404, "404 page not found\n", {"X-Content-Type-Options": "nosniff"})
        if self.operation(method, target) is None:
            self.violations.append(f"{method} {path} is no operation of the API")
        try:
            name, matched = self._operation(method, path)
            self.calls.append(name)
            if name in self.failing:
                failure = recording(self.failing[name])
                return Answer(failure.status, failure.answer)
            first = {key: values[0] for key, values in query.items()}
            request = _Request(name, matched, first, headers, body)
            return Answer(200, without_unset(self._operate(request)))
        except Refused as refused:
            return refused.answer()

    def operation(self, method: str, target: str) -> str | None:
        """Returns what operation a request asks for; None where it asks for none."""
        try:
            return self._operation(method, urlsplit(target).path)[0]
        except Refused:
            return None

    def _operation(self, method: str, path: str) -> tuple[str, dict[str, str]]:
        path = path.removeprefix(self.prefix)
        for route in routes().get(method, ()):
            if matched := route.pattern.match(path):
                return route.name, matched.groupdict()
        if any(route.pattern.match(path) for found in routes().values() for route in found):
            raise Refused(501, 12, "Method Not Allowed")
        raise Refused(404, 5, "Not Found")

    def _operate(self, request: "_Request") -> dict[str, Any]:
        document = self._checked(request)
        if request.name == "get_healthz":
            return self._healthz()
        if request.name.startswith("upload_pipeline"):
            return self._uploaded(request)
        action, _, rest = request.name.partition("_")
        if rest == "pipeline_versions":
            versions = [
                v for v in self.versions.values() if v["pipeline_id"] == request.path["pipeline_id"]
            ]
            return {"pipeline_versions": versions, "total_size": len(versions)}
        kind = _KINDS[rest.removesuffix("s")]
        if action == "list":
            return self._list(kind, request)
        if action == "create":
            return getattr(self, f"_create_{kind.name}")(document, request)
        return self._change(kind, action, request)

    def _healthz(self) -> dict[str, Any]:
        # A field that is said even where it is false: it is optional in the API's definition.
        return _Kept(
            {
                "commit_sha": "unknown",
                "tag_name": "unknown",
                "multi_user": self.namespaces is not None,
                "pipeline_store": "database",
            }
        )

    # What is wrong with a request as such

    def _checked(self, request: "_Request") -> dict[str, Any]:
        """Returns the document of a request, which must be one that the API's definition allows."""
        route = next(r for found in routes().values() for r in found if r.name == request.name)
        for key in set(request.query) - route.query:
            self.violations.append(f"{request.name}: {key} is not in its query")
        if route.body is None:
            if request.body and not request.name.startswith("upload_"):
                self.violations.append(f"{request.name} has no body")
            return {}
        document = self._parsed(request.body)
        wrong = list(violations(route.body, document))
        self.violations += wrong
        for text in wrong:
            raise _proto_error(text)
        if "pipeline_spec" in document:
            self.violations += spec_violations(document["pipeline_spec"])
        return document

    def _parsed(self, body: bytes) -> Any:
        try:
            return json.loads(body)
        except ValueError:
            self.violations.append("a body is not JSON")
            found = body.decode("utf-8", "replace").lstrip("{")[:1]
            raise Refused(
                400, 3, f"invalid character {found!r} looking for beginning of object key string"
            ) from None

    # Who may do what

    def _authorized(self, kind: Kind, verb: str, namespace: str, request: "_Request") -> str:
        """Returns the namespace that a request is about; empty where the server has one user."""
        if self.namespaces is None:
            return ""
        before = kind.authorizing.format(namespace=namespace)
        if not namespace:
            raise _invalid(before, kind.no_namespace)
        before += f"{'F' if kind is EXPERIMENT else 'f'}ailed to authorize with API: "
        self._identified(before, request)
        if namespace not in self.namespaces:
            detail = (
                "User 'system:serviceaccount:team-a:default' is not authorized with reason: no "
                "such role binding (request: "
                f"&ResourceAttributes{{Namespace:{namespace},Verb:{verb},"
                f"Group:pipelines.kubeflow.org,Version:v1beta1,Resource:{kind.resource},"
                "Subresource:,Name:,FieldSelector:nil,LabelSelector:nil,})"
            )
            raise Refused(
                403, 7, f"{before}PermissionDenied: {detail}: Unauthorized access", detail
            )
        return namespace

    def _identified(self, before: str, request: "_Request") -> None:
        if request.headers.get("kubeflow-userid"):
            return
        token = request.headers.get("authorization")
        if token == f"Bearer {self.token}":
            return
        why = "Unauthenticated: Request header error: there is no user identity header."
        why += ": Request header error: there is no user identity header."
        if token:
            why = (
                f"[{why}, Authentication failure: Unauthenticated: Review.Status.Authenticated is "
                "false. Error invalid bearer token: Failed to authenticate token review]"
            )
        detail = "Failed to check authorization. User identity is empty in the request header"
        message = f"{before}Unauthenticated: {detail}: {why}"
        raise Refused(401, 16, message, detail)

    # What is made

    def _new(self) -> tuple[str, str]:
        """Returns an id and the time; every thing is made a second after the one before."""
        return (self.ids.popleft() if self.ids else str(uuid.uuid4())), self._now()

    def _now(self) -> str:
        self._seconds += 1
        return (_START + timedelta(seconds=self._seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _create_experiment(self, document: dict[str, Any], request: "_Request") -> dict[str, Any]:
        name = document.get("display_name", "")
        before = (
            "[ExperimentServer]: Failed to create a experiment due to conversion error: "
            "InternalServerError: Failed to convert API experiment to model experiment: Invalid "
            "input error: "
        )
        if not name:
            raise _internal(f"{before}Experiment must have a non-empty name")
        if len(name) > _LONGEST_EXPERIMENT:
            raise _internal(f"{before}Experiment.Name length cannot exceed {_LONGEST_EXPERIMENT}")
        namespace = self._authorized(EXPERIMENT, "create", document.get("namespace", ""), request)
        if any(
            _same(e["display_name"], name) and e["namespace"] == namespace
            for e in self.experiments.values()
        ):
            detail = (
                f"Failed to create a new experiment. The name {name} already exists. Please "
                "specify a new name"
            )
            message = f"Failed to create a experiment: Already exist error: {detail}"
            raise Refused(409, 6, message, detail)
        key, now = self._new()
        self.experiments[key] = {
            "experiment_id": key,
            "display_name": name,
            "description": document.get("description"),
            "created_at": now,
            "namespace": namespace,
            "storage_state": "AVAILABLE",
            "last_run_created_at": _NEVER,
        }
        return self.experiments[key]

    def _create_run(self, document: dict[str, Any], request: "_Request") -> dict[str, Any]:
        before = "Failed to create a new run: "
        experiment = self._experiment_of(
            document, before + "Failed to create a run due to invalid "
        )
        self._authorized(RUN, "create", experiment["namespace"], request)
        self._check_spec(document, before)
        if len(document["display_name"]) > _LONGEST_NAME:
            raise _internal(
                f"{before}Failed to create a run: InternalServerError: Failed to store run "
                f"{document['display_name']} to table: {_TOO_LONG}"
            )
        key, now = self._new()
        self.runs[key] = {
            **document,
            "run_id": key,
            "storage_state": "AVAILABLE",
            "service_account": document.get("service_account") or "pipeline-runner",
            "created_at": now,
            "scheduled_at": now,
            "finished_at": _NEVER,
            "state": "PENDING",
            "state_history": [{"update_time": now, "state": "PENDING"}],
        }
        experiment["last_run_created_at"] = now
        return self.runs[key]

    def _create_recurring_run(
        self, document: dict[str, Any], request: "_Request"
    ) -> dict[str, Any]:
        _check_recurring_run(document)
        before = "Failed to create a recurring run: "
        experiment = self._experiment_of(
            document, before + "Failed to create a recurring run due to invalid "
        )
        namespace = self._authorized(RECURRING_RUN, "create", experiment["namespace"], request)
        self._check_spec(document, before)
        if len(document["display_name"]) > _LONGEST_NAME:
            raise _internal(
                f"{before}InternalServerError: Failed to store job {document['display_name']} to "
                f"table: {_TOO_LONG}"
            )
        key, now = self._new()
        self.recurring_runs[key] = {
            **document,
            "recurring_run_id": key,
            "service_account": document.get("service_account") or "pipeline-runner",
            "created_at": now,
            "updated_at": now,
            "status": f"{document['mode']}D",
            "namespace": namespace or "kubeflow",
        }
        return self.recurring_runs[key]

    def _experiment_of(self, document: dict[str, Any], before: str) -> dict[str, Any]:
        key = document["experiment_id"]
        if key not in self.experiments:
            raise _not_found(
                f"{before}experimentId and namespace combination: Failed to fetch namespace for "
                f"experiment {key}: Failed to fetch namespace from experiment {key}: ",
                "Experiment",
                key,
            )
        return self.experiments[key]

    def _check_spec(self, document: dict[str, Any], before: str) -> None:
        spec = document["pipeline_spec"]
        if not spec or any(spec_violations(spec)):
            raise _internal(
                f"{before}InternalServerError: Failed to create a run due to error fetching "
                "manifest: Failed to fetch a template with an invalid pipeline spec manifest: "
                "InvalidInputError: unknown template format: pipeline spec is invalid"
            )
        spec = spec.get("pipeline_spec", spec)
        known = spec["root"].get("inputDefinitions", {}).get("parameters", {})
        given = document.get("runtime_config", {}).get("parameters", {})
        before += "Failed to generate the ExecutionSpec: invalid pipeline job inputs: "
        if unknown := [name for name in given if name not in known]:
            raise _invalid(
                before, f"parameter(s) provided are not required by pipeline: {', '.join(unknown)}"
            )
        for name, value in given.items():
            if known[name]["parameterType"].startswith("NUMBER") and isinstance(value, str):
                raise _invalid(
                    before,
                    f"input parameter {name} requires type double or integer, but the parameter "
                    "value is not of number value type",
                )

    def _uploaded(self, request: "_Request") -> dict[str, Any]:
        name = request.query["name"]
        spec = yaml.safe_load(request.body.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n------", 1)[0])
        parent = request.query.get("pipelineid")
        if parent is None:
            parent, now = self._new()
            self.pipelines[parent] = {
                "pipeline_id": parent,
                "display_name": name,
                "name": name,
                "created_at": now,
            }
        key, now = self._new()
        self.versions[key] = {
            "pipeline_id": parent,
            "pipeline_version_id": key,
            "display_name": name,
            "name": name,
            "created_at": now,
            "pipeline_spec": spec,
        }
        return self.versions[key] if "pipelineid" in request.query else self.pipelines[parent]

    # What is there

    def _list(self, kind: Kind, request: "_Request") -> dict[str, Any]:
        entries: dict[str, dict[str, Any]] = getattr(self, f"{kind.name}s")
        query = request.query
        if kind is not PIPELINE:
            namespace = query.get("namespace", "")
            if "experiment_id" in query:
                namespace = self._get(EXPERIMENT, query["experiment_id"], "Failed to list runs: ")[
                    "namespace"
                ]
            namespace = self._authorized(kind, "list", namespace, request)
            entries = {
                k: e
                for k, e in entries.items()
                if not namespace or self._namespace_of(e) == namespace
            }
        predicates = _predicates(kind, query.get("filter", ""))
        found = [
            entry
            for entry in entries.values()
            if all(_matches(entry, predicate) for predicate in predicates)
            and query.get("experiment_id") in (None, entry.get("experiment_id"))
        ]
        page, token = _page(kind, found, query)
        return {kind.list_key: page, "total_size": len(found), "next_page_token": token}

    def _namespace_of(self, entry: dict[str, Any]) -> str:
        if "namespace" in entry:
            return entry["namespace"]
        return self.experiments[entry["experiment_id"]]["namespace"]

    def _get(self, kind: Kind, key: str, before: str) -> dict[str, Any]:
        entries: dict[str, dict[str, Any]] = getattr(self, f"{kind.name}s")
        if key not in entries:
            raise _not_found(before, kind.title, key)
        return entries[key]

    def _change(self, kind: Kind, action: str, request: "_Request") -> dict[str, Any]:
        key = request.path[kind.key]
        entry = self._get(kind, key, _missing(kind, action, key))
        if self.namespaces is not None:
            self._authorized(kind, action, self._namespace_of(entry), request)
        if action == "get":
            return entry
        if action == "delete":
            del getattr(self, f"{kind.name}s")[key]
        elif action in ("archive", "unarchive"):
            entry["storage_state"] = "ARCHIVED" if action == "archive" else "AVAILABLE"
        else:
            entry["mode"], entry["status"] = action.upper(), f"{action.upper()}D"
            entry["updated_at"] = self._now()
        return {}


@dataclass(frozen=True)
class _Request:
    name: str
    path: dict[str, str]
    query: dict[str, str]
    headers: Any
    body: bytes


class _Kept(dict[str, Any]):
    """A document that is answered as it is."""


_TOO_LONG = "Error 1406 (22001): Data too long for column 'DisplayName' at row 1"


def _same(one: str, other: str) -> bool:
    """Whether MariaDB takes two names for the same: case does not count."""
    return one.casefold() == other.casefold()


def _missing(kind: Kind, action: str, key: str) -> str:
    """Returns what begins the error about something that is not there."""
    if kind is EXPERIMENT:
        return "Failed to fetch experiment: "
    if kind is RUN:
        return f"Failed to get a run: Failed to fetch run {key}: "
    if action == "get":
        return "Failed to fetch a recurring run: "
    if action == "delete":
        return (
            f"Failed to delete a recurring run: Failed to delete recurring run {key}. Check if "
            "exists: "
        )
    mode = "true" if action == "enable" else "false"
    return (
        f"Failed to {action} a recurring run: Failed to change recurring run's mode to "
        f"enable:{mode}. Check if recurring run {key} exists: "
    )


def _proto_error(text: str) -> Refused:
    """Returns what the server says of a document that breaks the API's definition."""
    # The position is that in the document, which this server does not count.
    before = "proto:\u00a0(line 1:1): "
    if found := re.match(r"body\.(?:\w+\.)*(\w+) is no field", text):
        return Refused(400, 3, f'{before}unknown field "{found[1]}"')
    if found := re.match(r"body\.(?:\w+\.)*(\w+): '(.*)' is not one of", text):
        return Refused(400, 3, f'{before}invalid value for enum field {found[1]}: "{found[2]}"')
    if found := re.match(r"body\.(?:\w+\.)*\w+: '(.*)' is not a time", text):
        return Refused(400, 3, f'{before}invalid google.protobuf.Timestamp value "{found[1]}"')
    return Refused(400, 3, f"{before}{text}")


def _check_recurring_run(document: dict[str, Any]) -> None:
    before = "Failed to create a recurring run due to conversion error: "
    concurrency = int(document.get("max_concurrency", 0))
    if not 1 <= concurrency <= 10:
        raise _invalid(
            before,
            "Max concurrency of a recurring run must be at least 1 and at most 10. Received "
            f"{concurrency}",
        )
    cron = document["trigger"].get("cron_schedule", {}).get("cron")
    wrong = _wrong_cron(cron) if cron is not None else None
    if wrong:
        raise _invalid(
            before,
            "Schedule cron is not a supported format(https://godoc.org/github.com/robfig/cron). "
            "Error: " + wrong,
        )


def _wrong_cron(cron: str) -> str | None:
    """Returns what is wrong with a cron expression of five fields, or six with seconds first."""
    fields = cron.split()
    if len(fields) not in (5, 6):
        return f"Expected 5 to 6 fields, found {len(fields)}: {cron}"
    for text, highest in zip(reversed(fields), (6, 12, 31, 23, 59, 59), strict=False):
        for part in text.split(","):
            for number in re.findall(r"\d+", part.partition("/")[0]):
                if int(number) > highest:
                    return f"End of range ({number}) above maximum ({highest}): {part}"
    return None


def _predicates(kind: Kind, text: str) -> list[dict[str, Any]]:
    """Returns the predicates of a filter, which is unescaped once more than the rest of a query."""
    if not text:
        return []
    if wrong := re.search(r"%(?![0-9A-Fa-f]{2}).{0,2}", text):
        shown = json.dumps(text, ensure_ascii=False)
        cause = json.dumps(wrong[0], ensure_ascii=False)
        raise _invalid(
            kind.listing, f"failed to parse valid filter from {shown}: invalid URL escape {cause}"
        )
    predicates = json.loads(unquote_plus(text))["predicates"]
    for predicate in predicates:
        # The enum's number is as good as its name.
        assert predicate["operation"] in ("EQUALS", 1)
        if predicate["key"] not in kind.filters:
            raise _invalid(
                kind.listing,
                f'no support for filtering on unrecognized field "{predicate["key"]}"',
            )
    return predicates


def _matches(entry: dict[str, Any], predicate: dict[str, Any]) -> bool:
    return _same(entry.get(predicate["key"]) or "", predicate["stringValue"])


def _page(
    kind: Kind, found: list[dict[str, Any]], query: dict[str, str]
) -> tuple[list[dict[str, Any]], str]:
    """Returns the entries of one page, in order, and the token of the next, empty at the end."""
    name, _, order = query.get("sort_by", "created_at").partition(" ")
    if name and name not in kind.sorts:
        detail = f'Invalid sorting field: "{name}" on listable type {kind.title}'
        raise _invalid(kind.listing, detail)

    def place(entry: dict[str, Any]) -> tuple[str, str]:
        return entry[name or "created_at"], entry[kind.key]

    found = sorted(found, key=place, reverse=order == "desc")
    after = _place_in(kind, query.get("page_token", ""))
    if after is not None:
        later = [e for e in found if (place(e) <= after if order == "desc" else place(e) >= after)]
        found = later
    size = int(query.get("page_size", 0)) or _DEFAULT_PAGE
    if len(found) <= size:
        return found, ""
    value, key = place(found[size])
    token = {"SortByFieldValue": value, "KeyFieldValue": key, "IsDesc": order == "desc"}
    return found[:size], base64.b64encode(json.dumps(token).encode("utf-8")).decode("ascii")


def _place_in(kind: Kind, token: str) -> tuple[str, str] | None:
    if not token:
        return None
    try:
        document = json.loads(base64.b64decode(token, validate=True))
    except (binascii.Error, ValueError):
        raise Refused(
            400,
            3,
            f"{kind.listing}InvalidInputError: Invalid page token: illegal base64 data at input "
            "byte 0",
            "Invalid page token",
        ) from None
    return document["SortByFieldValue"], document["KeyFieldValue"]


@contextmanager
def serving() -> Iterator[FakeKubeflow]:
    """Yields a server that answers while the block runs; it must not have been misused."""
    state = FakeKubeflow()
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            operation = state.operation(self.command, self.path)
            if operation in state.hanging:
                over.wait()
                return
            answer = state.answer(self.command, self.path, self.headers, body)
            if operation in state.losing:
                state.losing.remove(operation)
                return
            send(self, state.garbling.get(operation, lambda same: same)(answer))

        do_GET = do_POST = do_DELETE = do_PUT = _handle

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with listening(Handler) as state.url:
        yield state
        over.set()
    assert state.violations == []


def send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    """Sends an answer through a handler of requests."""
    text = answer.document if isinstance(answer.document, str) else json.dumps(answer.document)
    handler.send_response(answer.status)
    for name, value in {"Content-Type": answer.content_type, **answer.headers}.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(text.encode("utf-8"))))
    handler.end_headers()
    handler.wfile.write(text.encode("utf-8"))


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Yields the address at which a handler answers while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    # A thread that hangs does not keep the tests from their end.
    server.daemon_threads, server.block_on_close = True, False
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
