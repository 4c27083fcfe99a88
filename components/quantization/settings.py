"""What TFLiteQuantizer is asked for.

Nothing here needs TensorFlow, Beam or NumPy: the settings are those of a config, too.
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator
from typing_extensions import Self

from tfx_tflite.components.examples.settings import SamplePlan
from tfx_tflite.components.models.settings import FedSignatureSettings
from tfx_tflite.components.quantization.conversion.limits import Limits
from tfx_tflite.components.quantization.ranges.policy import PolicyKind, RangePolicy
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import FloatFallback, IOType, Scheme
from tfx_tflite.components.settings import AnyPath, Count, LocalPath, Settings, problem

# The converter's own calibrator measures, for comparison.
STOCK: Literal["stock"] = "stock"
# A search finds the recipe.
AUTO: Literal["auto"] = "auto"
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


class ConversionSettings(Settings):
    """What a model is converted to.

    Attributes:
        scheme: A `Scheme`, or `auto` for the recipe that QuantizationTuner finds.
        io_type: The type of inputs and outputs that are float in the float model; None takes the
            scheme's default.
        batch_size: A fixed batch size; `dynamic`, or None, keeps the signature's own.
        float_fallback: What becomes of operators without an integer form, as of `Recipe`.
        time_limit: Seconds for one step of the converter.
        memory_limit: Megabytes (of 2^20 bytes) for the converter; None sets no limit.
    """

    scheme: Scheme | Literal["auto"] = Scheme.INT8
    io_type: IOType | None = None
    batch_size: Annotated[Literal["dynamic"] | Count, BeforeValidator(_dynamic)] = "dynamic"
    float_fallback: FloatFallback = "refuse"
    time_limit: float = Field(default=3600.0, strict=True, gt=0, allow_inf_nan=False)
    memory_limit: Count | None = None

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.is_searched and self.float_fallback != "refuse":
            raise problem(
                "quantization.float_fallback",
                "does not go with scheme: auto; set quantization.auto.integer_only: false instead",
            )
        # The recipe knows what goes together.
        assert self.plain_recipe
        return self

    @property
    def is_searched(self) -> bool:
        """Whether the recipe is found by a search."""
        return self.scheme == AUTO

    @property
    def scheme_name(self) -> str:
        """What configs and messages call the scheme."""
        return self.scheme.value if isinstance(self.scheme, Scheme) else self.scheme

    @property
    def needs_calibration(self) -> bool:
        """Whether calibration examples are needed."""
        return self.plain_recipe.scheme.needs_calibration

    @property
    def plain_recipe(self) -> Recipe:
        """The scheme as a recipe; with `auto` the one that a search begins with, which is int8."""
        batch_size = None if self.batch_size == "dynamic" else self.batch_size
        scheme = self.scheme if isinstance(self.scheme, Scheme) else Scheme.INT8
        return Recipe(scheme, self.io_type, batch_size, self.float_fallback)

    @property
    def limits(self) -> Limits:
        """What the converter's process may use."""
        memory = None if self.memory_limit is None else self.memory_limit * _MEGABYTE
        return Limits(self.time_limit, memory)


class SearchBudget(Settings):
    """When a search ends that has found nothing yet.

    Attributes:
        evaluations: How many candidates are evaluated at most.
        minutes: For how long it goes on; a candidate that is begun is finished.
    """

    evaluations: Count = 40
    minutes: float = Field(default=20.0, strict=True, gt=0, allow_inf_nan=False)


class SearchSettings(Settings):
    """How `scheme: auto` looks for a recipe: the section `quantization.auto` of a config.

    Attributes:
        integer_only: Whether all operators, inputs and outputs must be integer.
        budget: When the search ends.
        tuning_split: The split that candidates are judged on; not the one that the gate judges on.
        tuning_samples: How many of its examples.
        allow: What else may be done: `move_normalization` makes a model that is given normalized
            inputs, so that all who call it must normalize them first.
        memory: A directory where finished evaluations and the last recipe are kept; None takes one
            beside the artifacts, which is enough on one machine.
    """

    integer_only: bool = Field(default=True, strict=True)
    budget: SearchBudget = SearchBudget()
    tuning_split: str = Field(default="train", min_length=1)
    tuning_samples: Count = 1000
    allow: tuple[Literal["move_normalization"], ...] = ()
    memory: AnyPath | None = None


class QuantizationSettings(ConversionSettings):
    """What a model is converted to, and how that is found: the section `quantization` of a config.

    Attributes:
        recipe: A file with the recipe to be applied, which says the scheme and all besides.
        auto: How `scheme: auto` looks for one; of it, draws of the calibration examples take the
            tuning split, too, which is why `PipelineConfig` says when it may be given.
    """

    recipe: LocalPath | None = None
    auto: SearchSettings = SearchSettings()

    @model_validator(mode="after")
    def _recipe_says_the_scheme(self) -> Self:
        if self.recipe is None:
            return self
        for key in ("scheme", "io_type", "float_fallback"):
            # A recipe that is given need not be searched.
            if key in self.model_fields_set and getattr(self, key) != AUTO:
                raise problem(
                    f"quantization.{key}",
                    "stands beside quantization.recipe, which says it; leave one of them out",
                )
        return self

    @property
    def is_searched(self) -> bool:
        """Whether the recipe is found by a search; not if one is given."""
        return self.recipe is None and super().is_searched

    @property
    def scheme_name(self) -> str:
        """What configs and messages call the scheme."""
        return "recipe" if self.recipe is not None else super().scheme_name


class QuantizerSettings(RangeSettings, ConversionSettings, FedSignatureSettings):
    """What TFLiteQuantizer is asked for: which signature, what to convert it to, and how.

    Attributes:
        given_recipe: The recipe to be applied instead of the plain scheme.
        seeds: How many draws of calibration examples there are, see `SamplePlan`.
    """

    given_recipe: Recipe | None = None
    seeds: Count = SamplePlan.model_fields["seeds"].default

    @property
    def recipe(self) -> Recipe:
        """What to make of the model, unless a search has found it."""
        return self.given_recipe or self.plain_recipe
