"""Ed25519 signatures (RFC 8032) over manifests, with keys in PEM files.

Make a pair with `openssl genpkey -algorithm ed25519 -out key.pem` and
`openssl pkey -in key.pem -pubout -out public.pem`.
"""

import functools
import os
import stat
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from tfx_tflite.components.errors import ConfigError

# Group and others: reading, writing.
_OTHERS = 0o066


def load_private_key(path: str | Path) -> Ed25519PrivateKey:
    """Returns the key in a PEM file (PKCS #8, not encrypted) that only its owner may read.

    The group may read one of root's, if this process is not root: so Kubernetes gives a Secret to a
    container with an `fsGroup`, where nobody could change the mode.

    Raises:
        ConfigError: There is none, or others may read it.
    """
    key = _loaded(path, "private", functools.partial(load_pem_private_key, password=None))
    if isinstance(key, Ed25519PrivateKey):
        return key
    raise ConfigError(f"{path} holds a private key, but not an Ed25519 one")


def load_public_key(path: str | Path) -> Ed25519PublicKey:
    """Returns the public key in a PEM file.

    Raises:
        ConfigError: There is none.
    """
    key = _loaded(path, "public", load_pem_public_key)
    if isinstance(key, Ed25519PublicKey):
        return key
    raise ConfigError(f"{path} holds a public key, but not an Ed25519 one")


def _loaded(path: str | Path, kind: str, load: Callable[[bytes], object]) -> object:
    try:
        with Path(path).open("rb") as file:
            status, content = os.fstat(file.fileno()), file.read()
    except OSError as error:
        raise ConfigError(f"the key {path} cannot be read: {error.strerror}") from error
    if kind == "private" and _is_open_to_others(status):
        raise ConfigError(
            f"others than its owner may read or change the private key {path} (mode "
            f"{stat.S_IMODE(status.st_mode):03o}); run `chmod 600 {path}`, or mount a Secret of "
            "Kubernetes with `defaultMode: 0400`"
        )
    try:
        return load(content)
    # TypeError: it is encrypted.
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"{path} is not a PEM file with a {kind} Ed25519 key that needs no password"
        ) from error


def _is_open_to_others(status: os.stat_result) -> bool:
    is_given_by_root = status.st_uid == 0 and os.geteuid() != 0
    return bool(status.st_mode & _OTHERS & ~(stat.S_IRGRP if is_given_by_root else 0))


def is_signed_by(key: Ed25519PublicKey, content: bytes, signature: bytes) -> bool:
    """Returns whether a signature of some bytes was made with the key's private half."""
    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True
