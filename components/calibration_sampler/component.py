"""The CalibrationSampler component: what it takes and gives."""

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from tfx_tflite.components.calibration_sampler import executor
from tfx_tflite.components.examples.settings import SamplePlan
from tfx_tflite.components.settings import PROPERTY
from tfx_tflite.components.versions import code_version


class CalibrationSamplerSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `CalibrationSampler`."""

    PARAMETERS = {
        "versions": ExecutionParameter(type=str),
        PROPERTY: ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "schema": ChannelParameter(type=standard_artifacts.Schema, optional=True),
    }
    OUTPUTS = {"calibration_examples": ChannelParameter(type=standard_artifacts.Examples)}


class CalibrationSampler(base_beam_component.BaseBeamComponent):
    """Draws the examples that a model is calibrated with.

    The same data, seed and plan give the same sample, byte for byte, for any number of shards and
    workers.

    Component `outputs` contains:
        - `calibration_examples`: `Examples` with one split, `calibration`, and the custom
          properties `sample_digest`, `sample_size`, `sample_strata` (JSON: for each stratum how
          many were `seen` and `drawn`) and `sample_seed`. With `seeds: n` also the splits
          `calibration_draw_1` to `calibration_draw_{n - 1}`, and the properties `sample_draws`
          (JSON: a digest of each draw) and `sample_shared` (which share of the examples is in
          several draws); `calibration` is then the first draw, and `sample_size` the size of each.

    Args:
        examples: The `Examples` to draw from.
        schema: The `Schema` of the examples; needed with `stratify_by` on mixed data.
        settings: Which examples are drawn.
        **options: The fields of `SamplePlan`, instead of `settings`: `split`, `samples`,
            `stratify_by`, `allocation`, `seed`, `seeds`.

    Raises:
        ConfigError: A value is out of its range.
    """

    SPEC_CLASS = CalibrationSamplerSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        schema: types.BaseChannel | None = None,
        settings: SamplePlan | None = None,
        **options: object,
    ):
        super().__init__(
            CalibrationSamplerSpec(
                examples=examples,
                schema=schema,
                settings=SamplePlan.given(settings, options).to_property(),
                versions=code_version(),
                calibration_examples=types.Channel(type=standard_artifacts.Examples),
            )
        )
