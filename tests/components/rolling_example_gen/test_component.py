"""What components of several spans take by default."""

from tfx.proto import example_gen_pb2
from tfx.types import standard_component_specs
from tfx.utils import proto_utils

from tfx_tflite.components.examples.settings import RollingSettings
from tfx_tflite.components.rolling_example_gen.component import (
    RollingImportExampleGen,
    RollingRecordExampleGen,
)


def hash_buckets(component) -> int:
    output = example_gen_pb2.Output()
    text = component.exec_properties[standard_component_specs.OUTPUT_CONFIG_KEY]
    proto_utils.json_to_proto(text, output)
    return len(output.split_config.splits)


def made(component_class):
    split = example_gen_pb2.Input.Split(name="single_split", pattern="span-{SPAN}/*")
    return component_class(
        "data", example_gen_pb2.Input(splits=[split]), RollingSettings(spans=2, rolled_splits=())
    )


def test_a_single_split_that_is_copied_stays_one():
    assert hash_buckets(made(RollingRecordExampleGen)) == 0


def test_tfx_divides_a_single_split_into_two():
    assert hash_buckets(made(RollingImportExampleGen)) == 2
