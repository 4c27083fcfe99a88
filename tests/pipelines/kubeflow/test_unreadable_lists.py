"""Answers that are no lists are not empty lists: nothing is done by what is not in them."""

import base64
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.pipelines.kubeflow.kfp_server import Answer, FakeKubeflow, serving
from tests.pipelines.kubeflow.test_faults import run_command
from tests.pipelines.kubeflow.test_server import compiled, schedule
from tfx_tflite.pipelines.kubeflow import recurring as kubeflow_schedule

LOGIN = "<!DOCTYPE html><html><body>Log in <form action=/login></form></body></html>"
ERROR_PAGE = "<html><body><h1>404 Not Found</h1><hr>nginx/1.25</body></html>"
# From commands to the lists that they decide by.
COMMANDS = {
    ("schedule",): "list_recurring_runs",
    ("schedule", "--list"): "list_recurring_runs",
    ("schedule", "--pause"): "list_recurring_runs",
    ("schedule", "--delete"): "list_recurring_runs",
    ("schedule", "--set", "calibration.samples=100"): "list_recurring_runs",
    ("submit",): "list_experiments",
}
KEYS = {"list_recurring_runs": "recurringRuns", "list_experiments": "experiments"}

# In the server's own form.
TO_THE_FIRST = base64.b64encode(b'{"SortByFieldValue": "", "KeyFieldValue": ""}').decode()

Garbling = Callable[[Answer], Answer]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import kfp

    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    monkeypatch.delenv("KF_PIPELINES_SA_TOKEN_PATH", raising=False)
    monkeypatch.setattr("tfx_tflite.pipelines.kubeflow.compile.compile_logged", compiled)
    monkeypatch.setattr(kubeflow_schedule, "compile_logged", compiled)


@pytest.fixture
def server() -> Iterator[FakeKubeflow]:
    with serving() as state:
        schedule(state.url)
        yield state


def page(status: int, text: str) -> Garbling:
    return lambda _: Answer(status, text, {"Content-Type": "text/html"})


def text(answer: str) -> Garbling:
    return lambda _: Answer(200, answer, {})


def without_entries(answer: Answer) -> Answer:
    """Leaves out the list, and all that is not the list."""
    document = {k: v for k, v in answer.document.items() if not isinstance(v, list)}
    return replace(answer, document=document)


def entries_without(key: str) -> Garbling:
    """Leaves out a key of each entry."""

    def garbled(answer: Answer) -> Answer:
        return replace(
            answer,
            document={
                name: [{k: v for k, v in e.items() if k != key} for e in value]
                if isinstance(value, list)
                else value
                for name, value in answer.document.items()
            },
        )

    return garbled


def changed(**changes: object) -> Garbling:
    """Changes keys of the document."""
    return lambda answer: replace(answer, document={**answer.document, **changes})


def other_entries(entries: object) -> Garbling:
    """Puts something else where the list is."""

    def garbled(answer: Answer) -> Answer:
        [key] = [k for k, v in answer.document.items() if isinstance(v, list)]
        return replace(answer, document={**answer.document, key: entries})

    return garbled


GARBLED: dict[str, Garbling] = {
    "a page to log in": page(200, LOGIN),
    "an error page": page(404, ERROR_PAGE),
    "an error page of a proxy": page(502, "<html>Bad Gateway</html>"),
    "an error in JSON": lambda _: Answer(404, {"message": "no Route matched", "code": 404}, {}),
    "half an answer": text('{"recurringRuns": [{"recurr'),
    "nothing": text(""),
    "null": text("null"),
    "a list": text("[]"),
    "a text": text('"none"'),
    "thousands of levels": text("[" * 100_000),
    "another document": text('{"status": "ok"}'),
    "an error that is no error": text('{"error": "database is locked", "code": 13}'),
    "no list": without_entries,
    "a list that is null": other_entries(None),
    "a list that is a mapping": other_entries({}),
    "a list that is a text": other_entries("none"),
    "entries that are none": other_entries([None]),
    "entries that are texts": other_entries(["a"]),
    "empty entries": other_entries([{}]),
    "entries without a name": entries_without("display_name"),
    "more entries than come": changed(total_size=2),
    "a token for nothing": changed(next_page_token=5),
    "a total that is none": changed(total_size="many"),
}


@pytest.mark.parametrize("garbled", GARBLED.values(), ids=GARBLED)
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_what_is_no_list_is_not_an_empty_one(
    server: FakeKubeflow, command: tuple[str, ...], garbled: Garbling
):
    if command == ("submit",):
        assert run_command("submit", server).exit_code == 0
    before = dict(server.recurring_runs), dict(server.runs), dict(server.experiments)
    server.garbling = {COMMANDS[command]: garbled}
    name, *options = command
    result = run_command(name, server, *options, "--timeout", "3")
    assert result.exit_code == 1, result.output
    assert result.stdout == "" and len(result.stderr.splitlines()) == 1
    assert "not scheduled" not in result.stderr and "<" not in result.stderr
    assert before == (server.recurring_runs, server.runs, server.experiments)


def test_pages_that_come_again_and_again_are_told(server: FakeKubeflow):
    server.garbling = {"list_recurring_runs": changed(next_page_token=TO_THE_FIRST)}
    result = run_command("schedule", server, "--list", "--timeout", "5")
    assert result.exit_code == 1
    assert "its pages come again and again" in result.stderr


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_passes_is_asked_again(server: FakeKubeflow, status: int):
    server.garbling = {"list_recurring_runs": first_times(2, page(status, "busy"))}
    result = run_command("schedule", server, "--list")
    assert result.exit_code == 0, result.stderr
    assert len(server.called("list_recurring_runs")) >= 3


def test_what_makes_something_is_not_asked_again(server: FakeKubeflow):
    server.garbling = {"create_run": page(503, "busy")}
    assert run_command("submit", server).exit_code == 1
    assert server.called("create_run") == ["create_run"]


@pytest.mark.parametrize("answer", ["{}", '{"run_id": ""}', "[]", '{"run_id": 5}'])
def test_a_run_without_an_id_may_have_started(server: FakeKubeflow, answer: str):
    server.garbling = {"create_run": text(answer)}
    result = run_command("submit", server)
    assert result.exit_code == 1 and len(result.stderr.splitlines()) == 1
    assert answer == "[]" or "the run may have started all the same" in result.stderr


def test_an_error_page_does_not_say_that_an_experiment_is_gone(server: FakeKubeflow):
    server.garbling = {"get_experiment": page(404, ERROR_PAGE)}
    result = run_command("schedule", server, "--list")
    assert result.exit_code == 1 and "is gone" not in result.output


def test_an_error_page_does_not_say_that_something_is_deleted(server: FakeKubeflow):
    server.garbling = {"delete_recurring_run": page(404, ERROR_PAGE)}
    result = run_command("schedule", server, "--delete")
    assert result.exit_code == 1 and "deleted" not in result.stdout


def first_times(number: int, garbled: Garbling) -> Garbling:
    """Garbles the first answers alone."""
    count = itertools.count()
    return lambda answer: garbled(answer) if next(count) < number else answer
