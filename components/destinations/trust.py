"""Whose signatures a destination must have, and who signs there.

One key signs every manifest and the pointer. Whoever reads a destination, be it to push, to compare
or to show it, asks one `Verifier` whether what lies there was signed.
"""

import base64
import binascii
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import RootModel

from tfx_tflite.components.destinations.manifest import Digest
from tfx_tflite.components.destinations.pointer import SIGNED_LATEST, SignedPointer, Statement
from tfx_tflite.components.destinations.settings import TrustSettings
from tfx_tflite.components.digests import bytes_digest
from tfx_tflite.components.documents import Part
from tfx_tflite.components.errors import ConfigError, DestinationError, in_one_line
from tfx_tflite.components.presence import not_known

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )


class SeenPointer(Part):
    """A signed pointer that was seen: its destination's chain, its counter and its digest."""

    chain: str
    counter: int
    digest: Digest


class _SeenFile(RootModel[dict[str, SeenPointer]]):
    """The pointers that were seen, by destination."""


@dataclass(frozen=True)
class SeenPointers:
    """A file beside the runs with the newest pointer that was seen of each destination.

    With it a destination that was put back as a whole to an older state is told from one where
    nothing happened; nothing at the destination itself could tell that.

    Attributes:
        path: The file.
    """

    path: Path

    def problem(self, uri: str, pointer: SignedPointer | None, where: str) -> str | None:
        """Returns what is wrong with a pointer after those that were seen; None if nothing is.

        Args:
            uri: The destination.
            pointer: Its pointer, whose signature is good; None if it has none.
            where: The pointer's file.

        Raises:
            DestinationError: The file is damaged.
            NotKnownError: It cannot be read.
        """
        seen = self._read().get(uri)
        if seen is None:
            return None
        forget = f"; if that was done on purpose, remove its entry in {self.path}"
        if pointer is None:
            return f"{where} is gone: counter {seen.counter} was seen before{forget}"
        statement = pointer.statement(where)
        if statement.chain != seen.chain:
            return f"{where} is of another destination than what was seen here before{forget}"
        if statement.counter < seen.counter:
            return (
                f"{where} is an old one: its counter is {statement.counter}, {seen.counter} was "
                f"seen before{forget}"
            )
        is_other = bytes_digest(pointer.line) != seen.digest
        if statement.counter == seen.counter and is_other:
            return (
                f"{where} says another thing than when counter {seen.counter} was seen "
                f"before{forget}"
            )
        return None

    def note(self, uri: str, pointer: SignedPointer, statement: Statement) -> None:
        """Notes a pointer whose signature is good, unless a newer one was noted meanwhile.

        Raises:
            OSError: The file cannot be written.
            DestinationError: The file is damaged.
            NotKnownError: It cannot be read.
        """
        entries = self._read()
        entry = SeenPointer(
            chain=statement.chain, counter=statement.counter, digest=bytes_digest(pointer.line)
        )
        noted = entries.get(uri)
        if noted is not None and noted.chain == entry.chain and noted.counter >= entry.counter:
            return
        content = _SeenFile({**entries, uri: entry}).model_dump_json(indent=1) + "\n"
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            beside.write_text(content, encoding="utf-8")
            beside.replace(self.path)
        finally:
            beside.unlink(missing_ok=True)

    def _read(self) -> dict[str, SeenPointer]:
        try:
            return _SeenFile.model_validate_json(self.path.read_bytes()).root
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise not_known(str(self.path), "read", error.strerror or str(error)) from error
        except ValueError as error:
            raise DestinationError(
                f"{self.path} is not what notes which signed pointers were seen; put it back, or "
                f"remove it if that may be forgotten: {in_one_line(error)}"
            ) from error


@dataclass(frozen=True)
class Verifier:
    """Checks signatures with a public key.

    Attributes:
        key: The key.
        seen: What was seen before; None if nobody notes it.
    """

    key: "Ed25519PublicKey"
    seen: SeenPointers | None = None

    def problem(self, content: bytes, signature: bytes, where: str, of: str) -> str | None:
        """Returns what is wrong with a signature; None if it is one of the content by the key.

        Args:
            content: What is signed.
            signature: The signature in base64.
            where: The signature's file.
            of: What is signed, for messages.
        """
        from tfx_tflite.components.destinations.keys import is_signed_by

        try:
            decoded = base64.b64decode(signature.strip(), validate=True)
        except binascii.Error:
            return f"{where} is not a signature in base64"
        if is_signed_by(self.key, content, decoded):
            return None
        return f"{where} is not a signature of {of} by this key"

    def statement(self, pointer: SignedPointer, uri: str, where: str) -> Statement:
        """Returns what a pointer says if it may be believed.

        Args:
            pointer: The pointer.
            uri: The destination.
            where: The pointer's file.

        Raises:
            DestinationError: It is not signed by the key, or older than what was seen before.
            NotKnownError: What was seen before cannot be read.
        """
        problem = self.problem(pointer.line, pointer.signature, where, "the pointer")
        if problem is None and self.seen is not None:
            problem = self.seen.problem(uri, pointer, where)
        if problem is not None:
            raise DestinationError(problem)
        return pointer.statement(where)


@dataclass(frozen=True)
class Signer:
    """Signs with a private key.

    Attributes:
        key: The key.
    """

    key: "Ed25519PrivateKey"

    def signature(self, content: bytes) -> bytes:
        """Returns the signature of some bytes in base64."""
        return base64.b64encode(self.key.sign(content))

    def pointer(self, statement: Statement) -> SignedPointer:
        """Returns a signed pointer that says a statement."""
        line = statement.model_dump_json().encode("utf-8")
        return SignedPointer(line, self.signature(line))


@dataclass(frozen=True)
class Trust:
    """What a destination is opened with.

    Attributes:
        verifier: Who checks; None at a destination that is not signed.
        signer: Who signs; None where nothing is to be changed, or at one that is not signed.
    """

    verifier: Verifier | None = None
    signer: Signer | None = None

    @classmethod
    def of(cls, settings: TrustSettings) -> "Trust":
        """Returns the trust that the files of some settings make.

        Raises:
            ConfigError: A file is no key, or the keys are not a pair.
        """
        from tfx_tflite.components.destinations.keys import load_private_key, load_public_key

        verify_key, signing_key = settings.verify_key, settings.signing_key
        private = None if signing_key is None else load_private_key(signing_key)
        public = None if verify_key is None else load_public_key(verify_key)
        if private is not None:
            half = private.public_key()
            if public is not None and public.public_bytes_raw() != half.public_bytes_raw():
                raise ConfigError(
                    f"{verify_key} is not the public half of {signing_key}; what is signed with "
                    "the one must be verified with the other"
                )
            public = half
        if public is None:
            return cls()
        seen = settings.seen_pointers
        verifier = Verifier(public, None if seen is None else SeenPointers(Path(seen)))
        return cls(verifier, None if private is None else Signer(private))

    def signing_with(self, key: "Ed25519PrivateKey | None") -> "Trust":
        """Returns the same trust with a key to sign with, and its public half to check with."""
        if key is None:
            return self
        seen = None if self.verifier is None else self.verifier.seen
        return Trust(Verifier(key.public_key(), seen), Signer(key))


def signed_latest_of(uri: str) -> str:
    """Returns where a destination's signed pointer is."""
    return f"{uri.rstrip('/')}/{SIGNED_LATEST}"
