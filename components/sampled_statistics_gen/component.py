"""SampledStatisticsGen: what it takes and gives."""

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.system_executions import Process

from tfx_tflite.components.examples.settings import StatisticsSettings
from tfx_tflite.components.sampled_statistics_gen import executor
from tfx_tflite.components.settings import PROPERTY


class SampledStatisticsGenSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `SampledStatisticsGen`."""

    PARAMETERS = {PROPERTY: ExecutionParameter(type=str)}
    INPUTS = {"examples": ChannelParameter(type=standard_artifacts.Examples)}
    OUTPUTS = {"statistics": ChannelParameter(type=standard_artifacts.ExampleStatistics)}
    TYPE_ANNOTATION = Process


class SampledStatisticsGen(base_beam_component.BaseBeamComponent):
    """Computes the statistics of a sample of each split, as TFX's StatisticsGen does of all.

    To draw an example costs a tenth of its statistics. The same data and seed give the same sample
    for any number of files and workers, which the `sample_rate` of TFDV's options does not.

    Component `outputs` contains:
        - `statistics`: `ExampleStatistics` of the sample. Its custom property `split_sizes` says in
          JSON how many examples each split has.

    Args:
        examples: The `Examples`.
        settings: How many examples are drawn.
        **options: The fields of `StatisticsSettings`, instead of `settings`: `sample`, `seed`.

    Raises:
        ConfigError: A value is out of its range.
    """

    SPEC_CLASS = SampledStatisticsGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        settings: StatisticsSettings | None = None,
        **options: object,
    ):
        super().__init__(
            SampledStatisticsGenSpec(
                examples=examples,
                settings=StatisticsSettings.given(settings, options).to_property(),
                statistics=types.Channel(type=standard_artifacts.ExampleStatistics),
            )
        )
