"""What a model's answer is: the metric's own decision, by which two models agree or not.

Only NumPy is imported here, because workers import this module.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


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

    def fits(self, outputs: np.ndarray) -> bool:
        """Returns whether outputs of shape (n, …) have what is decided between."""
        has_classes = outputs.ndim > 1 and outputs.shape[-1] > 1
        return self.is_output or self.threshold is not None or has_classes

    def of(self, outputs: np.ndarray) -> np.ndarray:
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


# Which metrics make a decision of their own, by what says where it lies; an area makes none, and
# comes last with the usual one half.
_MOST_LIKELY_CLASS = ("Categorical", "TopKCategorical", "Sparse")


@dataclass(frozen=True)
class DecidingMetric:
    """A metric as far as it decides.

    Attributes:
        class_name: TFMA's or Keras' class.
        config: Its arguments.
        is_score: Whether it is made from confusion matrices.
        is_area: Whether it is made from all thresholds.
    """

    class_name: str
    config: Mapping[str, Any]
    is_score: bool
    is_area: bool

    @property
    def _rank(self) -> int:
        """Which metrics are asked first: those that look at the whole answer and decide."""
        if self.class_name.startswith(_MOST_LIKELY_CLASS) or self.class_name == "BinaryAccuracy":
            return 0
        if self.is_area:
            return 3
        return 2 if self.config.get("class_id") is not None else 1

    def decision(self) -> Decision | None:
        """Returns the metric's decision; None where it makes none."""
        if self.class_name.startswith(_MOST_LIKELY_CLASS):
            return Decision()
        if self.class_name == "Accuracy":
            return Decision(is_output=True)
        if self.class_name == "BinaryAccuracy":
            return Decision(float(self.config.get("threshold", 0.5)))
        if self.class_name.lower() == "binarycrossentropy":
            return Decision(0.0 if self.config.get("from_logits") else 0.5)
        if not self.is_score:
            return None
        if self.config.get("top_k") is not None:
            return Decision()
        return Decision(_threshold(self.config.get("thresholds")), self.config.get("class_id"))


def _threshold(thresholds: object) -> float:
    if isinstance(thresholds, int | float):
        return float(thresholds)
    return float(thresholds[0]) if isinstance(thresholds, list) and len(thresholds) == 1 else 0.5


def decision_of(metrics: Iterable[DecidingMetric]) -> Decision | None:
    """Returns the decision of the metrics of an output; None where none of them makes one.

    Args:
        metrics: In the order of the config; of two alike the first decides.
    """
    for metric in sorted(metrics, key=lambda metric: metric._rank):
        decision = metric.decision()
        if decision is not None:
            return decision
    return None
