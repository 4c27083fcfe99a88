"""The tutorial, command by command, and the programs that run what it has pushed."""

import re
import subprocess
import textwrap
from pathlib import Path

import pytest

from tests.conftest import ENVIRONMENT, ROOT
from tests.docs import native
from tests.docs.consoles import commands_of, matches, run, with_examples

HOW_TO = ROOT / "docs" / "how-to"
PROGRAMS = ROOT / "examples" / "run_pushed_model"
TUTORIAL = ROOT / "docs" / "tutorial.md"
COMMANDS = [*commands_of(TUTORIAL), *commands_of(HOW_TO / "run-python.md")]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tutorial's commands are given."""
    directory = with_examples(tmp_path_factory.mktemp("checkout"))
    [config] = re.findall(r"^```yaml\n(.*?)^```", TUTORIAL.read_text(), re.MULTILINE | re.DOTALL)
    (directory / "mine.yaml").write_text(config)
    return directory


@pytest.fixture(scope="module")
def outputs(directory: Path) -> dict[str, str]:
    """What each command prints, in the order of the pages."""
    return {command.line: run(command, directory) for command in COMMANDS}


def test_the_pages_have_commands():
    assert len(COMMANDS) > 6


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.line)
def test_a_command_prints_what_the_page_shows(outputs: dict[str, str], command):
    printed = outputs[command.line]
    assert matches(command.output, printed), printed


@pytest.mark.slow
def test_the_program_in_c_plus_plus_answers_as_the_one_in_python(
    directory: Path, outputs: dict[str, str], tmp_path: Path
):
    native.needed_program("g++")
    [commands] = re.findall(
        r"^```\n(g\+\+.*?)^```", (HOW_TO / "run-cpp.md").read_text(), re.M | re.S
    )
    ran = subprocess.run(
        ["bash", "-euc", commands],
        cwd=directory,
        env={**ENVIRONMENT, "TFLITE": str(native.tensorflow_lite(tmp_path))},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    answers = re.findall(r"^sample \d: (\d)", outputs[COMMANDS[-1].line], flags=re.MULTILINE)
    assert ran.stdout.split() == answers and len(answers) == 8


def test_the_class_for_android_compiles(tmp_path: Path):
    native.needed_program("javac")
    classes = ":".join(map(str, native.android_classes(tmp_path)))
    source = str(PROGRAMS / "Classifier.java")
    compiled = subprocess.run(
        ["javac", "-Xlint:all", "-Werror", "-cp", classes, "-d", str(tmp_path / "out"), source],
        capture_output=True,
        text=True,
    )
    assert (compiled.returncode, compiled.stderr) == (0, "")


@pytest.mark.parametrize("page", ["run-python", "run-cpp", "run-android"])
def test_a_page_shows_the_code_of_its_program(page: str):
    sources = "".join(
        file.read_text(encoding="utf-8") for file in sorted(PROGRAMS.iterdir()) if file.is_file()
    )
    text = (HOW_TO / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:python|cpp|java)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        assert any(textwrap.indent(block, " " * width) in sources for width in (0, 2, 4))
