"""What the README shows of the two shipped runs is what they print."""

import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import CONFIGS, ROOT
from tests.docs.consoles import Command, commands_of, matches, run, run_by_shell

README = ROOT / "README.md"


def demo() -> Command:
    """What `make demo` runs once the environment is there, with the output that README shows."""
    [recipe] = re.findall(r"^demo:.*\n\t\$\(BIN\)/(.*)$", (ROOT / "Makefile").read_text(), re.M)
    text = README.read_text(encoding="utf-8").partition("\nmake demo\n```\n")[2]
    return Command(recipe, re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[0])


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the shipped configs."""
    directory = tmp_path_factory.mktemp("checkout")
    shutil.copytree(CONFIGS, directory / "configs")
    return directory


@pytest.mark.slow
@pytest.mark.parametrize("command", [demo(), *commands_of(README)], ids=lambda it: it.line)
def test_a_run_prints_what_the_readme_shows(checkout: Path, command: Command):
    # What a user does first is done as a user does it.
    printed = (run_by_shell if command == demo() else run)(command, checkout)
    assert matches(command.output, printed), printed
