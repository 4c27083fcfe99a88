"""The quantization schemes, named after what TensorFlow Lite calls them."""

from dataclasses import dataclass
from enum import Enum

from tfx_tflite.components.errors import ConfigError

REFUSE, ALLOW = "refuse", "allow"
FLOAT_FALLBACKS = (REFUSE, ALLOW)


class Scheme(str, Enum):
    """How weights and activations are stored; see the table in docs/schemes.md."""

    FLOAT32 = "float32"
    DYNAMIC_RANGE = "dynamic_range"
    FLOAT16 = "float16"
    INT8_FLOAT_IO = "int8_float_io"
    INT8 = "int8"
    INT16X8 = "int16x8"

    @property
    def needs_calibration(self) -> bool:
        """Whether activations are quantized, so that their ranges must be measured."""
        return self in (Scheme.INT8_FLOAT_IO, Scheme.INT8, Scheme.INT16X8)

    @property
    def io_types(self) -> tuple[str, ...]:
        """The types that float model inputs and outputs may become; the first is the default."""
        return {Scheme.INT8: ("int8", "uint8"), Scheme.INT16X8: ("float32", "int16")}.get(
            self, ("float32",)
        )


@dataclass(frozen=True)
class Quantization:
    """What to convert a model to.

    Attributes:
        scheme: The quantization scheme.
        io_type: The type of inputs and outputs that are float in the float model; None takes the
            scheme's default.
        batch_size: A fixed batch size, or None to keep the signature's own (usually dynamic).
        float_fallback: What becomes of an operator that has no integer form: `refuse` makes it an
            error, `allow` leaves it in float between integers.

    Raises:
        ConfigError: The scheme does not offer the I/O type, the batch size is not positive, or
            floats are allowed in a scheme that they do not go with.
    """

    scheme: Scheme
    io_type: str | None = None
    batch_size: int | None = None
    float_fallback: str = REFUSE

    def __post_init__(self) -> None:
        allowed = self.scheme.io_types
        if self.io_type is not None and self.io_type not in allowed:
            raise ConfigError(
                f"io_type {self.io_type!r} does not go with scheme {self.scheme.value!r}, whose "
                f"models take {' or '.join(allowed)}; change one of the two"
            )
        if self.batch_size is not None and self.batch_size < 1:
            raise ConfigError(f"batch_size is {self.batch_size}, expected 1 or more")
        if self.float_fallback not in FLOAT_FALLBACKS:
            known = " or ".join(FLOAT_FALLBACKS)
            raise ConfigError(f"float_fallback is {self.float_fallback!r}, expected {known}")
        if self.allows_float and self.scheme is not Scheme.INT8_FLOAT_IO:
            raise ConfigError(
                f"float_fallback: allow does not go with scheme {self.scheme.value!r}; take "
                f"{Scheme.INT8_FLOAT_IO.value}, or leave it out"
            )

    @property
    def allows_float(self) -> bool:
        """Whether operators that have no integer form may stay float."""
        return self.float_fallback == ALLOW

    @property
    def resolved_io_type(self) -> str:
        """The I/O type with the scheme's default filled in."""
        return self.io_type or self.scheme.io_types[0]
