"""How sure the drops of an evaluation are: the gate's questions, answered from the sums."""

from dataclasses import dataclass
from functools import cached_property

from tfx_tflite.components.quantization_evaluator.comparison import MetricSums
from tfx_tflite.components.quantization_evaluator.curves import AreaUnderRoc
from tfx_tflite.components.quantization_evaluator.evaluation import Evaluation
from tfx_tflite.components.quantization_evaluator.gate import (
    GateRule,
    MetricValues,
    allowed_drop,
)
from tfx_tflite.components.quantization_evaluator.paired_statistics import (
    DropInterval,
    binary_interval,
    bootstrap_interval,
    mean_interval,
)
from tfx_tflite.components.quantization_evaluator.slices import SliceKey, slice_name


@dataclass(frozen=True)
class ComparisonEvidence:
    """What a comparison says beyond the metrics' values.

    Attributes:
        evaluation: The figures and the sums behind them.
        size_ratio: The quantized model's size as a multiple of the float model's.
        latency_ratio: The quantized model's latency as a multiple of the float model's.
    """

    evaluation: Evaluation
    size_ratio: float | None
    latency_ratio: float | None

    @property
    def agreement(self) -> float | None:
        """The share of examples with the same predicted class; None where there are no classes."""
        return self.evaluation.comparison.outputs.agreement

    def interval(self, rule: GateRule, value: MetricValues, sign: int) -> DropInterval:
        """Returns how sure the drop of a metric on a slice is; see `gate.Evidence`."""
        assert rule.confidence is not None
        metric = self.evaluation.batched[value.metric]
        if isinstance(metric, AreaUnderRoc):
            return self._resampled(rule, value, sign)
        margin = allowed_drop(rule, value)
        sums = self._sums(value)
        if metric.is_correctness:
            worse, better = (int(count) for count in (sums.worse, sums.better)[::sign])
            return binary_interval(sums.examples, worse, better, min(margin, 1.0), rule.confidence)
        relative = rule.max_relative_drop
        absolute = 0.0 if relative is not None else margin
        return mean_interval(sums.moments(sign), absolute, rule.confidence, relative)

    def _sums(self, value: MetricValues) -> MetricSums:
        return self.evaluation.comparison.sums(self._slices[value.slice], value.metric)

    @cached_property
    def _slices(self) -> dict[str, SliceKey]:
        """The slices by the names that rules and reports call them."""
        return {slice_name(key): key for key in self.evaluation.comparison.slices}

    def _resampled(self, rule: GateRule, value: MetricValues, sign: int) -> DropInterval:
        assert rule.confidence is not None
        before, after = self.evaluation.replicates[value.metric]
        return bootstrap_interval(
            sign * (value.float_value - value.quantized_value),
            sign * (before - after),
            0.0 if rule.max_drop is None else rule.max_drop,
            rule.confidence,
            examples=value.examples,
            relative=rule.max_relative_drop,
            float_value=value.float_value,
            float_replicates=before,
        )
