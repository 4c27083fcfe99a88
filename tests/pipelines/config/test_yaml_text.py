"""Config files and values of `--set` that nobody wrote by hand: one line each, and exit code 2."""

import itertools
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.components.test_characters import COMMANDS
from tests.conftest import CONFIGS
from tests.pipelines.config.test_config import MINIMAL
from tfx_tflite.components.characters import escaped
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines.cli.main import main
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.file import load_config

DIGITS = str(CONFIGS / "digits.yaml")
# Seconds that the worst of them may take on a busy machine.
AT_ONCE = 10.0


def levels(number: int) -> str:
    return "a: " + "[" * number + "]" * number


def mappings(number: int) -> str:
    return "\n".join("  " * level + "a:" for level in range(number))


def bomb(names: str = "abcdefghij") -> str:
    """Returns nine values, nine times those, and so on: 9**10 in all."""
    lines = [f"{names[0]}: &{names[0]} [{', '.join('x' * 9)}]"]
    lines += [
        f"{name}: &{name} [{', '.join(f'*{before}' for _ in range(9))}]"
        for before, name in itertools.pairwise(names)
    ]
    return "\n".join(lines)


ODD_FILES = {
    "300 levels of lists": (levels(300), ":1: more than 50 levels, which no config has"),
    "300 levels of mappings": (mappings(300), ":51: more than 50 levels, which no config has"),
    "100,000 brackets": ("[" * 100_000, ":1: more than 50 levels, which no config has"),
    "aliases of aliases": (bomb(), ":6: more than 100,000 values, which no config has"),
    "an alias to itself": ("name: &a [*a]", ":1: *a names nothing before it"),
    "a mapping in itself": ("name: &a\n  root: *a", ":2: *a names nothing before it"),
    "an alias to nothing": ("name: *a", ":1: *a names nothing before it"),
    "a tag of Python": (
        "name: !!python/object/apply:os.system [ls]",
        ":1: the tag tag:yaml.org,2002:python/object/apply:os.system has no place in a config",
    ),
    "a tag of nobody": ("name: !secret x", ":1: the tag !secret has no place in a config"),
    "a set": ("name: !!set {a, b}", ":1: the tag tag:yaml.org,2002:set has no place in a config"),
    "a key twice": ("name: a\nname: s3cret", ':2: not YAML: found duplicate key "name"'),
    "two documents": ("a: 1\n---\nb: 2", ":2: not YAML: but found another document"),
    "YAML of the future": ("%YAML 9.9\n---\na: 1", ":1: not YAML: found incompatible YAML"),
    "a list": ("- name", ": expected a mapping of keys, see docs/config.md"),
    "nothing": ("", ": expected a mapping of keys, see docs/config.md"),
    "a number of 5,000 digits": (f"name: {'9' * 5000}", ": not YAML: Exceeds the limit"),
    "a number of 50,000 bits": (f"name: 0x{'f' * 12500}", ":1: name: is a number of more than 64"),
    "not a number": ("gate: {min_examples: .nan}", ":1: gate.min_examples: expected a number, rec"),
    "infinity": ("gate: {rules: [{max_drop: .inf}]}", ":1: gate.rules.0.max_drop: expected a numb"),
    "no character": (r'name: "\UFFFFFFFF"', ": not YAML: "),
    "a key that is no text": ("1: a", ": the key 1 is no text; put it in quotes"),
    "a key that is a list": ("? [a]\n: b", ": the key ('a',) is no text; put it in quotes"),
    "a key that is a mapping": ("? {a: [b]}\n: c", ": a key is a mapping or a list, expected text"),
    "a key with an escape in it": (r'"a\e[2J": b', r": the key a\x1b[2J holds the character \x1b"),
    "a NUL": ("name: a\0b", ": not YAML: "),
}


@pytest.mark.parametrize(("text", "expected"), ODD_FILES.values(), ids=ODD_FILES)
def test_an_odd_file_is_refused_in_one_line_at_once(tmp_path: Path, text: str, expected: str):
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    start = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    [message] = str(caught.value).splitlines()
    assert message.startswith(f"{path}{expected}")
    assert "s3cret" not in message and time.monotonic() - start < AT_ONCE


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (MINIMAL.encode("utf-16"), "not a text file in UTF-8"),
        (b"name: \xff", "not a text file in UTF-8"),
        (b"# " + b"x" * (1 << 20), "has more than 1,048,576 bytes, which no config has"),
    ],
    ids=["UTF-16", "latin", "a megabyte"],
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, data: bytes, expected: str):
    path = tmp_path / "c.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == f"{path}: {expected}"


def test_a_mark_of_byte_order_is_no_part_of_the_first_key(tmp_path: Path):
    path = tmp_path / "c.yaml"
    path.write_text(MINIMAL, encoding="utf-8-sig")
    assert load_config(path).name == "mine"


def test_an_alias_that_is_none_too_many_is_what_it_names(tmp_path: Path):
    path = tmp_path / "c.yaml"
    text = MINIMAL.replace(
        "input_base: data", "input_base: data\n  splits: {train: &t x, eval: *t}"
    )
    path.write_text(text)
    assert load_config(path).data.splits == {"train": "x", "eval": "x"}


def odd_place(kind: str, directory: Path) -> Path:
    path = directory / "c.yaml"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop of links":
        path.symlink_to(path)
    else:
        return Path({"device": "/dev/zero", "name with NUL": f"{directory}/a\0b"}[kind])
    return path


@pytest.mark.parametrize("kind", ["directory", "pipe", "loop of links", "device", "name with NUL"])
def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path, kind: str):
    place = odd_place(kind, tmp_path)
    with pytest.raises(ConfigError) as caught:
        load_config(place)
    message = str(caught.value)
    assert len(message.splitlines()) == 1 and message.count(f"{escaped(str(place))}: ") == 1


ODD_OPTIONS = {
    "an index of 5,000 digits": f"gate.rules.{'9' * 5000}.max_drop=1",
    "a key of 5,000 parts": f"{'.'.join('a' * 5000)}=1",
    "300 levels": f"name={'[' * 300}{']' * 300}",
    "aliases of aliases": "name={" + bomb().replace("\n", ", ") + "}",
    "a number of 5,000 digits": f"calibration.samples={'9' * 5000}",
    "not a number": "gate.min_examples=.nan",
    "a tag": "name=!!python/name:os.system x",
    "a key with an escape": "\x1b[2J=1",
    "a value with an escape": "name=a\x1b[2Jb",
    "no value": "x" * 5000,
    "nothing": "",
}


@pytest.mark.parametrize("override", ODD_OPTIONS.values(), ids=ODD_OPTIONS)
def test_an_odd_option_is_refused_in_one_short_line(override: str):
    result = CliRunner().invoke(main, ["validate", DIGITS, "--set", override])
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert line.startswith("error: --set") and len(line) < 300
    assert "\x1b" not in line


# Of each kind of text that a crontab, a unit, a DAG or a pipeline's YAML is made of.
TEXTS = (
    "name",
    "root",
    "push.destination",
    "model.saved_model",
    "data.input_base",
    "data.splits.train",
    "evaluation.label",
    "schedule.time_zone",
    "metadata.sqlite",
    "kubeflow.image",
    "kubeflow.experiment",
    "kubeflow.paths./data",
    "beam.args",
)


def with_text(key: str, text: str) -> str:
    """Returns an option that sets a key to a text, quoted as YAML knows it."""
    quoted = '"' + "".join(f"\\U{ord(character):08x}" for character in text) + '"'
    return f"{key}=[{quoted}]" if key == "beam.args" else f"{key}={quoted}"


@pytest.mark.parametrize("key", TEXTS)
@pytest.mark.parametrize(("character", "shown"), COMMANDS.items(), ids=COMMANDS.values())
def test_a_text_with_a_command_in_it_is_refused(key: str, character: str, shown: str):
    override = with_text(key, f"a{character}* * * * * touch /tmp/x")
    result = CliRunner().invoke(main, ["validate", DIGITS, "--set", override])
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    place = key.split("./")[0]
    assert line.startswith(f"error: --set: {place}")
    assert f"holds the character {shown}, which no text" in line


def test_a_command_that_comes_with_the_configs_directory_is_refused(tmp_path: Path):
    directory = tmp_path / "a\n* * * * * touch b"
    directory.mkdir()
    (directory / "c.yaml").write_text(MINIMAL)
    with pytest.raises(ConfigError, match=r"root: holds the character \\n"):
        load_config(directory / "c.yaml")


def test_a_config_that_is_made_in_code_is_looked_at_as_well():
    document = {
        "name": "a",
        "root": "r\x1b[2J",
        "data": {"builtin": "digits"},
        "model": {"saved_model": "m"},
        "evaluation": {"label": "l", "metrics": ["AUC"]},
        "gate": {"rules": [{"metric": "AUC", "max_drop": 0.1}]},
        "push": {"destination": "d"},
    }
    with pytest.raises(ValueError, match=r"holds the character \\x1b"):
        PipelineConfig.model_validate(document)


def test_a_trainers_own_settings_may_have_several_lines(tmp_path: Path):
    text = MINIMAL.replace(
        "saved_model: model",
        'trainer: {module_file: m.py, train_steps: 1, eval_steps: 1, custom_config: {a: "b\\nc"}}',
    )
    path = tmp_path / "c.yaml"
    path.write_text(text)
    trainer = load_config(path).model.trainer
    assert trainer is not None and trainer.custom_config == {"a": "b\nc"}


@pytest.mark.parametrize("key", ["evaluation.label", "push.destination", "data.splits.train"])
def test_kubeflow_is_given_nothing_to_fill_in(key: str):
    arguments = ["--set", "kubeflow={image: i}", "--set", f"{key}='{{{{$.inputs}}}}'"]
    result = CliRunner().invoke(main, ["validate", DIGITS, *arguments])
    assert result.exit_code == 2
    assert f"{key}: has {{{{$, which Kubeflow would" in result.stderr
    assert CliRunner().invoke(main, ["validate", DIGITS, *arguments[:2]]).exit_code == 0
