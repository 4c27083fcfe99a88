"""Ranges in this process and in one pass, as Beam's workers find them in theirs."""

from collections.abc import Iterable

import numpy as np

from tfx_tflite.components.examples.tensors import Tensors
from tfx_tflite.components.models.flatbuffer import read_graph
from tfx_tflite.components.quantization.ranges.collection import ActivationObserver
from tfx_tflite.components.quantization.ranges.ranges import CombineExtremes, TensorRanges


def collect_ranges(float_tflite: bytes, batches: Iterable[Tensors]) -> TensorRanges:
    """Returns the ranges of a model's activations over batches of calibration tensors."""
    observer, combine = ActivationObserver(float_tflite), CombineExtremes()
    extremes = combine.create_accumulator()
    for inputs in batches:
        places = np.arange(len(next(iter(inputs.values()))))
        combine.add_input(extremes, observer(inputs, extremes.examples, places))
    return extremes.ranges(read_graph(float_tflite).digest, observer.tensors)
