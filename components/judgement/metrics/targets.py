"""What each output of a model is judged by: its label, the label's vocabulary, the weights.

Only pydantic is imported here, because configs are parsed with it and workers import it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from tfx_tflite.components.settings import Settings

if TYPE_CHECKING:  # It loads NumPy, which a config can do without.
    from tfx_tflite.components.examples.tensors import InputSpec


_Name = Annotated[str, Field(min_length=1)]


class LabelInputConfig(Settings):
    """A label that is an input of the model, such as an autoencoder's own."""

    input: _Name


class Aggregate(Settings):
    """How the scores of whole groups, such as files, come from those of their examples.

    Attributes:
        by: The feature whose value says which group an example is in.
        score: What an example's score is: the error between the output and its target, or the
            output itself, if that is one value.
        reduce: What a group's score is of those of its examples.
        target: What the error is from: a feature, or an input of the model; None for the only input
            of the model.
    """

    by: _Name
    score: Literal["mean_squared_error", "mean_absolute_error", "output"]
    reduce: Literal["mean", "max"] = "mean"
    target: _Name | LabelInputConfig | None = None

    @model_validator(mode="after")
    def _target_is_of_an_error(self) -> "Aggregate":
        if self.score == "output" and self.target is not None:
            raise ValueError("score is output, which has no target; leave target out")
        return self

    @property
    def is_error(self) -> bool:
        """Whether scores are errors, which may be of any size."""
        return self.score != "output"


class Target(Settings):
    """What one output is compared with.

    Attributes:
        output: The output's name; None if the signature has one.
        label: The feature, or the output of the preprocessing signature, that holds the label.
        label_input: The input of the model that is the label, such as an autoencoder's own.
        vocabulary: The strings that a label may be, in the order of the classes; none if labels
            are numbers.
        example_weight: The feature that says how much an example counts; None if all count 1.
        group_by: The feature whose value says which examples belong together; None if each example
            stands for itself.
        aggregate: How the scores of these groups come about, if metrics are of groups and not of
            examples.
    """

    output: str | None = None
    label: str | None = None
    label_input: str | None = None
    vocabulary: tuple[str, ...] = ()
    example_weight: str | None = None
    group_by: str | None = None
    aggregate: Aggregate | None = None

    @model_validator(mode="after")
    def _one_label(self) -> "Target":
        if (self.label is None) == (self.label_input is None):
            raise ValueError("give a label: a feature, or an input of the model")
        return self

    @property
    def label_name(self) -> str:
        """What messages call the label."""
        return str(self.label if self.label_input is None else self.label_input)


@dataclass(frozen=True)
class JudgedOutput:
    """An output of the model with what it is judged by.

    Attributes:
        key: What rules, reports and TFMA's files call it; None if only one is judged and its
            name goes without saying.
        spec: Its name, shape and type in the signature.
        target: What it is compared with.
    """

    key: str | None
    spec: "InputSpec"
    target: Target

    @property
    def example_shape(self) -> tuple[int | None, ...] | None:
        """The shape of what metrics take of an example's output; None if its rank is not known."""
        if self.target.aggregate is not None:
            return (1,)
        return self.spec.example_shape if self.spec.shape else None
