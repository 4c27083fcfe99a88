"""The calibration examples as tensors, checked before anything is calibrated with them."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.float_model import InputReader


def collect_tensors(
    batches: Iterable[pa.RecordBatch], reader: InputReader
) -> dict[str, np.ndarray]:
    """Returns all calibration tensors by input name, each of shape (samples, *example_shape).

    Args:
        batches: The calibration examples.
        reader: How examples become tensors.

    Raises:
        DataError: There are no examples, they do not fit the signature, or a value is not finite:
            the converter would skip NaN and take infinity for a range.
    """
    parts: dict[str, list[np.ndarray]] = {}
    read = 0
    for batch in batches:
        for name, values in reader(batch).items():
            _check_finite(name, values, read)
            parts.setdefault(name, []).append(values)
        read += batch.num_rows
    if not read:
        raise DataError("the calibration split holds no examples")
    return {name: np.concatenate(values) for name, values in parts.items()}


def _check_finite(name: str, values: np.ndarray, offset: int) -> None:
    if values.dtype.kind != "f":
        return
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if bad.any():
        raise DataError(
            f"calibration example {offset + int(np.argmax(bad))} has NaN or infinity in input "
            f"{name!r}; remove such examples or clean the feature"
        )
