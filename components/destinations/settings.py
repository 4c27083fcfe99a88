"""How a blessed model is pushed."""

from typing import Annotated, Literal

from pydantic import Field

from tfx_tflite.components.object_stores.places import TIMEOUT
from tfx_tflite.components.settings import Count, Settings

DEFAULT_TIMEOUT = TIMEOUT
Timeout = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]

# Whether a person must approve a version before it becomes the current one.
Approval = Literal["none", "required"]


class RetentionConfig(Settings):
    """Which versions stay at the destination; the current and signed-off ones always do."""

    keep: Count


class TrustSettings(Settings):
    """Whose signatures a destination must have, and who signs there.

    Attributes:
        verify_key: A PEM file with the Ed25519 key that signatures are checked with; None takes the
            public half of `signing_key`, and checks nothing if there is none.
        signing_key: A PEM file with an Ed25519 key to sign with, where the push runs.
        seen_pointers: A file that notes the newest signed pointer that was seen of each
            destination; None notes nothing.
    """

    verify_key: str | None = None
    signing_key: str | None = None
    seen_pointers: str | None = None

    @property
    def is_signed(self) -> bool:
        """Whether signatures are checked."""
        return self.verify_key is not None or self.signing_key is not None


class PusherSettings(TrustSettings):
    """How a push is made.

    Attributes:
        keep: How many of the newest versions stay at the destination; None keeps all. The current
            one and those that are signed off stay in any case.
        force: Whether to push a model that is there already.
        timeout: Seconds until an object store that does not answer is given up.
        approval: Whether a person must approve what is pushed before it becomes the current
            version.
    """

    keep: Count | None = None
    force: bool = False
    timeout: Timeout = DEFAULT_TIMEOUT
    approval: Approval = "none"
