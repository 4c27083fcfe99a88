"""What to make of a model: a scheme and, where that alone costs too much, what is done besides.

A recipe is written beside the model and into the manifest, and one of before can be given to be
applied again. Layers and tensors are named by their place in the structure of the float graph (see
`structure.py`), so that a recipe still fits when the model has been trained again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from tfx_tflite.components.documents import json_value
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.components.quantization.ranges.policy import PERCENTILE, PolicyKind, RangePolicy
from tfx_tflite.components.quantization.schemes import SCHEMES, FloatFallback, IOType, Scheme
from tfx_tflite.components.settings import mistakes

# In the order in which they are applied; `repairs` has a module for each.
Repair = Literal[
    "fold_batch_normalization",
    "explicit_normalization",
    "move_normalization",
    "equalize",
    "correct_biases",
]
FOLD: Literal["fold_batch_normalization"] = "fold_batch_normalization"
EXPLICIT: Literal["explicit_normalization"] = "explicit_normalization"
MOVE: Literal["move_normalization"] = "move_normalization"
EQUALIZE: Literal["equalize"] = "equalize"
CORRECT: Literal["correct_biases"] = "correct_biases"
WeightRule = Literal["per_channel"]
PER_CHANNEL: Literal["per_channel"] = "per_channel"

_REPAIRS: tuple[Repair, ...] = (FOLD, EXPLICIT, MOVE, EQUALIZE, CORRECT)
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class RangeRule:
    """How the range of tensors follows from what they were seen to hold; see `RangePolicy`.

    Attributes:
        ranges: A kind of `RangePolicy`.
        percentile: Of the policy `percentile`.
    """

    __pydantic_config__ = _STRICT

    ranges: PolicyKind
    percentile: Annotated[float, Field(ge=50, lt=100)] = 99.9

    @classmethod
    def of(cls, policy: RangePolicy) -> "RangeRule":
        """Returns a policy as a rule."""
        if policy.kind != PERCENTILE:
            return cls(policy.kind)
        return cls(policy.kind, policy.percentile)

    @property
    def policy(self) -> RangePolicy:
        """The rule as a policy."""
        return RangePolicy(self.ranges, self.percentile)


@dataclass(frozen=True)
class Recipe:
    """What to make of a model.

    Attributes:
        scheme: The quantization scheme.
        io_type: The type of inputs and outputs that are float in the float model; None takes the
            scheme's default.
        batch_size: A fixed batch size, or None to keep the signature's own (usually dynamic).
        float_fallback: What becomes of an operator that has no integer form: `refuse` makes it an
            error, `allow` leaves it in float between integers.
        ranges: How ranges follow from the calibration examples; None takes what the config's
            section `calibration` says.
        tensor_ranges: The same of single tensors, by their keys.
        weights: How the weights of single layers are stored, by the layers' keys: `per_channel`
            gives each output channel a scale, also where the converter gives all of them one.
        repairs: What is done to the float graph, or to the quantized one, so that less is lost.
        float_edges: Keys of tensors that stay float, and with them what writes and reads them.
        float_layers: Keys or names of layers that stay float between integers.
        draw: Which draw of the calibration examples the model is made with, from 0, if there are
            several (`calibration.seeds`); None takes the first.
        structure: A digest of the structure of the float graph that the keys are of; None fits any
            graph that has them.
        format: Of the document.

    Raises:
        ConfigError: The scheme does not offer the I/O type, floats, a repair or a draw.
    """

    __pydantic_config__ = _STRICT

    scheme: Scheme
    io_type: IOType | None = None
    batch_size: Annotated[int, Field(ge=1)] | None = None
    float_fallback: FloatFallback = "refuse"
    ranges: RangeRule | None = None
    tensor_ranges: Mapping[str, RangeRule] = field(default_factory=dict, hash=False)
    weights: Mapping[str, WeightRule] = field(default_factory=dict, hash=False)
    repairs: tuple[Repair, ...] = ()
    float_edges: tuple[str, ...] = ()
    float_layers: tuple[str, ...] = ()
    draw: Annotated[int, Field(strict=True, ge=0)] | None = None
    structure: str | None = None
    format: Literal[1] = 1

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
        if (self.float_edges or self.float_layers) and not traits.has_float_fallback:
            raise ConfigError(
                f"float_edges and float_layers do not go with scheme {name!r}, whose operators are "
                "all integer; take int8_float_io, or leave them out"
            )
        if (self.repairs or self.weights) and not self.scheme.needs_calibration:
            raise ConfigError(
                f"repairs and weights do not go with scheme {name!r}, whose activations are float; "
                "leave them out"
            )
        if self.draw is not None and not self.scheme.needs_calibration:
            raise ConfigError(
                f"draw does not go with scheme {name!r}, which takes no calibration examples; "
                "leave it out"
            )

    @property
    def allows_float(self) -> bool:
        """Whether operators that have no integer form may stay float."""
        return self.float_fallback == "allow"

    @property
    def resolved_io_type(self) -> IOType:
        """The I/O type with the scheme's default filled in."""
        return self.io_type or self.scheme.traits.io_types[0]

    @property
    def is_plain(self) -> bool:
        """Whether it is a scheme and nothing besides."""
        return not (
            self.repairs
            or self.weights
            or self.tensor_ranges
            or self.float_edges
            or self.float_layers
            or self.draw is not None
        )

    def having(self, *repairs: Repair) -> "Recipe":
        """Returns the recipe with more repairs, in the order in which they are applied."""
        wanted = {*self.repairs, *repairs}
        return replace(self, repairs=tuple(each for each in _REPAIRS if each in wanted))

    def policy(self, given: RangePolicy | None) -> RangePolicy | None:
        """Returns how ranges follow from what was observed.

        Args:
            given: What the config says; None leaves ranges to the converter's own calibrator.
        """
        return given if self.ranges is None else self.ranges.policy

    def to_json(self) -> str:
        """Returns the recipe as a document: what is not said is left out, one key a line.

        Equal recipes are the same text, in whatever order their layers were named.
        """
        in_order = replace(
            self,
            tensor_ranges=dict(sorted(self.tensor_ranges.items())),
            weights=dict(sorted(self.weights.items())),
        )
        return _ADAPTER.dump_json(in_order, indent=1, exclude_defaults=True).decode() + "\n"

    @classmethod
    def parse(cls, content: str | bytes, where: str) -> "Recipe":
        """Returns the recipe in a document.

        Args:
            content: The document.
            where: Its name, for messages.

        Raises:
            ConfigError: It is none, or one that is not possible.
        """
        try:
            document = json_value(content)
        except ValueError as error:
            raise ConfigError(f"{where} is not a quantization recipe, as JSON: {error}") from error
        try:
            return _ADAPTER.validate_python(document)
        except ValidationError as error:
            if impossible := error.errors()[0].get("ctx", {}).get("error"):
                raise ConfigError(f"{where}: {impossible}") from error
            known = [each.name for each in fields(cls)]
            found = mistakes(document, error, lambda section: () if section else known)
            problem = "; ".join(
                ": ".join(filter(None, [".".join(map(str, location)), message]))
                for location, message in found.items()
            )
            raise ConfigError(f"{where} is not a quantization recipe: {problem}") from error


_ADAPTER = TypeAdapter(Recipe)
