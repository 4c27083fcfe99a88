"""The TFLiteQuantizer component: what it takes and gives."""

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from tfx_tflite.components.errors import ConfigError
from tfx_tflite.components.quantization.settings import QuantizerSettings
from tfx_tflite.components.settings import PROPERTY
from tfx_tflite.components.tflite_quantizer import executor
from tfx_tflite.components.versions import code_version


class TFLiteQuantizerSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `TFLiteQuantizer`."""

    PARAMETERS = {
        "versions": ExecutionParameter(type=str),
        PROPERTY: ExecutionParameter(type=str),
    }
    INPUTS = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "calibration_examples": ChannelParameter(type=standard_artifacts.Examples, optional=True),
        "schema": ChannelParameter(type=standard_artifacts.Schema, optional=True),
        "recipe": ChannelParameter(type=standard_artifacts.HyperParameters, optional=True),
    }
    OUTPUTS = {"quantized_model": ChannelParameter(type=standard_artifacts.Model)}


class TFLiteQuantizer(base_beam_component.BaseBeamComponent):
    """Turns a float SavedModel into a quantized TensorFlow Lite model.

    The ranges of the activations are measured on the calibration examples by Beam's workers. The
    conversion runs in a child process, and the result is checked against what the scheme promises
    before it is an artifact.

    Component `outputs` contains:
        - `quantized_model`: `Model` with the flatbuffer at `Format-Serving/tflite`, the same graph
          unquantized at `float32.tflite`, the ranges at `ranges.json`, and what was done at
          `quantization.json`; custom properties `scheme`, `model_digest`, `float_model_digest`,
          `sample_digest`, `size_bytes` and `float_size_bytes` (of the `float32` TFLite file).

    Args:
        model: The `Model` with the float SavedModel.
        calibration_examples: `Examples` with a split `calibration`; needed by the schemes that
            quantize activations.
        schema: The `Schema` of the examples.
        recipe: What `QuantizationTuner` found; needed by `scheme: auto`, and to take the draw in
            the middle of several.
        settings: What to convert, to what, and how.
        **options: The fields of `QuantizerSettings`, instead of `settings`: `signature`,
            `preprocessing_signature`, `scheme`, `io_type`, `batch_size`, `float_fallback`,
            `ranges`, `percentile`, `time_limit`, `memory_limit`, `given_recipe`, `seeds`.

    Raises:
        ConfigError: The scheme is not known, does not go with the I/O type, or needs calibration
            examples that were not given; or another value is out of its range.
    """

    SPEC_CLASS = TFLiteQuantizerSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        calibration_examples: types.BaseChannel | None = None,
        schema: types.BaseChannel | None = None,
        recipe: types.BaseChannel | None = None,
        settings: QuantizerSettings | None = None,
        **options: object,
    ):
        settings = QuantizerSettings.given(settings, options)
        if settings.recipe.scheme.needs_calibration and calibration_examples is None:
            raise ConfigError(f"scheme {settings.scheme_name!r} needs calibration_examples")
        if settings.is_searched and recipe is None:
            raise ConfigError("scheme 'auto' needs a recipe, which QuantizationTuner finds")
        has_draws = settings.seeds > 1 and settings.recipe.scheme.needs_calibration
        if has_draws and settings.given_recipe is None and recipe is None:
            raise ConfigError(
                f"seeds: {settings.seeds} needs a recipe, which QuantizationTuner finds"
            )
        super().__init__(
            TFLiteQuantizerSpec(
                model=model,
                calibration_examples=calibration_examples,
                schema=schema,
                recipe=recipe,
                settings=settings.to_property(),
                versions=code_version(),
                quantized_model=types.Channel(type=standard_artifacts.Model),
            )
        )
