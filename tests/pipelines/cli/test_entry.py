"""How the process of a command begins: its names, its version, and Ctrl-C before it is there."""

import json
import re
import shutil
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conftest import CONFIGS, ROOT
from tests.pipelines.cli.test_main import HEAVY
from tfx_tflite.pipelines.cli.main import main

DIGITS = str(CONFIGS / "digits.yaml")
SCRIPT = str(Path(sys.executable).with_name("tfx-tflite"))


def called(*command: str, **settings: object) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **settings)


@pytest.mark.parametrize(
    "name",
    [
        (SCRIPT,),
        (sys.executable, "-m", "tfx_tflite"),
        (sys.executable, "-m", "tfx_tflite.pipelines"),
    ],
    ids=["tfx-tflite", "python -m tfx_tflite", "python -m tfx_tflite.pipelines"],
)
def test_a_command_has_three_names(name: tuple[str, ...], tmp_path: Path):
    done = called(*name, "validate", DIGITS, cwd=tmp_path)
    assert done.returncode == 0 and f"{DIGITS}: valid; digits" in done.stdout
    assert done.stderr == ""


def test_the_package_has_no_init_of_its_own_in_a_wheel(tmp_path: Path):
    uv = str(Path(sys.executable).with_name("uv"))
    source = tmp_path / "source"
    for folder in ("components", "configs", "pipelines"):
        shutil.copytree(ROOT / folder, source / folder)
    for file in ("setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    installed = called(
        *(uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--no-build-isolation"),
        *("--python", sys.executable, "--target", str(tmp_path / "to"), str(source)),
    )
    assert installed.returncode == 0, installed.stderr
    package = tmp_path / "to" / "tfx_tflite"
    names = {path.name for path in package.iterdir()} - {"__pycache__"}
    assert names >= {"__main__.py", "components", "pipelines"} and "__init__.py" not in names
    done = called(
        *(sys.executable, "-m", "tfx_tflite", "--version"),
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "to")},
    )
    assert done.stdout.startswith("tfx-tflite, version")


def test_the_version_names_what_figures_depend_on():
    lines = CliRunner().invoke(main, ["--version"]).stdout.splitlines()
    assert lines[0] == f"tfx-tflite, version {version('tfx-tflite')}"
    assert f"TFX {version('tfx')}" in lines and f"TensorFlow {version('tensorflow')}" in lines
    assert lines[-1].startswith("Python 3.")


def test_the_version_is_told_without_loading_anything_heavy():
    done = called(sys.executable, "-X", "importtime", "-m", "tfx_tflite", "--version")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click" in imported and imported.isdisjoint(HEAVY)


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch):
    named = {"TFX": ("no-such-package-of-tfx",)}
    monkeypatch.setattr("tfx_tflite.pipelines.cli.version._BESIDE", named)
    assert "TFX is not installed" in CliRunner().invoke(main, ["--version"]).stdout


@pytest.mark.parametrize(
    "module", ["tfx_tflite.pipelines.cli.main", "tfx_tflite.pipelines.runs.results"]
)
def test_ctrl_c_while_a_command_is_imported_is_one_line(module: str):
    done = stopped(module, 1)
    assert done.returncode == 1
    assert re.fullmatch(r"error: interrupted; .*\n", done.stderr)
    assert json.loads(done.stdout)["status"] == "failed"


def test_a_second_ctrl_c_does_not_wait_for_the_imports():
    done = stopped("tfx_tflite.pipelines.cli.main", 2)
    assert done.returncode == -signal.SIGINT and done.stdout + done.stderr == ""


def test_ctrl_c_between_a_command_and_its_work_is_one_line():
    # `validate` imports this before it does anything that answers a Ctrl-C by itself.
    done = stopped("tfx_tflite.pipelines.config.trust", 1, "validate", DIGITS)
    assert done.returncode == 1 and re.fullmatch(r"error: interrupted.*\n", done.stderr)


def stopped(module: str, times: int, *command: str) -> subprocess.CompletedProcess:
    """Runs a command that gets Ctrl-C when it is about to import a module."""
    return called(
        *(sys.executable, "-m", "tests.pipelines.cli.stopped_early", module, str(times)),
        *(command or ("run", DIGITS, "--json")),
        cwd=ROOT,
    )
