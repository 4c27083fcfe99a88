"""SHA-256 digests that identify models, samples and data by their bytes."""

import hashlib
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.presence import not_known

_CHUNK = 1 << 20
_EXAMPLE_DIGEST_BYTES = 16


def file_digest(path: str | Path) -> str:
    """Returns `sha256:<hex>` of a file's bytes."""
    with Path(path).open("rb") as file:
        return stream_digest(file)


def stream_digest(file: IO[bytes]) -> str:
    """Returns `sha256:<hex>` of what is left to read of an open file."""
    hasher = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        hasher.update(chunk)
    return f"sha256:{hasher.hexdigest()}"


def bytes_digest(content: bytes) -> str:
    """Returns `sha256:<hex>` of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def example_digest(record: bytes) -> bytes:
    """Returns the digest that a serialized example is told from others by: 128 bits of BLAKE2b."""
    return hashlib.blake2b(record, digest_size=_EXAMPLE_DIGEST_BYTES).digest()


def directory_digest(path: str | Path) -> str:
    """Returns `sha256:<hex>` over the relative names and bytes of all files below `path`.

    Raises:
        ModelError, NotKnownError: As for `files_below`.
    """
    files = files_below(path)
    return tree_digest({name: file_digest(file) for name, file in files.items()})


def tree_digest(digests: Mapping[str, str]) -> str:
    """Returns `sha256:<hex>` over the names of files, relative with slashes, and their digests."""
    hasher = hashlib.sha256()
    for name in sorted(digests, key=lambda name: name.split("/")):
        hasher.update(f"{name}\0{digests[name]}\n".encode())
    return f"sha256:{hasher.hexdigest()}"


def files_below(path: str | Path) -> dict[str, Path]:
    """Returns all files below a directory, by their relative names with slashes.

    Links are followed as far as they stay below it: what they name is what is read. What lies
    elsewhere is no part of the directory, and could change without it.

    Raises:
        ModelError: There is no such directory, a link in it leads out of it, in a circle or to
            nothing, or there is what is no file at all.
        NotKnownError: A directory cannot be listed, or looked into.
    """
    root = Path(path)
    found = _files(root, root.resolve(), ())
    return {file.relative_to(root).as_posix(): file for file in found}


def _files(directory: Path, root: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """Yields the files below a directory.

    Args:
        directory: The directory.
        root: What no link may lead out of, without links itself.
        above: The directories that this one is in, without links.
    """
    above = (*above, directory.resolve())
    try:
        entries = sorted(directory.iterdir())
    except FileNotFoundError as error:
        raise ModelError(f"there is no directory {directory}") from error
    except OSError as error:
        raise not_known(str(directory), "list", error.strerror or str(error)) from error
    for entry in entries:
        try:
            # `is_symlink` and the like may take what is denied for what is not there.
            if stat.S_ISLNK(entry.lstat().st_mode):
                _check_link(entry, root, above)
            mode = entry.stat().st_mode
        except OSError as error:
            raise not_known(str(entry), "read", error.strerror or str(error)) from error
        if stat.S_ISDIR(mode):
            yield from _files(entry, root, above)
        elif stat.S_ISREG(mode):
            yield entry
        else:
            raise ModelError(f"{entry} is neither a file nor a directory; remove it")


def _check_link(link: Path, root: Path, above: tuple[Path, ...]) -> None:
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise ModelError(f"{link} is a link that leads to nothing; put the file there") from error
    if not target.is_relative_to(root):
        raise ModelError(f"{link} is a link to {target}, outside {root}; put the file itself there")
    if target in above:
        raise ModelError(f"{link} is a link to a directory that it is in; remove it")


def records_digest(records: Iterable[bytes]) -> str:
    """Returns `sha256:<hex>` over a sequence of byte strings, each preceded by its length."""
    hasher = hashlib.sha256()
    for record in records:
        hasher.update(len(record).to_bytes(8, "little"))
        hasher.update(record)
    return f"sha256:{hasher.hexdigest()}"
