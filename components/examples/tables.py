"""Reading files of columns, by format.

Workers import this module, so it knows nothing of TFX.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import apache_beam as beam
import pyarrow as pa

from tfx_tflite.components.examples import npz, parquet
from tfx_tflite.components.examples.columns import examples_of


@dataclass(frozen=True)
class Table:
    """How files of a format are read.

    Attributes:
        check_alike: Checks that files can be read as one split; raises DataError if not.
        batches: Yields a file's examples as columns of lists.
    """

    check_alike: Callable[[Iterable[str]], None]
    batches: Callable[[str], Iterator[pa.RecordBatch]]


# By `data.format`.
TABLES: Mapping[str, Table] = {
    "npz": Table(npz.check_alike, npz.batches),
    "parquet": Table(parquet.check_alike, parquet.batches),
}


class ReadTables(beam.PTransform):
    """Reads files of columns as serialized tf.Examples, a file a work item.

    Args:
        files: The files.
        data_format: Their format.
    """

    def __init__(self, files: Sequence[str], data_format: str):
        super().__init__()
        self._files = tuple(files)
        self._format = data_format

    def expand(self, root: beam.Pipeline) -> beam.PCollection:
        """Builds the transform."""
        examples = beam.FlatMap(_examples, self._format).with_output_types(bytes)
        return root | "Files" >> beam.Create(self._files) | "Examples" >> examples


def _examples(file: str, data_format: str) -> Iterator[bytes]:
    for batch in TABLES[data_format].batches(file):
        yield from examples_of(batch)
