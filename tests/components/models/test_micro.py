"""TensorFlow Lite Micro as a runtime: the same bits as its interpreter alone."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.components.models.micro import alone
from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.models import micro, micro_arena, object_tree
from tfx_tflite.components.models.golden_samples import GoldenSamples
from tfx_tflite.components.models.runtime import open_model
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.versions import Kernels, Runtime

pytestmark = pytest.mark.generations

HERE = Path(__file__).parent / "micro"
RECORDED = ["deep_residual", "dense", "depthwise", "hard_swish", "streaming"]


@pytest.fixture(scope="module")
def nets(convert_digits, digits_arrays) -> dict[str, tuple[bytes, np.ndarray]]:
    """Nets of int8 with a batch of 1 built in, and real inputs for each."""
    found = {}
    for name in RECORDED:
        recorded = np.load(HERE / f"{name}.npz")
        content = recorded["model"].tobytes()
        [info] = open_model(content).inputs.values()
        found[name] = content, info.reals(recorded["inputs"])
    digits = convert_digits("int8", batch_size=1).quantized
    return {**found, "digits": (digits, digits_arrays["eval"][0])}


@pytest.mark.parametrize("net", [*RECORDED, "digits"])
def test_predictions_and_arena_are_those_of_the_interpreter_alone(nets, net: str, tmp_path: Path):
    content, reals = nets[net]
    model, inputs, outputs = (tmp_path / name for name in ("m.tflite", "in.npy", "out.npy"))
    model.write_bytes(content)
    np.save(inputs, reals)
    done = subprocess.run(
        [sys.executable, alone.__file__, *map(str, (model, inputs, outputs))],
        capture_output=True,
        text=True,
        check=True,
    )
    ours = TFLiteModel(content, Kernels.MICRO)
    [name], [output] = ours.inputs, ours.outputs
    expected = ours.outputs[output].reals(np.load(outputs))
    np.testing.assert_array_equal(ours.predict({name: reals})[output], expected)
    assert micro_arena.arena(content).size_bytes == int(done.stdout)


@pytest.mark.parametrize("net", RECORDED)
def test_outputs_are_those_that_were_recorded(net: str):
    recorded = np.load(HERE / f"{net}.npz")
    model = open_model(recorded["model"].tobytes(), Kernels.MICRO)
    [name] = model.inputs
    [found] = model.run({name: recorded["inputs"]}).values()
    np.testing.assert_array_equal(found, recorded["outputs"])


def test_golden_samples_are_the_same_bits_again(nets):
    content, reals = nets["digits"]
    inputs = TFLiteModel(content, Kernels.MICRO).quantize({"image": reals[:6]})
    recorded = GoldenSamples.record(content, inputs, Kernels.MICRO)
    assert recorded.runtime == Runtime.of(Kernels.MICRO)
    again = open_model(content, Kernels.MICRO).run(inputs)
    for name, values in recorded.outputs.items():
        np.testing.assert_array_equal(again[name], values)


def test_a_larger_batch_that_is_built_in_is_run_as_it_is(convert_digits, digits_arrays):
    images = digits_arrays["eval"][0][:10]
    one, four = (convert_digits("int8", batch_size=size).quantized for size in (1, 4))
    [expected], [found] = (
        TFLiteModel(content, Kernels.MICRO).predict({"image": images}).values()
        for content in (one, four)
    )
    np.testing.assert_array_equal(found, expected)


def test_inputs_and_outputs_go_by_name_and_not_by_place():
    """In the flatbuffer the signature lists them in another order than the graph."""
    content = object_tree.pack(_difference())
    model = open_model(content, Kernels.MICRO)
    values = {"a": np.float32([[5, 7]]), "b": np.float32([[1, 2]])}
    np.testing.assert_array_equal(model.run(values)["difference"], [[4, 5]])


def _difference() -> object_tree.ModelTree:
    """Returns a model that subtracts its input `b` from its input `a`."""
    tree = object_tree.model_tree()
    graph = tree.subgraphs[0]
    names = ["b", "a", "difference"]
    graph.tensors = [object_tree.tensor_tree(name, "FLOAT32", (1, 2)) for name in names]
    tree.operatorCodes = [object_tree.code_tree("SUB")]
    graph.operators = [object_tree.operator_tree(0, [1, 0], [2])]
    graph.inputs, graph.outputs = [0, 1], [2]
    signature = object_tree.signature_tree(["a", "b"], ["difference"])
    for entry, place in zip(signature.inputs, (1, 0), strict=True):
        entry.tensorIndex = place
    signature.outputs[0].tensorIndex = 2
    tree.signatureDefs = [signature]
    return tree


def test_a_signature_of_what_is_inside_the_graph_is_refused():
    tree = _difference()
    tree.subgraphs[0].tensors.append(object_tree.tensor_tree("inside", "FLOAT32", (1, 2)))
    tree.signatureDefs[0].outputs[0].tensorIndex = 3
    with pytest.raises(ModelError, match="'difference' of the signature is no input or output"):
        TFLiteModel(object_tree.pack(tree), Kernels.MICRO)


def test_an_output_of_strings_is_refused():
    tree = _difference()
    tree.subgraphs[0].tensors[2].type = object_tree.type_number("STRING")
    with pytest.raises(ModelError, match="'difference' is of type STRING, which TensorFlow Lite"):
        TFLiteModel(object_tree.pack(tree), Kernels.MICRO)


def test_a_free_batch_axis_is_refused_with_the_remedy(digits_flatbuffer: bytes):
    with pytest.raises(ModelError, match=r"'image' has shape \[\?, 8, 8, 1\].*batch_size: 1"):
        TFLiteModel(digits_flatbuffer, Kernels.MICRO)


def test_an_operator_that_it_lacks_is_named_in_its_own_words(float_tflite):
    import tensorflow as tf

    def largest(x: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.math.top_k(x, 2).indices, tf.float32)

    content = float_tflite(largest, x=([1, 4], tf.float32))
    with pytest.raises(ModelError, match="Didn't find op for builtin opcode 'TOPK_V2'"):
        TFLiteModel(content, Kernels.MICRO)


def test_inputs_of_another_shape_are_refused(nets):
    model = open_model(nets["digits"][0], Kernels.MICRO)
    with pytest.raises(RuntimeError, match=r"'image' is of shape \[1, 8, 7, 1\]"):
        model.allocate({"image": (1, 8, 7, 1)})


def test_without_the_package_it_is_said_what_installs_it(nets, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(micro, "is_installed", lambda kernels: False)
    with pytest.raises(ModelError, match="pip install tflite-micro"):
        TFLiteModel(nets["digits"][0], Kernels.MICRO)


def test_bytes_that_end_its_process_end_a_copy_alone(nets):
    """An arena that is much too small is such a case."""
    loading = micro.try_loading(nets["digits"][0], 100)
    assert not loading.well and loading.killed_by == "SIGSEGV"
    assert "ends the process" in loading.problem


def test_loading_without_an_end_is_said_and_not_tried_again(nets, monkeypatch: pytest.MonkeyPatch):
    content, tried = nets["digits"][0], []
    monkeypatch.setattr(micro, "_LONGEST_LOADING", 0.05)
    monkeypatch.setattr(micro, "interpreter", lambda *_: time.sleep(30))
    try_loading = micro.try_loading
    monkeypatch.setattr(
        micro, "try_loading", lambda *given: (tried.append(given), try_loading(*given))[1]
    )
    with pytest.raises(ValueError, match="does not take it: loading it takes more than"):
        micro.generous_arena(content)
    assert len(tried) == 1


@pytest.mark.parametrize(
    ("scheme", "settings"),
    [
        ("float32", {}),
        ("int8_float_io", {}),
        ("int8", {"io_type": "uint8"}),
        ("int16x8", {}),
        ("int16x8", {"io_type": "int16"}),
    ],
    ids=lambda value: value if isinstance(value, str) else value.get("io_type", "float"),
)
def test_every_scheme_that_it_runs_gives_what_the_interpreter_alone_gives(
    convert_digits, digits_arrays, scheme: str, settings: dict
):
    content = convert_digits(scheme, batch_size=1, **settings).quantized
    images = digits_arrays["eval"][0][:50]
    model = TFLiteModel(content, Kernels.MICRO)
    [output] = model.outputs.values()
    expected = output.reals(alone.outputs(content, images))
    np.testing.assert_array_equal(model.predict({"image": images})["probabilities"], expected)


@pytest.mark.parametrize("scheme", ["dynamic_range", "float16"])
def test_a_scheme_that_it_does_not_run_is_refused(convert_digits, scheme: str):
    content = convert_digits(scheme, batch_size=1).quantized
    with pytest.raises(ModelError, match="TensorFlow Lite Micro does not take it"):
        TFLiteModel(content, Kernels.MICRO)
