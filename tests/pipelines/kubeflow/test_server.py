"""Submitting and scheduling, against a server that answers as the recorded one does.

The pipeline is a small one, written out here, so that TFX is not needed; `test_compile.py`
has the real one.
"""

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.conftest import CONFIGS
from tests.pipelines.kubeflow.kfp_server import Answer, FakeKubeflow, listening, send, serving
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines.cli.main import main
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.file import load_config
from tfx_tflite.pipelines.config.schedule import ScheduleConfig
from tfx_tflite.pipelines.kubeflow import client as kubeflow_client
from tfx_tflite.pipelines.kubeflow import recurring as kubeflow_schedule
from tfx_tflite.pipelines.kubeflow.compile import (
    CompiledPipeline,
    as_overrides,
    given_values,
    pipeline_name,
    runtime_parameters,
)
from tfx_tflite.pipelines.kubeflow.recurring import RecurringSchedule

DIGITS = CONFIGS / "digits.yaml"
NIGHTLY = ("schedule.cron=30 2 * * 1-5",)
TEAM_A = ("--set", "kubeflow.namespace=team-a")


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keeps the tests from whatever this machine has for a real server."""
    import kfp

    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    for name in ("KF_PIPELINES_ENDPOINT", "KF_PIPELINES_UI_ENDPOINT", "KF_PIPELINES_SA_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[FakeKubeflow]:
    with serving() as state:
        yield state


def config(*overrides: str) -> PipelineConfig:
    return load_config(DIGITS, overrides)


TASKS = ("Trainer", "Pusher")
WHEN = "2030-01-01T00:01:00Z"


def compiled(settings: PipelineConfig) -> CompiledPipeline:
    spec: dict[str, Any] = {
        "pipelineInfo": {"name": pipeline_name(settings)},
        "schemaVersion": "2.1.0",
        "root": {
            "dag": {"tasks": {n: {"componentRef": {"name": n}} for n in TASKS}},
            "inputDefinitions": {
                "parameters": {
                    p.name: {"parameterType": p.kind} for p in runtime_parameters(settings)
                }
            },
        },
    }
    if settings.kubeflow and settings.kubeflow.cache:
        # A push never is.
        spec["root"]["dag"]["tasks"]["Trainer"]["cachingOptions"] = {"enableCache": True}
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {}}}}
    volumes = settings.kubeflow and settings.kubeflow.volumes
    return CompiledPipeline(
        {"pipelineSpec": spec}, platform if volumes else {}, runtime_parameters(settings)
    )


@pytest.fixture(autouse=True)
def _small_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfx_tflite.pipelines.kubeflow.compile.compile_logged", compiled)
    monkeypatch.setattr(kubeflow_schedule, "compile_logged", compiled)


def submit(host: str, *arguments: str):
    return CliRunner().invoke(main, ["submit", str(DIGITS), "--host", host, *arguments])


def schedule(host: str, *overrides: str) -> str:
    return RecurringSchedule(config(*NIGHTLY, *overrides), host).apply(DIGITS)


def use_context(directory: Path, namespace: str = "") -> None:
    """Writes a context file of the KFP client, with credentials that the server takes."""
    context = {
        "namespace": namespace,
        "client_authentication_header_name": "Authorization",
        "client_authentication_header_value": "Bearer right",
    }
    (directory / "context.json").write_text(json.dumps(context))


def only(entries: dict[str, dict[str, Any]]) -> dict[str, Any]:
    [entry] = entries.values()
    return entry


# Submitting


def test_submit_prints_the_link_of_the_run(server: FakeKubeflow):
    result = submit(server.url)
    assert result.exit_code == 0, result.output
    run = only(server.runs)
    assert result.stdout == f"{server.url}/#/runs/details/{run['run_id']}\n"


def test_submit_in_json_is_one_object(server: FakeKubeflow):
    result = submit(server.url, "--json")
    document = json.loads(result.stdout)
    assert document["status"] == "submitted"
    assert document["run"].endswith(only(server.runs)["run_id"])
    assert document["parameters"]["quantization_scheme"] == "int8"


def test_a_run_is_given_the_configs_values_and_those_of_param(server: FakeKubeflow):
    arguments = [
        "--param",
        "model.trainer.train_steps=500",
        "--param",
        "gate_rules_0_max_drop=0.02",
    ]
    assert submit(server.url, *arguments).exit_code == 0
    values = only(server.runs)["runtime_config"]["parameters"]
    assert values["model_trainer_train_steps"] == 500
    assert values["gate_rules_0_max_drop"] == 0.02
    assert values["calibration_samples"] == 200


def test_a_run_is_in_the_experiment_and_of_the_service_account_of_the_config(server: FakeKubeflow):
    overrides = ["kubeflow.experiment=nightly", "kubeflow.service_account=runner"]
    overrides += ["kubeflow.pipeline_root=minio://models/digits"]
    assert submit(server.url, *(p for o in overrides for p in ("--set", o))).exit_code == 0
    experiment, run = only(server.experiments), only(server.runs)
    assert experiment["display_name"] == "nightly"
    assert run["experiment_id"] == experiment["experiment_id"]
    assert run["service_account"] == "runner"
    assert run["runtime_config"]["pipeline_root"] == "minio://models/digits"


def test_an_experiment_that_is_there_is_used_again(server: FakeKubeflow):
    for _ in range(2):
        assert submit(server.url).exit_code == 0
    assert len(server.experiments) == 1 and len(server.runs) == 2


def test_nothing_is_cached_unless_the_config_says_so(server: FakeKubeflow):
    submit(server.url)
    tasks = only(server.runs)["pipeline_spec"]["root"]["dag"]["tasks"]
    assert all(tasks[name].get("cachingOptions", {}) == {} for name in TASKS)
    server.runs.clear()
    submit(server.url, "--set", "kubeflow.cache=true")
    tasks = only(server.runs)["pipeline_spec"]["root"]["dag"]["tasks"]
    assert tasks["Trainer"]["cachingOptions"] == {"enableCache": True}
    assert tasks["Pusher"].get("cachingOptions", {}) == {}


def test_volumes_go_with_the_run(server: FakeKubeflow):
    assert submit(server.url, "--set", "kubeflow.volumes=[{claim: m, mount: /m}]").exit_code == 0
    assert set(only(server.runs)["pipeline_spec"]) == {"pipeline_spec", "platform_spec"}


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        (
            "steps=3",
            "--param steps: not a runtime parameter; there are: model.trainer.train_steps,",
        ),
        ("calibration.samples", "--param 'calibration.samples': expected key=value"),
        ("calibration.samples=ten", "--param calibration.samples: expected a whole number, rec"),
        ("quantization.scheme=int7", "--set: quantization.scheme: expected 'float32'"),
        ("calibration.samples=0", "--set: calibration.samples: expected greater than or equal"),
    ],
)
def test_a_wrong_param_exits_with_2_and_reaches_no_server(parameter: str, expected: str):
    result = submit("http://127.0.0.1:1", "--param", parameter)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {expected}")


def test_spans_can_be_given_where_the_data_has_them():
    settings = config(
        "data={input_base: x, splits: {train: 'span-{SPAN}/train', eval: 'span-{SPAN}/eval'}}"
    )
    values = given_values(settings, ["data.span=12"])
    assert {parameter.name: value for parameter, value in values.items()} == {"data_span": 12}
    # The config has no such key.
    assert as_overrides(values) == []


# What goes wrong


def one_line(result) -> str:
    assert result.exit_code == 1, result.output
    assert len(result.stderr.splitlines()) == 1 and "Traceback" not in result.output
    return result.stderr


@pytest.mark.parametrize(
    "host", ["", "kubeflow.example.com", "ftp://kubeflow.example.com", "http://[::1"]
)
def test_a_host_that_is_no_url_exits_with_2(host: str):
    result = submit(host)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: --host: expected a URL")


def test_credentials_in_the_url_are_refused_and_not_repeated():
    result = submit("https://me:geheim@kubeflow.example.com", "--json")
    assert result.exit_code == 2
    assert "credentials do not belong in the URL" in result.stderr
    assert "geheim" not in result.stderr + result.stdout


def test_no_server_is_one_line():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{unused.getsockname()[1]}"
        message = one_line(submit(host))
    assert f"no Kubeflow Pipelines server answers at {host}: " in message
    assert "Connection refused" in message


def test_a_token_that_is_not_taken_is_one_line_and_is_not_shown(
    server: FakeKubeflow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    server.namespaces = ("team-a",)
    (tmp_path / "token").write_text("wrong-and-secret")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    result = submit(server.url, *TEAM_A)
    assert "does not take the credentials (401: Failed to check authorization." in one_line(result)
    assert "wrong-and-secret" not in result.output
    assert "wrong-and-secret" not in str(result.exception)


def test_the_token_of_a_service_account_is_sent(
    server: FakeKubeflow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    server.namespaces = ("team-a",)
    (tmp_path / "token").write_text("right")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    assert submit(server.url, *TEAM_A).exit_code == 0


def test_a_header_of_the_kfp_clients_context_file_is_sent(server: FakeKubeflow, tmp_path: Path):
    server.namespaces = ("team-a",)
    use_context(tmp_path)
    assert submit(server.url, *TEAM_A).exit_code == 0


def test_a_namespace_that_is_not_allowed_is_one_line(server: FakeKubeflow, tmp_path: Path):
    server.namespaces = ("team-a",)
    use_context(tmp_path)
    message = one_line(submit(server.url, "--set", "kubeflow.namespace=team-b"))
    assert "does not allow this in namespace 'team-b' (403: User 'system:serviceaccount" in message
    assert submit(server.url, *TEAM_A).exit_code == 0
    assert only(server.experiments)["namespace"] == "team-a"


def test_an_experiment_that_cannot_be_made_is_one_line(server: FakeKubeflow):
    server.failing = {"create_experiment": "error_500_database"}
    message = one_line(submit(server.url))
    assert "refuses this (500: List experiments failed: " in message
    assert "invalid connection" in message
    assert server.runs == {}


def test_an_error_is_json_where_json_was_asked_for(server: FakeKubeflow):
    server.failing = {"create_run": "error_500_run_kubernetes"}
    result = submit(server.url, "--json")
    document = json.loads(result.stdout.splitlines()[-1])
    assert document["status"] == "failed" and "refuses POST workflows" in document["error"]


class Login(BaseHTTPRequestHandler):
    """A login page, which answers everything."""

    def do_GET(self) -> None:
        send(self, Answer(200, "<html>Please log in</html>"))

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_a_page_that_is_no_server_is_one_line():
    with listening(Login) as url:
        assert "does not answer like a Kubeflow Pipelines server" in one_line(submit(url))


# Scheduling


def test_a_schedule_becomes_a_recurring_run(server: FakeKubeflow):
    line = schedule(server.url)
    recurring = only(server.recurring_runs)
    assert recurring["display_name"] == "digits"
    assert recurring["status"] == "ENABLED"
    assert recurring["trigger"] == {"cron_schedule": {"cron": "0 30 2 * * 1-5"}}
    assert recurring["max_concurrency"] == "1"
    assert recurring["no_catchup"] is True
    assert recurring["runtime_config"]["parameters"]["model_trainer_train_steps"] == 300
    assert line == (
        "digits: created, '0 30 2 * * 1-5' in UTC: "
        f"{server.url}/#/recurringrun/details/{recurring['recurring_run_id']}"
    )


def test_a_recurring_run_never_caches(server: FakeKubeflow):
    schedule(server.url, "kubeflow.cache=true")
    task = only(server.recurring_runs)["pipeline_spec"]["root"]["dag"]["tasks"]["Trainer"]
    assert task.get("cachingOptions", {}).get("enableCache", False) is False


def test_start_end_and_catching_up_are_the_schedules(server: FakeKubeflow):
    schedule(
        server.url,
        "schedule.start=2030-01-01T00:00:00+02:00",
        "schedule.end=2031-01-01T00:00:00Z",
        "schedule.catch_up=true",
    )
    recurring = only(server.recurring_runs)
    assert recurring["trigger"]["cron_schedule"]["start_time"] == "2029-12-31T22:00:00Z"
    assert recurring["trigger"]["cron_schedule"]["end_time"] == "2031-01-01T00:00:00Z"
    assert recurring["no_catchup"] is False


def test_the_same_schedule_again_changes_nothing(server: FakeKubeflow):
    schedule(server.url)
    before = dict(only(server.recurring_runs))
    assert "digits: unchanged" in schedule(server.url)
    assert only(server.recurring_runs) == before
    assert len(server.called("create_recurring_run")) == 1


def test_another_schedule_takes_the_place_of_the_one_before(server: FakeKubeflow):
    schedule(server.url)
    assert "digits: updated, '0 0 4 * * *'" in schedule(server.url, "schedule.cron=0 4 * * *")
    recurring = only(server.recurring_runs)
    assert recurring["trigger"]["cron_schedule"]["cron"] == "0 0 4 * * *"
    assert recurring["status"] == "ENABLED"


def test_the_new_one_starts_only_when_the_old_one_is_gone(server: FakeKubeflow):
    schedule(server.url)
    server.calls.clear()
    schedule(server.url, "calibration.samples=100")
    steps = ("create_recurring_run", "delete_recurring_run", "enable_recurring_run")
    assert server.called(*steps) == list(steps)


def test_what_is_paused_stays_so_when_it_is_scheduled_again(server: FakeKubeflow):
    schedule(server.url)
    assert RecurringSchedule(config(*NIGHTLY), server.url).pause() == "digits: paused"
    for overrides in ([], ["calibration.samples=100"]):
        assert "paused, --resume starts it" in schedule(server.url, *overrides)
        assert only(server.recurring_runs)["status"] == "DISABLED"
    assert RecurringSchedule(config(*NIGHTLY), server.url).resume() == "digits: resumed"
    assert only(server.recurring_runs)["status"] == "ENABLED"


def test_deleting_leaves_other_recurring_runs_alone(server: FakeKubeflow):
    schedule(server.url)
    schedule(server.url, "name=other")
    assert RecurringSchedule(config(*NIGHTLY), server.url).delete().startswith("digits: deleted")
    assert only(server.recurring_runs)["display_name"] == "other"


def add_run(
    server: FakeKubeflow, recurring: dict[str, Any], name: str, source: str, when: str = WHEN
) -> None:
    """Lets the server have a run that a recurring run started."""
    server.runs[name] = {
        "run_id": name,
        "recurring_run_id": source,
        "experiment_id": recurring["experiment_id"],
        "pipeline_spec": recurring["pipeline_spec"],
        "created_at": when,
        "scheduled_at": when,
        "state": "SUCCEEDED",
    }


def test_listing_shows_the_recurring_run_and_its_last_runs(server: FakeKubeflow):
    schedule(server.url)
    recurring = only(server.recurring_runs)
    for index, source in enumerate((recurring["recurring_run_id"], "of another")):
        add_run(server, recurring, f"run-{index}", source)
    lines = RecurringSchedule(config(*NIGHTLY), server.url).list_runs()
    assert lines[0].startswith("digits: enabled, '0 30 2 * * 1-5' in UTC: http")
    assert lines[1:] == [f"  2030-01-01T00:01:00Z succeeded: {server.url}/#/runs/details/run-0"]


def test_listing_nothing_says_so(server: FakeKubeflow):
    [line] = RecurringSchedule(config(), server.url).list_runs()
    assert line == f"digits: not scheduled at {server.url}"


@pytest.mark.parametrize("action", ["pause", "resume", "delete"])
def test_what_is_not_scheduled_cannot_be_changed(server: FakeKubeflow, action: str):
    with pytest.raises(kubeflow_client.ServerError, match="digits is not scheduled at"):
        getattr(RecurringSchedule(config(*NIGHTLY), server.url), action)()


def test_a_config_without_a_schedule_is_refused():
    with pytest.raises(ConfigError, match="schedule: this section is needed"):
        RecurringSchedule(config("schedule=null"), "http://127.0.0.1:1").apply(DIGITS)


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 3 * * *", "0 0 3 * * *"),
        ("*/15 8-18 1,15 jan-mar *", "0 */15 8-18 1,15 1-3 *"),
        ("0 3 * * 7", "0 0 3 * * 0"),
        ("0 3 * * 5-7", "0 0 3 * * 0,5-6"),
        ("0 3 * * sun,Wed", "0 0 3 * * 0,3"),
        ("0 3 * * */2", "0 0 3 * * 0,2,4,6"),
    ],
)
def test_cron_gets_seconds_and_numbers_with_days_from_0_for_sunday(cron: str, expected: str):
    section = ScheduleConfig(cron=cron)
    assert kubeflow_schedule.kubeflow_cron(section, "UTC") == expected


def test_a_zone_that_is_not_the_clusters_is_refused():
    settings = config("schedule={cron: '0 3 * * *', time_zone: Europe/Berlin}")
    with pytest.raises(ConfigError, match="reads cron expressions in its cluster's zone, UTC"):
        RecurringSchedule(settings, "http://127.0.0.1:1").apply(DIGITS)
    assert settings.schedule is not None
    assert kubeflow_schedule.kubeflow_cron(settings.schedule, "Europe/Berlin") == "0 0 3 * * *"
