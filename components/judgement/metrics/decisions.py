"""What a model's answer is: the metric's own decision, by which two models agree or not.

Only NumPy is imported here, because workers import this module.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.judgement.metrics.catalog import Decides
from tfx_tflite.components.judgement.metrics.configured import ConfiguredMetric


@dataclass(frozen=True)
class Decision:
    """How an output becomes one answer, or one at each position.

    Attributes:
        threshold: The value above which the answer is 1, else 0; None takes the class with the
            highest value along the last axis.
        class_id: The class whose value is compared with the threshold; None compares each value.
        is_output: Whether the model has decided itself: each value is an answer, a whole number.
    """

    threshold: float | None = None
    class_id: int | None = None
    is_output: bool = False

    def fits(self, outputs: Array) -> bool:
        """Returns whether outputs of shape (n, …) have what is decided between."""
        has_classes = outputs.ndim > 1 and outputs.shape[-1] > 1
        return self.is_output or self.threshold is not None or has_classes

    def of(self, outputs: Array) -> Array:
        """Returns the answers.

        Args:
            outputs: Shape (n, …).

        Returns:
            int64 of shape (n, answers).
        """
        n = len(outputs)
        if self.is_output:
            return outputs.reshape(n, -1).astype(np.int64)
        if self.threshold is None:
            return outputs.argmax(axis=-1).reshape(n, -1)
        values = outputs if self.class_id is None else outputs[..., self.class_id]
        return (values > self.threshold).reshape(n, -1).astype(np.int64)


def decision_of(metrics: Iterable[ConfiguredMetric]) -> Decision | None:
    """Returns the decision of the metrics of an output; None if none of them makes one.

    Args:
        metrics: In the order of the config; of two alike the first decides.
    """
    for metric in sorted(metrics, key=_rank):
        decision = _decision(metric)
        if decision is not None:
            return decision
    return None


def _rank(metric: ConfiguredMetric) -> int:
    """Returns which metrics are asked first: those that look at the whole answer and decide."""
    if metric.row.decides in (Decides.CLASS, Decides.EACH_VALUE):
        return 0
    if metric.is_area:
        return 3
    return 1 if metric.settings.get("class_id") is None else 2


def _decision(metric: ConfiguredMetric) -> Decision | None:
    settings = metric.settings
    match metric.row.decides:
        case Decides.CLASS:
            return Decision()
        case Decides.ANSWER:
            return Decision(is_output=True)
        case Decides.EACH_VALUE:
            return Decision(_threshold(settings.get("threshold")))
        case Decides.PROBABILITY:
            return Decision(0.0 if settings.get("from_logits") else 0.5)
        case Decides.SCORE if metric.is_own:
            return None
        case Decides.SCORE if metric.top_k is not None:
            return Decision()
        case Decides.SCORE:
            return Decision(_threshold(settings.get("thresholds")), metric.class_id)
    return None


def _threshold(setting: JsonValue) -> float:
    [threshold] = setting if isinstance(setting, list) and len(setting) == 1 else [setting]
    return float(threshold) if isinstance(threshold, int | float) else 0.5
