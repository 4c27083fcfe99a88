"""Texts of others on the terminal: whatever is in them, they are text there."""

import ast
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.components.test_characters import COMMANDS
from tests.conftest import CONFIGS, ROOT
from tests.pipelines.cli.results import RESULT
from tfx_tflite.pipelines.cli.console import RunPrinter, print_line
from tfx_tflite.pipelines.cli.main import main
from tfx_tflite.pipelines.cli.text import printable, say

DIGITS = str(CONFIGS / "digits.yaml")
# Clears the screen, sets the window's title, and answers the terminal's question for its name.
ATTACK = "\x1b[2J\x1b]0;mine\x07\x9b6n\u202e"
SHOWN = r"\x1b[2J\x1b]0;mine\x07\x9b6n\u202e"
OWN = {"\n", "\t"}


@pytest.mark.parametrize("character", sorted(COMMANDS.keys() - OWN))
def test_no_command_is_printed(character: str, capsys: pytest.CaptureFixture[str]):
    say(f"a{character}b")
    print_line(f"a{character}b", sys.stdout)
    assert capsys.readouterr().out == f"a{COMMANDS[character]}b\n" * 2


def test_lines_and_columns_of_our_own_stay():
    assert printable("two\nlines\tand columns") == "two\nlines\tand columns"


def test_a_result_is_printed_as_text(tmp_path: Path):
    rule = RESULT.rules[0].model_copy(update={"slice": f"label:{ATTACK}", "metric": ATTACK})
    result = RESULT.model_copy(
        update={
            "rules": (rule,),
            "warnings": (ATTACK,),
            "reasons": (ATTACK,),
            "pushed_to": ATTACK,
            "page": ATTACK,
        }
    )
    with (tmp_path / "out").open("w", encoding="utf-8") as stream:
        RunPrinter(stream).result(result)
        RunPrinter(stream).ended(ATTACK, 1.0, ATTACK)
    text = (tmp_path / "out").read_text(encoding="utf-8")
    assert printable(text) == text
    assert text.count(SHOWN) >= 7


def test_on_a_terminal_the_only_commands_are_our_own_colours():
    ours, terminal = pty.openpty()
    with os.fdopen(terminal, "w", encoding="utf-8") as stream:
        RunPrinter(stream).say(f"name {ATTACK}", style="red")
        text = os.read(ours, 10_000).decode()
    os.close(ours)
    assert re.sub(r"\x1b\[[0-9;]*m|\r", "", text) == f"name {SHOWN}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        (ATTACK,),
        (f"--{ATTACK}",),
        ("validate", f"--{ATTACK}"),
        ("validate", ATTACK),
        ("validate", DIGITS, "--set", ATTACK),
        ("validate", DIGITS, "--set", f"name.{ATTACK}=1"),
        ("run", DIGITS, "--runner", ATTACK),
        ("run", DIGITS, "--runner", ATTACK, "--json"),
        ("report", ATTACK),
        ("schedule", DIGITS, "--on", ATTACK),
        ("history", ATTACK),
        ("rollback", DIGITS, ATTACK),
    ],
)
def test_a_command_line_is_repeated_as_text(arguments: tuple[str, ...]):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code in (1, 2)
    assert "\\x1b" in result.output and printable(result.output) == result.output


def test_a_name_that_is_no_utf_8_is_no_traceback(tmp_path: Path):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tfx_tflite.pipelines",
            "validate",
            os.fsencode(tmp_path) + b"/\xff",
        ],
        capture_output=True,
    )
    assert done.returncode == 2
    assert done.stderr.decode() == f"error: {tmp_path}/\\udcff: No such file or directory\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("validate", "{}.yaml"),
        ("run", "{}.yaml"),
        ("clean", "{}.yaml", "--keep", "3"),
        ("schedule", "{}.yaml", "--on", "cron"),
        ("compile", "{}.yaml", "--output", "p.yaml"),
        ("report", "{}.yaml"),
        ("report", "{}"),
        ("history", "{}.yaml"),
        ("history", "{}"),
        ("verify", "{}"),
        ("rollback", "{}"),
        ("{}",),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("content", [None, "name: [", "- a list", "name: 7", "{digits}"])
def test_an_end_of_line_in_a_path_ends_no_line(
    arguments: tuple[str, ...], content: str | None, tmp_path: Path
):
    path = tmp_path / "one\nline"
    if content is not None:
        content = content.replace("{digits}", Path(DIGITS).read_text())
        path.with_suffix(".yaml").write_text(content)
    result = CliRunner().invoke(main, [part.format(path) for part in arguments])
    assert not re.search("^line", result.output, re.MULTILINE)


@pytest.mark.parametrize("file", sorted((ROOT / "pipelines" / "cli").glob("*.py")), ids=str)
def test_only_one_place_prints(file: Path):
    """What prints by itself would print texts of others as they are."""
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    names = {ast.unparse(call.func) for call in calls}
    allowed = {"text.py": {"click.echo"}, "console.py": {"print"}}.get(file.name, set())
    assert names & {"click.echo", "click.secho", "print", "Console", "sys.stdout.write"} <= allowed
