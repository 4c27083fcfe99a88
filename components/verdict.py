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
        groups: How many groups the examples are in. The key is left out if they are in none.
    """

    metric: str
    output: str | None = None
    slice: str
    examples: int
    float_value: Figure = Field(validation_alias="float", serialization_alias="float")
    quantized_value: Figure = Field(validation_alias="quantized", serialization_alias="quantized")
    groups: int | None = None

    @model_serializer(mode="wrap")
    def _without_what_does_not_apply(
        self, own_keys: Callable[["MetricValues"], dict[str, object]]
    ) -> dict[str, object]:
        keys = own_keys(self)
        for key in self._keys_that_may_not_apply():
            if keys[key] is None:
                del keys[key]
        return keys

    def _keys_that_may_not_apply(self) -> Sequence[str]:
        return ("groups",)

    @property
    def counted(self) -> tuple[int, str]:
        """How many there are of what counts as independent, and what one of these is called."""
        return (self.examples, "example") if self.groups is None else (self.groups, "group")

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
        more_examples: About how many more examples would settle an undecided verdict, or groups if
            the examples are in groups.
        look: The how manyeth judgement of this model by this rule it is, from 1. This key and the
            next four are left out of rules without them.
        level: The probability of a wrong blessing that the verdict was found at, if it is another
            one than one minus the confidence because looks are counted.
        p_value: That of "the drop is the bound or more"; a smaller one than the level blesses.
        deviation: How much the drops of single examples differ: their standard deviation.
        changed: Which share of the examples became right or wrong, if the metric is that.
        carried_by: About how many examples carry the drop, if these are few. The key is left out of
            others.
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
    look: int | None = None
    level: float | None = None
    p_value: float | None = None
    deviation: float | None = None
    changed: float | None = None
    carried_by: float | None = None
    reason: str = ""
    against: Literal["float", "pushed"] = "float"
    target: str | None = None

    def _keys_that_may_not_apply(self) -> Sequence[str]:
        releases = ("quantized_release", "limit_release") if self.limit_release is None else ()
        of_tests = ("look", "level", "p_value", "deviation", "changed", "carried_by")
        return ("groups", "target", "side", *of_tests, *releases)

    @property
    def title(self) -> str:
        """The metric, its output if there are several, and what the drop is from."""
        return self.name + (" against the pushed model" if self.against == "pushed" else "")


def name_targets(rules: Sequence[RuleResult]) -> bool:
    """Returns whether rows of rules must say on which target: if there are several."""
    return len({rule.target for rule in rules if rule.target is not None}) > 1
