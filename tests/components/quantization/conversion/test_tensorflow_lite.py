"""What TensorFlow Lite's converter is inside: if a test fails, upstream is not what we call."""

import copy
import inspect

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.lite.python import convert, lite, util
from tensorflow.lite.python.optimize import calibrator
from tensorflow.lite.tools import flatbuffer_utils

from tfx_tflite.components.models import object_tree
from tfx_tflite.components.models.flatbuffer import read_graph
from tfx_tflite.components.quantization.conversion import tensorflow_lite

pytestmark = [pytest.mark.slow, pytest.mark.generations]

SAMPLES = np.random.default_rng(0).uniform(-1, 1, (80, 64)).astype(np.float32)


def converter_of(**options: object) -> tf.lite.TFLiteConverter:
    """Returns the stock converter of two dense layers with the same weights."""
    weights = tf.constant(SAMPLES[:64])

    @tf.function(input_signature=[tf.TensorSpec([1, 64], tf.float32, name="x")])
    def dense(x):
        return {
            "y": tf.nn.relu(tf.linalg.matmul(tf.nn.relu(tf.linalg.matmul(x, weights)), weights))
        }

    module = tf.Module()
    module.dense = dense
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [dense.get_concrete_function()], module
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample[None]] for sample in SAMPLES)
    for name, value in options.items():
        setattr(converter, name, value)
    return converter


@pytest.fixture(scope="module")
def calibrated() -> bytes:
    """The float model with ranges, as the stock converter quantizes it."""
    return bytes(converter_of(_experimental_calibrate_only=True).convert())


def types(model: bytes) -> set[str]:
    interpreter = tf.lite.Interpreter(model_content=model)
    return {np.dtype(detail["dtype"]).name for detail in interpreter.get_tensor_details()}


def test_ranges_in_a_model_are_what_the_quantizer_for_int8_goes_by(calibrated: bytes):
    quantized = tensorflow_lite.to_int8(calibrated, tf.int8)
    assert "float32" in types(calibrated) and "float32" not in types(quantized)


def test_it_makes_what_the_public_converter_makes(calibrated: bytes):
    converter = converter_of(inference_input_type=tf.int8, inference_output_type=tf.int8)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    stock, ours = (
        tf.lite.Interpreter(model_content=model)
        for model in (bytes(converter.convert()), tensorflow_lite.to_int8(calibrated, tf.int8))
    )
    for before, after in zip(stock.get_tensor_details(), ours.get_tensor_details(), strict=True):
        assert before["quantization"] == after["quantization"]


def test_a_quotient_stays_in_float_if_the_quantizer_is_told_so():
    """TensorFlow 2.21's makes it integer, which not every runtime that takes the file can run."""

    @tf.function(input_signature=[tf.TensorSpec([1, 64], tf.float32, name="x")])
    def quotient(x):
        return {"y": x / (tf.abs(x) + 0.5)}

    module = tf.Module()
    module.quotient = quotient
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [quotient.get_concrete_function()], module
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample[None]] for sample in SAMPLES)
    converter._experimental_calibrate_only = True
    calibrated = bytes(converter.convert())
    untold, ours = (
        {
            operator.outputs[0].type
            for operator in read_graph(model).operators
            if operator.name == "DIV"
        }
        for model in (
            bytes(convert.mlir_quantize(calibrated)),
            tensorflow_lite.to_int8(calibrated, tf.int8),
        )
    )
    is_new = tuple(map(int, tf.__version__.split(".")[:2])) >= (2, 21)
    assert untold == {"INT8" if is_new else "FLOAT32"}
    assert ours == {"FLOAT32"}


def test_the_public_converter_has_no_way_to_quantize_a_calibrated_model():
    assert not hasattr(tf.lite.TFLiteConverter, "from_flatbuffer")
    parameters = inspect.signature(convert.mlir_quantize).parameters
    assert {"input_data_type", "output_data_type", "denylisted_ops"} <= parameters.keys()
    assert next(iter(parameters)) == "input_data_str"


def test_dense_layers_have_a_scale_for_each_output_from_2_19_on():
    model = bytes(converter_of(representative_dataset=None).convert())
    scales = {
        len(operator.inputs[1].scales)
        for operator in read_graph(model).operators
        if operator.name == "FULLY_CONNECTED" and operator.inputs[1].type == "INT8"
    }
    assert scales == {64 if tensorflow_lite.DENSE_PER_CHANNEL else 1}


def test_the_older_quantizer_takes_ranges_in_a_model_that_nothing_was_fed_to(calibrated: bytes):
    found = types(tensorflow_lite.to_int16x8(calibrated, tf.int16))
    assert "int16" in found and "float32" not in found


def test_the_older_quantizer_writes_versions_of_int8_operators_into_a_model_of_int16(
    calibrated: bytes,
):
    """An old runtime would take the model and fail in the middle of it."""
    model = tensorflow_lite.to_int16x8(calibrated, tf.int16)
    [kind] = object_tree.parse(model).operatorCodes
    [right] = tensorflow_lite.operator_versions(model)
    # From 7 on a dense layer takes int16.
    assert kind.version < 7 <= right


def test_the_converters_versions_of_operators_are_left_as_they_are(calibrated: bytes):
    model = tensorflow_lite.to_int8(calibrated, tf.int8)
    kinds = object_tree.parse(model).operatorCodes
    assert tensorflow_lite.operator_versions(model) == [kind.version for kind in kinds]


def test_the_calibrators_public_methods_feed_examples_first():
    source = inspect.getsource(calibrator.Calibrator.calibrate_and_quantize)
    assert source.index("_feed_tensors(") < source.index("_calibrator.QuantizeModel(")
    assert hasattr(calibrator.Calibrator, "calibrate_and_quantize")


def test_the_public_converter_ends_with_shared_constants():
    assert list(inspect.signature(lite._deduplicate_readonly_buffers).parameters) == [
        "tflite_model"
    ]
    assert "_deduplicate_readonly_buffers(" in inspect.getsource(lite.TFLiteConverterBase)


def test_equal_constants_share_a_buffer(calibrated: bytes):
    tree = flatbuffer_utils.convert_bytearray_to_object(
        bytearray(tensorflow_lite.to_int8(calibrated, tf.int8))
    )
    graph = tree.subgraphs[0]
    first, second = (op for op in graph.operators if len(op.inputs) == 3)
    assert first.inputs[1] == second.inputs[1]
    weights = copy.copy(graph.tensors[first.inputs[1]])
    tree.buffers.append(copy.copy(tree.buffers[weights.buffer]))
    weights.buffer = len(tree.buffers) - 1
    second.inputs[1] = len(graph.tensors)
    graph.tensors.append(weights)
    content = bytes(flatbuffer_utils.convert_object_to_bytearray(tree))
    # One of the two matrices of 64 x 64 bytes.
    assert len(content) - len(tensorflow_lite.deduplicated(content)) > 4000


def test_the_converters_record_of_itself_can_be_read_and_written(calibrated: bytes):
    record = util.get_conversion_metadata(calibrated)
    assert record is not None and record.options is not None
    assert util.CONVERSION_METADATA_FIELD_NAME == "CONVERSION_METADATA"
    assert list(inspect.signature(util.populate_conversion_metadata).parameters) == [
        "model_object",
        "metadata",
    ]
