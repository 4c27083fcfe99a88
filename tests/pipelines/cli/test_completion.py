"""Completion in bash, as docs/terminal.md says to switch it on."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "terminal.md").read_text(encoding="utf-8")
[SWITCHED_ON] = re.findall(r"^eval .*bash_source.*$", PAGE, re.MULTILINE)
# What bash does when somebody presses the tab key.
PRESS_TAB = """
eval "$1"
read -ra COMP_WORDS <<<"$2"
[[ $2 == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
compopt() { echo "files"; }
"$(complete -p tfx-tflite | sed 's/.*-F \\([^ ]*\\) .*/\\1/')" tfx-tflite
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(typed: str, directory: Path) -> list[str]:
    """Returns what bash offers after what was typed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", PRESS_TAB, "bash", SWITCHED_ON, typed],
        capture_output=True,
        text=True,
        cwd=directory,
        env={**os.environ, "PATH": path},
    )
    assert done.stderr == "", done.stderr
    return done.stdout.split()


pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("tfx-tflite va", ["validate"]),
        ("tfx-tflite ver", ["verify"]),
        ("tfx-tflite run --qu", ["--quiet"]),
        ("tfx-tflite run --runner ", ["beam", "local"]),
        ("tfx-tflite schedule mine.yaml --on s", ["systemd"]),
        ("tfx-tflite run mi", ["files"]),
    ],
)
def test_bash_completes_commands_options_their_values_and_files(
    typed: str, offered: list[str], tmp_path: Path
):
    assert completed(typed, tmp_path) == offered


def test_all_commands_are_offered(tmp_path: Path):
    assert {"run", "validate", "history", "schedule"} <= set(completed("tfx-tflite ", tmp_path))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_page_switches_completion_on_for_a_shell_that_click_knows(shell: str, tmp_path: Path):
    assert f"_TFX_TFLITE_COMPLETE={shell}_source tfx-tflite" in PAGE
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["tfx-tflite"],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path, "_TFX_TFLITE_COMPLETE": f"{shell}_source"},
    )
    assert done.returncode == 0 and "_TFX_TFLITE_COMPLETE" in done.stdout
