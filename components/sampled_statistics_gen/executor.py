"""The executor: draws the sample, and hands it to TFX's own."""

import json
import posixpath

from tfx import types
from tfx.components.statistics_gen import executor
from tfx.components.util import examples_utils
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts, standard_component_specs

from tfx_tflite.components.artifact_digests import on_known_bytes
from tfx_tflite.components.artifact_files import Artifacts
from tfx_tflite.components.artifact_layout import SPLIT_SIZES
from tfx_tflite.components.example_artifacts import split_files
from tfx_tflite.components.examples.record_sample import DrawRecords, read_seen
from tfx_tflite.components.examples.settings import StatisticsSettings

_COMPONENT = "StatisticsGen"


class Executor(executor.Executor):
    """Computes the statistics of a sample; see `examples/record_sample.py` for how it is drawn."""

    @on_known_bytes
    def Do(
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, object]
    ) -> None:
        """Writes the statistics, and records how many examples there are.

        Raises:
            ArtifactError: The examples are not what they were when they were made.
            DataError: They cannot be read.
        """
        settings = StatisticsSettings.from_property(exec_properties)
        examples = input_dict[standard_component_specs.EXAMPLES_KEY]
        [output] = output_dict[standard_component_specs.STATISTICS_KEY]
        [data] = examples
        splits = artifact_utils.decode_split_names(data.split_names)
        # Where workers write to, wherever they are.
        place = posixpath.join(output.uri, "sample")
        try:
            with self._make_beam_pipeline() as pipeline:
                for split in splits:
                    source = split_files(examples, split, None, _COMPONENT)
                    _ = pipeline | f"Draw[{split}]" >> DrawRecords(
                        source.files, settings, posixpath.join(place, f"Split-{split}")
                    )
            seen = {split: read_seen(posixpath.join(place, f"Split-{split}")) for split in splits}
            sample = {standard_component_specs.EXAMPLES_KEY: [_sample(data, place)]}
            super().Do(sample, output_dict, {})
        finally:
            if fileio.exists(place):
                fileio.rmtree(place)
        output.set_string_custom_property(SPLIT_SIZES, json.dumps(seen))


def _sample(data: types.Artifact, uri: str) -> standard_artifacts.Examples:
    """Returns the sample as an artifact that says of itself what the data do."""
    sample = standard_artifacts.Examples()
    sample.uri = uri
    sample.split_names = data.split_names
    sample.span = data.span
    examples_utils.set_payload_format(sample, example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(sample, "tfrecords_gzip")
    return sample
