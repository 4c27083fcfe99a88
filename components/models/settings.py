"""What of a SavedModel is converted and compared, and what is recorded of the result."""

from pydantic import Field

from tfx_tflite.components.settings import Settings


class SignatureSettings(Settings):
    """The signature that is converted.

    Attributes:
        signature: Its name; its inputs are tensors, not serialized examples.
        preprocessing_signature: A signature of the same SavedModel that turns serialized examples
            into the inputs of `signature`; None takes each input from the feature of its name.
        trust: Whether the SavedModel may do more than compute: read and write files, run Python,
            open connections; see `effects.py`.
    """

    signature: str = "serving_default"
    preprocessing_signature: str | None = None
    trust: bool = False


class GoldenSettings(Settings):
    """What a push ships beside the model.

    Attributes:
        golden_samples: How many examples of the split that is evaluated, with the outputs that the
            model gave for them.
    """

    golden_samples: int = Field(default=8, strict=True, ge=0, le=10_000)
