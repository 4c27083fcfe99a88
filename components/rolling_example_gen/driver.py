"""The driver: which files are read, resolved when the component is launched."""

import posixpath

from tfx.components.example_gen import driver, utils
from tfx.orchestration import data_types
from tfx.proto import example_gen_pb2
from tfx.types import standard_component_specs
from tfx.utils import io_utils, proto_utils

from tfx_tflite.components.examples.settings import RollingSettings
from tfx_tflite.components.examples.spans import RollingSplits
from tfx_tflite.components.input_files import SEPARATOR, list_files


class Driver(driver.FileBasedDriver):
    """Fills the patterns with the newest spans, and fingerprints the files of all of them."""

    def resolve_exec_properties(
        self,
        exec_properties: dict[str, object],
        pipeline_info: data_types.PipelineInfo,
        component_info: data_types.ComponentInfo,
    ) -> dict[str, object]:
        """Returns the properties with resolved patterns, the newest span and a fingerprint.

        Raises:
            DataError: The spans cannot be told.
        """
        input_config = example_gen_pb2.Input()
        key = standard_component_specs.INPUT_CONFIG_KEY
        proto_utils.json_to_proto(exec_properties[key], input_config)
        input_base = str(exec_properties[standard_component_specs.INPUT_BASE_KEY])
        settings = RollingSettings.from_property(exec_properties)
        rolling = RollingSplits.parse(
            input_base,
            {split.name: split.pattern for split in input_config.splits},
            settings.rolled_splits,
            settings.spans,
        )
        spans = rolling.newest(list_files)
        filled = rolling.filled(spans)
        for split in input_config.splits:
            split.pattern = SEPARATOR.join(filled[split.name])
        exec_properties[key] = proto_utils.proto_to_json(input_config)
        exec_properties[utils.SPAN_PROPERTY_NAME] = spans[0].number
        exec_properties[utils.VERSION_PROPERTY_NAME] = spans[0].version
        exec_properties[utils.FINGERPRINT_PROPERTY_NAME] = "\n".join(
            io_utils.generate_fingerprint(split, posixpath.join(input_base, pattern))
            for split, patterns in filled.items()
            for pattern in patterns
        )
        return exec_properties
