"""How a blessed model is pushed."""

from tfx_tflite.components.settings import Count, Settings


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
    """

    keep: Count | None = None
    signing_key: str | None = None
    force: bool = False
