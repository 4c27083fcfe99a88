"""The line that a run prints for each target."""

import io

import pytest

from tests.pipelines.cli.results import RESULT
from tfx_tflite.components.destinations.manifest import JudgedTarget
from tfx_tflite.components.versions import Kernels, Runtime
from tfx_tflite.pipelines.cli.console import RunPrinter

RUNTIME = Runtime(package="tflite-micro", version="1", kernels=Kernels.MICRO)


def printed(**found: object) -> str:
    target = JudgedTarget(target="tflite-micro", runtime=RUNTIME, **found)
    stream = io.StringIO()
    RunPrinter(stream).result(RESULT.model_copy(update={"targets": (target,)}))
    [line] = [line for line in stream.getvalue().splitlines() if line.startswith("on ")]
    return line.removeprefix("on tflite-micro: ")


@pytest.mark.parametrize(
    ("found", "line"),
    [
        ({"arena_bytes": 5424}, "5,424 bytes of working memory"),
        ({"accelerated": 0.75}, "75% of the operators accelerated"),
        ({"latency_ms": 0.0304, "latency_kind": "estimate"}, "0.0304 ms (estimated)"),
        ({"latency_ms": 1.5, "latency_kind": "measured"}, "1.5 ms (on this machine)"),
        ({"differing": 3, "decisions": 449}, "3 of 449 answers differ from this machine's"),
        ({"arena_bytes": 9, "accelerated": 1.0}, "9 bytes of working memory, 100% of the"),
        ({"problem": "it lacks TOPK_V2", "accelerated": 1.0}, "does not run"),
        ({}, "runs"),
    ],
)
def test_what_was_found_on_a_target_is_a_line(found: dict, line: str):
    assert printed(**found).startswith(line)
