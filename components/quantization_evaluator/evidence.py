"""How sure the drops of an evaluation are: the gate's questions, answered from the sums."""

from collections.abc import Mapping
from dataclasses import dataclass

from tfx_tflite.components.errors import EvaluationError, listed
from tfx_tflite.components.quantization_evaluator.batched_metrics import MeanMetric
from tfx_tflite.components.quantization_evaluator.comparison import Comparison
from tfx_tflite.components.quantization_evaluator.gate import (
    Gate,
    GateRule,
    MetricValues,
    allowed_drop,
)
from tfx_tflite.components.quantization_evaluator.paired_statistics import (
    DropInterval,
    binary_interval,
    mean_interval,
)
from tfx_tflite.components.quantization_evaluator.slices import slice_name


def check_confidences(gate: Gate, batched: Mapping[str, MeanMetric]) -> None:
    """Checks that there is a test for every rule with a confidence.

    Args:
        gate: The rules.
        batched: The metrics that are computed on batches, by name.

    Raises:
        EvaluationError: There is none for a rule's metric.
    """
    for rule in gate.rules:
        if rule.confidence is not None and rule.metric not in batched:
            raise EvaluationError(
                f"gate rule for {rule.metric!r}: there is no confidence for this metric, only for: "
                f"{listed(batched)}; set confidence to null to compare the figures as they are"
            )


@dataclass(frozen=True)
class ComparisonEvidence:
    """What a comparison says beyond the metrics' values.

    Attributes:
        comparison: The sums.
        batched: The metrics that are computed on batches, by name.
        size_ratio: The quantized model's size as a multiple of the float model's.
        latency_ratio: The quantized model's latency as a multiple of the float model's.
    """

    comparison: Comparison
    batched: Mapping[str, MeanMetric]
    size_ratio: float | None
    latency_ratio: float | None

    @property
    def agreement(self) -> float | None:
        """The share of examples with the same predicted class; None where there are no classes."""
        return self.comparison.outputs.agreement

    def interval(self, rule: GateRule, value: MetricValues, sign: int) -> DropInterval:
        """Returns how sure the drop of a metric on a slice is; see `gate.Evidence`."""
        assert rule.confidence is not None
        keys = {slice_name(key): key for key in self.comparison.slices}
        sums = self.comparison.sums(keys[value.slice], value.metric)
        margin = allowed_drop(rule, value)
        if self.batched[value.metric].is_correctness:
            worse, better = int(sums.worse), int(sums.better)
            if sign < 0:
                worse, better = better, worse
            return binary_interval(sums.examples, worse, better, min(margin, 1.0), rule.confidence)
        relative = rule.max_relative_drop
        absolute = 0.0 if relative is not None else margin
        return mean_interval(sums.moments(sign), absolute, rule.confidence, relative)
