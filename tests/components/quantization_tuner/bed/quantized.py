"""A net of the bed quantized as the pipeline does it, in this process and with no repair."""

from collections.abc import Mapping

import numpy as np

from tests.components.quantization_tuner.bed.cases import OUTPUT, Case
from tests.components.quantization_tuner.bed.data import Array, Examples
from tfx_tflite.components.models.flatbuffer import read_graph
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization.conversion.from_ranges import quantize, write_ranges
from tfx_tflite.components.quantization.conversion.rewrites import rewritten
from tfx_tflite.components.quantization.ranges.collection import ActivationObserver
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.ranges.ranges import CombineExtremes, TensorRanges
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme


def ranges(float_tflite: bytes, *groups: Mapping[str, Array]) -> TensorRanges:
    """Returns the ranges of a model's activations over groups of calibration examples."""
    observer, combine = ActivationObserver(float_tflite), CombineExtremes()
    extremes, seen = combine.create_accumulator(), 0
    for inputs in groups:
        places = np.arange(len(next(iter(inputs.values()))))
        extremes = combine.add_input(extremes, observer(inputs, seen, places))
        seen += len(places)
    return extremes.ranges(read_graph(float_tflite).digest, observer.tensors)


def plain(
    float_tflite: bytes,
    inputs: Mapping[str, Array],
    scheme: Scheme = Scheme.INT8,
    policy: str = "robust",
) -> bytes:
    """Returns a float model quantized to a scheme that calibrates, with no repair.

    Args:
        float_tflite: The float model.
        inputs: Calibration examples by input name.
        scheme: The scheme.
        policy: A kind of `RangePolicy`.
    """
    taken = rewritten(float_tflite)
    calibrated = write_ranges(taken, ranges(taken, inputs), RangePolicy(policy), scheme)
    return quantize(calibrated, Recipe(scheme))


def score(case: Case, content: bytes, examples: Examples) -> float:
    """Returns a model's figure on examples, with the runtime's default kernels."""
    outputs = TFLiteModel(content).predict(examples.inputs)[OUTPUT]
    return case.score(outputs, examples.labels)
