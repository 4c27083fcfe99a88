"""What QuantizationTuner is asked for."""

from tfx_tflite.components.judgement.gate import Gate
from tfx_tflite.components.judgement.metrics.targets import Target as LabelTarget
from tfx_tflite.components.judgement.settings import EvaluationConfig
from tfx_tflite.components.models.settings import FedSignatureSettings
from tfx_tflite.components.models.target import DEFAULT_TARGETS, Targets
from tfx_tflite.components.quantization.settings import (
    ConversionSettings,
    RangeSettings,
    SearchSettings,
)


class TunerSettings(RangeSettings, ConversionSettings, FedSignatureSettings):
    """What QuantizationTuner is asked for: what to convert, and when a candidate is good enough.

    Attributes:
        search: How it looks for a recipe.
        gate: The rules that the quantized model must satisfy.
        evaluation_split: The split that the gate judges on, of which no file may be read here.
        output: Which output to evaluate; None if there is one, or if `targets` name it.
        targets: What each output is compared with; see `EvaluatorSettings`.
        devices: What will run the model; the rules must hold on each of these.
    """

    search: SearchSettings = SearchSettings()
    gate: Gate
    evaluation_split: str = EvaluationConfig.model_fields["split"].default
    output: str | None = None
    targets: tuple[LabelTarget, ...] | None = None
    devices: Targets = DEFAULT_TARGETS
