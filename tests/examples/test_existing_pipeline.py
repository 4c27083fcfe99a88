"""`examples/existing_pipeline`, as its page in the docs has it run."""

import ast
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT

EXAMPLE = ROOT / "examples" / "existing_pipeline" / "pipeline.py"
PAGE = (ROOT / "docs" / "how-to" / "existing-pipeline.md").read_text(encoding="utf-8")
TRAINER = ROOT / "configs" / "digits_trainer.py"


def blocks_of_code() -> list[str]:
    """The blocks of Python of the page, but for the last, which is an alternative."""
    return re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)[:-1]


@pytest.mark.parametrize("block", blocks_of_code())
def test_the_page_shows_the_code_of_the_example(block: str):
    sources = [file.read_text(encoding="utf-8") for file in (EXAMPLE, TRAINER)]
    assert any(textwrap.indent(block, "    ") in source for source in sources)


def test_the_pusher_that_the_page_suggests_takes_the_arguments_of_tfxs():
    [*_, alternative] = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)

    def arguments(code: str, name: str) -> set[str | None]:
        calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
        [call] = [call for call in calls if ast.unparse(call.func) == name]
        return {keyword.arg for keyword in call.keywords}

    nodes = next(block for block in blocks_of_code() if block.startswith("sampler = "))
    assert arguments(alternative, "TFLitePusher") == arguments(nodes, "tfx.components.Pusher")


@pytest.mark.slow
def test_the_command_of_the_page_pushes_the_float_and_the_quantized_model(
    tmp_path: Path, digits_data: Path, digits_arrays
):
    [command] = re.findall(r"^python (examples/(?:\\\n|.)*)$", PAGE, flags=re.MULTILINE)
    arguments = command.replace("\\\n", " ").replace("DATA", str(digits_data)).split()
    script, *options = arguments
    run = subprocess.run(
        [sys.executable, str(ROOT / script), *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    [served] = (tmp_path / "pushed" / "serving").iterdir()
    assert (served / "saved_model.pb").is_file()
    [version] = (tmp_path / "pushed" / "devices").iterdir()
    assert accuracy(version / "tflite", *digits_arrays["eval"]) > 0.9


def accuracy(model: Path, images: np.ndarray, labels: np.ndarray) -> float:
    """Returns the accuracy of an int8 classifier."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model))
    [given], [taken] = interpreter.get_input_details(), interpreter.get_output_details()
    assert given["dtype"] == taken["dtype"] == np.int8
    scale, zero_point = given["quantization"]
    interpreter.resize_tensor_input(given["index"], images.shape)
    interpreter.allocate_tensors()
    quantized = np.clip(np.round(images / scale) + zero_point, -128, 127).astype(np.int8)
    interpreter.set_tensor(given["index"], quantized)
    interpreter.invoke()
    answers = interpreter.get_tensor(taken["index"]).argmax(axis=1)
    return float((answers == labels).mean())
