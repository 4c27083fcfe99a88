"""The executors: what those of one span do, for each of a split's patterns."""

import functools
from collections.abc import Callable

import apache_beam as beam
from tfx.components.example_gen.csv_example_gen import executor as csv_executor
from tfx.components.example_gen.import_example_gen import executor as import_executor

from tfx_tflite.components import example_records
from tfx_tflite.components.artifact_digests import on_known_bytes
from tfx_tflite.components.artifact_files import Artifacts
from tfx_tflite.components.example_tables import TableExecutor
from tfx_tflite.components.input_files import SEPARATOR

# Of execution properties and a pattern, a transform that reads it.
_Read = Callable[[dict[str, object], str], beam.PTransform]


@beam.ptransform_fn
def _read_spans(
    pipeline: beam.Pipeline, read: _Read, exec_properties: dict[str, object], patterns: str
) -> beam.PCollection:
    """Reads the files of several patterns as one collection.

    Args:
        pipeline: What it is applied to.
        read: How TFX reads one pattern, given execution properties and the pattern.
        exec_properties: The execution properties.
        patterns: The patterns, with separators between.
    """
    spans = [
        pipeline | f"Span[{pattern}]" >> read(exec_properties, pattern)
        for pattern in patterns.split(SEPARATOR)
    ]
    return spans | beam.Flatten()


class ImportExecutor(import_executor.Executor):
    """Reads TFRecords of several spans."""

    @on_known_bytes
    def Do(
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, object]
    ) -> None:
        """Does as TFX's own, and records what the files are."""
        super().Do(input_dict, output_dict, exec_properties)

    def GetInputSourceToExamplePTransform(self) -> _Read:
        """Returns how a split is read, given execution properties and patterns."""
        return functools.partial(_read_spans, super().GetInputSourceToExamplePTransform())


class RecordExecutor(example_records.RecordExecutor):
    """Copies TFRecords of several spans."""


class CsvExecutor(csv_executor.Executor):
    """Reads CSV files of several spans."""

    @on_known_bytes
    def Do(
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, object]
    ) -> None:
        """Does as TFX's own, and records what the files are."""
        super().Do(input_dict, output_dict, exec_properties)

    def GetInputSourceToExamplePTransform(self) -> _Read:
        """Returns how a split is read, given execution properties and patterns."""
        return functools.partial(_read_spans, super().GetInputSourceToExamplePTransform())


class _RollingTableExecutor(TableExecutor):
    def GetInputSourceToExamplePTransform(self) -> _Read:
        """Returns how a split is read, given execution properties and patterns."""
        return functools.partial(_read_spans, super().GetInputSourceToExamplePTransform())


class ParquetExecutor(_RollingTableExecutor):
    """Reads Parquet files of several spans."""

    FORMAT = "parquet"


class NpzExecutor(_RollingTableExecutor):
    """Reads .npz files of several spans."""

    FORMAT = "npz"
