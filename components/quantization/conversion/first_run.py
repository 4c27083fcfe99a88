"""Whether TensorFlow Lite's runtime takes a converted model: not all that converts is taken.

The first run is in a copy of the process, since some models end it.
"""

from collections.abc import Iterator, Sequence

from tfx_tflite.components.errors import ConversionError, telling_line
from tfx_tflite.components.examples.tensors import Tensors
from tfx_tflite.components.models.flatbuffer import read_graph
from tfx_tflite.components.models.process_copy import in_a_copy
from tfx_tflite.components.models.runtime import example_shapes, open_model
from tfx_tflite.components.models.tflite_model import TFLiteModel

# What free axes beside the batch are tried with.
_FREE_SIZES = (1, 32, 256)
# Seconds that the converted model may take for its first batch.
_LONGEST_FIRST_RUN = 300.0


def check_runs(quantized: bytes, examples: Sequence[Tensors]) -> None:
    """Checks that the runtime takes the model, which it does not take all that converts.

    Args:
        quantized: The flatbuffer.
        examples: Whose shape is tried.

    Raises:
        ConversionError: It does not.
    """
    ended = in_a_copy(lambda: _run_first(quantized, examples), _LONGEST_FIRST_RUN)
    if ended.killed_by or not ended.in_time:
        what = f"crashes ({ended.killed_by})" if ended.killed_by else "does not come to an end"
        raise ConversionError(
            f"TensorFlow Lite's runtime {what} on the converted model; choose another "
            "quantization.scheme"
        )
    problem: Exception | None = None
    for shapes in _shapes_to_try(quantized, examples):
        try:
            model = open_model(quantized)
            model.allocate(example_shapes(model, shapes))
            return
        except (RuntimeError, ValueError) as error:
            problem = problem or error
    raise ConversionError(
        f"TensorFlow Lite's runtime refuses the converted model: {telling_line(str(problem))}; "
        "choose another quantization.scheme"
    ) from problem


def _run_first(quantized: bytes, examples: Sequence[Tensors]) -> None:
    """Loads the model as it is loaded later, and runs it on the first examples if there are any."""
    open_model(quantized)
    if examples:
        TFLiteModel(quantized).predict(examples[0])


def _shapes_to_try(
    quantized: bytes, examples: Sequence[Tensors]
) -> Iterator[dict[str, tuple[int, ...]]]:
    """Yields shapes of an example by input name, the batch dimension first.

    Without an example a free axis has no size of its own, and 1 is too small for a convolution with
    valid padding, so larger ones are tried too.
    """
    if examples:
        yield {name: (1, *values.shape[1:]) for name, values in examples[0].items()}
        return
    signatures = read_graph(quantized).signatures
    inputs = {name: found for each in signatures for name, found in each.inputs.items()}
    for size in _FREE_SIZES:
        yield {
            name: (1, *(size if axis == -1 else axis for axis in tensor.signature_shape[1:]))
            for name, tensor in inputs.items()
        }
