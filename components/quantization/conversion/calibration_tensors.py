"""The calibration examples as tensors, checked before anything is calibrated with them."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from tfx_tflite.components.errors import DataError, listed
from tfx_tflite.components.examples.tensors import Array, first_non_finite, format_shape
from tfx_tflite.components.models.float_model import InputReader


def collect_tensors(batches: Iterable[pa.RecordBatch], reader: InputReader) -> dict[str, Array]:
    """Returns all calibration tensors by input name, each of shape (samples, *example_shape).

    Args:
        batches: The calibration examples.
        reader: How examples become tensors.

    Raises:
        DataError: There are no examples, they are not of one shape or do not fit the signature, or
            a value is not finite: the converter would skip NaN and take infinity for a range.
    """
    groups = list(tensor_groups(batches, reader))
    if not groups:
        raise DataError("the calibration split holds no examples")
    collected = {}
    for name in groups[0]:
        parts = [group[name] for group in groups]
        shapes = sorted({values.shape[1:] for values in parts})
        if len(shapes) > 1:
            raise DataError(
                f"the calibration examples give input {name!r} in several shapes: "
                f"{listed(format_shape(shape) for shape in shapes)}. The converter's own "
                "calibrator takes one; leave calibration.ranges: stock out"
            )
        collected[name] = np.concatenate(parts)
    return collected


def tensor_groups(
    batches: Iterable[pa.RecordBatch], reader: InputReader
) -> Iterator[dict[str, Array]]:
    """Yields the calibration tensors of examples of one shape, by input name.

    Args:
        batches: The calibration examples.
        reader: How examples become tensors.

    Raises:
        DataError: Examples do not fit the signature, or a value is not finite.
    """
    read = 0
    for batch in batches:
        for group in reader.groups(batch):
            for name, values in group.tensors.items():
                if (bad := first_non_finite(values)) is not None:
                    raise DataError(
                        f"calibration example {read + group.rows[bad]} has NaN or infinity in "
                        f"input {name!r}; remove such examples or clean the feature"
                    )
            yield group.tensors
        read += batch.num_rows
