"""How executors read files of columns: ExampleGen of one span, and of several."""

import functools
import posixpath
from collections.abc import Callable
from typing import ClassVar

import apache_beam as beam
from tfx.components.example_gen.base_example_gen_executor import BaseExampleGenExecutor
from tfx.dsl.io import fileio
from tfx.types import standard_component_specs

from tfx_tflite.components.artifact_digests import on_known_bytes
from tfx_tflite.components.artifact_files import Artifacts
from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples.read_tables import ReadTables
from tfx_tflite.components.examples.tables import check_alike


class TableExecutor(BaseExampleGenExecutor):
    """Makes tf.Examples of files that hold columns."""

    FORMAT: ClassVar[str]

    @on_known_bytes
    def Do(
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, object]
    ) -> None:
        """Does as TFX's own, and records what the files are."""
        super().Do(input_dict, output_dict, exec_properties)

    def GetInputSourceToExamplePTransform(
        self,
    ) -> Callable[[dict[str, object], str], beam.PTransform]:
        """Returns how a split is read, given execution properties and a pattern."""
        return functools.partial(_read, self.FORMAT)


def _read(data_format: str, exec_properties: dict[str, object], pattern: str) -> beam.PTransform:
    """Returns what reads the files that match a pattern.

    Raises:
        DataError: There are none, or they cannot be read as one split.
        NotKnownError: One cannot be read.
    """
    base = str(exec_properties[standard_component_specs.INPUT_BASE_KEY])
    files = sorted(map(str, fileio.glob(posixpath.join(base, pattern))))
    if not files:
        raise DataError(f"no file matches {posixpath.join(base, pattern)}")
    check_alike(files, data_format)
    return ReadTables(files, data_format)
