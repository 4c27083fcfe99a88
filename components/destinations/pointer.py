"""Which version is current: LATEST, and beside it a signed statement where there is a key.

LATEST is a number and nothing else, for whoever reads it. At a signed destination `LATEST.signed`
says the same, how many changes there were and what the ledger holds:

```
{"kind":"pointer","format":1,"chain":"3f…","counter":7,"version":1764178000,"events":9,"ledger":"sha256:…"}
Base64 of the line's Ed25519 signature
```

It is the moment of a release there: it is written after the events that it covers and before
LATEST. Events that it does not cover were left by a change that stopped, or by somebody else.
"""

import re
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, ValidationError

from tfx_tflite.components.destinations.manifest import Digest, Text
from tfx_tflite.components.destinations.stores.store import Store
from tfx_tflite.components.documents import Part
from tfx_tflite.components.errors import DestinationError
from tfx_tflite.components.presence import ABSENT, Presence

LATEST = "LATEST"
SIGNED_LATEST = "LATEST.signed"
# A directory with a file like LATEST for each alias.
ALIASES = "aliases"
# TensorFlow Serving's versions are int64; nothing else that is named by digits is one.
_VERSION = re.compile(r"[1-9][0-9]{0,18}")
LARGEST = 2**63 - 2


class Statement(Part):
    """What a signed pointer says.

    Attributes:
        kind: That it is one.
        format: Of the statement.
        chain: A random name that all statements at a destination have.
        counter: How many statements there were, this one among them.
        version: The current version; 0 for none.
        events: How many events of the ledger it covers.
        ledger: The digest of these.
    """

    kind: Literal["pointer"] = "pointer"
    format: Literal[1] = 1
    chain: Text
    counter: int = Field(ge=1)
    version: int = Field(ge=0, le=LARGEST)
    events: int = Field(ge=0)
    ledger: Digest


@dataclass(frozen=True)
class SignedPointer:
    """The file `LATEST.signed`.

    Attributes:
        line: The statement's bytes.
        signature: Its signature in base64.
    """

    line: bytes
    signature: bytes

    @property
    def content(self) -> bytes:
        """The file's bytes."""
        return self.line + b"\n" + self.signature + b"\n"

    @classmethod
    def read(cls, store: Store) -> "Presence[SignedPointer]":
        """Returns the file at a destination; ABSENT if there is none.

        Raises:
            DestinationError: It is not such a file.
            NotKnownError: It cannot be read.
        """
        content = store.read(SIGNED_LATEST)
        if content is ABSENT:
            return ABSENT
        line, _, signature = content.partition(b"\n")
        return cls(line, signature.strip())

    def statement(self, where: str) -> Statement:
        """Returns what it says.

        Raises:
            DestinationError: It is no statement.
        """
        try:
            return Statement.model_validate_json(self.line)
        except ValidationError as error:
            raise DestinationError(f"{where} is not a signed pointer") from error


def version_number(name: str) -> int | None:
    """Returns the version that a name is of; None if it is none."""
    number = int(name) if _VERSION.fullmatch(name) else None
    return number if number is not None and number <= LARGEST else None


def read_latest(store: Store) -> int | None:
    """Returns the number that LATEST holds; None if it holds none, is no file, or is not there.

    Raises:
        NotKnownError: It cannot be read.
    """
    try:
        content = store.read(LATEST)
    except DestinationError:
        # A pipe, a link or a directory, which no push has put there.
        return None
    if content is ABSENT:
        return None
    return version_number(content[:100].decode("ascii", "replace").strip())
