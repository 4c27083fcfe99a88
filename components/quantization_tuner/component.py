"""The QuantizationTuner component: what it takes and gives."""

from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from tfx_tflite.components.errors import ConfigError
from tfx_tflite.components.judgement.eval_config import (
    check_metrics,
    metric_directions,
    two_model_config,
)
from tfx_tflite.components.quantization_tuner import executor
from tfx_tflite.components.quantization_tuner.settings import TunerSettings
from tfx_tflite.components.settings import PROPERTY
from tfx_tflite.components.versions import code_version


class QuantizationTunerSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `QuantizationTuner`."""

    PARAMETERS = {
        "versions": ExecutionParameter(type=str),
        "eval_config": ExecutionParameter(type=config_pb2.EvalConfig),
        PROPERTY: ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "model": ChannelParameter(type=standard_artifacts.Model),
        "calibration_examples": ChannelParameter(type=standard_artifacts.Examples),
        "schema": ChannelParameter(type=standard_artifacts.Schema, optional=True),
    }
    OUTPUTS = {"recipe": ChannelParameter(type=standard_artifacts.HyperParameters)}


class QuantizationTuner(base_beam_component.BaseBeamComponent):
    """Looks for a recipe by which the gate's rules hold, on examples that the gate does not see.

    With `seeds` of more than one, the recipe that it finds, or the scheme if that is not `auto`, is
    made with as many draws of the calibration examples, and the one in the middle is taken.

    Component `outputs` contains:
        - `recipe`: `HyperParameters` with `recipe.json`, to be given to `TFLiteQuantizer`, what was
          tried in `tuning.json` and `draws.json`, and the models that it makes (`quantized.tflite`,
          `float32.tflite`) with the ranges they were made from (`ranges.json`); custom properties
          `scheme`, `model_digest`, `float_model_digest` and `sample_digest`.

    Args:
        examples: The `Examples` with the split that candidates are judged on.
        model: The `Model` with the float SavedModel.
        calibration_examples: `Examples` with a split `calibration`; with `seeds` as
            `CalibrationSampler` gives them.
        eval_config: The metrics, as `QuantizationEvaluator` takes them.
        schema: The `Schema` of the examples.
        settings: What to convert, how to search, and the rules.
        **options: The fields of `TunerSettings`, instead of `settings`.

    Raises:
        ConfigError: A value is out of its range, the ranges are left to the stock calibrator, or
            the scheme takes no calibration examples that there could be several draws of.
        EvaluationError: A metric is none that TFMA has, or the gate does not go with the metrics.
    """

    SPEC_CLASS = QuantizationTunerSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        calibration_examples: types.BaseChannel,
        eval_config: config_pb2.EvalConfig,
        schema: types.BaseChannel | None = None,
        settings: TunerSettings | None = None,
        **options: object,
    ):
        settings = TunerSettings.given(settings, options)
        if settings.policy is None:
            what = "seeds" if settings.is_given else "a search"
            raise ConfigError(f"ranges: stock does not go with {what}; take robust or minmax")
        if settings.is_given and not settings.needs_calibration:
            raise ConfigError(
                f"seeds is {settings.seeds}, but scheme {settings.scheme_name!r} takes no "
                "calibration examples; leave seeds out"
            )
        if settings.search.tuning_split == settings.evaluation_split:
            raise ConfigError(
                f"tuning_split is {settings.evaluation_split!r}, on which the gate judges; a "
                "search must not see it"
            )
        config = two_model_config(eval_config)
        check_metrics(config)
        metric_directions(config, settings.gate)
        super().__init__(
            QuantizationTunerSpec(
                examples=examples,
                model=model,
                calibration_examples=calibration_examples,
                schema=schema,
                eval_config=eval_config,
                settings=settings.to_property(),
                versions=code_version(),
                recipe=types.Channel(type=standard_artifacts.HyperParameters),
            )
        )
