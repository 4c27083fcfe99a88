"""Reading the files of a split through TFXIO.

Workers import this module, so it knows nothing of TFX, which takes them 20 seconds to load.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.coders import example_coder
from tfx_bsl.tfxio import dataset_options, record_based_tfxio, tf_example_record

from tfx_tflite.components.errors import DataError, in_one_line
from tfx_tflite.components.examples import records
from tfx_tflite.components.examples.tensors import (
    EXAMPLES_A_FILE,
    POSITION_COLUMN,
    RAW_RECORD_COLUMN,
    Array,
    file_key,
)
from tfx_tflite.components.object_stores import any_place

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
        """Yields the examples of one file, with their positions and the file's name.

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
        with any_place.local_file(file) as here:
            with self._problems_explained(file, here):
                for batch in self.tfxio([here]).RecordBatches(options):
                    start = place * EXAMPLES_A_FILE + examples
                    yield self._placed(batch, np.arange(start, start + batch.num_rows))
                    examples += batch.num_rows
                    size += _size_in_file(batch)
            self._check_end(file, here, size, examples)

    def records_of(self, place: int, batch_size: int = 1000) -> Iterator[tuple[int, list[bytes]]]:
        """Yields the serialized examples of one file, and the position of the first of each batch.

        They are not decoded, which takes most of the time of reading.

        Args:
            place: Which file, by its place among the split's.
            batch_size: Examples in a batch; the last one may have fewer.

        Raises:
            DataError: The file cannot be read or breaks off.
        """
        file = self.files[place]
        size = examples = 0
        with any_place.local_file(file) as here:
            with self._problems_explained(file, here):
                for batch in records.batches(here, batch_size):
                    yield place * EXAMPLES_A_FILE + examples, batch
                    examples += len(batch)
                    size += sum(map(len, batch)) + records.FRAME * len(batch)
            self._check_end(file, here, size, examples)

    def decoded(self, examples: Sequence[bytes], positions: Sequence[int]) -> pa.RecordBatch:
        """Returns serialized examples of any files as `batches_of` yields those of one.

        Args:
            examples: At least one.
            positions: Where they are in the split.

        Raises:
            DataError: One is not a tf.Example, or has a feature of another type; it is named.
        """
        try:
            decoded = example_coder.ExamplesToRecordBatchDecoder(self.schema).DecodeBatch(examples)
        except RuntimeError as error:
            # Reading them where they are names the record.
            for place in sorted({position // EXAMPLES_A_FILE for position in positions}):
                for _ in self.batches_of(place, len(examples)):
                    pass
            raise DataError(f"split {self.split!r} cannot be read: {in_one_line(error)}") from error
        batch = record_based_tfxio.AppendRawRecordColumn(decoded, RAW_RECORD_COLUMN, examples)
        return self._placed(batch, np.array(positions))

    @contextlib.contextmanager
    def _problems_explained(self, file: str, here: str) -> Iterator[None]:
        """Has what a reader of a file raises say what is wrong with it.

        Args:
            file: The file.
            here: The path that it is read at.
        """
        try:
            yield
        # TFXIO raises what its decoder finds as RuntimeError.
        except (tf.errors.OpError, RuntimeError) as error:
            problem = records.problem_in(here, self.schema) or f"{here}: {in_one_line(error)}"
            problem = problem.replace(here, file)
            raise DataError(f"split {self.split!r} cannot be read: {problem}") from error

    def _check_end(self, file: str, here: str, size: int, examples: int) -> None:
        """Checks that a file ends with what was read of it; see `records.is_whole`."""
        if not records.is_whole(here, size):
            raise DataError(
                f"split {self.split!r} cannot be read: {records.broken_off(file, examples)}"
            )

    def _placed(self, batch: pa.RecordBatch, positions: Array) -> pa.RecordBatch:
        """Returns a batch that says where each of its examples is, and what those files are called.

        Args:
            batch: The batch.
            positions: Of its examples.
        """
        column = pa.ListArray.from_arrays(np.arange(batch.num_rows + 1, dtype=np.int32), positions)
        placed = pa.RecordBatch.from_arrays(
            [*batch.columns, column], [*batch.schema.names, POSITION_COLUMN]
        )
        places = np.unique(positions // EXAMPLES_A_FILE).tolist()
        names = {file_key(place): self.files[place].rpartition("/")[2] for place in places}
        return placed.replace_schema_metadata(names)


class ReadBatches(beam.PTransform):
    """Reads a split as RecordBatches, a file a work item.

    ExampleGen writes gzipped files, which cannot be split anyway; read whole, examples never pass
    through Beam one by one. Each batch has a column `POSITION_COLUMN`, and its file's name in the
    metadata of its schema, for `tensors.place_of`.

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
