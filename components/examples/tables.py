"""Files of columns, by format: what they hold, without Beam or TensorFlow."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples import npz, parquet
from tfx_tflite.components.examples.first_records import Kind


@dataclass(frozen=True)
class Table:
    """How files of a format are read.

    Attributes:
        features: Returns what the values of a file's features are, by name: int, float or text.
            Both raise DataError if that cannot be told, and NotKnownError.
        batches: Yields a file's examples as columns of lists.
    """

    features: Callable[[str], dict[str, Kind]]
    batches: Callable[[str], Iterator[pa.RecordBatch]]


# By `data.format`.
TABLES: Mapping[str, Table] = {
    "npz": Table(npz.features, npz.batches),
    "parquet": Table(parquet.features, parquet.batches),
}


def check_alike(files: Iterable[str], data_format: str) -> None:
    """Checks that the files of a split can be read as one: with the same features.

    Args:
        files: The files.
        data_format: Their format.

    Raises:
        DataError: One lacks a feature, has another kind of values, or is not of the format.
        NotKnownError: One cannot be read.
    """
    first: tuple[str, dict[str, Kind]] | None = None
    for file in files:
        found = TABLES[data_format].features(file)
        first = first or (file, found)
        for name in sorted({*found, *first[1]}):
            here, there = (kinds.get(name, "not there") for kinds in (found, first[1]))
            if here != there:
                raise DataError(
                    f"{name!r} is {here} in {file}, but {there} in {first[0]}; give all files of "
                    "a split the same columns or arrays"
                )
