"""Reading the files of a split through TFXIO.

Workers import this module, so it knows nothing of TFX, which takes them 20 seconds to load.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.tfxio import dataset_options, tf_example_record

from tfx_tflite.components.errors import DataError, in_one_line
from tfx_tflite.components.examples import records
from tfx_tflite.components.examples.tensors import (
    EXAMPLES_A_FILE,
    FILE_KEY,
    POSITION_COLUMN,
    RAW_RECORD_COLUMN,
)

# The one split of the examples that a model is calibrated with.
CALIBRATION = "calibration"


@dataclass(frozen=True)
class SplitFiles:
    """The files of one split of tf.Examples, and how to read them.

    Attributes:
        split: The split's name, for messages.
        files: TFRecord files.
        schema: Types and shapes of the features, serialized; None lets the examples say.
        component: Who reads, for Beam's metrics.
    """

    split: str
    files: tuple[str, ...]
    schema: bytes | None
    component: str

    def tfxio(self, files: Sequence[str] | None = None) -> tf_example_record.TFExampleRecord:
        """Returns the TFXIO of all the files or of some, with the examples in `RAW_RECORD_COLUMN`.

        Args:
            files: Which files; all of them by default.
        """
        schema = None if self.schema is None else schema_pb2.Schema.FromString(self.schema)
        return tf_example_record.TFExampleRecord(
            list(self.files if files is None else files),
            schema=schema,
            raw_record_column_name=RAW_RECORD_COLUMN,
            telemetry_descriptors=[self.component],
        )

    def batches(self, batch_size: int = 1000) -> Iterator[pa.RecordBatch]:
        """Yields the examples in file order, in this process; see `batches_of`.

        Args:
            batch_size: Examples in a batch; the last one of a file may have fewer.

        Raises:
            DataError: A file cannot be read or breaks off.
        """
        for place in range(len(self.files)):
            yield from self.batches_of(place, batch_size)

    def batches_of(self, place: int, batch_size: int) -> Iterator[pa.RecordBatch]:
        """Yields the examples of one file, with the position and the file's name of each batch.

        Args:
            place: Which file, by its place among the split's.
            batch_size: Examples in a batch; the last one may have fewer.

        Raises:
            DataError: The file cannot be read or breaks off; it and the record are named.
        """
        file = self.files[place]
        options = dataset_options.RecordBatchesOptions(
            batch_size=batch_size, drop_final_batch=False, num_epochs=1, shuffle=False
        )
        size = examples = 0
        try:
            for batch in self.tfxio([file]).RecordBatches(options):
                yield _placed(batch, file, place * EXAMPLES_A_FILE + examples)
                examples += batch.num_rows
                size += _size_in_file(batch)
        # TFXIO raises what its decoder finds as RuntimeError.
        except (tf.errors.OpError, RuntimeError) as error:
            problem = records.problem_in(file, self.schema) or f"{file}: {in_one_line(error)}"
            raise DataError(f"split {self.split!r} cannot be read: {problem}") from error
        if not records.is_whole(file, size):
            raise DataError(
                f"split {self.split!r} cannot be read: {records.broken_off(file, examples)}"
            )

    def first_batch(self, batch_size: int) -> pa.RecordBatch:
        """Returns the first examples of the first file that has any, as `ReadBatches` gives them.

        Raises:
            DataError: The split holds no examples, or cannot be read.
        """
        for place in range(len(self.files)):
            for batch in self.batches_of(place, batch_size):
                return batch
        raise DataError(f"split {self.split!r} holds no examples")

    def place(self, position: int) -> tuple[str, int]:
        """Returns the file's name and the number in it of an example at a position."""
        file, number = divmod(position, EXAMPLES_A_FILE)
        return self.files[file].rpartition("/")[2], number


class ReadBatches(beam.PTransform):
    """Reads a split as RecordBatches, a file a work item.

    ExampleGen writes gzipped files, which cannot be split anyway; read whole, examples never pass
    through Beam one by one. Each batch has a column `POSITION_COLUMN`, for `SplitFiles.place`,
    and its file's name in the metadata of its schema, for `tensors.place_of`.

    Args:
        source: The split's files.
        batch_size: Examples in a batch.
    """

    def __init__(self, source: SplitFiles, batch_size: int = 1000):
        super().__init__()
        self._source = source
        self._batch_size = batch_size

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection:
        """Builds the transform."""
        return (
            root
            | "Files" >> beam.Create(range(len(self._source.files)))
            | "Batches" >> beam.FlatMap(_read_file, self._source, self._batch_size)
        )


def _size_in_file(batch: pa.RecordBatch) -> int:
    """Returns how many bytes the records of a batch have in their file, uncompressed."""
    raw = batch.column(batch.schema.get_field_index(RAW_RECORD_COLUMN)).flatten()
    return int(pc.sum(pc.binary_length(raw)).as_py() or 0) + records.FRAME * len(raw)


def with_position(batch: pa.RecordBatch) -> tuple[int, pa.RecordBatch]:
    """Returns a batch of `ReadBatches` with the position of its first example."""
    column = batch.column(batch.schema.get_field_index(POSITION_COLUMN))
    return column.flatten()[0].as_py(), batch


def _read_file(place: int, source: SplitFiles, batch_size: int) -> Iterator[pa.RecordBatch]:
    yield from source.batches_of(place, batch_size)


def _placed(batch: pa.RecordBatch, file: str, position: int) -> pa.RecordBatch:
    """Returns a batch that says which file it is of, and where each of its examples is.

    Args:
        batch: The batch.
        file: The file.
        position: Of its first example.
    """
    positions = np.arange(position, position + batch.num_rows)
    column = pa.ListArray.from_arrays(np.arange(batch.num_rows + 1, dtype=np.int32), positions)
    placed = pa.RecordBatch.from_arrays(
        [*batch.columns, column], [*batch.schema.names, POSITION_COLUMN]
    )
    return placed.replace_schema_metadata({FILE_KEY: file.rpartition("/")[2].encode()})
