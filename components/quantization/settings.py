"""What TFLiteQuantizer is asked for.

Nothing here needs TensorFlow, Beam or NumPy: the settings are those of a config, too.
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator
from typing_extensions import Self

from tfx_tflite.components.models.settings import FedSignatureSettings
from tfx_tflite.components.quantization.conversion.limits import Limits
from tfx_tflite.components.quantization.ranges.policy import PolicyKind, RangePolicy
from tfx_tflite.components.quantization.schemes import FloatFallback, IOType, Recipe, Scheme
from tfx_tflite.components.settings import Count, Settings

# The converter's own calibrator measures, for comparison.
STOCK: Literal["stock"] = "stock"
_MEGABYTE = 2**20


class RangeSettings(Settings):
    """How the ranges of activations follow from the calibration examples.

    Attributes:
        ranges: A kind of `RangePolicy`, or `stock` for the converter's own calibrator.
        percentile: Of the policy `percentile`.
    """

    ranges: Literal[PolicyKind, "stock"] = "robust"
    percentile: float = Field(default=99.9, strict=True, ge=50, lt=100)

    @property
    def policy(self) -> RangePolicy | None:
        """How a range follows from what was observed; None leaves it to the stock calibrator."""
        return None if self.ranges == STOCK else RangePolicy(self.ranges, self.percentile)


def _dynamic(batch_size: object) -> object:
    return "dynamic" if batch_size is None else batch_size


class QuantizationSettings(Settings):
    """What a model is converted to: the section `quantization` of a config.

    Attributes:
        scheme: A `Scheme`.
        io_type: The type of inputs and outputs that are float in the float model; None takes the
            scheme's default.
        batch_size: A fixed batch size; `dynamic`, or None, keeps the signature's own.
        float_fallback: What becomes of operators without an integer form, as of `Recipe`.
        time_limit: Seconds for one step of the converter.
        memory_limit: Megabytes (of 2^20 bytes) for the converter; None sets no limit.
    """

    scheme: Scheme = Scheme.INT8
    io_type: IOType | None = None
    batch_size: Annotated[Literal["dynamic"] | Count, BeforeValidator(_dynamic)] = "dynamic"
    float_fallback: FloatFallback = "refuse"
    time_limit: float = Field(default=3600.0, strict=True, gt=0, allow_inf_nan=False)
    memory_limit: Count | None = None

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        # The recipe knows what goes together.
        assert self.recipe
        return self

    @property
    def recipe(self) -> Recipe:
        """What to make of the model."""
        batch_size = None if self.batch_size == "dynamic" else self.batch_size
        return Recipe(self.scheme, self.io_type, batch_size, self.float_fallback)

    @property
    def limits(self) -> Limits:
        """What the converter's process may use."""
        memory = None if self.memory_limit is None else self.memory_limit * _MEGABYTE
        return Limits(self.time_limit, memory)


class QuantizerSettings(RangeSettings, QuantizationSettings, FedSignatureSettings):
    """What TFLiteQuantizer is asked for: which signature, what to convert it to, and how."""
