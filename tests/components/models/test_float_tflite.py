"""Float TensorFlow Lite files: what is taken as a float model, and what is refused."""

import copy
from pathlib import Path

import numpy as np
import pytest

from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.models import float_tflite, object_tree
from tfx_tflite.components.models.flatbuffer import read_graph
from tfx_tflite.components.models.float_model import read_tensor_signature
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization.conversion import weights
from tfx_tflite.components.quantization.schemes import Scheme

pytestmark = pytest.mark.slow

IMAGES = np.random.default_rng(0).uniform(size=(3, 8, 8, 1)).astype(np.float32)


def without_signature(content: bytes, input_name: str = "serving_default_args_0:0") -> bytes:
    draft = read_graph(content).draft()
    draft.tree.signatureDefs = None
    draft.main.tensors[object_tree.numbers(draft.main.inputs)[0]].name = input_name
    return draft.content()


def of_custom_operators(content: bytes) -> bytes:
    draft = read_graph(content).draft()
    code = copy.copy(draft.tree.operatorCodes[0])
    draft.tree.operatorCodes[0] = code
    code.builtinCode = code.deprecatedBuiltinCode = object_tree.code_tree("CUSTOM").builtinCode
    code.customCode = "FlexErf"
    return draft.content()


def of_two_signatures(content: bytes) -> bytes:
    draft = read_graph(content).draft()
    draft.tree.signatureDefs *= 2
    return draft.content()


def halved(content: bytes) -> bytes:
    return weights.quantized(content, Scheme.FLOAT16)


def eight_bit(content: bytes) -> bytes:
    return weights.quantized(content, Scheme.DYNAMIC_RANGE)


def of_integers() -> bytes:
    draft = object_tree.model_tree()
    graph = draft.subgraphs[0]
    graph.tensors = [object_tree.tensor_tree(name, "INT32", [1, 4]) for name in "ab"]
    draft.operatorCodes = [object_tree.code_tree("ABS")]
    graph.operators = [object_tree.operator_tree(0, [0], [1])]
    graph.inputs, graph.outputs = [0], [1]
    return object_tree.pack(draft)


def test_a_file_with_a_signature_is_taken_to_the_byte(digits_flatbuffer: bytes):
    assert float_tflite.as_float_model(digits_flatbuffer, "m.tflite") == digits_flatbuffer


@pytest.mark.parametrize("name", ["serving_default_args_0:0", "images"])
def test_a_file_without_a_signature_gets_one_by_its_tensors(digits_flatbuffer: bytes, name: str):
    model = float_tflite.as_float_model(without_signature(digits_flatbuffer, name), "m.tflite")
    [spec] = float_tflite.specs_of(model)
    assert (spec.name, spec.shape, spec.dtype) == (name, (None, 8, 8, 1), np.float32)
    assert float_tflite.signature_name(model) == "serving_default"
    [before], [after] = (
        TFLiteModel(content).predict({key: IMAGES}).values()
        for content, key in ((digits_flatbuffer, "image"), (model, name))
    )
    assert np.array_equal(before, after)


def test_tensors_that_share_a_name_are_told_apart(digits_flatbuffer: bytes):
    draft = read_graph(digits_flatbuffer).draft()
    for tensor in draft.main.tensors:
        tensor.name = ""
    graph = read_graph(float_tflite.as_float_model(draft.content(), "m.tflite"))
    names = [tensor.name for tensor in graph.main.tensors]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("place", ["file", "directory", "trainer's directory"])
def test_a_file_is_found_by_itself_or_in_its_directory(
    tmp_path: Path, digits_flatbuffer: bytes, place: str
):
    name = {"file": "m.bin", "directory": "float.tflite", "trainer's directory": "tflite"}[place]
    (tmp_path / name).write_bytes(digits_flatbuffer)
    path = tmp_path / name if place == "file" else tmp_path
    signature = read_tensor_signature(path, "serving_default")
    assert [spec.name for spec in signature.inputs] == ["image"]
    assert [spec.shape for spec in signature.outputs] == [(None, 10)]


def test_a_file_has_one_digest_alone_and_in_its_directory(tmp_path: Path, digits_flatbuffer):
    (tmp_path / "float.tflite").write_bytes(digits_flatbuffer)
    alone = float_tflite.digest_of(tmp_path / "float.tflite")
    assert float_tflite.digest_of(tmp_path) == alone


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda content: content[: len(content) // 2], "is not a valid TensorFlow Lite file"),
        (lambda content: b"PK\x03\x04" + content[4:8] * 9, "is not a valid TensorFlow Lite file"),
        (lambda content: b"", "is not a valid TensorFlow Lite file"),
        (of_custom_operators, "has no builtin for: FlexErf; replace them"),
        (of_two_signatures, "has 2 signatures; expected one"),
        (lambda content: of_integers(), r"no float32 numbers.*inputs are a \(INT32\)"),
        (halved, "quantized already: .*FLOAT16 weights"),
        (eight_bit, "quantized already: .*INT8 weights"),
    ],
)
def test_what_is_no_float_file_is_told_in_a_line(digits_flatbuffer: bytes, change, expected: str):
    with pytest.raises(ModelError, match=rf"m\.tflite {'.*'}{expected}") as caught:
        float_tflite.as_float_model(change(digits_flatbuffer), "m.tflite")
    assert len(str(caught.value).splitlines()) == 1


def test_a_mark_that_keeps_constants_in_float_is_taken_off():
    content = (Path(__file__).parent / "converted" / "torch_digits.tflite").read_bytes()
    assert b"keep_stablehlo_constant" in content
    model = float_tflite.as_float_model(content, "m.tflite")
    assert b"keep_stablehlo_constant" not in model
