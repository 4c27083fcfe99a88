"""What the page of the gate shows of a terminal is what the commands print."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import CONFIGS, ROOT
from tests.docs.consoles import Command, commands_of, matches, run

COMMANDS = commands_of(ROOT / "docs" / "gate.md")


def test_the_page_has_commands():
    assert [command.line.split()[:2] for command in COMMANDS] == [
        ["tfx-tflite", "plan"],
        ["tfx-tflite", "run"],
        ["tfx-tflite", "validate"],
    ]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=["plan", "run", "validate"])
def test_a_command_of_the_page_prints_what_it_shows(command: Command, tmp_path: Path):
    shutil.copytree(CONFIGS, tmp_path / "configs")
    printed = run(command, tmp_path)
    assert matches(command.output, printed), printed
