"""Which kernels run a model is known, and is what it is called."""

import importlib
import os
import re
import signal
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from tests.components.models.micro_outputs import differences, expected_differences
from tests.conftest import ROOT
from tfx_tflite.components import versions
from tfx_tflite.components.models import object_tree, runtime
from tfx_tflite.components.models.golden_samples import deviation
from tfx_tflite.components.models.process_copy import in_a_copy
from tfx_tflite.components.models.runtime import (
    RUNTIMES,
    example_shapes,
    open_model,
    open_observable,
    reproducible_kernels,
    run_on_zeros,
)
from tfx_tflite.components.versions import Kernels, Runtime

pytestmark = pytest.mark.generations

MICRO = Path(__file__).parent / "micro"
# What TensorFlow Lite Micro gave, recorded by `micro/record.py`.
NETS = ["deep_residual", "dense", "depthwise", "hard_swish"]


@pytest.fixture(scope="module", params=NETS)
def recorded(request) -> dict[str, np.ndarray]:
    return dict(np.load(MICRO / f"{request.param}.npz"))


def run(content: bytes, rows: np.ndarray, kernels: Kernels | None) -> np.ndarray:
    model = open_model(content, kernels)
    [name] = model.inputs
    return np.concatenate([model.run({name: row[None]})["output"] for row in rows])


@pytest.mark.parametrize("net", NETS)
def test_the_reference_kernels_equal_tensorflow_lite_micro_to_the_bit(net: str):
    """But for dense layers from TensorFlow 2.21 on, which are rounded otherwise."""
    recorded = dict(np.load(MICRO / f"{net}.npz"))
    found = run(recorded["model"].tobytes(), recorded["inputs"], Kernels.REFERENCE)
    assert differences(found, recorded["outputs"]) == expected_differences(net)


@pytest.mark.parametrize("net", ["deep_residual", "depthwise", "hard_swish"])
def test_no_tolerance_would_hold_between_kernels_of_a_deep_net(net: str):
    recorded = dict(np.load(MICRO / f"{net}.npz"))
    outputs = run(recorded["model"].tobytes(), recorded["inputs"], None)
    found = deviation({"y": outputs}, {"y": recorded["outputs"]})
    # One hundredth of the range of int8, which is 2 steps, was allowed once.
    assert found.largest > 10
    assert found.answers >= 1


def test_xnnpack_and_the_builtin_kernels_are_told_apart(recorded):
    for asked, expected in [(None, Kernels.XNNPACK), (Kernels.BUILTIN, Kernels.BUILTIN)]:
        model = open_model(recorded["model"].tobytes(), asked)
        run_on_zeros(model, {})
        assert model.kernels is expected


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
    real = RUNTIMES[Kernels.REFERENCE]

    def deadly(content: bytes, threads: int) -> object:
        model = real(content, threads)
        model.run = lambda inputs: end()
        return model

    monkeypatch.setitem(runtime.RUNTIMES, Kernels.REFERENCE, deadly)
    found = reproducible_kernels(recorded["model"].tobytes(), {"x": recorded["inputs"][:1]})
    assert found is Kernels.BUILTIN


def test_reference_kernels_that_take_too_long_are_not_taken():
    assert not in_a_copy(lambda: time.sleep(30), time_limit=0.05).well


def test_what_is_no_model_is_refused():
    with pytest.raises(ValueError):
        reproducible_kernels(b"not a flatbuffer", {})


def relu_with_free_axes() -> bytes:
    tree = object_tree.model_tree()
    graph = tree.subgraphs[0]
    graph.tensors = [object_tree.tensor_tree(name, "FLOAT32", [1, 1, 3]) for name in "xy"]
    for tensor in graph.tensors:
        tensor.shapeSignature = [-1, -1, 3]
    graph.inputs, graph.outputs = [0], [1]
    tree.operatorCodes = [object_tree.code_tree("RELU")]
    graph.operators = [object_tree.operator_tree(0, [0], [1])]
    tree.signatureDefs = [object_tree.signature_tree("x", "y")]
    return object_tree.pack(tree)


def test_free_axes_take_the_sizes_of_an_example():
    model = open_model(relu_with_free_axes())
    assert example_shapes(model, {"x": (1, 7, 3)}) == {"x": (1, 7, 3)}
    assert example_shapes(model, {}) == {"x": (1, 1, 3)}


def test_axes_that_are_built_in_keep_their_sizes(recorded):
    model = open_model(recorded["model"].tobytes())
    [(name, info)] = model.inputs.items()
    assert example_shapes(model, {name: [9] * len(info.shape)})[name][1:] == info.shape[1:]


def test_inputs_of_other_shapes_are_allocated_anew():
    model = open_model(relu_with_free_axes())
    for shape in [(1, 2, 3), (4, 5, 3), (1, 2, 3)]:
        values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        np.testing.assert_array_equal(model.run({"x": values})["y"], np.maximum(values, 0))


def test_every_family_of_kernels_has_a_runtime(recorded):
    assert set(RUNTIMES) == set(Kernels)
    for kernels in Kernels:
        model = open_model(recorded["model"].tobytes(), kernels)
        run_on_zeros(model, {})
        assert model.kernels is kernels
        assert model.seconds() > 0 and model.arena_bytes() > 0


def test_a_model_whose_activations_are_kept_gives_the_outputs_among_them(recorded):
    model = open_observable(recorded["model"].tobytes(), Kernels.BUILTIN)
    [name], [output] = model.inputs, model.outputs.values()
    [found] = model.run({name: recorded["inputs"][:1]}).values()
    np.testing.assert_array_equal(model.activation(output.index), found)
    assert model.tensors()[output.index] == output


@pytest.mark.parametrize("package", ["ai_edge_litert", "tensorflow.lite.python"])
def test_interpreters_list_a_delegate_among_their_operators(package: str):
    """What is relied on of `_get_ops_details`, which is not public."""
    module = importlib.import_module(f"{package}.interpreter")
    content = np.load(MICRO / "dense.npz")["model"].tobytes()

    def operators(resolver: str) -> set[str]:
        interpreter = module.Interpreter(
            model_content=content, experimental_op_resolver_type=module.OpResolverType[resolver]
        )
        interpreter.allocate_tensors()
        return {detail["op_name"] for detail in interpreter._get_ops_details()}

    assert "DELEGATE" in operators("AUTO")
    assert "DELEGATE" not in operators("BUILTIN_WITHOUT_DEFAULT_DELEGATES")
    assert "DELEGATE" not in operators("BUILTIN_REF")


def test_a_model_is_opened_without_a_word_of_what_comes_after_tensorflows_interpreter(recorded):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        open_observable(recorded["model"].tobytes())
        open_model(recorded["model"].tobytes(), Kernels.REFERENCE)
    assert [str(each.message) for each in said] == []


def test_nothing_else_builds_an_interpreter():
    found = {
        file.relative_to(ROOT).as_posix()
        for folder in ("components", "pipelines")
        for file in (ROOT / folder).rglob("*.py")
        if re.search(r"Interpreter\(|open_interpreter|_get_ops_details", file.read_text("utf-8"))
    }
    assert found == {"components/models/runtime.py", "components/models/micro.py"}


def with_a_state() -> bytes:
    """Returns an SVDF of one number, which adds the number before: y[t] = x[t] + x[t - 1]."""
    tree = object_tree.model_tree()
    graph = tree.subgraphs[0]
    shapes = {"x": (1, 1), "y": (1, 1), "feature": (1, 1), "time": (1, 2), "state": (1, 2)}
    graph.tensors = [object_tree.tensor_tree(name, "FLOAT32", shapes[name]) for name in shapes]
    for place, values in ((2, [1.0]), (3, [1.0, 1.0])):
        graph.tensors[place].buffer = len(tree.buffers)
        tree.buffers.append(object_tree.buffer_tree(np.float32(values)))
    graph.tensors[4].isVariable = True
    tree.operatorCodes = [object_tree.code_tree("SVDF")]
    graph.operators = [object_tree.operator_tree(0, [0, 2, 3, -1, 4], [1])]
    object_tree.set_options(graph.operators[0], "SVDFOptions", rank=1)
    graph.inputs, graph.outputs = [0], [1]
    tree.signatureDefs = [object_tree.signature_tree(["x"], ["y"])]
    return object_tree.pack(tree)


@pytest.mark.parametrize("kernels", [Kernels.XNNPACK, Kernels.BUILTIN, Kernels.REFERENCE])
def test_what_an_example_gives_does_not_depend_on_those_before(kernels: Kernels):
    model = open_model(with_a_state(), kernels)
    for value in (1.0, 5.0, 1.0):
        assert model.run({"x": np.float32([[value]])})["y"].item() == value
