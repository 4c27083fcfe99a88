"""The quantization schemes, named after what TensorFlow Lite calls them, and recipes made of them.

All that differs between schemes is a column of one table: `SCHEMES`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from tfx_tflite.components.errors import ConfigError, listed

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
        has_float_fallback: Whether operators without an integer form may stay float.
        overridden_by: What parts of a model may be made to instead, by a recipe's overrides.
    """

    weights: TensorType
    activations: TensorType
    making: Making
    io_types: tuple[IOType, ...] = ("float32",)
    biases: tuple[TensorType, ...] = ("FLOAT32",)
    has_float_fallback: bool = False
    overridden_by: tuple[Scheme, ...] = ()


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


@dataclass(frozen=True)
class Override:
    """What a part of a model is made to, instead of the recipe's scheme.

    Attributes:
        layer: The name of what its operator writes, as the report lists layers.
        scheme: The scheme.
    """

    layer: str
    scheme: Scheme


@dataclass(frozen=True)
class Recipe:
    """What to make of a model: a scheme, and other schemes for parts of the graph.

    Attributes:
        scheme: The quantization scheme.
        io_type: The type of inputs and outputs that are float in the float model; None takes the
            scheme's default.
        batch_size: A fixed batch size, or None to keep the signature's own (usually dynamic).
        float_fallback: What becomes of an operator that has no integer form: `refuse` makes it an
            error, `allow` leaves it in float between integers.
        overrides: The parts that are made otherwise. No scheme takes any yet.

    Raises:
        ConfigError: The scheme does not offer the I/O type, floats or an override.
    """

    scheme: Scheme
    io_type: IOType | None = None
    batch_size: int | None = None
    float_fallback: FloatFallback = "refuse"
    overrides: tuple[Override, ...] = ()

    def __post_init__(self) -> None:
        name, traits = self.scheme.value, self.scheme.traits
        if self.io_type is not None and self.io_type not in traits.io_types:
            raise ConfigError(
                f"io_type {self.io_type!r} does not go with scheme {name!r}, whose "
                f"models take {' or '.join(traits.io_types)}; change one of the two"
            )
        if self.allows_float and not traits.has_float_fallback:
            having = [scheme.value for scheme, row in SCHEMES.items() if row.has_float_fallback]
            raise ConfigError(
                f"float_fallback: allow does not go with scheme {name!r}; take "
                f"{' or '.join(having)}, or leave it out"
            )
        for override in self.overrides:
            if override.scheme not in traits.overridden_by:
                allowed = listed(scheme.value for scheme in traits.overridden_by)
                raise ConfigError(
                    f"layer {override.layer!r} of a model of scheme {name!r} cannot be made "
                    f"{override.scheme.value}; what parts of it can be made to: {allowed}"
                )

    @property
    def allows_float(self) -> bool:
        """Whether operators that have no integer form may stay float."""
        return self.float_fallback == "allow"

    @property
    def resolved_io_type(self) -> IOType:
        """The I/O type with the scheme's default filled in."""
        return self.io_type or self.scheme.traits.io_types[0]

    def scheme_of(self, layer: str) -> Scheme:
        """Returns what a layer is made to.

        Args:
            layer: The name of what its operator writes.
        """
        schemes = (each.scheme for each in self.overrides if each.layer == layer)
        return next(schemes, self.scheme)
