"""Each recorded answer of Kubeflow's server, against the server that the tests use in its place."""

import json
import re
from typing import Any

import pytest
import yaml

from tests.pipelines.kubeflow.kfp_recordings import (
    Recording,
    cut,
    flow,
    flows,
    names,
    pipeline,
    recording,
    whole,
)
from tests.pipelines.kubeflow.kfp_server import Answer, FakeKubeflow, without_unset

TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ")
ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# What others than the server failed to do: the emulation has the recorded answers themselves.
OUTER_CAUSES = ("database", "kubernetes")
# Of a thing of each kind, what is left out of answers because it is unset.
UNSET = {
    "experiments": {"description": "", "namespace": ""},
    "recurring_runs": {"description": "", "no_catchup": False, "service_account": ""},
    "runs": {"description": "", "recurring_run_id": "", "service_account": ""},
    "pipelines": {"description": ""},
    "versions": {"description": ""},
}
KEYS = {
    "experiments": "experiment_id",
    "recurring_runs": "recurring_run_id",
    "runs": "run_id",
    "pipelines": "pipeline_id",
    "versions": "pipeline_version_id",
}


def comparable(document: Any) -> Any:
    """Returns a document without what differs from one call to the next."""
    if isinstance(document, dict):
        return {key: _value(key, value) for key, value in document.items()}
    if isinstance(document, list):
        return [comparable(entry) for entry in document]
    return document


def _value(key: str, value: Any) -> Any:
    if key == "next_page_token":
        return "token"
    if key == "message" and "are not required by pipeline: " in value:
        # In no order.
        return sorted(re.split("[ ,]+", value))
    if isinstance(value, str):
        return re.sub(r"line 1:\d+", "line 1:N", TIME.sub("time", value))
    return comparable(value)


def add(server: FakeKubeflow, kind: str, *entries: dict[str, Any]) -> None:
    """Lets a server have what recorded answers show of it."""
    for entry in entries:
        getattr(server, kind)[entry[KEYS[kind]]] = {**UNSET[kind], **whole(entry)}


def prepared(recorded: Recording) -> FakeKubeflow:
    """Returns a server in the state that a recording was made in."""
    server = FakeKubeflow()
    if recorded.is_multi_user:
        server.namespaces = ("team-a",)
    if any(cause in recorded.name for cause in OUTER_CAUSES):
        operation = server.operation(recorded.method, recorded.path)
        server.failing[str(operation)] = recorded.name
    _add_experiments(server, recorded)
    _add_what_is_listed(server, recorded)
    _add_what_is_named(server, recorded)
    return server


def _add_experiments(server: FakeKubeflow, recorded: Recording) -> None:
    """Lets a server have the experiments that a recording speaks of but does not show."""
    any_experiment = recording("create_experiment").answer
    namespace = "team-a" if recorded.is_multi_user else ""
    ids = re.findall(
        r'experiment_id(?:=|": ")([0-9a-f-]+)', recorded.path + json.dumps(recorded.request)
    )
    ids += re.findall(r'experiment_id": "([0-9a-f-]+)', json.dumps(recorded.answer))
    for key in set(ids) if "experiment_unknown" not in recorded.name else ():
        if recorded.name not in ("create_experiment", "create_experiment_namespace"):
            add(
                server,
                "experiments",
                {**any_experiment, "experiment_id": key, "namespace": namespace},
            )
    if recorded.status == 409:
        name = recorded.request["display_name"]
        add(
            server,
            "experiments",
            {**any_experiment, "display_name": name, "experiment_id": "other"},
        )


def _add_what_is_listed(server: FakeKubeflow, recorded: Recording) -> None:
    answer = recorded.answer if isinstance(recorded.answer, dict) else {}
    add(server, "experiments", *answer.get("experiments", []))
    add(server, "recurring_runs", *answer.get("recurringRuns", []))
    add(server, "runs", *answer.get("runs", []))
    add(server, "pipelines", *answer.get("pipelines", []))
    add(server, "versions", *answer.get("pipeline_versions", []))
    for kind in ("experiments", "recurring_runs", "runs"):
        if recorded.name == f"get_{kind.removesuffix('s')}":
            add(server, kind, answer)
    if "page_" in recorded.name and recorded.status == 200:
        _fill_pages(server, recorded)


def _fill_pages(server: FakeKubeflow, recorded: Recording) -> None:
    """Puts a whole page before and another after what is recorded of one."""
    kind = "runs" if "list_runs" in recorded.name else "recurring_runs"
    [first, *_] = getattr(server, kind).values()
    size = int(re.search(r"page_size=(\d+)", recorded.path)[1])  # type: ignore[index]
    years = {"page_1": (2031,), "page_2": (2021, 2031)}[recorded.name[-6:]]
    if kind == "runs":
        years = tuple(4052 - year for year in years)
    for year in years:
        for index in range(size):
            key = f"{index:08x}-{year}-4000-8000-000000000000"
            add(server, kind, {**first, KEYS[kind]: key, "created_at": f"{year}-01-01T00:00:00Z"})


def _add_what_is_named(server: FakeKubeflow, recorded: Recording) -> None:
    """Lets a server have what a request changes, and give what it makes the recorded id."""
    if recorded.status != 200 or not isinstance(recorded.answer, dict):
        return
    named = ID.search(recorded.path)
    if named and "/recurringruns/" in recorded.path:
        before = recording("get_recurring_run").answer
        add(server, "recurring_runs", {**before, "recurring_run_id": named[0]})
    if named and "/experiments/" in recorded.path and recorded.method == "POST":
        add(server, "experiments", {"experiment_id": named[0]})
    for key in (
        "run_id",
        "recurring_run_id",
        "pipeline_version_id",
        "pipeline_id",
        "experiment_id",
    ):
        if key in recorded.answer and recorded.method == "POST":
            server.ids.append(recorded.answer[key])
            break


def form(recorded: Recording) -> bytes:
    """Returns the form of an upload, with the pipeline that was cut from it."""
    text = recorded.request.replace(
        "<the compiled pipeline, as in create_run.json>", yaml.safe_dump(pipeline())
    )
    return text.encode("utf-8")


def post(server: FakeKubeflow, path: str, document: Any) -> Answer:
    body = b"" if document is None else json.dumps(document).encode("utf-8")
    return server.answer("POST", f"/apis/v2beta1/{path}", {}, body)


def replayed(server: FakeKubeflow, recorded: Recording) -> Answer:
    body = form(recorded) if "upload" in recorded.path else recorded.body
    path = recorded.path
    if "page_token=e" in path:
        # Tokens are each server's own: this one's for the same place is asked for first.
        before = re.sub(r"&?page_token=[^&]*", "", path).replace("?&", "?")
        token = server.answer("GET", before, recorded.headers, b"").document["next_page_token"]
        path = re.sub(r"page_token=[^&]*", f"page_token={token}", path)
    if recorded.name == "error_500_run_spec_unknown_field":
        # The field was cut with the rest of the pipeline.
        body = body.replace(b'"schemaVersion"', b'"schemaVresion"')
    return server.answer(recorded.method, path, recorded.headers, body)


@pytest.mark.parametrize("name", names())
def test_the_server_of_the_tests_answers_as_recorded(name: str):
    recorded = recording(name)
    answer = replayed(prepared(recorded), recorded)
    assert answer.status == recorded.status
    assert {"Content-Type": answer.content_type, **answer.headers} == recorded.answer_headers
    found, expected = comparable(cut(answer.document)), comparable(recorded.answer)
    if "page_" in name and recorded.status == 200:
        # Of a page of a hundred the first two were recorded.
        [key] = {"runs", "recurringRuns"} & set(expected)
        assert len(found[key]) == (2 if key == "runs" else 100)
        found[key], found["total_size"] = found[key][:2], expected["total_size"]
        if name == "list_recurring_runs_page_2":
            # Here another page follows, to show that there is no overlap.
            del found["next_page_token"]
    assert found == expected


@pytest.mark.parametrize("name", flows())
def test_the_server_of_the_tests_goes_through_the_recorded_sequences(name: str):
    server = FakeKubeflow()
    exchanges = flow(name)
    if not any(e["method"] == "POST" and e["path"].endswith("/experiments") for e in exchanges):
        add(server, "experiments", recording("create_experiment").answer)
    is_new: set[str] = set()
    for exchange in exchanges:
        document, key = exchange["request"], ID.search(exchange["path"])
        if key and exchange["method"] in ("POST", "DELETE") and key[0] not in server.recurring_runs:
            _know_of(server, key[0], is_new, exchange["status"])
        if document and "experiment_id" in document:
            document = {**document, "pipeline_spec": pipeline()}
            document["experiment_id"] = next(iter(server.experiments))
        body = json.dumps(document).encode("utf-8") if document else b""
        answer = server.answer(exchange["method"], exchange["path"], {}, body)
        assert answer.status == exchange["status"], exchange
        if exchange["path"].endswith("/recurringruns"):
            is_new.add(answer.document["recurring_run_id"])
    assert server.violations == []


def _know_of(server: FakeKubeflow, key: str, made: set[str], status: int) -> None:
    """Lets the server know a recurring run by its id, one of before or made in the sequence."""
    if status == 404:
        return
    if made:
        entry = server.recurring_runs.pop(made.pop())
        server.recurring_runs[key] = {**entry, "recurring_run_id": key}
    else:
        before = recording("get_recurring_run").answer
        add(server, "recurring_runs", {**before, "recurring_run_id": key})


# What no recording shows, and what the recordings rest on


def test_what_is_unset_or_false_is_left_out():
    assert without_unset({"a": False, "b": "", "c": {}, "d": {"e": None}, "f": 0.0, "g": 1}) == {
        "g": 1
    }


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"display_nmae": "x"}, "body.display_nmae is no field of V2beta1RecurringRun"),
        ({"max_concurrency": 1}, "body.max_concurrency: 1 is not of type str"),
        ({"mode": "ON"}, "body.mode: 'ON' is not one of"),
        ({"trigger": {"cron_schedule": {"start_time": "soon"}}}, "is not a time of RFC 3339"),
    ],
)
def test_fields_that_the_api_does_not_have_are_misuse(body: dict, expected: str):
    server = FakeKubeflow()
    assert post(server, "recurringruns", body).status == 400
    assert expected in "; ".join(server.violations)


def test_paths_and_queries_that_the_api_does_not_have_are_misuse():
    server = FakeKubeflow()
    assert server.answer("GET", "/apis/v2beta1/jobs", {}, b"").status == 404
    server.answer("GET", "/apis/v2beta1/runs?page=2", {}, b"")
    assert len(server.violations) == 2


@pytest.mark.parametrize("order", ["", "&sort_by=created_at+desc"])
def test_pages_follow_each_other_without_gap_or_overlap(order: str):
    server = FakeKubeflow()
    for index in range(7):
        when = f"2026-11-26T02:00:0{index // 2}Z"
        entry = {**recording("get_recurring_run").answer, "created_at": when}
        add(server, "recurring_runs", {**entry, "recurring_run_id": f"r{index}"})
    found, token = [], ""
    while True:
        path = f"/apis/v2beta1/recurringruns?page_size=3{order}&page_token={token}"
        page = server.answer("GET", path, {}, b"").document
        found += [entry["recurring_run_id"] for entry in page["recurringRuns"]]
        token = page.get("next_page_token", "")
        if not token:
            break
    expected = [f"r{index}" for index in range(7)]
    assert found == (expected[::-1] if order else expected)
