"""Each seeded violation is caught; models that keep their promise raise no alarm.

The other half of that sentence is tested with the conversions themselves.
"""

import pytest
from tensorflow.lite.tools import flatbuffer_utils

from tfx_tflite.components.schemes import Quantization, Scheme
from tfx_tflite.components.tflite_quantizer.audit import audit
from tfx_tflite.components.tflite_quantizer.flatbuffer import FlatbufferGraph

pytestmark = pytest.mark.slow

TYPES = flatbuffer_utils.schema_fb.TensorType


def seeded(content: bytes, change) -> bytes:
    """Returns the model after a change to its object tree."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    change(model, model.subgraphs[0])
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def first(model, graph, name: str):
    """Returns the first operator of a kind."""
    return next(
        operator
        for operator in graph.operators
        if flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex) == name
    )


def set_type(kind: str, side: str, position: int, type_code: int):
    """Gives an operator's input or output tensor another type."""

    def change(model, graph):
        index = getattr(first(model, graph, kind), side)[position]
        graph.tensors[index].type = type_code

    return change


def set_io(side: str, type_code: int):
    def change(model, graph):
        graph.tensors[getattr(graph, side)[0]].type = type_code

    return change


def store_weights_as_float32(model, graph):
    weights = first(model, graph, "FULLY_CONNECTED").inputs[1]
    source = next(operator for operator in graph.operators if operator.outputs[0] == weights)
    graph.tensors[source.inputs[0]].type = TYPES.FLOAT32


def make_custom(model, graph):
    code = model.operatorCodes[first(model, graph, "CONV_2D").opcodeIndex]
    code.builtinCode = code.deprecatedBuiltinCode = (
        flatbuffer_utils.schema_fb.BuiltinOperator.CUSTOM
    )
    code.customCode = "FlexConv2D"


@pytest.mark.parametrize(
    ("scheme", "change", "found"),
    [
        ("int8", set_io("inputs", TYPES.FLOAT32), "is FLOAT32, expected INT8"),
        ("int8", set_io("outputs", TYPES.FLOAT32), "is FLOAT32, expected INT8"),
        ("int8", set_type("MAX_POOL_2D", "outputs", 0, TYPES.FLOAT32), "computes in FLOAT32"),
        ("int8", set_type("CONV_2D", "inputs", 1, TYPES.FLOAT32), "computes in FLOAT32"),
        ("int8", set_type("CONV_2D", "inputs", 1, TYPES.INT16), "has INT16 weights"),
        ("int8", set_type("FULLY_CONNECTED", "inputs", 0, TYPES.INT16), "has INT16 activations"),
        ("int8", set_type("SOFTMAX", "inputs", 0, TYPES.FLOAT16), "computes in FLOAT16"),
        ("int8", make_custom, "FlexConv2D #0"),
        ("int8_float_io", set_type("SOFTMAX", "inputs", 0, TYPES.FLOAT32), "computes in FLOAT32"),
        ("int8_float_io", set_type("CONV_2D", "outputs", 0, TYPES.FLOAT32), "computes in FLOAT32"),
        ("int16x8", set_type("CONV_2D", "inputs", 0, TYPES.INT8), "has INT8 activations"),
        ("int16x8", set_type("CONV_2D", "inputs", 1, TYPES.INT16), "has INT16 weights"),
        (
            "dynamic_range",
            set_type("FULLY_CONNECTED", "inputs", 1, TYPES.FLOAT32),
            "FLOAT32 weights",
        ),
        ("dynamic_range", set_io("inputs", TYPES.FLOAT16), "is FLOAT16, expected FLOAT32"),
        ("float16", store_weights_as_float32, "FLOAT32 weights"),
        ("float32", set_type("FULLY_CONNECTED", "inputs", 1, TYPES.INT8), "INT8 weights"),
    ],
)
def test_names_the_layer_that_breaks_the_promise(convert_digits, scheme: str, change, found: str):
    quantization = Quantization(Scheme(scheme))
    content = convert_digits(scheme).quantized
    assert audit(content, quantization) == []
    violations = audit(seeded(content, change), quantization)
    assert any(found in str(violation) for violation in violations), violations


@pytest.mark.parametrize("scheme", ["dynamic_range", "float16", "float32", "int8_float_io"])
def test_a_model_of_another_scheme_is_not_int8(convert_digits, scheme: str):
    assert audit(convert_digits(scheme).quantized, Quantization(Scheme.INT8))


def test_counts_the_operators(convert_digits):
    counts = FlatbufferGraph(convert_digits("int8").quantized).operator_counts()
    assert counts["CONV_2D"] == 2 and counts["FULLY_CONNECTED"] == 1
