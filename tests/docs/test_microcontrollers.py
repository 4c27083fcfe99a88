"""The page for microcontrollers, command by command."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.conftest import CONFIGS, ROOT
from tests.docs.consoles import Command, commands_of, matches, run
from tests.docs.native import needed_program
from tfx_tflite.components.models.c_array import model_sources

PAGE = ROOT / "docs" / "microcontrollers.md"
COMMANDS = commands_of(PAGE)
# Declarations of TensorFlow Lite Micro.
MICRO_API = ROOT / "tests" / "components" / "models" / "c_programs" / "micro_api"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each command prints, in the order of the page."""
    directory = tmp_path_factory.mktemp("checkout")
    shutil.copytree(CONFIGS, directory / "configs")
    return {command.line: run(command, directory) for command in COMMANDS}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.line)
def test_a_command_prints_what_the_page_shows(outputs: dict[str, str], command: Command):
    printed = outputs[command.line]
    assert matches(command.output, printed), printed


def test_the_program_of_the_page_is_valid(tmp_path: Path):
    needed_program("g++")
    [program] = re.findall(r"^```cpp\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "firmware.cc").write_text(program)
    for file, text in model_sources(b"TFL3", "digits_micro").items():
        (tmp_path / file).write_text(text)
    places = [f"-I{tmp_path}", f"-I{MICRO_API}", "-DMICRO_NAMESPACE=tflite"]
    strict = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
    subprocess.run(
        ["g++", "-std=c++17", *strict, "-fsyntax-only", *places, str(tmp_path / "firmware.cc")],
        check=True,
    )


@pytest.mark.parametrize(("place", "name"), enumerate(["digits_micro", "digits_ethos"]))
def test_what_is_shown_of_a_config_is_in_it(place: int, name: str):
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    reader = YAML(typ="safe")
    shown, config = reader.load(blocks[place]), reader.load(Path(CONFIGS / f"{name}.yaml"))
    shown["gate"]["min_examples"] = config["gate"]["min_examples"]
    assert {key: config[key] for key in shown} == shown
