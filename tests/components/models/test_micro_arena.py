"""The smallest arena is what a bisection that knows Micro's package alone finds."""

from importlib.metadata import version

import numpy as np
import pytest

from tests.components.models import hostile
from tests.components.models.inspected import inspected
from tests.components.models.micro.alone import is_enough, smallest_arena
from tfx_tflite.components.models import micro_arena, process_copy
from tfx_tflite.components.models.micro import interpreter


@pytest.mark.slow
@pytest.mark.parametrize("net", hostile.NETS)
def test_the_arena_of_a_net_is_what_a_bisection_finds(net: str):
    content = hostile.net(net)
    assert micro_arena.arena(content).size_bytes == smallest_arena(content)


@pytest.mark.parametrize("kind", ["float32", "int16x8", "loop", "two_signatures"])
def test_the_arena_of_other_kinds_of_models_is_too(kind: str):
    content = inspected(kind)
    assert micro_arena.arena(content).size_bytes == smallest_arena(content)


@pytest.mark.slow
@pytest.mark.parametrize("net", hostile.NETS)
def test_a_net_runs_in_its_arena_with_the_recorded_outputs(net: str):
    recorded = np.load(hostile.MICRO / f"{net}.npz")
    micro = interpreter(hostile.net(net), micro_arena.arena(hostile.net(net)).size_bytes)
    for row, outputs in zip(recorded["inputs"][:5], recorded["outputs"], strict=False):
        micro.set_input(row[None], 0)
        micro.invoke()
        np.testing.assert_array_equal(micro.get_output(0)[0], outputs)


def test_head_and_tail_are_the_recorders_and_fit_into_the_arena():
    found = micro_arena.arena(hostile.net("depthwise"))
    # 8 * 8 * 12 bytes, for three tensors and for what a convolution needs beside them.
    assert found.head_bytes == 3072
    assert found.head_bytes + found.tail_bytes < found.size_bytes


def test_tensors_that_live_together_fit_into_the_head():
    found = micro_arena.arena(hostile.net("deep_residual"))
    assert max(step.live_bytes for step in found.steps) <= found.head_bytes


def test_an_arena_names_its_source():
    source = micro_arena.arena(hostile.net("dense")).source
    assert (source.tool, source.version) == ("tflite-micro", version("tflite-micro"))
    assert source.kind == "exact"
    assert "64 bits here and 32 on most microcontrollers" in source.caveat


def test_few_copies_of_the_process_are_made(monkeypatch: pytest.MonkeyPatch):
    copies, fork = [], process_copy.os.fork
    monkeypatch.setattr(process_copy.os, "fork", lambda: copies.append(1) or fork())
    micro_arena.arena(hostile.net("dense"))
    # One that loads it, one that records, one that tries all sizes.
    assert len(copies) == 3


def test_sizes_that_end_the_process_are_too_small(monkeypatch: pytest.MonkeyPatch):
    content = hostile.net("dense")
    assert not is_enough(content, 16)
    # As if the recorder had said that hardly anything is used.
    monkeypatch.setattr(micro_arena, "_recorded", lambda *_: {"total": 32, "head": 16, "tail": 16})
    assert micro_arena.arena(content).size_bytes == smallest_arena(content)


def test_the_search_does_without_the_recorder(monkeypatch: pytest.MonkeyPatch):
    content = hostile.net("dense")
    monkeypatch.setattr(micro_arena, "_recorded", lambda *_: {})
    found = micro_arena.arena(content)
    assert found.size_bytes == smallest_arena(content)
    assert found.head_bytes is found.tail_bytes is None


def test_a_guess_that_is_enough_is_not_the_end(monkeypatch: pytest.MonkeyPatch):
    content = hostile.net("dense")
    recorded = {"total": 80_000, "head": 40_000, "tail": 40_000}
    monkeypatch.setattr(micro_arena, "_recorded", lambda *_: recorded)
    assert micro_arena.arena(content).size_bytes == smallest_arena(content)


def test_a_model_that_does_not_load_says_why():
    with pytest.raises(ValueError, match=r"does not take it: .*Hybrid models are not supported"):
        micro_arena.arena(inspected("dynamic_range"))


def test_sizes_that_take_for_ever_are_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(micro_arena, "_TIME_LIMIT", 0.0)
    monkeypatch.setattr(micro_arena, "_recorded", lambda *_: {"total": 32, "head": 16, "tail": 16})
    with pytest.raises(ValueError, match="takes more than 0 s"):
        micro_arena.arena(hostile.net("dense"))
