"""Ranges written into a float model, and what is quantized from it, against the stock converter."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.lite.python import util

from benchmarks.observation import collect_ranges
from tfx_tflite.components.digests import bytes_digest
from tfx_tflite.components.errors import ConversionError
from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization.audit import audit
from tfx_tflite.components.quantization.conversion.from_ranges import quantize, write_ranges
from tfx_tflite.components.quantization.ranges.collection import activation_tensors
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.ranges.ranges import TensorRanges
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme

pytestmark = pytest.mark.slow

MINMAX, PERCENTILE = RangePolicy("minmax"), RangePolicy("percentile")
QUANTIZATIONS = [
    Recipe(Scheme.INT8),
    Recipe(Scheme.INT8, "uint8"),
    Recipe(Scheme.INT8_FLOAT_IO),
    Recipe(Scheme.INT16X8),
    Recipe(Scheme.INT16X8, "int16"),
]


@pytest.fixture(scope="module")
def stock(digits_model: Path, digits_arrays) -> Callable[..., bytes]:
    """The stock converter: the quantized model, or only the calibrated one."""
    images = digits_arrays["train"][0][:100]
    sets = tf.lite.OpsSet

    def convert(quantization: Recipe | None, calibrate_only: bool = False) -> bytes:
        loaded = tf.saved_model.load(str(digits_model))
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [loaded.signatures["serving_tensors"]], loaded
        )
        if quantization is None:
            return converter.convert()
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ({"image": image[None]} for image in images)
        converter.target_spec.supported_ops = [
            sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            if quantization.scheme is Scheme.INT16X8
            else sets.TFLITE_BUILTINS_INT8
        ]
        io_type = tf.as_dtype(quantization.resolved_io_type)
        converter.inference_input_type = converter.inference_output_type = io_type
        converter._experimental_calibrate_only = calibrate_only
        return converter.convert()

    return convert


@pytest.fixture(scope="module")
def digits_tflite(stock) -> bytes:
    return stock(None)


def ranges_in(calibrated: bytes, float_tflite: bytes) -> TensorRanges:
    tensors = activation_tensors(float_tflite)
    stored = Graph(calibrated).main.tensors
    minima, maxima = np.array([stored[tensor.index].range for tensor in tensors]).T[:, :, None]
    return TensorRanges(bytes_digest(float_tflite), tensors, 1, minima, maxima)


def without_digest(content: bytes) -> bytes:
    """Returns a model whose record of its conversion has no digest, as before TensorFlow 2.21.

    It is of what was converted: here of the float model, there of one that is to be calibrated.
    """
    record = util.get_conversion_metadata(content)
    digest = getattr(record.environment, "modelHash", 0)
    return content.replace(digest.to_bytes(8, "little"), bytes(8)) if digest else content


@pytest.mark.parametrize("quantization", QUANTIZATIONS, ids=str)
def test_from_the_stock_ranges_comes_the_stock_model_byte_for_byte(
    stock, digits_tflite: bytes, quantization: Recipe
):
    calibrated = stock(Recipe(quantization.scheme), calibrate_only=True)
    ranges = ranges_in(calibrated, digits_tflite)
    calibrated = write_ranges(digits_tflite, ranges, MINMAX)
    ours, theirs = (
        without_digest(content)
        for content in (quantize(calibrated, quantization), stock(quantization))
    )
    assert ours == theirs


def test_one_calibration_serves_every_scheme(digits_tflite: bytes, digits_arrays):
    images, labels = digits_arrays["eval"]
    ranges = collect_ranges(digits_tflite, [{"image": digits_arrays["train"][0][:100]}])
    calibrated = write_ranges(digits_tflite, ranges, MINMAX)
    for quantization in QUANTIZATIONS:
        content = quantize(calibrated, quantization)
        assert audit.audit(content, quantization) == []
        predicted = TFLiteModel(content).predict({"image": images})["probabilities"].argmax(axis=1)
        assert (predicted == labels).mean() > 0.9


def test_an_outlier_costs_nothing_with_the_percentile(digits_tflite: bytes, digits_arrays):
    images = digits_arrays["train"][0][:200]
    with_outlier = np.concatenate([images, images[:1] * 20])
    clean = collect_ranges(digits_tflite, [{"image": images}]).resolve(MINMAX)
    ranges = collect_ranges(digits_tflite, [{"image": with_outlier}])
    for usual, widest, found in zip(
        clean, ranges.resolve(MINMAX), ranges.resolve(PERCENTILE), strict=True
    ):
        assert usual.minimum <= found.minimum <= found.maximum <= usual.maximum
        assert widest.maximum >= found.maximum
    assert ranges.resolve(MINMAX)[0].maximum == 20


def test_a_constant_zero_input_still_quantizes(digits_tflite: bytes):
    ranges = collect_ranges(digits_tflite, [{"image": np.zeros((5, 8, 8, 1), np.float32)}])
    assert ranges.warnings()[0].startswith("input 'image' is 0 in all 5 calibration examples")
    for quantization in QUANTIZATIONS:
        content = quantize(write_ranges(digits_tflite, ranges, MINMAX), quantization)
        assert audit.audit(content, quantization) == []


def test_ranges_of_another_model_are_refused(float_tflite, digits_tflite: bytes):
    other = float_tflite(lambda x: x * 2.0, x=([None, 2], "float32"))
    ranges = collect_ranges(other, [{"x": np.ones((1, 2), np.float32)}])
    with pytest.raises(ConversionError, match=r"collected from model .* calibrate this model anew"):
        write_ranges(digits_tflite, ranges, MINMAX)


def test_names_the_operator_that_the_quantizer_refuses(float_tflite):
    content = float_tflite(lambda x: tf.negative(x), x=([None, 2], "float32"))
    ranges = collect_ranges(content, [{"x": np.ones((2, 2), np.float32)}])
    with pytest.raises(ConversionError, match=r"16x8-bit not yet supported for op: 'NEG'"):
        quantize(write_ranges(content, ranges, MINMAX), Recipe(Scheme.INT16X8))
