"""Reading files of columns as tf.Examples on Beam.

Workers import this module, so it knows nothing of TFX.
"""

from collections.abc import Iterator, Sequence

import apache_beam as beam

from tfx_tflite.components.examples.columns import examples_of
from tfx_tflite.components.examples.tables import TABLES


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
