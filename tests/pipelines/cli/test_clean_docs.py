"""The commands of docs/cleaning.md, as they stand there."""

import re
import shlex

import pytest
from click.testing import CliRunner

from tests.conftest import ROOT
from tests.pipelines.runs.past_runs import PastRuns
from tfx_tflite.pipelines.cli.main import main
from tfx_tflite.pipelines.config.file import load_config

PAGE = (ROOT / "docs" / "cleaning.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^tfx-tflite (.*?)(?: +#.*)?$", PAGE, flags=re.MULTILINE)


def test_the_page_has_commands():
    assert len(COMMANDS) >= 2


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_page_does_what_it_says(tmp_path, monkeypatch, line: str):
    past = PastRuns(tmp_path)
    runs = [past.run(pushes=False) for _ in range(11)]
    past.path.rename(tmp_path / "mine.yaml")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, shlex.split(line))
    assert result.exit_code == 0, result.stderr
    is_gone = not runs[0].directories() & past.there()
    assert is_gone == ("--dry-run" not in line)
    assert runs[1].directories() <= past.there()


def test_the_section_of_the_page_is_one_of_the_config(tmp_path):
    [section] = re.findall(r"^retention: .*$", PAGE, flags=re.MULTILINE)
    past = PastRuns(tmp_path)
    past.path.write_text(past.path.read_text() + section + "\n")
    retention = load_config(past.path).retention
    assert retention is not None and retention.keep_runs == 10
