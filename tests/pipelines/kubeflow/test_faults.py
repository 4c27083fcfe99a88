"""What can go wrong between us and Kubeflow's server, and what is left of a schedule then."""

import json
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.conftest import CONFIGS
from tests.pipelines.kubeflow.kfp_server import FakeKubeflow, serving
from tests.pipelines.kubeflow.test_server import (
    DIGITS,
    NIGHTLY,
    add_run,
    compiled,
    config,
    only,
    schedule,
    submit,
    use_context,
)
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines.cli.main import main
from tfx_tflite.pipelines.config.file import load_config
from tfx_tflite.pipelines.kubeflow import (
    recurring as kubeflow_schedule,
)
from tfx_tflite.pipelines.kubeflow.client import ServerError, connect
from tfx_tflite.pipelines.kubeflow.recurring import Mark, RecurringSchedule

CHANGED = "calibration.samples=100"
UPPER = ("name=DIGITS", "kubeflow.experiment=upper")
DIGEST = "sha256:" + "0" * 64
LEGACY = f"digits.yaml, tfx-tflite {DIGEST}"


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
        yield state


def states(server: FakeKubeflow) -> list[tuple[int, str]]:
    """Returns each recurring run's number of samples and state, the oldest first."""
    return [
        (run["runtime_config"]["parameters"]["calibration_samples"], run["status"])
        for run in server.recurring_runs.values()
    ]


def add_recurring_run(server: FakeKubeflow, **changes: Any) -> str:
    """Lets the server have a copy of its first recurring run, as somebody else made one."""
    entry = {**next(iter(server.recurring_runs.values())), "recurring_run_id": "theirs", **changes}
    server.recurring_runs[entry["recurring_run_id"]] = entry
    return str(entry["recurring_run_id"])


def run_command(name: str, server: FakeKubeflow, *options: str):
    arguments = [name, str(DIGITS), "--host", server.url, *options]
    if name == "schedule":
        arguments += ["--on", "kubeflow", "--set", NIGHTLY[0]]
    return CliRunner().invoke(main, arguments)


# Whose a recurring run is


def test_a_name_in_other_letters_is_another_schedule(server: FakeKubeflow):
    schedule(server.url)
    assert "DIGITS: created" in schedule(server.url, *UPPER)
    assert [r["display_name"] for r in server.recurring_runs.values()] == ["digits", "DIGITS"]
    assert [state for _, state in states(server)] == ["ENABLED", "ENABLED"]


@pytest.mark.parametrize("action", ["pause", "resume", "delete"])
def test_actions_leave_a_name_in_other_letters_alone(server: FakeKubeflow, action: str):
    schedule(server.url)
    before = dict(only(server.recurring_runs))
    with pytest.raises(ServerError, match=r"^DIGITS is not scheduled at"):
        getattr(RecurringSchedule(config(*NIGHTLY, *UPPER), server.url), action)()
    assert only(server.recurring_runs) == before


def test_a_schedule_carries_the_mark_of_its_config(server: FakeKubeflow):
    schedule(server.url)
    mark = Mark.read(only(server.recurring_runs)["description"])
    assert mark is not None and mark.file_name == "digits.yaml" and mark.identity is not None
    assert not mark.is_paused


def test_a_mark_is_read_as_it_is_written_and_fits_the_servers_column():
    for is_paused in (False, True):
        mark = Mark("digits.yaml", DIGEST, "0123456789abcdef", is_paused)
        assert Mark.read(str(mark)) == mark
        assert len(str(Mark("x" * 255, DIGEST, "0123456789abcdef", is_paused))) <= 191
    assert Mark.read(LEGACY) == Mark("digits.yaml", DIGEST, None)
    assert Mark.read("every night, by hand") is None


@pytest.mark.parametrize(
    "description",
    ["", "by hand", f"other.yaml, tfx-tflite {DIGEST}, config 0123456789abcdef"],
)
def test_what_somebody_else_made_is_left_alone(server: FakeKubeflow, description: str):
    schedule(server.url)
    theirs = add_recurring_run(server, description=description)
    before = dict(server.recurring_runs[theirs])
    said = schedule(server.url, CHANGED)
    assert "digits: updated" in said and "was not made for this config and is left alone" in said
    RecurringSchedule(config(*NIGHTLY), server.url).pause()
    RecurringSchedule(config(*NIGHTLY), server.url).resume()
    RecurringSchedule(config(*NIGHTLY), server.url).delete()
    assert only(server.recurring_runs) == before
    with pytest.raises(ServerError, match="theirs was not made for this config"):
        RecurringSchedule(config(*NIGHTLY), server.url).delete()


@pytest.mark.parametrize(("pipeline", "is_own"), [("digits", True), ("other", False)])
def test_one_of_an_earlier_version_is_known_by_its_pipeline(
    server: FakeKubeflow, pipeline: str, is_own: bool
):
    schedule(server.url)
    spec = {"pipelineInfo": {"name": pipeline}}
    theirs = add_recurring_run(server, description=LEGACY, pipeline_spec=spec)
    schedule(server.url, CHANGED)
    assert (theirs in server.recurring_runs) is not is_own


# Names


@pytest.mark.parametrize("name", ["a+b", "50%", "a b", 'Zählung "q" & 50%', "%2B", "nightly/é"])
def test_an_experiment_of_any_name_is_made_once_and_found_again(server: FakeKubeflow, name: str):
    option = f"kubeflow.experiment={json.dumps(name)}"
    for _ in range(2):
        assert submit(server.url, "--set", option).exit_code == 0
    assert only(server.experiments)["display_name"] == name


def test_an_experiment_in_other_letters_is_not_used(server: FakeKubeflow):
    assert submit(server.url, "--set", "kubeflow.experiment=nightly").exit_code == 0
    result = submit(server.url, "--set", "kubeflow.experiment=NIGHTLY")
    assert "takes experiment 'NIGHTLY' for one that is there, 'nightly'" in result.stderr
    assert result.exit_code == 1 and len(server.runs) == 1


def test_an_archived_experiment_is_not_used(server: FakeKubeflow):
    submit(server.url)
    only(server.experiments)["storage_state"] = "ARCHIVED"
    result = submit(server.url)
    assert result.exit_code == 1 and "experiment 'digits' is archived" in result.stderr
    with pytest.raises(ServerError, match="experiment 'digits' is archived"):
        schedule(server.url)
    assert len(server.runs) == 1 and server.recurring_runs == {}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("name=" + "x" * 129, "name: is 129 bytes long, but Kubeflow takes names of 1 to 128"),
        ("kubeflow.experiment=" + "ä" * 65, "kubeflow.experiment: is 130 bytes long, but"),
        ("kubeflow.experiment=''", "kubeflow.experiment: is 0 bytes long, but Kubeflow"),
    ],
)
def test_a_name_beyond_the_servers_length_is_refused_before(override: str, expected: str):
    with pytest.raises(ConfigError, match=expected):
        config(override)


def test_the_longest_name_is_taken_by_the_server(server: FakeKubeflow):
    name = "x" * 128
    assert submit(server.url, "--set", f"name={name}").exit_code == 0
    assert "created" in schedule(server.url, f"name={name}")


# Where the server is, and whose


def test_a_prefix_of_the_host_works_where_the_api_is_behind_it(server: FakeKubeflow):
    server.prefix = "/pipeline"
    server.url += "/pipeline/"
    assert submit(server.url).exit_code == 0
    assert "created" in schedule(server.url)


def test_a_missing_prefix_is_explained(server: FakeKubeflow):
    server.prefix = "/pipeline"
    result = submit(server.url)
    assert result.exit_code == 1
    assert f"Kubeflow's own pages often have it at {server.url}/pipeline" in result.stderr


@pytest.mark.parametrize("command", ["submit", "schedule"])
def test_a_prefix_that_the_server_does_not_have_is_explained(server: FakeKubeflow, command: str):
    without, server.url = server.url, f"{server.url}/pipeline"
    result = run_command(command, server)
    assert result.exit_code == 1
    assert f"no Kubeflow Pipelines API is at {server.url}/apis/v2beta1 (404)" in result.stderr
    assert result.stderr.endswith(f"try {without}, without /pipeline\n")


def test_the_address_of_a_page_is_refused():
    result = submit("https://kubeflow.example.com/pipeline/#/runs")
    assert result.exit_code == 2 and "leave out everything from ? or # on" in result.stderr


@pytest.mark.parametrize("options", [[], ["--list"], ["--pause"], ["--resume"], ["--delete"]])
def test_the_namespace_of_the_context_file_serves_every_command(
    server: FakeKubeflow, tmp_path: Path, options: list[str]
):
    server.namespaces = ("team-a",)
    use_context(tmp_path, namespace="team-a")
    assert submit(server.url).exit_code == 0
    assert run_command("schedule", server).exit_code == 0
    result = run_command("schedule", server, *options)
    assert result.exit_code == 0, result.output
    assert only(server.experiments)["namespace"] == "team-a"


def test_the_namespace_of_the_config_goes_before_that_of_the_context_file(
    server: FakeKubeflow, tmp_path: Path
):
    server.namespaces = ("kubeflow", "team-a")
    use_context(tmp_path, namespace="team-a")
    assert submit(server.url, "--set", "kubeflow.namespace=kubeflow").exit_code == 0
    assert only(server.experiments)["namespace"] == "kubeflow"


def test_no_namespace_on_a_server_for_many_users_is_a_wrong_config(
    server: FakeKubeflow, tmp_path: Path
):
    server.namespaces = ("team-a",)
    use_context(tmp_path)
    for command in ("submit", "schedule"):
        result = run_command(command, server)
        assert result.exit_code == 2
        assert result.stderr.startswith("error: kubeflow.namespace: ")
        assert "has many users" in result.stderr


@pytest.mark.parametrize("content", ["{", "[]", '{"client_authentication_cookie": "x"}'])
def test_a_context_file_that_the_kfp_client_cannot_use_is_named(
    server: FakeKubeflow, tmp_path: Path, content: str
):
    (tmp_path / "context.json").write_text(content)
    result = submit(server.url)
    assert result.exit_code == 2
    assert f"{tmp_path}/context.json: the KFP client" in result.stderr


# Answers that are lost or never come

COMMANDS: dict[str, tuple[str, ...]] = {
    "get_healthz": ("submit",),
    "list_experiments": ("submit",),
    "create_experiment": ("submit",),
    "create_run": ("submit",),
    "list_recurring_runs": ("schedule", "--list"),
    "get_experiment": ("schedule", "--list"),
    "list_runs": ("schedule", "--list"),
    "disable_recurring_run": ("schedule", "--pause"),
    "enable_recurring_run": ("schedule", "--resume"),
    "delete_recurring_run": ("schedule", "--delete"),
    "create_recurring_run": ("schedule", "--set", CHANGED),
}


@pytest.mark.parametrize("operation", COMMANDS)
def test_every_request_has_a_time_limit(server: FakeKubeflow, operation: str):
    if COMMANDS[operation][0] == "schedule":
        schedule(server.url)
    server.hanging = {operation}
    command, *options = COMMANDS[operation]
    result = run_command(command, server, *options, "--timeout", "0.2")
    assert result.exit_code == 1
    assert "did not answer within 0.2 seconds" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("operation", [name for name in COMMANDS if "create" not in name])
def test_a_lost_answer_is_asked_for_again_if_that_does_no_harm(
    server: FakeKubeflow, operation: str
):
    if COMMANDS[operation][0] == "schedule":
        schedule(server.url)
    server.losing = {operation}
    command, *options = COMMANDS[operation]
    result = run_command(command, server, *options)
    is_asked_again = operation.startswith(("get", "list", "delete"))
    assert result.exit_code == (0 if is_asked_again else 1), result.output
    assert is_asked_again or "closed the connection without an answer" in result.stderr


def test_a_run_whose_answer_is_lost_is_not_started_twice(server: FakeKubeflow):
    server.losing = {"create_run"}
    result = submit(server.url)
    assert result.exit_code == 1 and len(server.runs) == 1
    experiment = only(server.experiments)["experiment_id"]
    assert "the run may have started all the same: look at " in result.stderr
    assert f"/#/experiments/details/{experiment} before submitting again" in result.stderr


def test_what_is_deleted_while_its_answer_is_lost_is_gone(server: FakeKubeflow):
    schedule(server.url)
    server.losing = {"delete_recurring_run"}
    assert "digits: updated" in schedule(server.url, CHANGED)
    assert server.called("delete_recurring_run") == ["delete_recurring_run"] * 2
    assert states(server) == [(100, "ENABLED")]


@pytest.mark.parametrize("command", ["submit", "schedule"])
def test_nothing_is_logged_on_the_way_to_an_error(
    server: FakeKubeflow, caplog: pytest.LogCaptureFixture, command: str
):
    server.losing = {"list_experiments"}
    with caplog.at_level(logging.WARNING):
        assert run_command(command, server).exit_code == 0
        server.url = "http://127.0.0.1:1"
        assert len(run_command(command, server).stderr.splitlines()) == 1
    assert caplog.records == []


# An update that is cut short

STEPS = {
    "create_recurring_run": ("error_500_recurring_run_kubernetes", [(200, "ENABLED")]),
    "delete_recurring_run": (
        "error_500_delete_kubernetes",
        [(200, "ENABLED"), (100, "DISABLED")],
    ),
    "enable_recurring_run": ("error_500_disable_kubernetes", [(100, "DISABLED")]),
}
SAID = {
    "create_recurring_run": "no new schedule was started, the schedule of before goes on; schedule",
    "delete_recurring_run": "the new schedule is there but does not run yet, the schedule of",
    "enable_recurring_run": "the new schedule is there but does not run, and no other does; sched",
}


@pytest.mark.parametrize("step", STEPS)
def test_an_update_that_fails_says_what_is_left_and_is_finished_by_the_next(
    server: FakeKubeflow, step: str
):
    schedule(server.url)
    failure, left = STEPS[step]
    server.failing = {step: failure}
    with pytest.raises(ServerError) as caught:
        schedule(server.url, CHANGED)
    assert str(caught.value).startswith(f"digits: {SAID[step]}")
    assert "stand-in refuses" in str(caught.value)
    assert states(server) == left
    server.failing = {}
    done = "updated" if step == "create_recurring_run" else "finished an update that was cut short"
    assert f"digits: {done}, " in schedule(server.url, CHANGED)
    assert states(server) == [(100, "ENABLED")]


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", STEPS)
def test_an_update_that_is_interrupted_says_what_is_left(
    server: FakeKubeflow,
    step: str,
    signal_number: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
):
    schedule(server.url)

    def interrupt(*args: Any, **kwargs: Any) -> None:
        os.kill(os.getpid(), signal_number)
        time.sleep(1)

    method = {"create": "create_recurring_run", "delete": "delete", "enable": "resume"}
    monkeypatch.setattr(
        f"tfx_tflite.pipelines.kubeflow.client.Server.{method[step.partition('_')[0]]}", interrupt
    )
    result = run_command("schedule", server, "--set", CHANGED)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: digits: {SAID[step]}")
    assert result.stderr.endswith(": interrupted\n")
    assert states(server) == STEPS[step][1]


@pytest.mark.parametrize("step", ["create_recurring_run", "enable_recurring_run"])
def test_an_update_whose_answer_is_lost_is_finished_by_the_next(server: FakeKubeflow, step: str):
    schedule(server.url)
    server.losing = {step}
    with pytest.raises(ServerError, match="closed the connection without an answer"):
        schedule(server.url, CHANGED)
    schedule(server.url, CHANGED)
    assert states(server) == [(100, "ENABLED")]


@pytest.mark.parametrize("step", ["create_recurring_run", "enable_recurring_run"])
def test_a_first_schedule_that_fails_is_finished_by_the_next(server: FakeKubeflow, step: str):
    server.failing = {step: "error_500_recurring_run_kubernetes"}
    with pytest.raises(ServerError, match=r"^digits: "):
        schedule(server.url)
    server.failing = {}
    schedule(server.url)
    assert states(server) == [(200, "ENABLED")]


@pytest.mark.parametrize("step", ["create_recurring_run", "delete_recurring_run"])
def test_an_update_of_what_is_paused_that_fails_leaves_it_paused(server: FakeKubeflow, step: str):
    schedule(server.url)
    RecurringSchedule(config(*NIGHTLY), server.url).pause()
    server.failing = {step: STEPS[step][0]}
    with pytest.raises(ServerError):
        schedule(server.url, CHANGED)
    server.failing = {}
    assert "paused, --resume starts it" in schedule(server.url, CHANGED)
    assert states(server) == [(100, "DISABLED")]
    # And it is not taken for one that was never started.
    assert "unchanged" in schedule(server.url, CHANGED)
    assert states(server) == [(100, "DISABLED")]


def test_what_an_update_left_is_shown_in_the_list(server: FakeKubeflow):
    schedule(server.url)
    server.failing = {"enable_recurring_run": "error_500_disable_kubernetes"}
    with pytest.raises(ServerError):
        schedule(server.url, CHANGED)
    [line] = RecurringSchedule(config(*NIGHTLY), server.url).list_runs()
    assert line.startswith("digits: not started, an update was cut short: schedule again to finish")


def test_what_an_update_left_can_be_resumed_deleted_and_paused(server: FakeKubeflow):
    for action, left in (
        (RecurringSchedule.pause, [(200, "DISABLED"), (100, "DISABLED")]),
        (RecurringSchedule.resume, [(100, "ENABLED")]),
        (RecurringSchedule.delete, []),
    ):
        server.recurring_runs.clear()
        schedule(server.url)
        server.failing = {"delete_recurring_run": "error_500_delete_kubernetes"}
        with pytest.raises(ServerError):
            schedule(server.url, CHANGED)
        server.failing = {}
        action(RecurringSchedule(config(*NIGHTLY), server.url))
        assert states(server) == left


@pytest.mark.parametrize(
    ("action", "operation", "expected"),
    [
        (RecurringSchedule.pause, "disable_recurring_run", "not paused, it may still start runs"),
        (RecurringSchedule.resume, "enable_recurring_run", "not resumed, nothing runs; --resume"),
        (RecurringSchedule.delete, "delete_recurring_run", "not deleted, it may still start runs"),
    ],
)
def test_an_action_that_fails_says_what_is_left(
    server: FakeKubeflow, action: Callable[[RecurringSchedule], str], operation: str, expected: str
):
    schedule(server.url)
    server.failing = {operation: "error_500_disable_kubernetes"}
    with pytest.raises(ServerError, match=rf"^digits: {expected}"):
        action(RecurringSchedule(config(*NIGHTLY), server.url))


# What the server does not know of itself


def test_a_recurring_run_is_made_paused_so_that_what_is_left_of_it_starts_nothing(
    server: FakeKubeflow,
):
    server.failing = {"enable_recurring_run": "error_500_disable_kubernetes"}
    with pytest.raises(ServerError):
        schedule(server.url)
    assert states(server) == [(200, "DISABLED")]


@pytest.mark.parametrize("look", ["schedule", "list"])
def test_an_orphan_in_kubernetes_is_found_by_the_runs_that_it_starts(
    server: FakeKubeflow, look: str
):
    schedule(server.url)
    recurring = only(server.recurring_runs)
    add_run(server, recurring, "own", recurring["recurring_run_id"], "2030-01-02T00:00:00Z")
    add_run(server, recurring, "by hand", "", "2030-01-02T00:00:00Z")
    # The last run of one that an update replaced.
    add_run(server, recurring, "before", "replaced", "2030-01-01T00:05:00Z")
    assert "Kubernetes" not in found_by(look, server)
    add_run(server, recurring, "orphan's", "unknown-uid", "2030-01-03T00:00:00Z")
    said = found_by(look, server)
    assert "that the server does not know started a run on 2030-01-03T00:00:00Z" in said
    assert "Delete the scheduledworkflow with uid unknown-uid there" in said


def found_by(look: str, server: FakeKubeflow) -> str:
    if look == "schedule":
        return schedule(server.url)
    return "\n".join(RecurringSchedule(config(*NIGHTLY), server.url).list_runs())


def test_runs_of_another_pipeline_are_no_orphans(server: FakeKubeflow):
    schedule(server.url)
    recurring = {**only(server.recurring_runs), "pipeline_spec": {"pipelineInfo": {"name": "x"}}}
    add_run(server, recurring, "theirs", "unknown-uid", "2030-01-03T00:00:00Z")
    assert "Kubernetes" not in schedule(server.url)


# The list


def test_a_periodic_recurring_run_is_listed(server: FakeKubeflow):
    schedule(server.url)
    trigger = {"periodic_schedule": {"interval_second": "3600"}}
    add_recurring_run(server, description="by hand", trigger=trigger)
    lines = RecurringSchedule(config(*NIGHTLY), server.url).list_runs()
    assert lines[1].startswith("digits: not made for this config, enabled, every 3600 s: http")


def test_runs_are_listed_however_many_newer_ones_are_in_the_experiment(server: FakeKubeflow):
    schedule(server.url)
    recurring = only(server.recurring_runs)
    for index in range(12):
        when = f"2030-01-01T00:02:{index:02}Z"
        add_run(server, recurring, f"own-{index}", recurring["recurring_run_id"], when)
    for index in range(120):
        add_run(server, recurring, f"by hand {index}", "", f"2030-01-02T00:{index % 60:02}:00Z")
    lines = RecurringSchedule(config(*NIGHTLY), server.url).list_runs()
    assert [line.rpartition("/")[2] for line in lines[1:]] == [f"own-{i}" for i in range(11, 1, -1)]


def test_many_recurring_runs_of_a_name_are_all_looked_at(server: FakeKubeflow):
    schedule(server.url)
    # More than a page of other people's, made before the own one.
    own = server.recurring_runs.popitem()
    for index in range(130):
        server.recurring_runs[f"theirs-{index}"] = {
            **own[1],
            "recurring_run_id": f"theirs-{index}",
            "description": "by hand",
            "created_at": "2029-01-01T00:00:00Z",
        }
    server.recurring_runs[own[0]] = own[1]
    assert "digits: unchanged" in schedule(server.url)
    assert RecurringSchedule(config(*NIGHTLY), server.url).pause() == "digits: paused"
    assert own[1]["status"] == "DISABLED"


def test_a_deleted_experiment_is_said_and_mended_by_scheduling_again(server: FakeKubeflow):
    schedule(server.url)
    recurring = only(server.recurring_runs)
    add_run(server, recurring, "own", recurring["recurring_run_id"])
    server.experiments.clear()
    lines = RecurringSchedule(config(*NIGHTLY), server.url).list_runs()
    assert lines[0].endswith(" (its experiment is gone; schedule again to make another)")
    assert lines[1].endswith("/own")
    assert "digits: updated" in schedule(server.url)
    assert only(server.recurring_runs)["experiment_id"] in server.experiments


def test_an_archived_experiment_is_said_in_the_list(server: FakeKubeflow):
    schedule(server.url)
    only(server.experiments)["storage_state"] = "ARCHIVED"
    lines = RecurringSchedule(config(*NIGHTLY), server.url).list_runs()
    assert lines[0].endswith(" (its experiment is archived)")


def test_a_server_for_one_user_is_given_no_namespace(server: FakeKubeflow):
    settings = load_config(CONFIGS / "digits.yaml")
    assert settings.kubeflow is not None
    assert connect(settings.kubeflow, server.url).recurring_runs("digits") == []
