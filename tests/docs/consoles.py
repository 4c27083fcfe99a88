"""What pages show of a terminal: commands, and what they print.

In a block of the language `console` a line that begins with `$ ` is a command. What follows is its
output. A line of `…` there stands for any lines, `…` within a line for any text, and numbers are
those of one run: a command may print others. Indented lines in a row, which are a run's stages, may
come in another order.
"""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ENVIRONMENT, ROOT
from tests.forked import tfx_tflite

_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
# A run, and its exit code if that is asked for.
_RUN = re.compile(r'tfx-tflite (?P<call>run [^$|&;<>]*)(?:; echo "?(?P<said>[a-z ]*\$\?)"?)?')
# A metric that was lowered on one machine may be raised on another.
_NUMBER = re.compile(r"(?:(?<!\S)-)?\d[\d,.:T+-]*")


@dataclass(frozen=True)
class Command:
    """A command of a page.

    Attributes:
        line: What is typed.
        output: What the page says that it prints.
    """

    line: str
    output: str


def commands_of(page: Path) -> list[Command]:
    """Returns the commands of a page, in order."""
    return [
        Command(*entry.partition("\n")[::2])
        for block in _BLOCK.findall(page.read_text(encoding="utf-8"))
        for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)
        if entry
    ]


def run(command: Command, directory: Path) -> str:
    """Runs a command of a page and returns what it prints to stdout.

    What a shell adds to a `tfx-tflite run` is at most its exit code: these need not import TFX.
    """
    call = _RUN.fullmatch(command.line)
    if call is None:
        return run_by_shell(command, directory)
    ran = tfx_tflite(*shlex.split(call["call"]), variables={"COLUMNS": "120"}, place=directory)
    said = call["said"]
    assert said or ran.returncode == 0, f"{command.line}\n{ran.stdout}\n{ran.stderr[-3000:]}"
    return ran.stdout + (said.replace("$?", f"{ran.returncode}") + "\n" if said else "")


def run_by_shell(command: Command, directory: Path) -> str:
    """Runs a command of a page as a user would, and returns what it prints to stdout."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{ENVIRONMENT['PATH']}"
    ran = subprocess.run(
        ["bash", "-c", command.line],
        cwd=directory,
        env={**ENVIRONMENT, "PATH": path, "COLUMNS": "120"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, f"{command.line}\n{ran.stdout}\n{ran.stderr[-3000:]}"
    return ran.stdout


def matches(shown: str, printed: str) -> bool:
    """Returns whether a command printed what a page shows, but for numbers and widths."""
    lines = [
        r"(?:.*\n)*?" if line == "…" else f"{_pattern(line)}\n"
        for line in _plain(shown).splitlines()
    ]
    return re.fullmatch("".join(lines), _plain(printed)) is not None


def _pattern(line: str) -> str:
    return ".*".join(map(re.escape, line.split("…")))


def _plain(text: str) -> str:
    """Returns a text without what differs from run to run."""
    text = _NUMBER.sub("0", re.sub(r"\b[0-9a-f]{12}\b", "DIGEST", text))
    text = re.sub(r" *\n", "\n", re.sub(r"(?<=\S) {2,}", "  ", text))
    return re.sub(r"(?:^  .*\n)+", lambda rows: _sorted(rows[0]), text, flags=re.MULTILINE)


def _sorted(rows: str) -> str:
    return "".join(sorted(rows.splitlines(keepends=True)))


def with_examples(directory: Path) -> Path:
    """Returns a directory `tutorial` beside `examples`, as in a checkout."""
    (directory / "examples").symlink_to(ROOT / "examples")
    (directory / "tutorial").mkdir()
    return directory / "tutorial"
