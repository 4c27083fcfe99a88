"""Each seeded violation is caught and named; models that keep their promise raise no alarm."""

import numpy as np
import pytest

from tests.components.quantization import seeding, zoo
from tests.components.quantization.seeding import (
    TYPES,
    drop_scale,
    fewer_scales,
    give_scale,
    multiply_scale,
    one_scale,
    other_dimension,
    set_io,
    set_scale,
    set_type,
    set_zero_point,
    store_float32,
)
from tfx_tflite.components.errors import ConversionError
from tfx_tflite.components.models import soundness
from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.quantization.audit.audit import audit, check
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme

pytestmark = pytest.mark.slow

CONV, DENSE = "CONV_2D", "FULLY_CONNECTED"

SEEDED_IN_DIGITS = [
    # Inputs, outputs and operators.
    ("int8", set_io("inputs", TYPES.FLOAT32), "is FLOAT32, expected INT8"),
    ("int8", set_io("outputs", TYPES.FLOAT32), "is FLOAT32, expected INT8"),
    ("int8", set_io("inputs", TYPES.UINT8), "is UINT8, expected INT8"),
    ("int8", seeding.make_custom, "FlexConv2D #0"),
    ("int8", seeding.add_float_signature, "is FLOAT32, expected INT8"),
    ("int8", seeding.add_idle_float, "tensor left_over: is FLOAT32, unused"),
    # Types of activations and weights.
    ("int8", set_type("MAX_POOL_2D", "outputs", 0, TYPES.FLOAT32), "MAX_POOL_2D #"),
    ("int8", set_type(CONV, "inputs", 1, TYPES.FLOAT32), "computes in FLOAT32"),
    ("int8", set_type(CONV, "inputs", 1, TYPES.INT16), "has INT16 weights, not INT8"),
    ("int8", set_type(CONV, "outputs", 0, TYPES.INT16), "has INT16 activations, not INT8"),
    ("int8", set_type(CONV, "outputs", 0, TYPES.UINT8), "has UINT8 activations, not INT8"),
    ("int8", set_type(DENSE, "inputs", 0, TYPES.INT16), "has INT16 activations, not INT8"),
    ("int8", set_type("SOFTMAX", "inputs", 0, TYPES.FLOAT16), "computes in FLOAT16"),
    ("int8_float_io", set_type("SOFTMAX", "inputs", 0, TYPES.FLOAT32), "computes in FLOAT32"),
    ("int8_float_io", set_type(CONV, "outputs", 0, TYPES.FLOAT32), "computes in FLOAT32"),
    ("int16x8", set_type(CONV, "inputs", 0, TYPES.INT8), "has INT8 activations, not INT16"),
    ("int16x8", set_type(CONV, "inputs", 1, TYPES.INT16), "has INT16 weights, not INT8"),
    # Weights.
    ("int8", one_scale(CONV, 1), "has one scale for its weights, not one for each of 16"),
    ("int8", fewer_scales(CONV, 1), "has 15 scales for 16 channels of weights"),
    ("int8", other_dimension(CONV, 1, 3), "has its weights' scales along dimension 3, not 0"),
    ("int8", set_zero_point(CONV, "inputs", 1, 3), "has weights with zero point 3, not 0"),
    ("int8", set_zero_point(DENSE, "inputs", 1, -1), "has weights with zero point -1, not 0"),
    ("int8", seeding.store_lowest_weight, "has weights of -128, which is outside"),
    ("int8", set_scale(CONV, "inputs", 1, 0.0), "has a scale that is not positive"),
    ("int8", drop_scale(CONV, "inputs", 1), "has no scale"),
    # Biases.
    ("int8", set_type(CONV, "inputs", 2, TYPES.INT8), "has INT8 biases, not INT32"),
    ("int8", set_type(CONV, "inputs", 2, TYPES.INT64), "has INT64 biases, not INT32"),
    ("int16x8", set_type(CONV, "inputs", 2, TYPES.INT16), "has INT16 biases, not INT64 or INT32"),
    ("int8", multiply_scale(CONV, "inputs", 2, 1.5), "has biases whose scale is not that"),
    ("int8", fewer_scales(CONV, 2), "has biases whose scale is not that"),
    ("int8", drop_scale(DENSE, "inputs", 2), "has biases whose scale is not that"),
    ("int8", set_zero_point(CONV, "inputs", 2, 5), "has zero point 5, not 0"),
    # Parameters of activations.
    ("int8", drop_scale(CONV, "outputs", 0), "has no scale"),
    ("int8", set_scale(CONV, "outputs", 0, -1.0), "has a scale that is not positive"),
    ("int8", set_scale(CONV, "outputs", 0, float("nan")), "has a scale that is not positive"),
    ("int8", set_zero_point(CONV, "outputs", 0, 200), "has zero point 200, not -128 to 127"),
    ("int16x8", set_zero_point(CONV, "outputs", 0, 1), "INT16 tensor"),
    ("int8", set_scale("SOFTMAX", "outputs", 0, 0.01), "not 0.00390625 and -128"),
    ("int8", set_zero_point("SOFTMAX", "outputs", 0, 0), "zero point 0, not 0.00390625 and -128"),
    ("int16x8", set_scale("SOFTMAX", "outputs", 0, 0.01), "not 3.05176e-05 and 0"),
    ("int8", multiply_scale("MAX_POOL_2D", "outputs", 0, 2.0), "of different scales"),
    ("int8", set_zero_point("RESHAPE", "outputs", 0, 3), "of different scales"),
    # Schemes with float activations.
    ("dynamic_range", set_type(DENSE, "inputs", 1, TYPES.FLOAT32), "FLOAT32 weights, not INT8"),
    ("dynamic_range", set_io("inputs", TYPES.FLOAT16), "is FLOAT16, expected FLOAT32"),
    ("dynamic_range", give_scale(CONV, "outputs", 0), "has quantized INT8 activations"),
    ("dynamic_range", set_zero_point(DENSE, "inputs", 1, 1), "a zero point other than 0"),
    ("dynamic_range", drop_scale(DENSE, "inputs", 1), "INT8 weights without a positive scale"),
    ("float16", store_float32(DENSE), "has FLOAT32 weights, not FLOAT16"),
    ("float16", set_type("MAX_POOL_2D", "outputs", 0, TYPES.FLOAT16), "has FLOAT16 activations"),
    ("float16", give_scale("SOFTMAX", "inputs", 0), "has quantized INT8 activations"),
    ("float32", set_type(DENSE, "inputs", 1, TYPES.INT8), "has INT8 weights, not FLOAT32"),
    ("float32", set_type(CONV, "inputs", 1, TYPES.FLOAT16), "has FLOAT16 weights, not FLOAT32"),
    ("float32", give_scale(DENSE, "inputs", 2), "reads the quantized INT8"),
    # References to what is not there.
    ("int8", seeding.signature_of_a_missing_graph, "refers to subgraph 7, which is missing"),
    ("int8", seeding.signature_of_a_missing_tensor, "refers to tensor 4711 as input 'image'"),
    ("int8", seeding.signature_of_an_inner_tensor, "as output 'probabilities'"),
    ("int8", seeding.operator_of_a_missing_tensor, "operator #0 of subgraph 0: refers to missing"),
    ("int8", seeding.output_of_a_missing_tensor, "subgraph 0: names tensors that it does not"),
    ("int8", seeding.operator_without_code, "operator #0 of subgraph 0: has no operator code"),
    ("int8", seeding.tensor_without_buffer, "has no buffer"),
]

SEEDED_IN_THE_ZOO = [
    ("depthwise", one_scale("DEPTHWISE_CONV_2D", 1), "not one for each of 6"),
    ("depthwise", other_dimension("DEPTHWISE_CONV_2D", 1, 0), "along dimension 0, not 3"),
    ("transposed_convolution", set_type("TRANSPOSE_CONV", "inputs", 1, TYPES.INT16), "INT16 w"),
    ("transposed_convolution", one_scale("TRANSPOSE_CONV", 1), "not one for each of 8"),
    ("batch_matmul", set_type("BATCH_MATMUL", "inputs", 1, TYPES.INT16), "has INT16 weights"),
    ("embedding", set_type("GATHER", "inputs", 0, TYPES.INT16), "has INT16 weights, not INT8"),
    ("embedding", multiply_scale("GATHER", "outputs", 0, 2.0), "of different scales"),
    ("dense_heads", set_scale("LOGISTIC", "outputs", 0, 0.1), "not 0.00390625 and -128"),
    ("dense_heads", set_zero_point("TANH", "outputs", 0, 5), "not 0.0078125 and 0"),
    ("normalised", set_scale("L2_NORMALIZATION", "outputs", 0, 0.1), "not 0.0078125 and 0"),
    ("concatenation", multiply_scale("CONCATENATION", "inputs", 0, 2.0), "of different scales"),
    ("upsampling", multiply_scale("RESIZE_BILINEAR", "outputs", 0, 2.0), "of different scales"),
    ("pieces", set_zero_point("PAD", "outputs", 0, 1), "of different scales"),
    (
        "fused_lstm",
        set_type("UNIDIRECTIONAL_SEQUENCE_LSTM", "inputs", 6, TYPES.INT16),
        "UNIDIRECTIONAL_SEQUENCE_LSTM #0",
    ),
    ("arithmetic", set_type("MUL", "inputs", 1, TYPES.INT16), "has INT16 activations"),
]


@pytest.mark.parametrize(("scheme", "change", "found"), SEEDED_IN_DIGITS)
def test_names_the_layer_that_breaks_the_promise(convert_digits, scheme: str, change, found: str):
    quantization = Recipe(Scheme(scheme))
    content = convert_digits(scheme).quantized
    violations = audit(seeding.seeded(content, change), quantization)
    assert any(found in str(violation) for violation in violations), violations


@pytest.mark.parametrize(("model", "change", "found"), SEEDED_IN_THE_ZOO)
def test_names_layers_of_other_kinds(convert_zoo, model: str, change, found: str):
    if model not in zoo.KERAS and model not in zoo.FUNCTIONS:
        pytest.skip("Keras 2 (tf_keras) is not installed")
    content = convert_zoo(model, "int8")
    violations = audit(seeding.seeded(content, change), Recipe(Scheme.INT8))
    assert any(found in str(violation) for violation in violations), violations


@pytest.mark.parametrize("scheme", ["dynamic_range", "float16", "float32", "int8_float_io"])
def test_a_model_of_another_scheme_is_not_int8(convert_digits, scheme: str):
    assert audit(convert_digits(scheme).quantized, Recipe(Scheme.INT8))


@pytest.mark.parametrize("made", [scheme.value for scheme in Scheme])
@pytest.mark.parametrize("promised", list(Scheme))
def test_no_scheme_passes_for_another(convert_digits, made: str, promised: Scheme):
    violations = audit(convert_digits(made).quantized, Recipe(promised))
    assert bool(violations) is (made != promised.value)


def test_bytes_that_are_no_model_are_named_so():
    with pytest.raises(ConversionError, match="not a TensorFlow Lite flatbuffer"):
        check(b"<html>not found</html>", Recipe(Scheme.INT8))


# What the converter computes in float whatever it is asked for.
LEFT_IN_FLOAT = {
    "attention": {"NEG"},
    "convolutions_of_other_ranks": {"CONV_3D"},
    "roots": {"NEG"} if zoo.HAS_INTEGER_SQRT else {"NEG", "SQRT"},
    "sines": {"COS", "FLOOR_MOD", "SIN"},
}
# What it refuses to convert to 16 bits.
NOT_IN_16_BITS = {
    *("arithmetic", "attention", "best_class", "convolutions_of_other_ranks", "embedding"),
    *("fused_lstm", "normalised", "rearranged", "roots", "sines", "swish"),
}
# What ends the process, or takes all its memory; `test_quarantine.py` has both.
CRASHES = {("lstm", scheme) for scheme in ("int8", "int8_float_io", "int16x8")}
if not zoo.CONVERTS_FUSED_LSTM_TO_FLOAT16:
    CRASHES |= {("fused_lstm", "float16")}
KINDS = [
    *(("float32", None), ("dynamic_range", None), ("float16", None)),
    *(("int8", None), ("int8", "uint8"), ("int8_float_io", None)),
    *(("int16x8", None), ("int16x8", "int16")),
]


# The scheme varies fastest, so that each model is saved and loaded once.
@pytest.mark.parametrize(("scheme", "io_type"), KINDS)
@pytest.mark.parametrize("model", [*zoo.KERAS, *zoo.FUNCTIONS])
def test_real_models_are_refused_only_where_the_converter_left_operators_as_they_were(
    convert_zoo, model: str, scheme: str, io_type: str | None
):
    quantization = Recipe(Scheme(scheme), io_type)
    if (model, scheme) in CRASHES:
        pytest.skip("the converter does not survive it")
    if (model, io_type) == ("mobilenet", "int16"):
        pytest.skip("calibrates for ten seconds to give the model of the other I/O type")
    if model in NOT_IN_16_BITS and scheme == "int16x8":
        with pytest.raises(RuntimeError, match=r"16x8|Max and min"):
            convert_zoo(model, scheme, io_type)
        return
    content = convert_zoo(model, scheme, io_type)
    assert list(soundness.problems(content)) == []
    violations = audit(content, quantization)
    if scheme.startswith("int8"):
        expected = LEFT_IN_FLOAT.get(model, set())
        assert all("computes in FLOAT32" in violation.reason for violation in violations)
    else:
        left = (model, scheme) == ("fused_lstm", "dynamic_range")
        expected = {"UNIDIRECTIONAL_SEQUENCE_LSTM"} if left else set()
    assert {str(violation).split()[0] for violation in violations} == expected


def test_16_bits_with_an_offset_are_refused_as_the_runtime_refuses_them(calibrate_zoo):
    """`mlir_quantize` gives asymmetric ranges to 16 bits, which no kernel takes."""
    import tensorflow as tf

    from tfx_tflite.components.quantization.conversion import from_ranges as calibrated

    quantization = Recipe(Scheme.INT16X8)
    content = calibrated.quantize(calibrate_zoo("dense_heads"), quantization)
    if any("has zero point" in str(violation) for violation in audit(content, quantization)):
        with pytest.raises(RuntimeError, match="zero_point != 0"):
            tf.lite.Interpreter(model_content=content).allocate_tensors()


def test_counts_the_operators(convert_digits):
    counts = Graph(convert_digits("int8").quantized).operator_counts()
    assert counts["CONV_2D"] == 2 and counts["FULLY_CONNECTED"] == 1


def test_reads_stored_values(convert_digits):
    graph = Graph(convert_digits("int8").quantized)
    convolution = next(operator for operator in graph.operators if operator.name == "CONV_2D")
    weights = convolution.operand(1).integers
    assert weights.dtype == np.int8 and np.abs(weights.astype(int)).max() == 127
    assert convolution.operand(2).integers.dtype == np.int32
    assert convolution.operand(0).integers is None
