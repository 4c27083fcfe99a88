"""The CalibrationSampler component: what it takes and gives."""

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from tfx_tflite.components.calibration_sampler import executor
from tfx_tflite.components.examples.sampling import SamplePlan
from tfx_tflite.components.versions import code_version


class CalibrationSamplerSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `CalibrationSampler`."""

    PARAMETERS = {
        "versions": ExecutionParameter(type=str),
        "split": ExecutionParameter(type=str),
        "samples": ExecutionParameter(type=int),
        "stratify_by": ExecutionParameter(type=str, optional=True),
        "allocation": ExecutionParameter(type=str),
        "seed": ExecutionParameter(type=int),
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
          many were `seen` and `drawn`) and `sample_seed`.

    Args:
        examples: The `Examples` to draw from.
        schema: The `Schema` of the examples; needed with `stratify_by` on mixed data.
        split: The split to draw from.
        samples: How many examples to draw.
        stratify_by: A feature with one value an example; each of its values is a stratum.
        allocation: `equal` or `proportional`, how strata share the sample.
        seed: Another seed gives another sample.

    Raises:
        ConfigError: A value is out of its range.
    """

    SPEC_CLASS = CalibrationSamplerSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        schema: types.BaseChannel | None = None,
        split: str = "train",
        samples: int = 200,
        stratify_by: str | None = None,
        allocation: str = "equal",
        seed: int = 0,
    ):
        SamplePlan(samples, stratify_by, allocation, seed)
        super().__init__(
            CalibrationSamplerSpec(
                examples=examples,
                schema=schema,
                split=split,
                samples=samples,
                stratify_by=stratify_by,
                allocation=allocation,
                seed=seed,
                versions=code_version(),
                calibration_examples=types.Channel(type=standard_artifacts.Examples),
            )
        )
