"""`tfx-tflite inspect` on files of all kinds, as people have them."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.cells import cell_len

from tests.components.models import hostile
from tests.components.models.inspected import inspected
from tests.pipelines.cli.terminals import lines_of, terminal
from tfx_tflite.components.models.inspection import Inspection
from tfx_tflite.components.models.inspection import inspect as inspection_of
from tfx_tflite.components.models.target import Target
from tfx_tflite.pipelines.cli import inspect as cli
from tfx_tflite.pipelines.cli.console import Terminal
from tfx_tflite.pipelines.cli.main import main


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes a model to `model.tflite` in the current folder."""
    monkeypatch.chdir(tmp_path)

    def write(content: bytes) -> Path:
        path = tmp_path / "model.tflite"
        path.write_bytes(content)
        return path

    return write


def called(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["inspect", *arguments])


def test_a_model_is_shown_with_what_targets_make_of_it(file):
    file(hostile.net("depthwise"))
    done = called("model.tflite", "--target", "litert", "--target", "tflite-micro")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    size = len(hostile.net("depthwise"))
    assert lines[0].startswith(f"model.tflite: {size:,} bytes (constants ")
    assert "signature serving_default" in lines
    assert any(line.split()[:2] == ["DEPTHWISE_CONV_2D", "30"] for line in lines)
    assert "on litert: can be run" in lines and "on tflite-micro: can be run" in lines
    assert "  working memory 37,632 bytes (exact): head 3,072, tail 26,832" in lines


def test_without_a_target_it_is_litert(file):
    file(hostile.net("dense"))
    told = called("model.tflite").stdout
    assert "on litert: can be run" in told and "tflite-micro" not in told


def test_a_target_that_is_named_twice_is_shown_once(file):
    file(hostile.net("dense"))
    assert called("model.tflite", *["--target", "litert"] * 2).stdout.count("on litert") == 1


def test_everything_that_a_target_lacks_is_shown_with_what_to_do(file):
    file(inspected("lacking_on_micro"))
    done = called("model.tflite", "--target", "tflite-micro")
    assert done.exit_code == 0
    assert "on tflite-micro: does not run" in done.stdout
    for kind in ("TOPK_V2", "ATAN2"):
        assert f"Didn't find op for builtin opcode '{kind}'" in done.stdout
    assert "build the layer from other operators" in done.stdout


def test_json_is_the_document_and_nothing_else(file):
    content = hostile.net("dense")
    file(content)
    done = called("model.tflite", "--target", "tflite-micro", "--json")
    expected = inspection_of(content, "model.tflite", [Target(runtime="tflite-micro")])
    assert Inspection.parse(done.stdout, "stdout") == expected


@pytest.mark.slow
def test_what_an_accelerator_runs_and_refuses_is_shown(file):
    file(hostile.net("dense"))
    told = called("model.tflite", "--target", "ethos-u55-128").stdout
    assert "on tflite-micro, ethos-u55-128: can be run" in told
    assert "operators (100%) run on ethos-u55-128 (estimate of ethos-u-vela " in told
    assert " milliseconds, " in told and " bytes of flash" in told
    file(inspected("dynamic_range"))
    told = called("model.tflite", "--target", "ethos-u55-128").stdout
    assert "0 of 3 operators (0%) run on ethos-u55-128" in told
    assert "unsupported DataType Float32" in told


def made_folder(path: Path) -> None:
    path.mkdir()
    (path / "1.tflite").write_bytes(hostile.net("dense"))


def made_saved_model(path: Path) -> None:
    path.mkdir()
    (path / "saved_model.pb").touch()


WRONG = {
    "missing": (lambda path: None, "No such file or directory, expected a .tflite file"),
    "empty": (lambda path: path.touch(), "is empty, expected a .tflite file"),
    "folder": (made_folder, "is a folder, expected a .tflite file, such as model.tflite/1.tflite"),
    "SavedModel": (made_saved_model, "it is a SavedModel, and `tfx-tflite init` writes a config"),
    "Keras": (lambda path: path.write_bytes(b"PK\3\4..."), "is a zip archive, as .keras files are"),
    "HDF5": (lambda path: path.write_bytes(b"\x89HDF\r\n"), "is an HDF5 file"),
    "text": (lambda path: path.write_text("name: digits"), "it does not begin as one"),
    "cut": (
        lambda path: path.write_bytes(hostile.net("dense")[:3000]),
        "its parts lead outside the file or nowhere",
    ),
    "pipe": (os.mkfifo, "is no regular file"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_model_is_a_wrong_call_in_one_line(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    make, said = WRONG[kind]
    make(tmp_path / "model.tflite")
    done = called("model.tflite")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: model.tflite") and said in done.stderr
    assert done.stderr.count("\n") == 1 and done.stdout == ""


def test_a_failure_is_json_too(file):
    file(b"nothing")
    done = called("model.tflite", "--json")
    assert done.exit_code == 2
    assert "it does not begin as one" in json.loads(done.stdout)["error"]


def test_a_target_that_there_is_none_of_is_told_with_those_that_there_are(file):
    file(hostile.net("dense"))
    done = called("model.tflite", "--target", "ethos-u56-128")
    assert done.exit_code == 2
    assert all(f"'{name}'" in done.stderr for name in ("litert", "tflite-micro", "ethos-u85-2048"))


def test_a_runtime_that_is_not_installed_is_a_line(file, monkeypatch: pytest.MonkeyPatch):
    file(hostile.net("dense"))
    monkeypatch.setattr("tfx_tflite.components.models.micro.is_installed", lambda _: False)
    done = called("model.tflite", "--target", "tflite-micro")
    assert done.exit_code == 1
    assert "TensorFlow Lite Micro is not installed" in done.stderr
    assert "pip install tflite-micro" in done.stderr


def test_what_fails_on_one_target_loses_nothing_of_the_others(
    file, monkeypatch: pytest.MonkeyPatch
):
    file(hostile.net("dense"))
    monkeypatch.setattr("tfx_tflite.components.models.micro.is_installed", lambda _: False)
    both = ("--target", "tflite-micro", "--target", "litert")
    done = called("model.tflite", *both)
    assert done.exit_code == 1 and "on litert: can be run" in done.stdout
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: tflite-micro: ")
    done = called("model.tflite", *both, "--json")
    found = json.loads(done.stdout)
    assert [each["target"] for each in found["targets"]] == ["litert"]
    assert [each["target"] for each in found["failures"]] == ["tflite-micro"]


def test_names_reach_a_terminal_without_commands(file):
    def rename(draft):
        draft.tree.signatureDefs[0].signatureKey = b"a\x1b[2Jb"

    file(hostile.edited("dense", rename))
    told = called("model.tflite").stdout
    assert "\x1b" not in told and r"signature a\x1b[2Jb" in told


def test_many_float_layers_are_cut_short(file):
    def leave_in_float(draft):
        for operator in draft.main.operators[1:]:
            written = draft.main.tensors[operator.outputs[0]]
            written.type, written.quantization = 0, None

    content = hostile.edited("deep_residual", leave_in_float)
    file(content)
    told = called("model.tflite").stdout.splitlines()
    first = told.index(next(line for line in told if line.startswith("operators left in float: ")))
    count = int(told[first].split()[-1])
    assert told[first + 11] == f"  … {count - 10} more with --json"


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("kind", ["float32", "dynamic_range", "two_signatures", "flex"])
def test_tables_fit_the_terminal_and_lose_no_figure(kind: str, columns: int):
    found = inspection_of(inspected(kind), "model.tflite", ())
    with terminal(columns) as (stream, shown):
        printer = Terminal(stream)
        printer.fitted_width()
        for part in cli._shown(found):
            printer.print(part)
    lines = lines_of(shown.so_far())
    assert max(map(cell_len, lines[2:])) <= columns
    text = " ".join(lines)
    for each in found.constants:
        assert f"{each.size_bytes:,}" in text
    for operator in found.operators:
        assert operator.name in text
