"""The TFLiteQuantizer component: what it takes and gives."""

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from tfx_tflite.components.errors import ConfigError
from tfx_tflite.components.quantization.ranges.policy import ROBUST
from tfx_tflite.components.quantization.schemes import REFUSE, Scheme
from tfx_tflite.components.quantization.settings import QuantizerSettings
from tfx_tflite.components.tflite_quantizer import executor
from tfx_tflite.components.versions import code_version


class TFLiteQuantizerSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `TFLiteQuantizer`."""

    PARAMETERS = {
        "versions": ExecutionParameter(type=str),
        "signature": ExecutionParameter(type=str),
        "preprocessing_signature": ExecutionParameter(type=str, optional=True),
        "scheme": ExecutionParameter(type=str),
        "io_type": ExecutionParameter(type=str, optional=True),
        "batch_size": ExecutionParameter(type=int, optional=True),
        "float_fallback": ExecutionParameter(type=str),
        "ranges": ExecutionParameter(type=str),
        "percentile": ExecutionParameter(type=float),
        "time_limit": ExecutionParameter(type=float),
        "memory_limit": ExecutionParameter(type=int, optional=True),
    }
    INPUTS = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "calibration_examples": ChannelParameter(type=standard_artifacts.Examples, optional=True),
        "schema": ChannelParameter(type=standard_artifacts.Schema, optional=True),
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
        signature: The signature to convert; its inputs are tensors, not serialized examples.
        preprocessing_signature: A signature of the same SavedModel that turns serialized examples
            into the inputs of `signature`; None takes each input from the feature of its name.
        scheme: A `Scheme` by name.
        io_type: The type of the inputs and outputs that are float in the float model; None takes
            the scheme's default.
        batch_size: A fixed batch size; None keeps the signature's.
        float_fallback: `allow` leaves operators without an integer form in float, for the scheme
            `int8_float_io`; `refuse` makes them an error.
        ranges: How ranges follow from the calibration examples: `robust`, `minmax`, `percentile`,
            or `stock` for the converter's own calibrator.
        percentile: For `percentile`; from 50 to below 100.
        time_limit: Seconds for one step of the converter.
        memory_limit: Megabytes (of 2^20 bytes) for the converter; None sets no limit.

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
        signature: str = "serving_default",
        preprocessing_signature: str | None = None,
        scheme: str = Scheme.INT8.value,
        io_type: str | None = None,
        batch_size: int | None = None,
        float_fallback: str = REFUSE,
        ranges: str = ROBUST,
        percentile: float = 99.9,
        time_limit: float = 3600.0,
        memory_limit: int | None = None,
    ):
        known = [member.value for member in Scheme]
        if scheme not in known:
            raise ConfigError(f"scheme is {scheme!r}, expected one of {', '.join(known)}")
        properties = {
            "signature": signature,
            "preprocessing_signature": preprocessing_signature,
            "scheme": scheme,
            "io_type": io_type,
            "batch_size": batch_size,
            "float_fallback": float_fallback,
            "ranges": ranges,
            "percentile": float(percentile),
            "time_limit": float(time_limit),
            "memory_limit": memory_limit,
        }
        settings = QuantizerSettings.of(properties)
        if settings.quantization.scheme.needs_calibration and calibration_examples is None:
            raise ConfigError(f"scheme {scheme!r} needs calibration_examples")
        super().__init__(
            TFLiteQuantizerSpec(
                model=model,
                calibration_examples=calibration_examples,
                schema=schema,
                **properties,
                versions=code_version(),
                quantized_model=types.Channel(type=standard_artifacts.Model),
            )
        )
