"""What a gate says of a model, as reports, manifests and results of runs have it."""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Literal

from pydantic import Field, model_serializer

from tfx_tflite.components.documents import Figure, Part

OVERALL = "overall"

# Which way a figure itself is limited.
Side = Literal["at most", "at least"]


class Verdict(str, Enum):
    """What a rule, or the whole gate, says of the quantized model."""

    BLESSED = "blessed"
    REFUSED = "refused"
    UNDECIDED = "undecided"
    NOT_JUDGED = "not_judged"


class MetricValues(Part):
    """A metric's value for both models on one slice.

    Attributes:
        metric: The metric's name.
        output: The output it is of; None if one is judged and its name goes without saying.
        slice: `overall`, or `feature:value` parts joined by commas.
        examples: The number of examples in the slice.
        float_value: The float model's value.
        quantized_value: The quantized model's value.
    """

    metric: str
    output: str | None = None
    slice: str
    examples: int
    float_value: Figure = Field(validation_alias="float", serialization_alias="float")
    quantized_value: Figure = Field(validation_alias="quantized", serialization_alias="quantized")

    @property
    def name(self) -> str:
        """The metric, and its output if there are several: `AUC of risk`."""
        return f"{self.metric} of {self.output}" if self.output else self.metric

    @property
    def title(self) -> str:
        """What tables and plots call it."""
        return self.name


class RuleResult(MetricValues):
    """What a rule says of one slice.

    Attributes:
        drop: How much worse the quantized model is, in the metric's unit; negative if it is better.
        bound: The largest drop allowed, in the metric's unit.
        limit: If a rule limits a figure of the model as a whole, or the value of a metric, the
            limit. Drop and bound then count from the float model's figure or, if that is no
            number, from the limit.
        side: Which way a limit limits the figure. The key is left out of other rules.
        quantized_release: If a rule limits a release, the release that `quantized_value` stands
            for, `2.17.0` for example. The key is left out of other rules.
        limit_release: The release that `limit` stands for. The key is left out of other rules.
        confidence: How sure the verdict is; None if the figures were compared as they are.
        lower: The one-sided lower bound of the true drop at that confidence.
        upper: The one-sided upper bound of it.
        method: How the bounds were found.
        verdict: Whether the rule holds.
        more_examples: About how many more examples would settle an undecided verdict.
        reason: Why the rule does not hold, in words; empty if it holds.
        against: What `float_value` is of: the `float` model, or the `pushed` one.
        target: The target whose kernels gave `quantized_value`, if the config names targets. The
            key is left out of others.
    """

    drop: Figure
    bound: Figure
    limit: float | None = None
    side: Side | None = None
    quantized_release: str | None = None
    limit_release: str | None = None
    confidence: float | None = None
    lower: float | None = None
    upper: float | None = None
    method: str | None = None
    verdict: Verdict
    more_examples: int | None = None
    reason: str = ""
    against: Literal["float", "pushed"] = "float"
    target: str | None = None

    @model_serializer(mode="wrap")
    def _without_what_does_not_apply(
        self, own_keys: Callable[["RuleResult"], dict[str, object]]
    ) -> dict[str, object]:
        keys = own_keys(self)
        if self.limit_release is None:
            del keys["quantized_release"], keys["limit_release"]
        for key in ("target", "side"):
            if keys[key] is None:
                del keys[key]
        return keys

    @property
    def title(self) -> str:
        """The metric, its output if there are several, and what the drop is from."""
        return self.name + (" against the pushed model" if self.against == "pushed" else "")


def name_targets(rules: Sequence[RuleResult]) -> bool:
    """Returns whether rows of rules must say on which target: if there are several."""
    return len({rule.target for rule in rules if rule.target is not None}) > 1
