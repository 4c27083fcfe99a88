"""What the client makes of each recorded answer of Kubeflow's server."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.pipelines.kubeflow.kfp_recordings import Recording, names, recording, whole
from tests.pipelines.kubeflow.kfp_server import Answer, listening, send
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.kubeflow import KubeflowConfig
from tfx_tflite.pipelines.config.schedule import ScheduleConfig
from tfx_tflite.pipelines.kubeflow import client as kubeflow_client
from tfx_tflite.pipelines.kubeflow.client import RecurringRun, Server, ServerError
from tfx_tflite.pipelines.kubeflow.compile import CompiledPipeline
from tfx_tflite.pipelines.kubeflow.connection import UnreadableList

ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
UPLOADS = ("upload_pipeline", "upload_version")
DIGITS = "2252b19f-79d1-4911-8ccb-5e9654c2c31c"


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import kfp

    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    monkeypatch.delenv("KF_PIPELINES_SA_TOKEN_PATH", raising=False)


def asked_for(method: str, target: str) -> tuple[str, str, str]:
    """Returns what tells one request from another: without ids and filters."""
    parts = urlsplit(target)
    token = parse_qs(parts.query).get("page_token", [""])[0]
    return method, ID.sub("ID", parts.path), token


@contextmanager
def replaying(*recordings: Recording, prefix: str = "") -> Iterator[Server]:
    """Yields a server that answers as some recordings do."""
    multi_user = any(one.is_multi_user for one in recordings)
    health = recording("healthz_multi_user" if multi_user else "healthz")
    answers = {asked_for(one.method, one.path): one for one in (*recordings, health)}

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = answers[asked_for(self.command, self.path)]
            answer = whole(found.answer) if isinstance(found.answer, dict) else found.answer
            headers = {k: v for k, v in found.answer_headers.items() if k != "Content-Type"}
            send(self, Answer(found.status, answer, headers))

        do_GET = do_POST = do_DELETE = do_PUT = _handle

        def log_message(self, format: str, *args: Any) -> None:
            pass

    section = KubeflowConfig(image="x", namespace="team-a" if multi_user else None)
    with listening(Handler) as url:
        yield kubeflow_client.connect(section, url + prefix)


def config(name: str = "digits", **kubeflow: Any) -> PipelineConfig:
    section = KubeflowConfig(image="x", **kubeflow)
    schedule = ScheduleConfig(cron="30 2 * * *")
    return PipelineConfig.model_construct(name=name, kubeflow=section, schedule=schedule)


def compiled() -> CompiledPipeline:
    spec = whole(recording("create_run").request["pipeline_spec"])
    return CompiledPipeline({"pipelineSpec": spec}, {}, ())


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def ask(server: Server, recorded: Recording) -> Any:
    """Asks for what a recording was asked for, and returns what the connection gives."""
    connection = server._connection
    path = recorded.path.removeprefix("/apis/v2beta1/")
    if recorded.method == "POST":
        return connection.post(path, recorded.request if isinstance(recorded.request, dict) else {})
    if recorded.method == "DELETE":
        return connection.delete(path)
    return connection.ask("GET", path)


# Errors

ERRORS = [n for n in names() if n.startswith("error_") and n != "error_501_405"]
# Nothing to delete is deleted; the place without an API is met when connecting.
NO_ERRORS = ("error_404_delete", "error_404_delete_retried", "error_404_no_api")


@pytest.mark.parametrize("name", [name for name in ERRORS if name not in NO_ERRORS])
def test_an_error_is_one_line_that_anybody_can_read(name: str):
    recorded = recording(name)
    with replaying(recorded) as server, pytest.raises(ServerError) as caught:
        ask(server, recorded)
    message = str(caught.value)
    assert caught.value.status == recorded.status
    assert f"({recorded.status}: " in message
    assert "\n" not in message and ".go:" not in message and "github.com/kubeflow" not in message
    assert "Internal Server Error" not in message and len(message) < 500


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "error_400_run_unknown_parameter",
            "refuses this (400: parameter(s) provided are not required by pipeline: nope)",
        ),
        (
            "error_400_rr_cron_bad",
            "Error: End of range (99) above maximum (59): 99)",
        ),
        ("error_400_json", "(400: invalid character 'n' looking for beginning of object key"),
        (
            "error_401_wrong_token",
            "does not take the credentials (401: Failed to check authorization. User identity is ",
        ),
        (
            "error_403_recurring_runs",
            "does not allow this in namespace 'team-a' (403: User 'system:serviceaccount:team-a",
        ),
        ("error_404_run", "(404: Run 00000000-0000-4000-8000-000000000000 not found)"),
        ("error_409_experiment", "The name digits already exists. Please specify a new name)"),
        ("error_500_database", "Failed to list experiments: invalid connection"),
        (
            "error_500_recurring_run_kubernetes",
            "refuses this (500: Internal error: stand-in refuses POST scheduledworkflows; Failed "
            "to create a recurring run during scheduling a workflow; Failed to create a recurring "
            "run)",
        ),
        ("error_500_delete_kubernetes", "Check if the scheduled workflow exists: stand-in refuses"),
    ],
)
def test_an_error_says_what_the_server_says_of_its_cause(name: str, expected: str):
    recorded = recording(name)
    with replaying(recorded) as server, pytest.raises(ServerError) as caught:
        ask(server, recorded)
    assert expected in str(caught.value)


@pytest.mark.parametrize("name", ["error_404_delete", "error_404_delete_retried"])
def test_what_is_gone_is_deleted(name: str):
    with replaying(recording(name)) as server:
        ask(server, recording(name))


def test_a_prefix_without_an_api_is_explained():
    with (
        pytest.raises(ServerError) as caught,
        replaying(recording("error_404_no_api"), prefix="/pipeline"),
    ):
        pass
    message = str(caught.value)
    assert re.search(
        r"no Kubeflow Pipelines API is at http://127.0.0.1:\d+/pipeline/apis/v2beta1 \(404\); "
        r"--host is the address before /apis: try http://127.0.0.1:\d+, without /pipeline$",
        message,
    )


# Experiments


@pytest.mark.parametrize("name", ["list_experiments_one", "list_experiments_namespace"])
def test_an_experiment_that_is_there_is_used(name: str):
    with replaying(recording(name)) as server:
        expected = recording(name).answer["experiments"][0]["experiment_id"]
        assert server.experiment(config()) == expected


@pytest.mark.parametrize(
    ("listed", "created"),
    [
        ("list_experiments_none", "create_experiment"),
        # It is another one's, whose name differs in case.
        ("list_experiments_other_case", "create_experiment"),
        ("list_experiments_none", "create_experiment_namespace"),
    ],
)
def test_an_experiment_that_is_not_there_is_made(listed: str, created: str):
    with replaying(recording(listed), recording(created)) as server:
        found = server.experiment(config("NIGHTLY"))
        assert found == recording(created).answer["experiment_id"]


def test_an_archived_experiment_is_refused():
    with (
        replaying(recording("list_experiments_archived")) as server,
        pytest.raises(ServerError, match=r"^experiment 'nightly' is archived: restore it on "),
    ):
        server.experiment(config("nightly"))


@pytest.mark.parametrize("name", ["error_409_experiment", "error_409_experiment_plus"])
def test_an_experiment_that_the_server_takes_for_another_is_explained(name: str):
    with (
        replaying(recording("list_experiments_other_case"), recording(name)) as server,
        pytest.raises(
            ServerError,
            match=r"^the server takes experiment 'Nightly' for one that is there, 'nightly': spell",
        ),
    ):
        server.experiment(config("Nightly"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("get_experiment", ""), ("error_404_experiment", "gone")],
)
def test_what_is_wrong_with_an_experiment_is_known(name: str, expected: str):
    with replaying(recording(name)) as server:
        assert server.experiment_problem("00000000-0000-4000-8000-000000000000") == expected


# Recurring runs

CRON = "'0 30 2 * * *'"


@pytest.mark.parametrize(
    ("recorded", "name", "expected"),
    [
        ("none", "digits", []),
        ("one", "digits", [(CRON, True, True)]),
        ("namespace", "digits", [(CRON, True, True)]),
        ("two", "digits", [(CRON, True, True), ("'0 0 7 * * *'", False, True)]),
        ("paused", "digits", [(CRON, False, False)]),
        ("start_end", "digits", [("'0 0 4 * * 0'", True, True)]),
        ("periodic", "periodic", [("every 3600 s", True, True)]),
        # The server was asked for DIGITS.
        ("other_case", "DIGITS", []),
    ],
)
def test_recurring_runs_are_those_of_exactly_a_name(recorded: str, name: str, expected: list):
    with replaying(recording(f"list_recurring_runs_{recorded}")) as server:
        found = server.recurring_runs(name)
    assert [(str(r.trigger), r.is_enabled, r.is_untouched) for r in found] == expected
    assert all(run.name == name and run.spec.name == "digits" for run in found)


def test_recurring_runs_are_read_page_by_page():
    pages = [recording(f"list_recurring_runs_page_{number}") for number in (1, 2)]
    whole_list = [replace(page, answer={**page.answer, "total_size": 4}) for page in pages]
    with replaying(*whole_list) as server:
        found = server.recurring_runs("many")
    expected = [
        entry["recurring_run_id"] for page in pages for entry in page.answer["recurringRuns"]
    ]
    assert [run.id for run in found] == expected and len(found) == 4


def test_a_recurring_run_is_all_that_the_server_says():
    with replaying(recording("list_recurring_runs_one")) as server:
        [found] = server.recurring_runs("digits")
    digest = "b67fb4d132a76411b992a64fd27a237c52279af80f668adad89e44228ea87d20"
    assert (found.id, found.name, found.spec.name) == (DIGITS, "digits", "digits")
    assert found.description == f"digits.yaml, tfx-tflite sha256:{digest}"
    assert found.experiment_id == "565be56b-b9dd-4d4a-995f-ac41a89c6168"
    assert str(found.trigger) == CRON and found.is_enabled
    assert found.created_at == found.updated_at == at("2026-11-26T02:25:20")


@pytest.mark.parametrize(
    ("name", "expected"), [("get_recurring_run", True), ("error_404_get_rr", False)]
)
def test_whether_the_server_knows_a_recurring_run(name: str, expected: bool):
    with replaying(recording(name)) as server:
        assert server.has_recurring_run("00000000-0000-4000-8000-000000000000") is expected


@pytest.mark.parametrize(
    "name",
    [
        "create_recurring_run",
        "create_recurring_run_disabled",
        "create_recurring_run_platform",
        "accepted_rr_cron_5_fields",
        "accepted_rr_end_before_start",
    ],
)
def test_a_recurring_run_that_was_made_is_known(name: str):
    with replaying(recording(name)) as server:
        made = server.create_recurring_run(compiled(), config(), "0 30 2 * * *", "x", "e")
    answer = recording(name).answer
    assert made.id == answer["recurring_run_id"]
    assert made.is_enabled is (answer["mode"] == "ENABLE")
    assert str(made.trigger) == repr(answer["trigger"]["cron_schedule"]["cron"])


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("enable_recurring_run", Server.resume),
        ("disable_recurring_run", Server.pause),
        ("delete_recurring_run", Server.delete),
    ],
)
def test_a_recurring_run_is_changed(name: str, action: Callable[[Server, RecurringRun], None]):
    with replaying(recording("list_recurring_runs_one"), recording(name)) as server:
        [run] = server.recurring_runs("digits")
        action(server, run)


# Runs


@pytest.mark.parametrize("name", ["create_run", "create_run_namespace", "create_run_platform"])
def test_a_run_that_was_started_has_a_link(name: str):
    experiments = "list_experiments_" + ("namespace" if "namespace" in name else "one")
    with replaying(recording(experiments), recording(name)) as server:
        link = server.submit(compiled(), config(), {})
    assert link.endswith(f"/#/runs/details/{recording(name).answer['run_id']}")


@pytest.mark.parametrize(
    ("names", "limit", "expected"),
    [
        (["list_runs_none"], 10, []),
        (["list_runs_running"], 10, ["running"]),
        (["list_runs_succeeded"], 10, ["succeeded"]),
        (["list_runs_by_recurring_run"], 2, ["pending", "pending"]),
        # Of the first page alone.
        (["list_runs_page_1", "list_runs_page_2"], 2, ["pending", "pending"]),
    ],
)
def test_the_last_runs_of_a_recurring_run_are_known(
    names: Sequence[str], limit: int, expected: list[str]
):
    run = RecurringRun.read(whole(recording("get_recurring_run").answer))
    with replaying(*map(recording, names)) as server:
        assert [found.state for found in server.last_runs(run, limit)] == expected


def test_a_run_is_all_that_the_server_says():
    run = RecurringRun.read(whole(recording("get_recurring_run").answer))
    with replaying(recording("list_runs_succeeded")) as server:
        [found] = server.last_runs(run, 10)
    assert found.id == "22222222-2222-4333-8444-555555555555"
    assert found.recurring_run_id == "43811bc2-2310-4902-bbb3-de0256759992"
    assert (found.spec.name, found.state) == ("digits", "succeeded")
    assert found.created_at == at("2026-11-26T02:41:27")
    assert found.scheduled_at == at("2026-11-26T02:30:00")


def test_runs_are_read_page_by_page_until_they_are_too_old():
    with replaying(recording("list_runs_page_1"), recording("list_runs_page_2")) as server:
        assert server.runs_since("e", at("2026-11-26T02:36:22"), 10) == []
    last = replace(recording("list_runs_page_2"), answer=without_token("list_runs_page_2"))
    with replaying(recording("list_runs_page_1"), last) as server:
        runs = server.runs_since("e", at("2026-11-26T02:36:21"), 10)
        assert len({run.id for run in runs}) == 4
        assert len(server.runs_since("e", at("2026-11-26T02:36:21"), 3)) == 3


def without_token(name: str) -> dict[str, Any]:
    """Returns a recorded page as the last one of four entries."""
    page = {k: v for k, v in recording(name).answer.items() if k != "next_page_token"}
    return {**page, "total_size": 4}


def test_a_list_that_ends_too_early_is_not_taken_for_the_whole():
    """The pages were recorded with 130 entries, of which two each were kept."""
    pages = [recording(f"list_recurring_runs_page_{number}") for number in (1, 2)]
    with replaying(*pages) as server, pytest.raises(UnreadableList, match="after 4 of 130"):
        server.recurring_runs("many")


@pytest.mark.parametrize("totals", [(4, 5), (5, 4)], ids=["made", "deleted"])
def test_what_somebody_changes_between_two_pages_makes_no_list_unreadable(totals: tuple[int, int]):
    pages = [
        replace(page, answer={**page.answer, "total_size": total})
        for page, total in zip(
            (recording(f"list_recurring_runs_page_{number}") for number in (1, 2)),
            totals,
            strict=True,
        )
    ]
    with replaying(*pages) as server:
        assert len(server.recurring_runs("many")) == 4


def test_nothing_at_all_is_what_the_server_says_of_an_empty_list():
    recorded = recording("list_recurring_runs_none")
    with replaying(recorded) as server:
        assert server.recurring_runs("x") == []
    assert recorded.answer == {}


# What the product does not ask for, but its connection could


@pytest.mark.parametrize(
    "name", [n for n in names() if n not in (*ERRORS, *UPLOADS, "error_501_405")]
)
def test_every_other_answer_is_read_as_it_is(name: str):
    recorded = recording(name)
    with replaying(recorded) as server:
        answer = ask(server, recorded)
    assert answer == (None if recorded.method == "DELETE" else whole(recorded.answer))
