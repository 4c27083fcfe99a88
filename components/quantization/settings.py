"""What TFLiteQuantizer is asked for, as one frozen object made of its execution properties."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfx_tflite.components.quantization.conversion.child_process import Limits
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.schemes import REFUSE, Quantization, Scheme

# The converter's own calibrator measures, for comparison.
STOCK = "stock"


@dataclass(frozen=True)
class QuantizerSettings:
    """What to convert, to what, and with what.

    Attributes:
        signature: The signature to convert.
        preprocessing_signature: As in `float_model.input_reader`.
        quantization: What to convert to.
        policy: How ranges follow from what was observed; None leaves them to the stock calibrator.
        limits: What the converter's process may use.
    """

    signature: str
    preprocessing_signature: str | None
    quantization: Quantization
    policy: RangePolicy | None
    limits: Limits

    @classmethod
    def of(cls, properties: Mapping[str, Any]) -> "QuantizerSettings":
        """Returns the settings that execution properties spell out.

        Raises:
            ConfigError: A value is out of its range.
        """
        kind = properties["ranges"]
        memory = properties.get("memory_limit")
        return cls(
            properties["signature"],
            properties.get("preprocessing_signature"),
            Quantization(
                Scheme(properties["scheme"]),
                properties.get("io_type"),
                properties.get("batch_size"),
                properties.get("float_fallback") or REFUSE,
            ),
            None if kind == STOCK else RangePolicy(kind, properties["percentile"]),
            Limits(properties["time_limit"], None if memory is None else memory << 20),
        )

    @property
    def ranges(self) -> str:
        """How ranges are measured, as the config calls it."""
        return STOCK if self.policy is None else self.policy.kind
