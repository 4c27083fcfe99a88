"""SHA-256 digests that identify models, samples and data by their bytes."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

_CHUNK = 1 << 20


def file_digest(path: str | Path) -> str:
    """Returns `sha256:<hex>` of a file's bytes."""
    hasher = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
    return f"sha256:{hasher.hexdigest()}"


def bytes_digest(content: bytes) -> str:
    """Returns `sha256:<hex>` of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def directory_digest(path: str | Path) -> str:
    """Returns `sha256:<hex>` over the relative names and bytes of all files below `path`."""
    root = Path(path)
    hasher = hashlib.sha256()
    for file in sorted(entry for entry in root.rglob("*") if entry.is_file()):
        hasher.update(f"{file.relative_to(root).as_posix()}\0{file_digest(file)}\n".encode())
    return f"sha256:{hasher.hexdigest()}"


def records_digest(records: Iterable[bytes]) -> str:
    """Returns `sha256:<hex>` over a sequence of byte strings, each preceded by its length."""
    hasher = hashlib.sha256()
    for record in records:
        hasher.update(len(record).to_bytes(8, "little"))
        hasher.update(record)
    return f"sha256:{hasher.hexdigest()}"
