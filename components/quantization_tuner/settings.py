"""What QuantizationTuner is asked for."""

from tfx_tflite.components.examples.settings import SamplePlan
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
from tfx_tflite.components.settings import Count


class TunerSettings(RangeSettings, ConversionSettings, FedSignatureSettings):
    """What QuantizationTuner is asked for: what to convert, and when a candidate is good enough.

    Attributes:
        search: How it looks for a recipe, and on what draws are judged. With several draws of a
            scheme that is given there is no search.
        gate: The rules that the quantized model must satisfy.
        evaluation_split: The split that the gate judges on, of which no file may be read here.
        output: Which output to evaluate; None if there is one, or if `targets` name it.
        targets: What each output is compared with; see `EvaluatorSettings`.
        devices: What will run the model; the rules must hold on each of these.
        seeds: How many draws of calibration examples are tried, see `SamplePlan`.
    """

    search: SearchSettings = SearchSettings()
    gate: Gate
    evaluation_split: str = EvaluationConfig.model_fields["split"].default
    output: str | None = None
    targets: tuple[LabelTarget, ...] | None = None
    devices: Targets = DEFAULT_TARGETS
    seeds: Count = SamplePlan.model_fields["seeds"].default

    @property
    def is_given(self) -> bool:
        """Whether the scheme is given, of which only the draws are tried."""
        return self.seeds > 1 and not self.is_searched
