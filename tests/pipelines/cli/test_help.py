"""`--help`: examples that can be typed as they are, and commands in a readable order."""

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.components.destinations.interruption import make_candidate
from tests.components.destinations.test_keys import public_pem
from tests.components.models.hostile import net
from tests.conftest import CONFIGS
from tests.pipelines.cli.results import RESULT
from tests.pipelines.runs.past_runs import PastRuns
from tfx_tflite.components.destinations.destination import Destination, Trust
from tfx_tflite.components.destinations.settings import TrustSettings
from tfx_tflite.pipelines.cli.help import SECTIONS, sections
from tfx_tflite.pipelines.cli.main import main
from tfx_tflite.pipelines.cli.outcome import EXIT_CODES

COMMANDS = {"": main, **main.commands}
# What examples need that is not here: a server, a store, a day to pass, or a model and its data,
# which test_init.py has.
# The doctor takes a minute, and tests/pipelines/doctor runs it.
_ELSEWHERE = re.compile(r"http://|s3://|--on local|--model|tfx-tflite doctor")


def examples_of(command: click.Command) -> list[str]:
    """Returns the examples in a command's help."""
    _, _, shown = (command.help or "").partition("\b\nExamples:\n")
    return [line.strip() for line in shown.splitlines()]


EXAMPLES = [line for command in COMMANDS.values() for line in examples_of(command)]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_of_itself(name: str):
    examples = examples_of(COMMANDS[name])
    assert examples
    assert all(line.startswith(f"tfx-tflite {name}".rstrip()) for line in examples)


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_shown_a_line_each(name: str):
    shown = CliRunner().invoke(main, [*name.split(), "--help"]).stdout.splitlines()
    for line in examples_of(COMMANDS[name]):
        assert f"    {line}" in shown


@pytest.mark.parametrize("line", EXAMPLES)
def test_an_example_is_a_call_that_there_is(line: str):
    _, name, *arguments = shlex.split(line)
    command = main.commands[name]
    with command.make_context(name, arguments):
        pass


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with what examples name: a config whose model was pushed, its run, and a key."""
    monkeypatch.chdir(tmp_path)
    text = (CONFIGS / "digits.yaml").read_text()
    for old, new in (
        ("../runs/digits", "runs/mine"),
        ("../pushed/digits", "pushed/mine"),
        ("name: digits\n", "name: mine\n"),
        ("{.: /app/configs, ../pushed: /pushed}", "{.: /app/configs, pushed: /pushed}"),
    ):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "mine.yaml").write_text(text)
    (tmp_path / "digits_trainer.py").write_text((CONFIGS / "digits_trainer.py").read_text())
    logs = tmp_path / "runs" / "mine" / "logs"
    logs.mkdir(parents=True)
    (logs / "20260102-000000.json").write_text(RESULT.to_json())
    (tmp_path / "model.tflite").write_bytes(net("dense"))
    key = Ed25519PrivateKey.generate()
    (tmp_path / "public.pem").write_bytes(public_pem(key))
    (tmp_path / "private.pem").write_bytes(private_bytes(key))
    (tmp_path / "private.pem").chmod(0o600)
    return tmp_path


def private_bytes(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def push(project: Path, is_signed: bool) -> tuple[int, int]:
    """Pushes two versions and one that waits; returns the number of the first, and of that one."""
    key = str(project / "private.pem") if is_signed else None
    trust = Trust.of(TrustSettings(signing_key=key))
    destination = Destination.open(str(project / "pushed" / "mine"), trust=trust)
    first, second = (
        destination.push(make_candidate(project, content, {})).number for content in (b"a", b"b")
    )
    destination.set_alias("shadow", second, "ada")
    waiting = destination.push(make_candidate(project, b"c", {}), approval=True)
    return first, waiting.number


CLEANING = [line for line in EXAMPLES if line.startswith("tfx-tflite clean ")]
HERE = [line for line in EXAMPLES if not _ELSEWHERE.search(line) and line not in CLEANING]


@pytest.mark.parametrize("line", HERE)
def test_an_example_does_what_it_says(
    project: Path, monkeypatch: pytest.MonkeyPatch, line: str, capfd
):
    first, waiting = push(project, is_signed="--key" in line)
    number = waiting if line.split()[1] in ("approve", "reject") else first
    monkeypatch.setattr("tfx_tflite.pipelines.cli.one_run.OneRun._run", lambda *_: RESULT)
    opened: list[str] = []
    monkeypatch.setattr("click.launch", opened.append)
    done = invoked(line.replace("1795724395", str(number)))
    told = done.output + "".join(capfd.readouterr())
    expected = EXIT_CODES[RESULT.status] if line.startswith("tfx-tflite run") else 0
    assert done.exit_code == expected, told
    assert "error: " not in told and bool(opened) == ("--open" in line)


@pytest.mark.parametrize("line", CLEANING)
def test_an_example_of_cleaning_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
):
    past = PastRuns(tmp_path)
    first, *_ = [past.run(pushes=False) for _ in range(11)]
    past.path.rename(tmp_path / "mine.yaml")
    monkeypatch.chdir(tmp_path)
    done = invoked(line)
    assert done.exit_code == 0, done.output
    assert bool(first.directories() & past.there()) == ("--dry-run" in line)


def invoked(line: str) -> Result:
    _, *arguments = shlex.split(line)
    return CliRunner().invoke(main, arguments)


def test_commands_stand_in_the_order_in_which_people_come_to_need_them():
    shown = CliRunner().invoke(main, ["--help"]).stdout
    titles = [title for title, _ in sections(list(main.commands))]
    places = [shown.index(f"\n{title}:\n") for title in titles]
    assert places == sorted(places) and set(titles) <= {*SECTIONS, "More"}
    assert shown.index("  validate ") < shown.index("  run ") < shown.index("  history ")


def test_each_command_is_described_in_a_line_that_is_whole():
    lines = CliRunner().invoke(main, ["--help"]).stdout.splitlines()
    for name in main.commands:
        [line] = [line for line in lines if line.startswith(f"  {name} ")]
        assert line.endswith(".") and not line.endswith("...") and len(line) <= 79


def test_a_command_of_no_group_is_shown_all_the_same():
    assert list(sections(["run", "new"])) == [("Runs", ["run"]), ("More", ["new"])]
