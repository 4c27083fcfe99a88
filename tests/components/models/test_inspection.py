"""What is said of a file is what is in it."""

import json
import os
import subprocess
import sys

import jsonschema
import pytest

from tests.components.models import hostile
from tests.components.models.inspected import inspected
from tests.conftest import ROOT
from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.models.inspection import Inspection, check, inspect
from tfx_tflite.components.models.target import Target
from tfx_tflite.components.models.vela import accelerate

SCHEMA = ROOT / "docs" / "inspection.schema.json"
KINDS = (
    *("float32", "dynamic_range", "float16", "int16x8", "free_batch", "lacking_on_micro"),
    *("flex", "loop", "two_signatures"),
)
BOTH = (Target(), Target(runtime="tflite-micro"))


def of(content: bytes) -> Inspection:
    return inspect(content, "model.tflite", ())


def arithmetic(found: Inspection) -> dict[str, dict[str, int]]:
    return {kind.name: kind.computes_in for kind in found.operators}


def test_the_schema_in_the_docs_is_that_of_the_code():
    """Mend with `python -m tfx_tflite.components.models.inspection`."""
    assert SCHEMA.read_text() == Inspection.json_schema()


@pytest.mark.parametrize("kind", KINDS)
def test_an_inspection_keeps_to_the_schema_and_is_read_again(kind: str):
    found = inspect(inspected(kind), f"{kind}.tflite", BOTH)
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(found.to_keys())
    assert Inspection.parse(found.to_json(), kind) == found
    assert [facts.target for facts in found.targets] == ["litert", "tflite-micro"]


@pytest.mark.parametrize("net", hostile.NETS)
def test_every_operator_and_every_byte_is_counted(net: str):
    content = hostile.net(net)
    found = of(content)
    assert found.size_bytes == len(content)
    parts = found.size_parts
    assert parts.constants + parts.metadata + parts.graph == len(content)
    assert {kind.name: kind.count for kind in found.operators} == Graph(content).operator_counts()
    assert sum(each.size_bytes for each in found.constants) == parts.constants


def test_values_that_tensors_share_count_once():
    content = hostile.edited(
        "dense", lambda draft: draft.main.tensors.append(draft.main.tensors[1])
    )
    before, after = of(hostile.net("dense")).constants, of(content).constants
    assert sum(each.tensors for each in after) == 1 + sum(each.tensors for each in before)
    assert sum(each.size_bytes for each in after) == sum(each.size_bytes for each in before)


def test_a_signature_has_shapes_types_scales_and_zero_points():
    [signature] = of(inspected("free_batch")).signatures
    [x] = signature.inputs
    tensor = Graph(inspected("free_batch")).main.inputs[0]
    assert (signature.name, x.name, x.dtype) == ("serving_default", "x", "int8")
    assert x.shape == (None, 6, 6, 3)
    assert (x.scale, x.zero_point) == (tensor.scales[0], tensor.zero_points[0])


def test_a_float_tensor_has_no_scale():
    [signature] = of(inspected("float32")).signatures
    assert {(each.dtype, each.scale, each.zero_point) for each in signature.inputs} == {
        ("float32", None, None)
    }


def test_several_signatures_name_their_graphs():
    found = of(inspected("two_signatures"))
    assert {(each.name, each.subgraph) for each in found.signatures} == {
        ("add", 0),
        ("multiply", 1),
    }
    assert found.subgraphs == 3


def test_a_file_without_signatures_has_the_main_graphs_tensors():
    def forget(draft):
        draft.tree.signatureDefs = None

    [signature] = of(hostile.edited("dense", forget)).signatures
    assert signature.name is None
    assert [each.shape for each in signature.inputs] == [(1, 32)]


@pytest.mark.parametrize(
    ("kind", "convolution"),
    [
        ("float32", {"float32": 1}),
        ("dynamic_range", {"float32 from int8 weights": 1}),
        ("float16", {"float32": 1}),
        ("int16x8", {"int16": 1}),
        ("free_batch", {"int8": 1}),
    ],
)
def test_it_is_said_what_an_operator_computes_in(kind: str, convolution: dict[str, int]):
    assert arithmetic(of(inspected(kind)))["CONV_2D"] == convolution


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("float32", {("float32", "none")}),
        ("dynamic_range", {("int8", "per channel"), ("int8", "per tensor"), ("float32", "none")}),
        ("float16", {("float16", "none")}),
        ("int16x8", {("int8", "per channel"), ("int8", "per tensor"), ("int64", "per channel")}),
    ],
)
def test_it_is_said_how_weights_are_quantized(kind: str, expected: set[tuple[str, str]]):
    found = {(each.dtype, each.scales) for each in of(inspected(kind)).constants}
    assert expected <= found


def test_what_was_left_in_float_is_named_in_a_quantized_model():
    def leave_the_last_in_float(draft):
        written = draft.main.tensors[draft.main.operators[-1].outputs[0]]
        written.type, written.quantization = 0, None

    content = hostile.edited("dense", leave_the_last_in_float)
    [left] = of(content).float_operators
    assert left.operator == len(Graph(content).operators) - 1
    assert left.name == "FULLY_CONNECTED"


@pytest.mark.parametrize("kind", ["float32", "dynamic_range", "float16"])
def test_nothing_was_left_in_float_where_nothing_is_quantized(kind: str):
    assert of(inspected(kind)).float_operators == ()


def test_a_custom_operator_has_no_versions():
    found = {kind.name: kind.versions for kind in of(inspected("flex")).operators}
    assert found["FlexMatrixInverse"] == ()
    assert found["MATRIX_DIAG"] == (1,)


@pytest.mark.parametrize(
    "content",
    [b"", b"TFL3", b"\0\0\0\0TFL3", hostile.net("dense")[:3000], b"PK\3\4" + bytes(100)],
    ids=["empty", "short", "no root", "cut", "zip"],
)
def test_what_is_no_model_is_said_in_a_line(content: bytes):
    with pytest.raises(
        ModelError, match=r"^model\.tflite is not a valid TensorFlow Lite model: "
    ) as raised:
        check(content, "model.tflite")
    assert "\n" not in str(raised.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [pytest.param(make, id=report) for report, make, _ in hostile.REPORTS]
)
def test_what_ends_interpreters_does_not_end_an_inspection(make):
    content = make()
    try:
        check(content, "model.tflite")
    except ModelError:
        return
    found = inspect(content, "model.tflite", BOTH)
    assert found.size_bytes == len(content)


@pytest.mark.slow
def test_what_vela_has_compiled_is_inspected_too():
    content = accelerate(hostile.net("dense"), "ethos-u55-128").content
    check(content, "model.tflite")
    found = inspect(content, "model.tflite", BOTH)
    assert [kind.name for kind in found.operators] == ["ethos-u"]
    for facts in found.targets:
        assert [each.name for each in facts.unsupported] == ["ethos-u"]
    assert "the firmware must register Arm's kernel" in found.targets[1].unsupported[0].advice


def test_an_inspection_needs_no_tensorflow(tmp_path):
    model = tmp_path / "model.tflite"
    model.write_bytes(hostile.net("dense"))
    subprocess.run(
        [sys.executable, "-m", "tests.components.models.inspecting", str(model)],
        check=True,
        cwd=ROOT,
        env=os.environ,
    )
