"""How a blessed model is pushed."""

from typing import Annotated

from pydantic import Field

from tfx_tflite.components.settings import Count, Settings

# Seconds until a store that has not answered is given up.
DEFAULT_TIMEOUT = 30.0
Timeout = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


class RetentionConfig(Settings):
    """Which versions stay at the destination; the current and signed-off ones always do."""

    keep: Count


class PusherSettings(Settings):
    """How a push is made.

    Attributes:
        keep: How many of the newest versions stay at the destination; None keeps all. The current
            one and those that are signed off stay in any case.
        signing_key: A PEM file with an Ed25519 key to sign manifests with, where the push runs.
        force: Whether to push a model that is there already.
        timeout: Seconds until an object store that does not answer is given up.
    """

    keep: Count | None = None
    signing_key: str | None = None
    force: bool = False
    timeout: Timeout = DEFAULT_TIMEOUT
