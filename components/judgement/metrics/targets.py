"""What each output of a model is judged by: its label, the label's vocabulary, the weights.

Only pydantic is imported here, because configs are parsed with it and workers import it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import model_validator

from tfx_tflite.components.settings import Settings

if TYPE_CHECKING:  # It loads NumPy, which a config can do without.
    from tfx_tflite.components.examples.tensors import InputSpec


class Target(Settings):
    """What one output is compared with.

    Attributes:
        output: The output's name; None if the signature has one.
        label: The feature, or the output of the preprocessing signature, that holds the label.
        label_input: The input of the model that is the label, such as an autoencoder's own.
        vocabulary: The strings that a label may be, in the order of the classes; none if labels
            are numbers.
        example_weight: The feature that says how much an example counts; None if all count 1.
    """

    output: str | None = None
    label: str | None = None
    label_input: str | None = None
    vocabulary: tuple[str, ...] = ()
    example_weight: str | None = None

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
        """The shape of an example's output; None if not even the rank is known."""
        return self.spec.example_shape if self.spec.shape else None
