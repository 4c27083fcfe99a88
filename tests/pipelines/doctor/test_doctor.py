"""`tfx-tflite doctor`: what it says of what is missing, fails, crashes and hangs."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from tests.conftest import ROOT
from tfx_tflite.pipelines.cli.main import main
from tfx_tflite.pipelines.doctor import installed, programs, trials
from tfx_tflite.pipelines.doctor.document import Diagnosis, Trial
from tfx_tflite.pipelines.doctor.trials import tried

SCHEMA = ROOT / "docs" / "doctor.schema.json"
CHILD = Path(__file__).with_name("child.py")


def child(way: str, time_limit: float = 60.0) -> Trial:
    return tried("it", [sys.executable, str(CHILD), way], time_limit)


@pytest.mark.parametrize(
    ("way", "state", "problem"),
    [
        ("end", "runs", ""),
        ("fail", "fails", "ImportError: no module of that name"),
        ("crash", "crashes", "the process was ended by SIGSEGV"),
    ],
)
def test_a_trial_says_how_it_ended(way: str, state: str, problem: str):
    trial = child(way)
    assert (trial.state, trial.problem) == (state, problem) and trial.seconds > 0


def commands() -> Iterator[str]:
    """Yields what runs on this machine. A bare Debian has no `ps`."""
    for process in Path("/proc").glob("[0-9]*"):
        # It may have ended meanwhile.
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            yield " ".join(words).strip()


def test_a_trial_that_hangs_is_ended_with_all_that_it_started():
    trial = child("hang", time_limit=1.5)
    assert (trial.state, trial.problem) == ("hangs", "it did not end within 1.5 s")
    # What was killed may take a moment to end.
    deadline = time.monotonic() + 20
    while any(f"{CHILD} sleep" in command for command in commands()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def diagnose(monkeypatch: pytest.MonkeyPatch):
    """Runs the command with trials that ended in some way."""

    def run(*ended: Trial, options: tuple[str, ...] = ()):
        monkeypatch.setattr("tfx_tflite.pipelines.doctor.trials.trials", lambda limit: iter(ended))
        return CliRunner().invoke(main, ["doctor", *options])

    return run


RUNS = Trial(name="Beam", state="runs", seconds=2.0)
CRASHES = Trial(name="converter", state="crashes", problem="the process was ended by SIGABRT")


def test_all_is_well_if_every_trial_runs(diagnose):
    result = diagnose(RUNS)
    assert result.exit_code == 0
    assert "Beam: runs  2.0 s\nall that was tried runs here\n" in result.stdout
    assert f"tfx {installed.versions()['tfx']}" in result.stdout


def test_one_that_does_not_run_is_a_line_and_exit_code_1(diagnose):
    result = diagnose(CRASHES, RUNS)
    assert result.exit_code == 1
    assert "converter: crashes: the process was ended by SIGABRT\n" in result.stdout
    assert result.stdout.endswith("1 of 2 trials do not run here\n")


def test_as_json_it_keeps_to_the_schema(diagnose):
    result = diagnose(CRASHES, options=("--json",))
    [line] = result.stdout.splitlines()
    document = json.loads(line)
    jsonschema.validate(document, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert (document["format"], document["is_well"]) == (1, False)


def test_the_schema_in_the_docs_is_that_of_the_code():
    """Mend with `python -m tfx_tflite.pipelines.doctor.document`."""
    assert SCHEMA.read_text(encoding="utf-8") == Diagnosis.json_schema()


def test_a_feature_says_what_it_lacks_and_how_to_get_it():
    needs = installed._Needs("it", [("no_such_module", "its-package")], [("no-such-tool", "x")])
    assert needs.feature().lacks == (
        "the Python package its-package: pip install its-package",
        "the program no-such-tool, which comes with x",
    )
    assert not needs.feature().is_here and installed._Needs("it", [("json", "x")]).feature().is_here


def test_what_is_not_needed_and_not_installed_is_not_tried(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trials, "is_importable", lambda module: False)
    monkeypatch.setattr(trials, "tried", lambda name, *how: Trial(name=name, state="runs"))
    names = [trial.name for trial in trials.trials()]
    assert names == [name for name in programs.NAMES if name not in programs.OPTIONAL]
    monkeypatch.setattr(trials, "is_importable", lambda module: True)
    assert [trial.name for trial in trials.trials()] == list(programs.NAMES)


def test_without_tfx_there_is_no_generation(monkeypatch: pytest.MonkeyPatch, diagnose):
    def missing(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(installed, "version", missing)
    assert installed.generation() is None and installed.versions()["tfx"] is None
    result = diagnose(RUNS)
    assert result.exit_code == 1 and result.stdout.startswith("TFX is not installed; see README.md")


def test_what_needs_no_trial_loads_nothing_heavy():
    script = (
        "import sys\n"
        "from tfx_tflite.pipelines.doctor import installed\n"
        "installed.features(), installed.versions()\n"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'apache_beam', 'kfp')))\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in programs.NAMES if n not in programs.NEED_A_MODEL])
def test_everything_runs_in_the_environment_of_the_tests(name: str, tmp_path: Path):
    command = [sys.executable, "-m", programs.__name__, name, str(tmp_path)]
    assert tried(name, command, 600).state == "runs"
    if (tmp_path / programs.MODEL).exists():
        for interpreter in programs.NEED_A_MODEL:
            command = [sys.executable, "-m", programs.__name__, interpreter, str(tmp_path)]
            assert tried(interpreter, command, 600).state == "runs"
