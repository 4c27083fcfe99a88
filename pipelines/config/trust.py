"""The destination that a config names, with the keys that it trusts."""

from pathlib import Path
from typing import TYPE_CHECKING

from tfx_tflite.components.destinations.settings import TrustSettings
from tfx_tflite.pipelines.config.config import PipelineConfig

if TYPE_CHECKING:
    from tfx_tflite.components.destinations.destination import Destination

_SEEN_POINTERS = "seen_pointers.json"


def trust_settings(config: PipelineConfig) -> TrustSettings:
    """Returns which keys a destination is opened with, and where it is noted what was seen."""
    settings = TrustSettings.of(config.push)
    if not settings.is_signed:
        return settings
    seen = str(Path(config.root) / _SEEN_POINTERS)
    return settings.model_copy(update={"seen_pointers": seen})


def open_destination(
    config: PipelineConfig, signing_key: str | None = None, timeout: float | None = None
) -> "Destination":
    """Returns the destination of a config; nothing of it is read yet.

    Args:
        config: The config.
        signing_key: A PEM file with the key to sign with, in place of the config's.
        timeout: Seconds until a store that does not answer is given up, in place of the config's.

    Raises:
        ConfigError: A key cannot be used.
    """
    from tfx_tflite.components.destinations.destination import Destination, Trust

    settings = trust_settings(config)
    if signing_key is not None:
        settings = settings.model_copy(update={"signing_key": signing_key})
    return Destination.open(
        config.push.destination, timeout or config.push.timeout, Trust.of(settings)
    )


def open_to_read(config: PipelineConfig, timeout: float | None = None) -> "Destination":
    """Returns the same for somebody who only looks, and needs no private key.

    Args:
        config: The config.
        timeout: As of `open_destination`.

    Raises:
        ConfigError: A key cannot be used.
    """
    if config.push.verify_key is not None:
        push = config.push.model_copy(update={"signing_key": None})
        config = config.model_copy(update={"push": push})
    return open_destination(config, timeout=timeout)


def try_destination(config: PipelineConfig) -> str:
    """Returns what is at the destination of a config, after trying to read and to change it.

    Raises:
        NotKnownError: It cannot be read.
        DestinationError: It cannot be changed, or its store ignores conditions of writes, without
            which two pushes could overwrite each other.
    """
    destination = open_destination(config)
    current = destination.current()
    destination.check_writable()
    return f"{f'version {current}' if current else 'nothing'} is current; it can be changed"
