"""TensorFlow Lite's converter, asked as it wants to be asked. Runs in the child process only."""

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from tensorflow.lite.python import lite
from tensorflow.python.framework import dtypes

from tfx_tflite.components.errors import ConversionError, listed
from tfx_tflite.components.examples.tensors import Array, Tensors
from tfx_tflite.components.models.loops_and_state import LIST_COMPLAINT, explain_list_loop
from tfx_tflite.components.quantization.conversion.parts_of_tensorflow import load_saved_model
from tfx_tflite.components.quantization.conversion.tensorflow_lite import ConverterError
from tfx_tflite.components.quantization.ranges.scale_groups import with_copied_constants
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Making

if TYPE_CHECKING:
    import tensorflow as tf

# What the converter calls operators with integer activations, by the type of those.
_OPERATOR_SETS = {
    "INT8": lite.OpsSet.TFLITE_BUILTINS_INT8,
    "INT16": lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
}


def convert(
    saved_model: str,
    signature: str,
    recipe: Recipe,
    samples: Tensors,
) -> bytes:
    """Returns one signature of a SavedModel as a flatbuffer, made to a recipe.

    Args:
        saved_model: The float SavedModel.
        signature: The signature to convert.
        recipe: What to make of it.
        samples: Calibration tensors by input name, each of shape (samples, *example_shape); empty
            if the recipe's scheme needs none.

    Raises:
        ConversionError: There is no such signature.
    """
    function = _function(saved_model, signature, recipe.batch_size)
    # Not from_saved_model, which aborts on what tf.saved_model.save writes from a Keras 3 model
    # with batch normalisation.
    converter = lite.TFLiteConverterV2.from_concrete_functions([function], _load(saved_model))
    _configure(converter, recipe)
    if not recipe.scheme.needs_calibration:
        return _converted(converter, function)
    converter.representative_dataset = functools.partial(_batches, samples, _batch_size(function))
    return with_copied_constants(_converted(converter, function))


# A run asks for several conversions of the same SavedModel.
@functools.lru_cache(maxsize=1)
def _load(saved_model: str) -> Any:
    return load_saved_model(saved_model)


def _function(
    saved_model: str, signature: str, batch_size: int | None
) -> "tf.types.experimental.ConcreteFunction":
    signatures = _load(saved_model).signatures
    if signature not in signatures:
        raise ConversionError(
            f"the SavedModel has no signature {signature!r}; it has: {listed(sorted(signatures))}. "
            "Name one of them in model.signature, or export the model with it"
        )
    function = signatures[signature]
    if batch_size is None:
        return function
    # Rarely asked for, and all of TensorFlow's that it takes is imported then.
    import tensorflow as tf

    _, arguments = function.structured_input_signature
    specs = {
        name: tf.TensorSpec([batch_size, *spec.shape[1:]], spec.dtype, name=name)
        for name, spec in arguments.items()
    }
    return tf.function(lambda **inputs: function(**inputs)).get_concrete_function(**specs)


def _converted(
    converter: lite.TFLiteConverterV2, function: "tf.types.experimental.ConcreteFunction"
) -> bytes:
    try:
        return bytes(converter.convert())
    except ConverterError as error:
        if LIST_COMPLAINT not in str(error):
            raise
        raise ConversionError(explain_list_loop(function.graph.as_graph_def())) from error


def _batch_size(function: "tf.types.experimental.ConcreteFunction") -> int:
    """Returns the batch size that a function has built in, 1 if it takes any."""
    _, arguments = function.structured_input_signature
    return max((spec.shape[0] or 1) for spec in arguments.values())


def _configure(converter: lite.TFLiteConverterV2, recipe: Recipe) -> None:
    traits = recipe.scheme.traits
    if traits.making is Making.AS_IT_IS:
        return
    converter.optimizations = [lite.Optimize.DEFAULT]
    if traits.weights == "FLOAT16":
        converter.target_spec.supported_types = [dtypes.float16]
    if traits.activations in _OPERATOR_SETS:
        converter.target_spec.supported_ops = [_OPERATOR_SETS[traits.activations]]
        io_type = dtypes.as_dtype(recipe.resolved_io_type)
        converter.inference_input_type = converter.inference_output_type = io_type


def _batches(samples: Tensors, batch_size: int) -> Iterator[dict[str, Array]]:
    """Yields the calibration set as dicts by input name.

    Lists would have to be in an order that is neither the declared nor the alphabetical one, and a
    wrong order converts silently. The last batch repeats its last example to be full.
    """
    count = len(next(iter(samples.values())))
    for start in range(0, count, batch_size):
        rows = np.minimum(np.arange(start, start + batch_size), count - 1)
        yield {name: values[rows] for name, values in samples.items()}
