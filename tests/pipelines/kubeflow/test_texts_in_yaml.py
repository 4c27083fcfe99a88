"""Texts of a config in the pipeline's file."""

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.pipelines.kubeflow.test_server import compiled, config
from tfx_tflite.pipelines.kubeflow.compile import CompiledPipeline
from tfx_tflite.pipelines.kubeflow.yaml_file import dumped

TEXTS = [
    "a: b",
    "- a",
    "# no comment",
    "a #b",
    "*",
    "&a",
    "!!python/object/apply:os.system [ls]",
    "{{ x }}",
    "it's",
    '"',
    "\\n",
    "yes",
    "1e3",
    "0o17",
    "12e5",
    "0x1F",
    "1_000",
    "1:30",
    ".5",
    "-.inf",
    ".nan",
    "+1",
    "no",
    "on",
    "null",
    "",
    "=",
    "<<",
    "2026-01-01",
    "~",
    "---",
    "...",
    "a\n--- \nb: c",
    "\ttab",
    " blank ",
    "ü 東 👩‍🔬",
    "$(touch x) `touch x`",
]


def written(path: Path, suffix: str) -> Path:
    job = compiled(config()).job
    spec = {**job["pipelineSpec"], "texts": TEXTS}
    file = path / f"pipeline.{suffix}"
    CompiledPipeline({**job, "pipelineSpec": spec, "texts": TEXTS}, {}, ()).write(file)
    return file


@pytest.mark.parametrize("version", [(1, 1), (1, 2)])
def test_yaml_holds_every_text_as_it_was(tmp_path: Path, version: tuple[int, int]):
    """Kubeflow's server reads 1.2, in which `1e3` is a number, and many a tool reads 1.1."""
    parser = YAML(typ="safe", pure=True)
    parser.version = version
    [document, *_] = parser.load_all(written(tmp_path, "yaml"))
    assert document["texts"] == TEXTS


def test_numbers_stay_numbers(tmp_path: Path):
    numbers = [0, -1, 1.5, 1e300, 10**15]
    text = dumped([{"numbers": numbers}])
    assert YAML(typ="safe", pure=True).load(text) == {"numbers": numbers}


def test_json_holds_every_text_as_it_was(tmp_path: Path):
    assert json.loads(written(tmp_path, "json").read_text())["texts"] == TEXTS
