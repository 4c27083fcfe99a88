"""TensorFlow Lite's converter, asked as it wants to be asked. Runs in the child process only."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfx_tflite.components.errors import ConversionError, listed
from tfx_tflite.components.models.loops_and_state import LIST_COMPLAINT, explain_list_loop
from tfx_tflite.components.quantization.conversion.tensorflow_lite import ConverterError
from tfx_tflite.components.quantization.ranges.scale_groups import with_copied_constants
from tfx_tflite.components.quantization.schemes import Quantization, Scheme

_Samples = Callable[[], Iterator[dict[str, np.ndarray]]]


def to_float32(saved_model: str, signature: str, batch_size: int | None) -> bytes:
    """Returns one signature of a SavedModel as a flatbuffer, nothing quantized.

    Raises:
        ConversionError: There is no such signature.
    """
    function = _function(saved_model, signature, batch_size)
    return _converted(_converter(saved_model, signature, batch_size), function)


def to_scheme(
    saved_model: str,
    signature: str,
    quantization: Quantization,
    samples: Mapping[str, np.ndarray],
) -> bytes:
    """Returns one signature of a SavedModel as a quantized flatbuffer.

    Args:
        saved_model: The float SavedModel.
        signature: The signature to convert.
        quantization: What to convert to.
        samples: Calibration tensors by input name, each of shape (samples, *example_shape).

    Raises:
        ConversionError: There is no such signature.
    """
    converter = _converter(saved_model, signature, quantization.batch_size)
    function = _function(saved_model, signature, quantization.batch_size)
    if quantization.scheme is not Scheme.FLOAT32:
        _configure(converter, quantization, _one_batch_at_a_time(samples, _batch_size(function)))
    converted = _converted(converter, function)
    return with_copied_constants(converted) if quantization.scheme.needs_calibration else converted


# A run asks for several conversions of the same SavedModel.
@functools.lru_cache(maxsize=1)
def _load(saved_model: str) -> Any:
    return tf.saved_model.load(saved_model)


def _converter(saved_model: str, signature: str, batch_size: int | None) -> tf.lite.TFLiteConverter:
    # Not from_saved_model, which aborts on what tf.saved_model.save writes from a Keras 3 model
    # with batch normalisation.
    function = _function(saved_model, signature, batch_size)
    return tf.lite.TFLiteConverter.from_concrete_functions([function], _load(saved_model))


def _function(saved_model: str, signature: str, batch_size: int | None) -> Any:
    signatures = _load(saved_model).signatures
    if signature not in signatures:
        raise ConversionError(
            f"the SavedModel has no signature {signature!r}; it has: {listed(sorted(signatures))}. "
            "Name one of them in model.signature, or export the model with it"
        )
    function = signatures[signature]
    if batch_size is None:
        return function
    _, arguments = function.structured_input_signature
    specs = {
        name: tf.TensorSpec([batch_size, *spec.shape[1:]], spec.dtype, name=name)
        for name, spec in arguments.items()
    }
    return tf.function(lambda **inputs: function(**inputs)).get_concrete_function(**specs)


def _converted(converter: tf.lite.TFLiteConverter, function: Any) -> bytes:
    try:
        return converter.convert()
    except ConverterError as error:
        if LIST_COMPLAINT not in str(error):
            raise
        raise ConversionError(explain_list_loop(function.graph.as_graph_def())) from error


def _batch_size(function: Any) -> int:
    """Returns the batch size that a function has built in, 1 where it takes any."""
    _, arguments = function.structured_input_signature
    return max((spec.shape[0] or 1) for spec in arguments.values())


def _configure(
    converter: tf.lite.TFLiteConverter, quantization: Quantization, samples: _Samples
) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization.scheme is Scheme.FLOAT16:
        converter.target_spec.supported_types = [tf.float16]
    if not quantization.scheme.needs_calibration:
        return
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        if quantization.scheme is Scheme.INT16X8
        else tf.lite.OpsSet.TFLITE_BUILTINS_INT8
    ]
    io_type = tf.as_dtype(quantization.resolved_io_type)
    converter.inference_input_type = converter.inference_output_type = io_type


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
