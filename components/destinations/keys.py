"""Ed25519 signatures (RFC 8032) over manifests, with keys in PEM files.

Make a pair with `openssl genpkey -algorithm ed25519 -out key.pem` and
`openssl pkey -in key.pem -pubout -out public.pem`.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from tfx_tflite.components.errors import ConfigError

_Key = TypeVar("_Key")


def load_private_key(path: str | Path) -> Ed25519PrivateKey:
    """Returns the key in a PEM file (PKCS #8, not encrypted).

    Raises:
        ConfigError: There is none.
    """
    load = functools.partial(load_pem_private_key, password=None)
    return _loaded(path, "private", Ed25519PrivateKey, load)


def load_public_key(path: str | Path) -> Ed25519PublicKey:
    """Returns the public key in a PEM file.

    Raises:
        ConfigError: There is none.
    """
    return _loaded(path, "public", Ed25519PublicKey, load_pem_public_key)


def _loaded(
    path: str | Path, kind: str, wanted: type[_Key], load: Callable[[bytes], object]
) -> _Key:
    try:
        key = load(Path(path).read_bytes())
    except OSError as error:
        raise ConfigError(f"the key {path} cannot be read: {error.strerror}") from error
    # TypeError: it is encrypted.
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"{path} is not a PEM file with a {kind} Ed25519 key that needs no password"
        ) from error
    if not isinstance(key, wanted):
        raise ConfigError(f"{path} holds a {kind} key, but not an Ed25519 one")
    return key


def is_signed_by(key: Ed25519PublicKey, content: bytes, signature: bytes) -> bool:
    """Returns whether a signature of some bytes was made with the key's private half."""
    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True
