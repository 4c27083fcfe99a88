"""RollingImportExampleGen and its like for other formats: what they take and give."""

from tfx import types
from tfx.components.example_gen import component, utils
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.proto import example_gen_pb2
from tfx.types import standard_artifacts, standard_component_specs
from tfx.types.component_spec import ComponentSpec, ExecutionParameter

from tfx_tflite.components.examples.settings import RollingSettings
from tfx_tflite.components.rolling_example_gen import driver, executor
from tfx_tflite.components.settings import PROPERTY


class RollingExampleGenSpec(ComponentSpec):
    """Inputs, outputs and execution properties of all of them."""

    PARAMETERS = {
        **standard_component_specs.FileBasedExampleGenSpec.PARAMETERS,
        PROPERTY: ExecutionParameter(type=str),
    }
    INPUTS = standard_component_specs.FileBasedExampleGenSpec.INPUTS
    OUTPUTS = standard_component_specs.FileBasedExampleGenSpec.OUTPUTS


class _RollingExampleGen(component.FileBasedExampleGen):
    """Takes the newest N spans of rolling data into one `Examples` artifact.

    ExampleGen takes one span at a time, and a Resolver over what it took knows neither the spans of
    before the first run, nor late ones, nor which of two deliveries of a span is the newer. Here
    the spans are resolved from the files, anew at every launch.

    Component `outputs` contains:
        - `examples`: `Examples` with the splits of `input_config` and, as from ExampleGen, the
          custom properties `span`, `version` (of the newest) and `input_fingerprint` (of all).

    Args:
        input_base: The directory below which the files are.
        input_config: Splits, with patterns that have `{SPAN}` or a date, and maybe `{VERSION}`.
        settings: How many spans are taken, and of which splits.
        output_config: Into which splits one input split is divided by hash; by default two thirds
            are `train` and one third is `eval`, and several input splits stay what they are.
        **options: The fields of `RollingSettings`, instead of `settings`: `spans`,
            `rolled_splits`.

    Raises:
        ConfigError: A value is out of its range.
    """

    SPEC_CLASS = RollingExampleGenSpec
    DRIVER_CLASS = driver.Driver

    def __init__(
        self,
        input_base: str,
        input_config: example_gen_pb2.Input,
        settings: RollingSettings | None = None,
        output_config: example_gen_pb2.Output | None = None,
        **options: object,
    ):
        # Not that of FileBasedExampleGen, whose spec has no place for spans.
        base_beam_component.BaseBeamComponent.__init__(
            self,
            spec=RollingExampleGenSpec(
                input_base=input_base,
                input_config=input_config,
                output_config=output_config or self._default_output_config(input_config),
                output_data_format=example_gen_pb2.FORMAT_TF_EXAMPLE,
                output_file_format=example_gen_pb2.FORMAT_TFRECORDS_GZIP,
                settings=RollingSettings.given(settings, options).to_property(),
                examples=types.Channel(type=standard_artifacts.Examples),
            ),
        )

    @staticmethod
    def _default_output_config(input_config: example_gen_pb2.Input) -> example_gen_pb2.Output:
        """Returns how splits are divided: TFX divides a single one by a hash of each example."""
        return utils.make_default_output_config(input_config)


class RollingImportExampleGen(_RollingExampleGen):
    """Takes the newest spans of TFRecords of tf.Example; see the base class."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.ImportExecutor)


class RollingRecordExampleGen(_RollingExampleGen):
    """Takes the newest spans of TFRecords as they are; see the base class and `RecordExampleGen`.

    The examples of the newest span come first. Splits are those of `input_config`, also if it is a
    single one.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.RecordExecutor)

    @staticmethod
    def _default_output_config(input_config: example_gen_pb2.Input) -> example_gen_pb2.Output:
        """Returns that no split is divided, because no example is looked at."""
        return example_gen_pb2.Output()


class RollingCsvExampleGen(_RollingExampleGen):
    """Takes the newest spans of CSV files; see the base class."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.CsvExecutor)


class RollingParquetExampleGen(_RollingExampleGen):
    """Takes the newest spans of Parquet files; see the base class and `ParquetExampleGen`."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.ParquetExecutor)


class RollingNpzExampleGen(_RollingExampleGen):
    """Takes the newest spans of .npz files; see the base class and `NpzExampleGen`."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.NpzExecutor)
