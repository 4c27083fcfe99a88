"""The executors: what TFX's own do, for each of a split's patterns."""

from collections.abc import Callable

import apache_beam as beam
from tfx.components.example_gen.csv_example_gen import executor as csv_executor
from tfx.components.example_gen.import_example_gen import executor as import_executor

from tfx_tflite.components.rolling_example_gen.driver import SEPARATOR

# Of execution properties and a pattern, a transform that reads it.
_Read = Callable[[dict[str, object], str], beam.PTransform]


class _ReadSpans(beam.PTransform):
    """Reads the files of several patterns as one collection.

    Args:
        read: How TFX reads one pattern, given execution properties and the pattern.
        exec_properties: The execution properties.
        patterns: The patterns, with separators between.
    """

    def __init__(self, read: _Read, exec_properties: dict[str, object], patterns: str):
        super().__init__()
        self._read = read
        self._exec_properties = exec_properties
        self._patterns = patterns.split(SEPARATOR)

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        """Builds the transform."""
        spans = [
            pipeline | f"Span[{pattern}]" >> self._read(self._exec_properties, pattern)
            for pattern in self._patterns
        ]
        return spans | beam.Flatten()


class ImportExecutor(import_executor.Executor):
    """Reads TFRecords of several spans."""

    def GetInputSourceToExamplePTransform(self) -> _Read:
        """Returns how a split is read, given execution properties and patterns."""
        read = super().GetInputSourceToExamplePTransform()
        return lambda exec_properties, patterns: _ReadSpans(read, exec_properties, patterns)


class CsvExecutor(csv_executor.Executor):
    """Reads CSV files of several spans."""

    def GetInputSourceToExamplePTransform(self) -> _Read:
        """Returns how a split is read, given execution properties and patterns."""
        read = super().GetInputSourceToExamplePTransform()
        return lambda exec_properties, patterns: _ReadSpans(read, exec_properties, patterns)
