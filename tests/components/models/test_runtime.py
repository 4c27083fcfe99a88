"""Which kernels run a model is known, and is what it is called."""

import os
import signal
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from tfx_tflite.components import versions
from tfx_tflite.components.models import runtime
from tfx_tflite.components.models.golden_samples import Deviation
from tfx_tflite.components.models.runtime import (
    kernels_in_use,
    open_interpreter,
    reproducible_kernels,
)
from tfx_tflite.components.versions import Kernels, Runtime

MICRO = Path(__file__).parent / "micro"
# What TensorFlow Lite Micro gave, recorded by `micro/record.py`.
NETS = ["deep_residual", "dense", "depthwise", "hard_swish"]


@pytest.fixture(scope="module", params=NETS)
def recorded(request) -> dict[str, np.ndarray]:
    return dict(np.load(MICRO / f"{request.param}.npz"))


def run(content: bytes, rows: np.ndarray, kernels: Kernels | None) -> np.ndarray:
    interpreter = open_interpreter(content, kernels)
    runner = interpreter.get_signature_runner()
    [name] = runner.get_input_details()
    return np.concatenate([runner(**{name: row[None]})["output"] for row in rows])


def test_the_reference_kernels_equal_tensorflow_lite_micro_to_the_bit(recorded):
    content = recorded["model"].tobytes()
    found = run(content, recorded["inputs"], Kernels.REFERENCE)
    np.testing.assert_array_equal(found, recorded["outputs"])


@pytest.mark.parametrize("net", ["deep_residual", "depthwise", "hard_swish"])
def test_no_tolerance_would_hold_between_kernels_of_a_deep_net(net: str):
    recorded = dict(np.load(MICRO / f"{net}.npz"))
    found = run(recorded["model"].tobytes(), recorded["inputs"], None)
    deviation = Deviation.between({"y": found}, {"y": recorded["outputs"]})
    # One hundredth of the range of int8, which is 2 steps, was allowed once.
    assert deviation.largest > 10
    assert deviation.answers >= 1


def test_xnnpack_and_the_builtin_kernels_are_told_apart(recorded):
    for asked, expected in [(None, Kernels.XNNPACK), (Kernels.BUILTIN, Kernels.BUILTIN)]:
        interpreter = open_interpreter(recorded["model"].tobytes(), asked)
        interpreter.allocate_tensors()
        assert kernels_in_use(interpreter) is expected


def test_a_runtime_says_package_version_and_kernels():
    assert Runtime.of(Kernels.REFERENCE).model_dump(mode="json") == {
        "package": "tensorflow",
        "version": version("tensorflow"),
        "kernels": "reference",
    }
    found = Runtime.of(Kernels.XNNPACK)
    assert str(found) == f"ai-edge-litert {version('ai-edge-litert')} (xnnpack kernels)"


def test_the_plain_runtime_is_tensorflows_without_litert(monkeypatch: pytest.MonkeyPatch):
    versions.default_package.cache_clear()
    monkeypatch.setattr(versions, "find_spec", lambda name: None)
    assert Runtime.of(Kernels.BUILTIN).package == "tensorflow"
    monkeypatch.undo()
    versions.default_package.cache_clear()


def test_golden_samples_are_recorded_with_the_reference_kernels(recorded):
    content = recorded["model"].tobytes()
    assert reproducible_kernels(content, {"x": recorded["inputs"][:1]}) is Kernels.REFERENCE


@pytest.mark.parametrize("end", [os.abort, lambda: os.kill(os.getpid(), signal.SIGSEGV)])
def test_reference_kernels_that_end_the_process_are_not_taken(monkeypatch, end):
    """As those of a softmax of a very small scale do."""
    recorded = dict(np.load(MICRO / "dense.npz"))
    real = runtime.open_interpreter

    def deadly(content: bytes, kernels: Kernels | None = None) -> object:
        interpreter = real(content, kernels)
        if kernels is Kernels.REFERENCE:
            interpreter.get_signature_runner = lambda: lambda **inputs: end()
        return interpreter

    monkeypatch.setattr(runtime, "open_interpreter", deadly)
    found = reproducible_kernels(recorded["model"].tobytes(), {"x": recorded["inputs"][:1]})
    assert found is Kernels.BUILTIN


def test_reference_kernels_that_take_too_long_are_not_taken(monkeypatch):
    monkeypatch.setattr(runtime, "_LONGEST_TRIAL", 0.05)
    assert not runtime._survives(lambda: time.sleep(30))


def test_what_is_no_model_is_refused():
    with pytest.raises(ValueError):
        reproducible_kernels(b"not a flatbuffer", {})
