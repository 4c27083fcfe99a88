"""What the page of targets shows of a terminal is what the commands print."""

from pathlib import Path

import numpy as np
import pytest

from tests.components.models.accelerated import FILE
from tests.components.models.hostile import net
from tests.components.models.inspected import inspected
from tests.conftest import ROOT
from tests.docs.consoles import Command, commands_of, matches, run

COMMANDS = [
    command
    for command in commands_of(ROOT / "docs" / "targets.md")
    if command.line.startswith("tfx-tflite inspect ")
]


def test_the_page_has_commands():
    assert len(COMMANDS) == 3


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.line)
def test_a_command_of_the_page_prints_what_it_shows(command: Command, tmp_path: Path):
    (tmp_path / "model.tflite").write_bytes(net("depthwise"))
    (tmp_path / "dynamic_range.tflite").write_bytes(inspected("dynamic_range"))
    gathered = np.load(FILE)["gathered"].tobytes()
    (tmp_path / "gathered.tflite").write_bytes(gathered)
    printed = run(command, tmp_path)
    assert matches(command.output, printed), printed
