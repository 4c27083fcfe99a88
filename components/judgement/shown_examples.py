"""Images of the examples that differ most, for whoever asked for them."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import tensorflow as tf

from tfx_tflite.components.errors import EvaluationError, listed
from tfx_tflite.components.examples.splits import SplitFiles
from tfx_tflite.components.examples.tensors import EXAMPLES_A_FILE, Array, format_shape
from tfx_tflite.components.judgement.answer_sums import MOST_DIFFERING, Differing
from tfx_tflite.components.judgement.evaluation import Evaluation
from tfx_tflite.components.judgement.output_differences import positions_of
from tfx_tflite.components.judgement.prediction import ModelPair

# A larger image is made smaller by leaving out rows and columns.
_LARGEST_SIDE = 128
_CHANNELS = (1, 3, 4)
# What the values of images usually are between.
_USUAL_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))


@dataclass(frozen=True)
class Picture:
    """An example as it is shown.

    Attributes:
        output: The output that differs; None if its name goes without saying.
        example: How it differs.
        png: The image, base64.
    """

    output: str | None
    example: Differing
    png: str


def pictures(pair: ModelPair, source: SplitFiles, evaluation: Evaluation) -> tuple[Picture, ...]:
    """Returns images of at most 12 examples, as many of each output.

    Args:
        pair: The models.
        source: The split, of which the files with these examples are read once more.
        evaluation: What was found.

    Raises:
        EvaluationError: No input of the model is an image.
        DataError: A file cannot be read.
    """
    share = max(1, MOST_DIFFERING // len(evaluation.outputs))
    wanted = [
        (output.key, example)
        for output in evaluation.outputs
        for example in output.comparison.differing[:share]
    ][:MOST_DIFFERING]
    images = _images(pair, source, {example.position for _, example in wanted})
    if not images:
        return ()
    limits = _limits(list(images.values()))
    return tuple(
        Picture(key, example, _png(images[example.position], limits)) for key, example in wanted
    )


def _images(pair: ModelPair, source: SplitFiles, positions: set[int]) -> dict[int, Array]:
    """Returns the images by the examples' positions, each of shape (height, width, channels)."""
    reader = pair.reader()
    found = {}
    for batch in _batches_with(source, positions):
        places = positions_of(batch)
        for group in reader.groups(batch):
            name = _image_input(
                {spec.name: group.tensors[spec.name] for spec in pair.signature.inputs}
            )
            for row, values in zip(group.rows, group.tensors[name], strict=True):
                found[int(places[row])] = values if values.ndim == 3 else values[..., None]
    return found


def _batches_with(source: SplitFiles, positions: set[int]) -> Iterator[pa.RecordBatch]:
    """Yields the examples at some positions; a file without any is not read."""
    for file in sorted({position // EXAMPLES_A_FILE for position in positions}):
        last = max(at for at in positions if at // EXAMPLES_A_FILE == file)
        for batch in source.batches_of(file, 1000):
            places = positions_of(batch)
            rows = np.flatnonzero(np.isin(places, list(positions)))
            if rows.size:
                yield batch.take(pa.array(rows))
            if places[-1] >= last:
                break


def _image_input(inputs: dict[str, Array]) -> str:
    """Returns the name of the input that is an image: of two dimensions, or three with channels."""
    for name, values in inputs.items():
        height_and_width = values.shape[1:3]
        is_large = len(height_and_width) == 2 and min(height_and_width) > 1
        if is_large and (values.ndim == 3 or (values.ndim == 4 and values.shape[3] in _CHANNELS)):
            return name
    found = [f"{name} {format_shape(values.shape[1:])}" for name, values in inputs.items()]
    raise EvaluationError(
        "evaluation.show_examples shows images, and no input of the model is one; it takes: "
        f"{listed(sorted(found))}"
    )


def _limits(images: Sequence[Array]) -> tuple[float, float]:
    """Returns which values are black and white: the usual ones if the images keep to them."""
    lowest = min(float(image.min()) for image in images)
    highest = max(float(image.max()) for image in images)
    for limits in _USUAL_RANGES:
        if limits[0] <= lowest and highest <= limits[1]:
            return limits
    return lowest, highest


def _png(image: Array, limits: tuple[float, float]) -> str:
    step = -(-max(image.shape[:2]) // _LARGEST_SIDE)
    lowest, highest = limits
    shares = (image[::step, ::step].astype(np.float64) - lowest) / ((highest - lowest) or 1.0)
    pixels = np.rint(255 * np.clip(shares, 0, 1)).astype(np.uint8)
    return base64.b64encode(tf.io.encode_png(pixels).numpy()).decode("ascii")
