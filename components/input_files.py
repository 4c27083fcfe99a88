"""The files of data that ExampleGen is given patterns of, wherever TFX's file I/O reaches."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tfx.dsl.io import fileio

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples.data_files import is_directory, state_of
from tfx_tflite.components.examples.spans import local_glob
from tfx_tflite.components.uris import is_local

# Between the patterns of several spans, in the one text that ExampleGen has for a split's pattern.
SEPARATOR = "\n"
# That are made of a store at once.
_REQUESTS = 16


def list_files(directory: str, pattern: str) -> list[str]:
    """Returns the files that match a pattern below a directory, relative to it.

    Raises:
        NotKnownError: The directory is on this machine, and a folder in it cannot be read, which to
            TFX's file I/O is an empty one.
    """
    if is_local(directory):
        return local_glob(directory, pattern)
    base = directory.rstrip("/") + "/"
    return sorted(str(path).removeprefix(base) for path in fileio.glob(base + pattern))


def files_and_sizes(directory: str, patterns: str) -> Iterator[tuple[str, int]]:
    """Yields the files that match patterns below a directory, with their sizes in bytes.

    Args:
        directory: The directory.
        patterns: One pattern, or several with separators between, whose files follow each other.

    Raises:
        DataError: No file matches a pattern.
        NotKnownError: A folder or a file cannot be read.
    """
    base = directory.rstrip("/")
    for pattern in patterns.split(SEPARATOR):
        found = [f"{base}/{path}" for path in list_files(directory, pattern)]
        # A store is asked for each, and takes its time.
        with ThreadPoolExecutor(_REQUESTS) as requests:
            sizes = list(requests.map(_size, found))
        files = [(file, size) for file, size in zip(found, sizes, strict=True) if size is not None]
        if not files:
            raise DataError(f"no file matches {base}/{pattern}")
        yield from files


def _size(file: str) -> int | None:
    """Returns the size of a file in bytes; None if it is a directory."""
    return None if is_directory(file) else state_of(file).size
