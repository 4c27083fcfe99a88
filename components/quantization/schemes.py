"""The quantization schemes, named after what TensorFlow Lite calls them.

All that differs between schemes is a column of one table: `SCHEMES`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal

FloatFallback = Literal["refuse", "allow"]
IOType = Literal["float32", "int8", "uint8", "int16"]
# As flatbuffers name them.
TensorType = Literal["FLOAT32", "FLOAT16", "INT8", "INT16", "INT32", "INT64"]


class Making(Enum):
    """How the models of a scheme are made; `conversion.backends` has what does it."""

    AS_IT_IS = "as it is"
    BY_THE_CONVERTER = "by the converter's own means"
    FROM_RANGES = "from ranges"


class Scheme(str, Enum):
    """How weights and activations are stored; see the table in docs/schemes.md."""

    FLOAT32 = "float32"
    DYNAMIC_RANGE = "dynamic_range"
    FLOAT16 = "float16"
    INT8_FLOAT_IO = "int8_float_io"
    INT8 = "int8"
    INT16X8 = "int16x8"

    @property
    def traits(self) -> "SchemeTraits":
        """Its row of the table."""
        return SCHEMES[self]

    @property
    def needs_calibration(self) -> bool:
        """Whether activations are quantized, so that their ranges must be measured."""
        return self.traits.activations != "FLOAT32"


@dataclass(frozen=True)
class SchemeTraits:
    """What a scheme promises, which the audit checks, and how its models are made.

    Attributes:
        weights: The type of stored weights.
        activations: The type of what operators read and write.
        making: How models are made.
        io_types: The types that float model inputs and outputs may become; the first is the
            default.
        biases: The types that biases may have.
        has_float_fallback: Whether operators without an integer form may stay float, and what a
            recipe names.
    """

    weights: TensorType
    activations: TensorType
    making: Making
    io_types: tuple[IOType, ...] = ("float32",)
    biases: tuple[TensorType, ...] = ("FLOAT32",)
    has_float_fallback: bool = False


SCHEMES: Mapping[Scheme, SchemeTraits] = {
    Scheme.FLOAT32: SchemeTraits("FLOAT32", "FLOAT32", Making.AS_IT_IS),
    Scheme.DYNAMIC_RANGE: SchemeTraits("INT8", "FLOAT32", Making.BY_THE_CONVERTER),
    Scheme.FLOAT16: SchemeTraits("FLOAT16", "FLOAT32", Making.BY_THE_CONVERTER),
    Scheme.INT8_FLOAT_IO: SchemeTraits(
        "INT8", "INT8", Making.FROM_RANGES, biases=("INT32",), has_float_fallback=True
    ),
    Scheme.INT8: SchemeTraits(
        "INT8", "INT8", Making.FROM_RANGES, io_types=("int8", "uint8"), biases=("INT32",)
    ),
    Scheme.INT16X8: SchemeTraits(
        "INT8",
        "INT16",
        Making.FROM_RANGES,
        io_types=("float32", "int16"),
        # The kernels take 32 bits beside 64 for 16-bit activations.
        biases=("INT64", "INT32"),
    ),
}
