"""How executors take TFRecords: ExampleGen of one span, and of several."""

import json

from tfx import types
from tfx.components.example_gen.import_example_gen import executor as import_executor
from tfx.components.util import examples_utils
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import proto_utils

from tfx_tflite.components import artifact_digests
from tfx_tflite.components.artifact_digests import on_known_bytes
from tfx_tflite.components.artifact_files import Artifacts
from tfx_tflite.components.artifact_layout import COPIED_FILES_FILE, SPLIT_SIZES
from tfx_tflite.components.digests import bytes_digest
from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples.copy_records import (
    CopiedFiles,
    CopyRecords,
    copied_files_path,
    shards_of,
)
from tfx_tflite.components.examples.data_files import remove_unfinished
from tfx_tflite.components.input_files import files_and_sizes


class RecordExecutor(import_executor.Executor):
    """Copies the files of each split; see `examples/copy_records.py` for how.

    It is one of ImportExampleGen's kind, by which TFX's and our own code know an ExampleGen.
    """

    @on_known_bytes
    def Do(
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, object]
    ) -> None:
        """Copies the files, and records how many examples there are.

        Raises:
            DataError: A file is damaged, is no TFRecord file or holds no tf.Examples, or there is
                none for a split.
            NotKnownError: A file cannot be read.
        """
        base = str(exec_properties[standard_component_specs.INPUT_BASE_KEY])
        splits = _splits(exec_properties)
        shards = [
            shard
            for split, patterns in splits.items()
            for shard in shards_of(split, files_and_sizes(base, patterns))
        ]
        [output] = output_dict[standard_component_specs.EXAMPLES_KEY]
        with self._make_beam_pipeline() as pipeline:
            _ = pipeline | "CopyRecords" >> CopyRecords(shards, base, output.uri)
        remove_unfinished(output.uri)
        output.split_names = artifact_utils.encode_split_names(list(splits))
        _describe(output)


def _splits(exec_properties: dict[str, object]) -> dict[str, str]:
    """Returns the patterns of the splits by name.

    Raises:
        DataError: They are to be divided by a hash of each example.
    """
    output_config = example_gen_pb2.Output()
    key = standard_component_specs.OUTPUT_CONFIG_KEY
    proto_utils.json_to_proto(str(exec_properties[key]), output_config)
    if output_config.split_config.splits:
        raise DataError(
            "splits cannot be divided by a hash of each example where files are copied as they "
            "are; use TFX's ImportExampleGen for that"
        )
    input_config = example_gen_pb2.Input()
    key = standard_component_specs.INPUT_CONFIG_KEY
    proto_utils.json_to_proto(str(exec_properties[key]), input_config)
    return {split.name: split.pattern for split in input_config.splits}


def _describe(output: types.Artifact) -> None:
    """Records what was copied, and the digests of all files, which were made as they were written.

    Raises:
        DataError: A file could not be copied.
    """
    path = copied_files_path(output.uri)
    with fileio.open(path, "rb") as file:
        content = file.read()
    copied = CopiedFiles.parse(content, path)
    problems = [shard.problem for shard in copied.shards if shard.problem]
    if problems:
        others = len(problems) - 1
        raise DataError(
            problems[0] + (f" (and at least {others} more are wrong)" if others else "")
        )
    digests = {shard.name: shard.digest for shard in copied.shards}
    artifact_digests.record_known(output, {**digests, COPIED_FILES_FILE: bytes_digest(content)})
    examples_utils.set_payload_format(output, example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(output, "tfrecords_gzip")
    output.set_string_custom_property(SPLIT_SIZES, json.dumps(copied.sizes()))
