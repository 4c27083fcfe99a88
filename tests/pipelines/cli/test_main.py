"""The command line up to where a run begins; none of this loads TensorFlow or TFX."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.components.destinations.interruption import make_candidate
from tests.conftest import CONFIGS, ROOT
from tests.pipelines.cli.results import RESULT
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.errors import ConfigError, PushError
from tfx_tflite.pipelines.cli.console import RunPrinter, output_to_log
from tfx_tflite.pipelines.cli.main import main
from tfx_tflite.pipelines.cli.outcome import EXIT_CODES
from tfx_tflite.pipelines.runs.results import FailedAfterVerdict

DIGITS = str(CONFIGS / "digits.yaml")


def invoke(*arguments: str):
    return CliRunner().invoke(main, arguments)


def test_validate_says_that_a_config_is_valid():
    result = invoke("validate", DIGITS)
    assert result.exit_code == 0
    assert "digits.yaml: valid; digits, int8, pushes to" in result.stdout


@pytest.mark.parametrize("command", ["validate", "run"])
def test_a_wrong_config_exits_with_2_and_says_what_is_wrong(command: str):
    result = invoke(command, DIGITS, "--set", "quantization.shceme=int8")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: --set: quantization.shceme: unknown key; did you mean 'scheme'?\n"
    )
    assert result.stdout == ""


def test_a_wrong_config_is_json_where_json_was_asked_for():
    result = invoke("run", DIGITS, "--json", "--set", "calibration.samples=0")
    assert result.exit_code == 2
    document = json.loads(result.stdout.splitlines()[-1])
    assert document["status"] == "failed" and "calibration.samples" in document["error"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.trainer.module_file=none.py", "model.trainer.module_file: there is no file"),
        ("data={input_base: nowhere}", "data.input_base: there is no directory"),
        ("data={input_base: .}", "data.splits.train: no file matches"),
        (f"data={{input_base: {'x' * 300}}}", "data.input_base: "),
        ("data={input_base: ., splits: {train: 'a**b/*', eval: b}}", "data.splits: 'a**b/*' is n"),
        ("data={builtin: digits, schema: none.pbtxt}", "data.schema: there is no file"),
        ("model={saved_model: none}", "model.saved_model: there is no file"),
        ("push.destination=digits.yaml/x", "push.destination: "),
        (
            "metadata={mysql: {host: h, database: d, user: u, password_file: none}}",
            "metadata.mysql.password_file: there is no file",
        ),
    ],
)
def test_files_that_a_config_names_must_be_there(override: str, expected: str):
    result = invoke("validate", DIGITS, "--set", override)
    assert result.exit_code == 2
    assert f"error: --set: {expected}" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.fixture
def run_below(tmp_path: Path):
    """Runs digits with everything that it writes below a directory."""
    overrides = (f"root={tmp_path}/runs", f"push.destination={tmp_path}/pushed")

    def run(*options: str):
        settings = (part for override in overrides for part in ("--set", override))
        return invoke("run", DIGITS, *settings, *options)

    return run


def test_a_push_that_fails_prints_what_the_evaluation_found(
    run_below, monkeypatch: pytest.MonkeyPatch, capfd
):
    def fail(*arguments):
        result = RESULT.model_copy(update={"status": "failed"})
        raise FailedAfterVerdict(PushError("the model was not pushed: no space"), result)

    monkeypatch.setattr("tfx_tflite.pipelines.cli.one_run.OneRun._run", fail)
    assert run_below("--json").exit_code == 1
    # A run prints to the process's own stdout.
    document = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert document["error"] == "the model was not pushed: no space"
    assert document["rules"] == RESULT.to_keys()["rules"] and document["report"] == "report.json"


@pytest.mark.parametrize("code", [0, None, 3, "done"])
def test_a_module_of_ones_own_that_ends_the_process_is_a_failure_whatever_its_code(
    run_below, monkeypatch: pytest.MonkeyPatch, capfd, code: int | str | None
):
    """By exit code 0 a schedule would take the run for one that pushed, by 3 for one refused."""
    monkeypatch.setattr("tfx_tflite.pipelines.cli.one_run.OneRun._run", lambda *_: sys.exit(code))
    assert run_below("--json").exit_code == 1
    printed = capfd.readouterr()
    message = f"code that the config names ended the run by sys.exit({code!r})"
    document = json.loads(printed.out.splitlines()[-1])
    assert printed.err.splitlines()[-2:] == [
        f"error: {message}",
        f"  the log has more: {document['log']}",
    ]
    assert (document["status"], document["error"]) == ("failed", message)
    assert Path(document["log"]).is_file()


def test_what_a_run_leaves_below_its_root_is_its_owners_alone(
    run_below, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr("tfx_tflite.pipelines.cli.one_run.OneRun._run", lambda *_: RESULT)
    assert run_below().exit_code == EXIT_CODES[RESULT.status]
    made = [tmp_path / "runs", *(tmp_path / "runs").rglob("*")]
    assert any(path.suffix == ".json" for path in made)
    for path in made:
        others = stat.S_IMODE(path.stat().st_mode) & 0o077
        assert not others or path.name == "run.lock", path


@pytest.mark.parametrize("put", [lambda path: path.symlink_to("elsewhere"), os.mkfifo])
def test_a_log_is_written_through_no_link_and_waits_for_no_reader(tmp_path: Path, put):
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "x.log"
    put(log)
    with pytest.raises(ConfigError, match=f"root: {log} cannot be written"), output_to_log(log):
        pass


def test_a_log_that_cannot_be_written_is_json_where_json_was_asked_for(run_below, tmp_path: Path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "logs").touch()
    result = run_below("--json")
    assert result.exit_code == 2
    document = json.loads(result.stdout)
    assert document["error"].startswith(f"root: {tmp_path}/runs/logs/")
    assert result.stderr == f"error: {document['error']}\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left", "a.file")])
def test_whatever_stops_a_run_early_ends_in_one_line_and_json(
    run_below, monkeypatch, error: BaseException
):
    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr("tfx_tflite.pipelines.checks.table.checked", fail)
    result = run_below("--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout.splitlines()[-1])
    assert document["status"] == "failed" and document["page"] is None
    expected = "interrupted" if isinstance(error, KeyboardInterrupt) else "No space left"
    assert expected in document["error"] and result.stderr.startswith("error: ")


def test_sigterm_while_the_config_is_read_ends_in_json(tmp_path: Path):
    script = (
        "import os, signal\n"
        "from tfx_tflite.pipelines.config import file\n"
        "file.ConfigFile.read = lambda *_: os.kill(os.getpid(), signal.SIGTERM)\n"
        "from tfx_tflite.pipelines.cli.main import main\n"
        f"main(['run', {DIGITS!r}, '--json'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"].startswith("interrupted")
    assert "Traceback" not in done.stderr


def test_a_missing_config_exits_with_2(tmp_path: Path):
    result = invoke("run", str(tmp_path / "none.yaml"))
    assert result.exit_code == 2
    assert "none.yaml: No such file or directory" in result.stderr


def test_an_unknown_runner_exits_with_2():
    assert invoke("run", DIGITS, "--runner", "airflow").exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--json"],
        ["run", DIGITS, "--json", "--runner", "airflow"],
        ["submit", DIGITS, "--json"],
        ["verify", "nowhere", "x", "--json"],
    ],
)
def test_a_wrong_call_is_json_where_json_was_asked_for(arguments: list[str]):
    result = invoke(*arguments)
    assert result.exit_code == 2
    document = json.loads(result.stdout.splitlines()[-1])
    assert document["status"] == "failed" and document["error"] in result.stderr


def with_a_result(directory: Path, when: str, redirection: str) -> subprocess.CompletedProcess:
    """Runs digits with a result of no stage and its output somewhere else."""
    command = (
        f"{sys.executable} -m tests.pipelines.cli.results {when} run {DIGITS} --json "
        f"--set root={directory}/runs --set push.destination={directory}/pushed"
    )
    return subprocess.run(
        ["bash", "-c", f"{command} {redirection}"], capture_output=True, text=True, cwd=ROOT
    )


@pytest.mark.parametrize(
    "redirection",
    [">/dev/full", "2>/dev/full", ">&-", "> >(true)"],
    ids=["disk full", "disk full under stderr", "closed", "nobody reads"],
)
def test_a_result_that_cannot_be_printed_is_kept_and_has_its_exit_code(
    tmp_path: Path, redirection: str
):
    done = with_a_result(tmp_path, "whole", redirection)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    [result] = (tmp_path / "runs" / "logs").glob("*.json")
    assert result.read_text() == RESULT.to_json()


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("run none.yaml --json", 2),
        (f"validate {DIGITS}", 1),
        ("report {root}", 1),
        ("verify {root}/pushed", 1),
    ],
)
def test_a_full_disk_under_stdout_is_one_line(tmp_path: Path, command: str, code: int):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "20260101-000000.json").write_text(RESULT.to_json())
    Destination.open(str(tmp_path / "pushed")).push(make_candidate(tmp_path, b"a", {}))
    text = f"{sys.executable} -m tfx_tflite.pipelines {command.format(root=tmp_path)} >/dev/full"
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True)
    assert done.returncode == code and done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_full_disk_under_stderr_leaves_json_and_exit_code():
    text = f"{sys.executable} -m tfx_tflite.pipelines run none.yaml --json 2>/dev/full"
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True)
    assert done.returncode == 2 and json.loads(done.stdout)["status"] == "failed"


def test_a_stop_once_the_result_is_there_changes_nothing(tmp_path: Path):
    done = with_a_result(tmp_path, "stopped", "")
    assert done.returncode == 3
    assert [json.loads(line) for line in done.stdout.splitlines()] == [RESULT.to_keys()]


HEAVY = "tensorflow tfx apache_beam tensorflow_model_analysis kfp sklearn pyarrow".split()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["validate", DIGITS],
        ["run", DIGITS, "--set", "gate.rules=[]"],
        ["run", "none.yaml"],
        ["compile", "--help"],
        ["compile", DIGITS, "--output", "p.txt"],
        ["compile", DIGITS, "--output", "p.yaml", "--set", "kubeflow.paths={}"],
        ["submit", DIGITS, "--host", "http://127.0.0.1:1", "--param", "steps=1"],
        ["schedule", "--help"],
        ["schedule", DIGITS, "--on", "cron", "--set", "schedule.cron=0 6 * * mon"],
    ],
)
def test_help_validate_and_config_errors_load_nothing_heavy(arguments: list[str]):
    script = (
        "import sys\n"
        "from tfx_tflite.pipelines.cli.main import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_report_shows_the_last_run_that_came_to_a_verdict(tmp_path: Path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "20260101-000000.json").write_text("{}")
    (tmp_path / "logs" / "20260102-000000.json").write_text(RESULT.to_json())
    (tmp_path / "logs" / "20260103-000000.log").write_text("a run that failed")
    result = invoke("report", str(tmp_path))
    assert result.exit_code == 0
    for text in ("at most", "undecided", f"refused: {RESULT.reasons[0]}", "report.html", "(47%)"):
        assert text in result.stdout


def test_a_name_in_brackets_is_no_mark_up(capsys: pytest.CaptureFixture):
    rule = RESULT.rules[0].model_copy(update={"slice": "country:[bold]x[/]"})
    RunPrinter(sys.stdout).result(RESULT.model_copy(update={"rules": (rule,)}))
    assert "country:[bold]x[/]" in capsys.readouterr().out


def test_report_of_a_result_that_was_cut_off_exits_with_2_and_names_it(tmp_path: Path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "20260101-000000.json").write_text('{"status"')
    result = invoke("report", str(tmp_path))
    assert result.exit_code == 2 and "20260101-000000.json is damaged" in result.stderr


def test_report_of_nothing_exits_with_2(tmp_path: Path):
    result = invoke("report", str(tmp_path))
    assert result.exit_code == 2
    assert "no run has come to a verdict here" in result.stderr


def test_a_run_goes_on_when_nobody_reads_its_output_any_more():
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as stream:
        printer = RunPrinter(stream)
        printer.ended("Trainer", 1.0)
        printer.result(RESULT)
