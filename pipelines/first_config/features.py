"""What the first examples of data hold, whatever their format. Importing this loads TensorFlow."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples import first_records
from tfx_tflite.components.examples.columns import examples_of
from tfx_tflite.components.examples.settings import DataFormat
from tfx_tflite.components.examples.splits import SplitFiles
from tfx_tflite.components.examples.tables import TABLES
from tfx_tflite.components.examples.tensors import RAW_RECORD_COLUMN

# How many examples are looked at, and of how many files.
_EXAMPLES = 5000
_FILES = 20
_KINDS = {pa.int64(): "int", pa.float32(): "float", pa.binary(): "text"}

Value = int | float | bytes


@dataclass(frozen=True)
class Feature:
    """A feature of the examples that were looked at.

    Attributes:
        name: Its name.
        kind: int, float or text.
        rows: The values of each example that has any.
        missing: How many examples have none.
    """

    name: str
    kind: str
    rows: Sequence[Sequence[Value]]
    missing: int

    @property
    def size(self) -> int | None:
        """How many values each example has; None if that differs, or some have none."""
        sizes = {len(row) for row in self.rows}
        return sizes.pop() if len(sizes) == 1 and not self.missing else None

    @property
    def numbers(self) -> list[list[int | float]]:
        """The numbers of each example; none of texts."""
        return [[value for value in row if not isinstance(value, bytes)] for row in self.rows]

    @property
    def values(self) -> set[Value]:
        """All values."""
        return {value for row in self.rows for value in row}


def first_examples(
    split: str, files: Sequence[str], data_format: DataFormat, most: int = _EXAMPLES
) -> list[pa.RecordBatch]:
    """Returns the first examples of the first files, as columns of lists.

    Args:
        split: The split, for messages.
        files: Its files.
        data_format: Their format.
        most: How many examples, of all files together.

    Raises:
        DataError: A file cannot be read, or there are no examples.
    """
    looked_at = files[:_FILES]
    most_of_one = max(most // len(looked_at), 1)
    found = []
    for place in range(len(looked_at)):
        batches = _batches(split, looked_at, place, data_format, most_of_one)
        for batch in islice(batches, 1):
            found.append(batch.slice(0, most_of_one))
    if not any(batch.num_rows for batch in found):
        raise DataError(f"split {split!r} holds no examples ({files[0]})")
    return found


def features_of(batches: Sequence[pa.RecordBatch]) -> dict[str, Feature]:
    """Returns the features of examples by name, in their order."""
    names = dict.fromkeys(name for batch in batches for name in batch.schema.names)
    examples = sum(batch.num_rows for batch in batches)
    return {name: _feature(name, batches, examples) for name in names if not name.startswith("__")}


def with_records(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Returns a batch with its examples as tf.Examples, for a preprocessing signature."""
    if RAW_RECORD_COLUMN in batch.schema.names:
        return batch
    records = pa.array([[record] for record in examples_of(batch)], pa.list_(pa.binary()))
    return pa.RecordBatch.from_arrays(
        [*batch.columns, records], [*batch.schema.names, RAW_RECORD_COLUMN]
    )


def _feature(name: str, batches: Sequence[pa.RecordBatch], examples: int) -> Feature:
    columns = [
        batch.column(batch.schema.get_field_index(name))
        for batch in batches
        if name in batch.schema.names
    ]
    kinds = {_kind_of(column.type) for column in columns} - {"unknown"}
    rows = [row for column in columns for row in column.to_pylist() if row]
    return Feature(name, kinds.pop() if kinds else "unknown", rows, examples - len(rows))


def _kind_of(column: pa.DataType) -> str:
    is_list = pa.types.is_list(column) or pa.types.is_large_list(column)
    value = column.value_type if is_list else column
    return "text" if pa.types.is_large_binary(value) else _KINDS.get(value, "unknown")


def _batches(
    split: str, files: Sequence[str], place: int, data_format: DataFormat, most: int
) -> Iterator[pa.RecordBatch]:
    if data_format == "tfrecord":
        return SplitFiles(split, tuple(files), None, "init").batches_of(place, most)
    if data_format == "csv":
        return _rows(files[place], most)
    return TABLES[data_format].batches(files[place])


def _rows(file: str, most: int) -> Iterator[pa.RecordBatch]:
    """Yields the first rows of a CSV file, with the types that CsvExampleGen finds.

    Raises:
        DataError: It is none that CsvExampleGen reads as its author means it.
    """
    # What `validate` would say of the file afterwards.
    first_records.read(file, "csv")
    try:
        with Path(file).open(encoding="utf-8", newline="") as lines:
            rows = csv.reader(lines)
            header = next(rows, [])
            cells = [row for row in islice(rows, most) if row]
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not text in UTF-8") from error
    except csv.Error as error:
        raise DataError(f"{file} is not CSV: {error}") from error
    wrong = next((row for row in cells if len(row) != len(header)), None)
    if wrong is not None:
        raise DataError(
            f"a row of {file} has {len(wrong)} values, but the header {len(header)}: "
            f"{','.join(wrong)[:60]!r}"
        )
    columns = [_cells([row[place] for row in cells]) for place in range(len(header))]
    if columns:
        yield pa.RecordBatch.from_arrays(columns, header)


def _cells(texts: Sequence[str]) -> pa.Array:
    there = [text for text in texts if text]
    kinds: tuple[tuple[Callable[[str], Value], pa.DataType], ...] = (
        (int, pa.int64()),
        (float, pa.float32()),
        (str.encode, pa.binary()),
    )
    for convert, kind in kinds:
        try:
            converted = iter([convert(text) for text in there])
        except ValueError:
            continue
        return pa.array([[next(converted)] if text else [] for text in texts], pa.list_(kind))
    raise AssertionError("every text has bytes")
