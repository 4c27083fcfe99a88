"""docs/install.md and the Makefile say what the scripts do."""

import re
import subprocess

import pytest

from tests.conftest import ENVIRONMENT, ROOT

PAGE = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
# `make test` tells a make below it that it is one.
OUTSIDE_OF_MAKE = {
    name: value for name, value in ENVIRONMENT.items() if not name.startswith(("MAKE", "MFLAGS"))
}
SCRIPTS = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tools").glob("*.sh"))


@pytest.mark.parametrize("message", re.findall(r"^> `make: (.+)`$", PAGE, re.MULTILINE))
def test_a_message_of_the_page_is_one_of_the_scripts(message: str):
    """What stands for a variable's value is compared as a gap."""
    said = re.sub(r"\$\{?\w+(:-\w+\})?|\"\s*\\\n\s*\"", "…", SCRIPTS)
    parts = [part for part in re.split(r"…|\d+\.\d+", message) if part.strip(" ;")]
    assert parts and all(part.strip() in said for part in parts), parts


def test_the_constraints_that_the_page_names_are_there():
    named = re.findall(r"--constraint (\S+)", PAGE)
    assert named and all((ROOT / name).is_file() for name in named)


@pytest.mark.parametrize("command", re.findall(r"^(make .+)$", PAGE, re.MULTILINE))
def test_a_command_of_the_page_sets_up_and_then_runs(command: str):
    """make says what it would do; nothing is done."""
    program, *arguments = command.split()
    planned = subprocess.run(
        [program, "--dry-run", "--always-make", *arguments],
        cwd=ROOT,
        env=OUTSIDE_OF_MAKE,
        capture_output=True,
        text=True,
    )
    assert planned.returncode == 0, planned.stderr
    setting_up, running = planned.stdout.splitlines()
    assert setting_up.endswith("sh tools/setup.sh") and "configs/digits.yaml" in running
    for variable in (argument for argument in arguments if "=" in argument):
        assert variable in setting_up
