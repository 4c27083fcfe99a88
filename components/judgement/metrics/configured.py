"""A metric as a config asks for it: its row of the catalog, with settings of its own.

Only pydantic is imported here, because workers import this module.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from tfx_tflite.components.judgement.metrics.catalog import LabelKind, MetricRow, row_of


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
    def ignore_class(self) -> int | None:
        """The label of positions that do not count; None if all count."""
        if self.is_own or self.row.label is not LabelKind.CLASS_INDEX:
            return None
        return _whole(self.settings.get("ignore_class"))


def _whole(setting: JsonValue) -> int | None:
    return int(setting) if isinstance(setting, int | float | str) else None
