"""Parquet files: each column is a feature, and each row an example.

TFX has an executor for Parquet, too. It drops every 0, 0.0 and empty text, so that a label of class
0 is missing, and fails on bytes that are no UTF-8, such as images.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples.columns import KINDS, feature_values, in_lists, target_type
from tfx_tflite.components.examples.data_files import opened
from tfx_tflite.components.examples.first_records import Kind

_BATCH_EXAMPLES = 1000
# Where pandas keeps the numbers of rows.
_INDEX = re.compile(r"__index_level_\d+__")


def features(file: str) -> dict[str, Kind]:
    """Returns what the values of a file's columns are, by name: int, float or text.

    Raises:
        DataError: The file is no Parquet, or a column is none to make a feature of.
        NotKnownError: It cannot be read.
    """
    with _parquet(file) as table:
        return {name: KINDS[kind] for name, kind in _targets(table, file).items()}


def batches(file: str) -> Iterator[pa.RecordBatch]:
    """Yields the rows of a file in order, as columns of lists of int64, float32 or binary.

    Raises:
        DataError: The file is damaged, or a column is none to make a feature of.
        NotKnownError: It cannot be read.
    """
    with _parquet(file) as table:
        names = list(_targets(table, file))
        for batch in table.iter_batches(_BATCH_EXAMPLES, columns=names):
            found = [_feature(batch.column(place), name, file) for place, name in enumerate(names)]
            yield pa.RecordBatch.from_arrays(found, names)


@contextmanager
def _parquet(file: str) -> Iterator[pq.ParquetFile]:
    with opened(file) as stream:
        try:
            yield pq.ParquetFile(stream)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{file} cannot be read as Parquet: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    return str(error).splitlines()[0].rstrip(".")


def _targets(table: pq.ParquetFile, file: str) -> dict[str, pa.DataType]:
    """Returns the type that a tf.Example has for each column, by name.

    Raises:
        DataError: A column has a type that a tf.Example does not.
    """
    found = {}
    for field in table.schema_arrow:
        if _INDEX.fullmatch(field.name):
            continue
        if field.name in found:
            raise DataError(f"{file} has two columns {field.name!r}")
        target = target_type(_value_type(field.type))
        if target is None:
            raise DataError(
                f"column {field.name!r} of {file} has type {field.type}, which a tf.Example cannot "
                f"hold; {_advice(field.type)}"
            )
        found[field.name] = target
    if not found:
        raise DataError(f"{file} has no columns")
    return found


def _value_type(kind: pa.DataType) -> pa.DataType:
    """Returns the type of a column's single values."""
    if isinstance(kind, pa.ExtensionType):
        return _value_type(kind.storage_type)
    if pa.types.is_dictionary(kind) or _is_list(kind):
        return kind.value_type
    return kind


def _is_list(kind: pa.DataType) -> bool:
    is_any = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_kind(kind) for is_kind in is_any)


def _advice(kind: pa.DataType) -> str:
    if _is_list(kind):
        return (
            "write lists in lists as one list with all values in row-major order; the model's "
            "input says their shape"
        )
    return "write it as numbers, texts or lists of them, or leave the column out"


def _feature(column: pa.Array, name: str, file: str) -> pa.Array:
    """Returns a column as a list a row; null where the row lacks it."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    is_missing = column.is_null().to_numpy(zero_copy_only=False)
    there = column.drop_null()
    lengths = np.zeros(len(column), dtype=np.int64)
    lengths[~is_missing] = _lengths(there)
    values = there.flatten() if _is_list(there.type) else there
    what = f"column {name!r} of {file}"
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if values.null_count:
        raise DataError(f"{what} has a list with a null in it; give each of its values")
    return in_lists(feature_values(values, what), lengths, is_missing)


def _lengths(column: pa.Array) -> "np.ndarray[tuple[int], np.dtype[np.int64]] | int":
    if pa.types.is_fixed_size_list(column.type):
        return int(column.type.list_size)
    return np.asarray(column.value_lengths()) if _is_list(column.type) else 1
