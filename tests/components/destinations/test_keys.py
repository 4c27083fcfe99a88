"""Only an Ed25519 key in a readable PEM file is a key."""

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from tfx_tflite.components.destinations.keys import load_private_key, load_public_key
from tfx_tflite.components.errors import ConfigError


def private_pem(key, password: bytes | None = None) -> bytes:
    encryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def public_pem(key) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@pytest.fixture
def file(tmp_path: Path):
    def write(content: bytes) -> Path:
        (tmp_path / "key.pem").write_bytes(content)
        (tmp_path / "key.pem").chmod(0o600)
        return tmp_path / "key.pem"

    return write


def test_reads_both_halves_of_a_pair(file):
    key = ed25519.Ed25519PrivateKey.generate()
    signature = load_private_key(file(private_pem(key))).sign(b"x")
    load_public_key(file(public_pem(key))).verify(signature, b"x")


def test_says_what_is_wrong_with_a_key(file, tmp_path: Path):
    ours, other = ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_private_key(tmp_path / "nowhere.pem")
    for content in (b"", b"not a key", public_pem(ours), private_pem(ours, b"secret")):
        with pytest.raises(ConfigError, match="not a PEM file with a private Ed25519 key"):
            load_private_key(file(content))
    with pytest.raises(ConfigError, match="holds a private key, but not an Ed25519 one"):
        load_private_key(file(private_pem(other)))
    with pytest.raises(ConfigError, match="not a PEM file with a public Ed25519 key"):
        load_public_key(file(private_pem(ours)))
    with pytest.raises(ConfigError, match="holds a public key, but not an Ed25519 one"):
        load_public_key(file(public_pem(other)))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o666])
def test_a_private_key_that_others_may_read_or_change_is_refused(file, mode: int):
    path = file(private_pem(ed25519.Ed25519PrivateKey.generate()))
    path.chmod(mode)
    with pytest.raises(ConfigError, match=rf"private key {path} \(mode {mode:o}\); run `chmod 600"):
        load_private_key(path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_key_of_its_owner_alone_is_taken(file, mode: int):
    path = file(private_pem(ed25519.Ed25519PrivateKey.generate()))
    path.chmod(mode)
    assert load_private_key(path)


@pytest.mark.parametrize("mode", [0o440, 0o640, 0o644, 0o444, 0o460])
def test_a_secret_that_kubernetes_gives_to_a_group_is_taken_but_no_more_open_one(
    file, as_a_user, mode: int
):
    """With an `fsGroup` a Secret is root's, and the group of the process may read it."""
    if os.getuid() != 0:
        pytest.skip("only root can make a file of root's")
    os.seteuid(0)
    path = file(private_pem(ed25519.Ed25519PrivateKey.generate()))
    os.chown(path, 0, os.getegid())
    path.chmod(mode)
    os.seteuid(1000)
    if mode in (0o440, 0o640):
        assert load_private_key(path)
    else:
        with pytest.raises(ConfigError, match="or mount a Secret of Kubernetes with `defaultMode"):
            load_private_key(path)


def test_everybody_may_read_a_public_key(file):
    path = file(public_pem(ed25519.Ed25519PrivateKey.generate()))
    path.chmod(0o644)
    assert load_public_key(path)
