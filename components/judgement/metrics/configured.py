"""A metric as a config asks for it: its row of the catalog, with settings of its own.

Only pydantic is imported here, because workers import this module.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from tfx_tflite.components.judgement.metrics.catalog import LabelKind, MetricRow, Takes, row_of


@dataclass(frozen=True)
class ConfiguredMetric:
    """A metric that is evaluated.

    Attributes:
        name: What rules and reports call it.
        class_name: TFMA's or Keras' class, or one's own.
        settings: Its arguments, but for the name and the type of its state.
        is_own: Whether the class is in a module of one's own.
        is_area: Whether it looks at all thresholds from 0 to 1, so that it takes probabilities.
    """

    name: str
    class_name: str
    settings: Mapping[str, JsonValue]
    is_own: bool = False
    is_area: bool = False

    @property
    def row(self) -> MetricRow:
        """What is known of its class."""
        return row_of(self.class_name)

    @property
    def class_id(self) -> int | None:
        """The class whose scores it looks at; None if it looks at all."""
        return _whole(self.settings.get("class_id"))

    @property
    def top_k(self) -> int | None:
        """Among how many of the highest scores it looks; None if among all."""
        return _whole(self.settings.get("top_k"))

    @property
    def label(self) -> LabelKind:
        """What it takes the label for."""
        if self.is_own:
            return LabelKind.OWN
        if self.row.is_of_scores and self.top_k is not None:
            return LabelKind.ANY
        if self.row.is_of_scores and self.class_id is not None:
            return LabelKind.ONE_CLASS
        return self.row.label

    @property
    def has_logits(self) -> bool:
        """Whether it has a setting for logits."""
        return not self.is_own and self.row.takes is Takes.PROBABILITIES

    @property
    def takes_probabilities(self) -> bool:
        """Whether the output must be probabilities, from 0 to 1."""
        return self.is_area or (self.has_logits and not self.settings.get("from_logits"))

    @property
    def takes_answers(self) -> bool:
        """Whether the output must be the model's answer itself, a whole number."""
        # Keras cuts other outputs off to whole numbers: class 0 of all probabilities.
        return not self.is_own and self.row.takes is Takes.ANSWERS and self._is_sparse

    @property
    def overlap(self) -> Literal["values", "positions"] | None:
        """What answers an intersection over union is made of; None for other metrics."""
        if self.is_own or self.row.overlap is None:
            return None
        return self.row.overlap if self._is_sparse else "positions"

    @property
    def _is_sparse(self) -> bool:
        return bool(self.settings.get("sparse_y_pred", True))

    @property
    def ignore_class(self) -> int | None:
        """The label of positions that do not count; None if all count."""
        ignores = self.label is LabelKind.CLASS_INDEX
        return _whole(self.settings.get("ignore_class")) if ignores else None


def _whole(setting: JsonValue) -> int | None:
    return int(setting) if isinstance(setting, int | float | str) else None
