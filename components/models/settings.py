"""What of a SavedModel is converted and compared, and what is recorded of the result."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Self

from tfx_tflite.components.settings import Settings

FeatureName = Annotated[str, Field(min_length=1)]


Extra = Literal["c_array", "vela"]


def _each_once(extras: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((extra for extra in extras if extras.count(extra) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} is listed twice")
    return extras


class SignatureSettings(Settings):
    """The signature that is converted.

    Attributes:
        signature: Its name; its inputs are tensors, not serialized examples.
        inputs: Which feature feeds which of its inputs, by the input's name; an input that is not
            there takes the feature of its name, or is matched (see `examples/matching.py`).
        preprocessing_signature: A signature of the same SavedModel that turns serialized examples
            into the inputs of `signature`; None takes each input from the feature of its name.
        trust: Whether the SavedModel may do more than compute: read and write files, run Python,
            open connections; see `effects.py`.
    """

    signature: str = "serving_default"
    inputs: dict[FeatureName, FeatureName] = {}
    preprocessing_signature: str | None = None
    trust: bool = False

    @model_validator(mode="after")
    def _inputs_are_fed_once(self) -> Self:
        if self.inputs and self.preprocessing_signature is not None:
            raise ValueError(
                "inputs and preprocessing_signature each say what the inputs are made of; give one"
            )
        return self


class FedSignatureSettings(SignatureSettings):
    """The signature, and what its inputs are not matched with.

    Attributes:
        not_inputs: Features with another use (labels, weights, slices), which feed an input only if
            they have its name or `inputs` says so.
    """

    not_inputs: tuple[str, ...] = ()


class GoldenSettings(Settings):
    """What a push ships beside the model.

    Attributes:
        golden_samples: How many examples of the split that is evaluated, with the outputs that the
            model gave for them.
        extras: What else: `c_array`, the model as a C array with a program that runs the golden
            samples; `vela`, the file that Arm's Vela compiles for the target's accelerator.
    """

    golden_samples: int = Field(default=8, strict=True, ge=0, le=10_000)
    extras: Annotated[tuple[Extra, ...], AfterValidator(_each_once)] = ()
