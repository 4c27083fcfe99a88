"""The child process of `conversion.py`: reads a request, converts, writes the models or why not.

Run as `python -m tfx_tflite.components.tflite_quantizer.converter DIRECTORY`.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfx_tflite.components.schemes import Scheme
from tfx_tflite.components.tflite_quantizer import conversion

_Samples = Callable[[], Iterator[dict[str, np.ndarray]]]


def main(directory: Path) -> None:
    """Converts as the request in `directory` says."""
    request = conversion.ConversionRequest.read(directory)
    try:
        float32, quantized = _convert(request, directory / conversion.CALIBRATION)
    except Exception as error:
        failure = {"kind": type(error).__name__, "message": str(error)}
        (directory / conversion.FAILURE).write_text(json.dumps(failure), encoding="utf-8")
        raise
    (directory / conversion.FLOAT_TFLITE).write_bytes(float32)
    (directory / conversion.QUANTIZED_TFLITE).write_bytes(quantized)


def _convert(request: conversion.ConversionRequest, calibration: Path) -> tuple[bytes, bytes]:
    model = tf.saved_model.load(request.saved_model)
    function = _concrete_function(model, request)
    # Not from_saved_model, which aborts on what tf.saved_model.save writes from a Keras 3 model
    # with batch normalisation.
    float32 = tf.lite.TFLiteConverter.from_concrete_functions([function], model).convert()
    if request.scheme == Scheme.FLOAT32.value:
        return float32, float32
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
    samples = conversion.read_samples(calibration) if calibration.exists() else {}
    _configure(converter, request, _one_batch_at_a_time(samples, _batch_size(function)))
    return float32, converter.convert()


def _concrete_function(model: Any, request: conversion.ConversionRequest) -> Any:
    function = model.signatures[request.signature]
    if request.batch_size is None:
        return function
    _, arguments = function.structured_input_signature
    specs = {
        name: tf.TensorSpec([request.batch_size, *spec.shape[1:]], spec.dtype, name=name)
        for name, spec in arguments.items()
    }
    return tf.function(lambda **inputs: function(**inputs)).get_concrete_function(**specs)


def _batch_size(function: Any) -> int:
    """Returns the batch size that a function has built in, 1 where it takes any."""
    _, arguments = function.structured_input_signature
    return max((spec.shape[0] or 1) for spec in arguments.values())


def _configure(
    converter: tf.lite.TFLiteConverter, request: conversion.ConversionRequest, samples: _Samples
) -> None:
    scheme = Scheme(request.scheme)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if scheme is Scheme.FLOAT16:
        converter.target_spec.supported_types = [tf.float16]
    if not scheme.needs_calibration:
        return
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        if scheme is Scheme.INT16X8
        else tf.lite.OpsSet.TFLITE_BUILTINS_INT8
    ]
    converter.inference_input_type = tf.as_dtype(request.io_type)
    converter.inference_output_type = tf.as_dtype(request.io_type)


def _one_batch_at_a_time(samples: Mapping[str, np.ndarray], batch_size: int) -> _Samples:
    """Returns the calibration set as dicts by input name.

    Lists would have to be in an order that is neither the declared nor the alphabetical one, and a
    wrong order converts silently. The last batch repeats its last example to be full.
    """

    def batches() -> Iterator[dict[str, np.ndarray]]:
        count = len(next(iter(samples.values())))
        for start in range(0, count, batch_size):
            rows = np.minimum(np.arange(start, start + batch_size), count - 1)
            yield {name: values[rows] for name, values in samples.items()}

    return batches


if __name__ == "__main__":
    main(Path(sys.argv[1]))
