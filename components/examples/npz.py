"""NumPy's .npz files: each array is a feature, and its first axis counts the examples.

Whole numbers and booleans become int64, floating-point numbers 32-bit floats, strings bytes. An
image of uint8 becomes int64, too, so that it feeds a model that takes uint8 or floats as it is; the
values of an example are in row-major order, and the model's input says their shape.

Arrays of Python objects are never loaded: to read them runs what the file says.
"""

import contextlib
import io
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import pyarrow as pa

from tfx_tflite.components.errors import DataError, listed
from tfx_tflite.components.examples.columns import feature_values, in_lists
from tfx_tflite.components.examples.data_files import opened
from tfx_tflite.components.examples.first_records import Kind

# NumPy's letters for kinds of types: what a tf.Example can hold of them.
_KINDS: Mapping[str, Kind] = {
    "b": "int",
    "i": "int",
    "u": "int",
    "f": "float",
    "S": "text",
    "U": "text",
}
_WIDEST_FLOAT = 8
_NPY = b"\x93NUMPY"
_TEXTS = {"S": pa.binary(), "U": pa.string()}
# How many bytes of arrays are read at once, and how many examples.
_BATCH_BYTES = 1 << 24
_BATCH_EXAMPLES = 1000


@dataclass(frozen=True)
class ArrayHeader:
    """What an array's header says.

    Attributes:
        shape: The shape; the first axis counts the examples.
        dtype: The type.
        is_fortran: Whether it is stored column by column.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_fortran: bool

    @property
    def kind(self) -> Kind:
        """What the feature's values are: int, float or text."""
        return _KINDS[self.dtype.kind]

    @property
    def values(self) -> int:
        """How many values an example has."""
        return math.prod(self.shape[1:])

    @property
    def example_bytes(self) -> int:
        """How many bytes an example has."""
        return self.values * self.dtype.itemsize


def headers(file: str) -> dict[str, ArrayHeader]:
    """Returns what the arrays of a file are, by name, without reading them.

    Raises:
        DataError: The file is no .npz, or its arrays are none to make examples of.
        NotKnownError: It cannot be read.
    """
    with _archive(file) as archive:
        found = {
            name: _header_of(archive, member, _what(name, file))
            for name, member in _members(archive, file).items()
        }
    _check(found, file)
    return found


def features(file: str) -> dict[str, Kind]:
    """Returns what the values of a file's arrays are, by name: int, float or text.

    Raises:
        DataError: The file is no .npz, or its arrays are none to make examples of.
        NotKnownError: It cannot be read.
    """
    return {name: header.kind for name, header in headers(file).items()}


def batches(file: str) -> Iterator[pa.RecordBatch]:
    """Yields the examples of a file in order, as columns of lists of int64, float32 or binary.

    Raises:
        DataError: The file is damaged, or its arrays are none to make examples of.
        NotKnownError: It cannot be read.
    """
    arrays = headers(file)
    examples = next(iter(arrays.values())).shape[0]
    at_once = _examples_at_once(arrays.values())
    with _archive(file) as archive, contextlib.ExitStack() as stack:
        members = _members(archive, file)
        readers = [
            _ArrayReader(
                stack.enter_context(archive.open(members[name])), header, _what(name, file)
            )
            for name, header in arrays.items()
        ]
        for start in range(0, examples, at_once):
            count = min(at_once, examples - start)
            columns = [reader.take(count) for reader in readers]
            yield pa.RecordBatch.from_arrays(columns, list(arrays))
        for reader in readers:
            reader.check_end()


def _what(name: str, file: str) -> str:
    return f"array {name!r} of {file}"


def _examples_at_once(arrays: Iterable[ArrayHeader]) -> int:
    size = max(sum(header.example_bytes for header in arrays), 1)
    return max(min(_BATCH_BYTES // size, _BATCH_EXAMPLES), 1)


def _shapes(arrays: Mapping[str, ArrayHeader]) -> str:
    return listed(f"{name} {list(header.shape)}" for name, header in arrays.items())


@contextlib.contextmanager
def _archive(file: str) -> Iterator[zipfile.ZipFile]:
    with opened(file) as stream:
        begin = stream.read(len(_NPY))
        stream.seek(0)
        try:
            archive = zipfile.ZipFile(stream)
        except zipfile.BadZipFile as error:
            raise DataError(f"{file} {_not_npz(begin)}") from error
        with archive, _damages_as_errors(file):
            yield archive


def _not_npz(begin: bytes) -> str:
    if begin == _NPY:
        return (
            "is a single array (.npy); save it with the others of its split by "
            "np.savez(FILE, image=…, label=…)"
        )
    if begin.startswith(b"PK"):
        return "is not a whole .npz file: it breaks off"
    return "is not an .npz file, as np.savez writes it"


@contextlib.contextmanager
def _damages_as_errors(file: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{file} is a damaged .npz file: {error}") from error


def _members(archive: zipfile.ZipFile, file: str) -> dict[str, zipfile.ZipInfo]:
    """Returns the archive's files by the name of the array that each holds."""
    found: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        if name == member.filename:
            raise DataError(f"{file} holds {name!r}, which is no NumPy array (.npy)")
        if name in found:
            raise DataError(f"{file} holds two arrays {name!r}")
        found[name] = member
    if not found:
        raise DataError(f"{file} holds no array")
    return found


def _header_of(archive: zipfile.ZipFile, member: zipfile.ZipInfo, what: str) -> ArrayHeader:
    with archive.open(member) as stream:
        return _read_header(stream, what)


def _read_header(stream: IO[bytes], what: str) -> ArrayHeader:
    # NumPy's functions for headers have no types before NumPy 2.4.
    try:
        version = np.lib.format.read_magic(stream)  # type: ignore[no-untyped-call, unused-ignore]
        # Version 3 has names of fields beyond Latin-1, and there are no fields here.
        is_first = version == (1, 0)
        formats = np.lib.format
        read = formats.read_array_header_1_0 if is_first else formats.read_array_header_2_0
        shape, is_fortran, dtype = read(stream)  # type: ignore[no-untyped-call, unused-ignore]
    # NumPy reads a header as Python 2 wrote it, too, and passes on what its tokenizer says.
    except (ValueError, tokenize.TokenError, RecursionError, MemoryError) as error:
        reason = str(error).splitlines()[:1] or ["its header is damaged"]
        raise DataError(f"{what} is no NumPy array: {reason[0]}") from error
    if dtype.hasobject:
        raise DataError(
            f"{what} holds Python objects, which are never loaded: to read them runs what the file "
            f"says; save it as numbers or strings, for instance by array.astype(str)"
        )
    is_known = dtype.kind in _KINDS and dtype.itemsize > 0
    if not is_known or (dtype.kind == "f" and dtype.itemsize > _WIDEST_FLOAT):
        raise DataError(
            f"{what} has type {dtype}, which a tf.Example cannot hold; save it as whole numbers, "
            "floats or strings"
        )
    if any(size < 0 for size in shape):
        raise DataError(f"{what} has the impossible shape {shape}")
    return ArrayHeader(tuple(shape), dtype, is_fortran)


def _check(arrays: Mapping[str, ArrayHeader], file: str) -> None:
    """Checks that each array has an entry for every example.

    Raises:
        DataError: One does not.
    """
    for name, header in arrays.items():
        if not header.shape:
            raise DataError(
                f"array {name!r} of {file} is a single value, expected one for each example: a "
                "first axis of the same length as that of the others"
            )
    if not any(header.example_bytes for header in arrays.values()):
        raise DataError(f"the arrays of {file} hold no values: {_shapes(arrays)}")
    lengths = {name: header.shape[0] for name, header in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(
            f"the arrays of {file} differ in the length of their first axis, which counts the "
            f"examples: {_shapes(arrays)}"
        )


class _ArrayReader:
    """Reads an array some examples at a time.

    Args:
        stream: The array's file in the archive, from its beginning.
        header: What it says.
        what: Which array it is, for messages.
    """

    def __init__(self, stream: IO[bytes], header: ArrayHeader, what: str):
        self._stream = stream
        self._header = header
        self._what = what
        _read_header(stream, what)
        if header.is_fortran:
            # An example's values are scattered over all of it.
            values = self._taken(header.shape[0]).reshape(header.shape, order="F")
            self.check_end()
            self._stream = io.BytesIO(values.tobytes())

    def take(self, count: int) -> pa.Array:
        """Returns the next examples' values, a list an example.

        Args:
            count: How many examples.

        Raises:
            DataError: The array ends before, or holds what a tf.Example cannot.
        """
        taken = self._taken(count)
        native = taken.astype(taken.dtype.newbyteorder("="), copy=False)
        values = pa.array(native) if native.dtype.kind not in _TEXTS else _texts(native)
        lengths = np.full(count, self._header.values)
        return in_lists(feature_values(values, self._what), lengths)

    def check_end(self) -> None:
        """Checks that nothing follows, which also has the archive compare the checksum.

        Raises:
            DataError: Something does.
        """
        if self._stream.read(1):
            raise DataError(f"{self._what} is longer than its header says")

    def _taken(self, count: int) -> np.ndarray[Any, Any]:
        size = count * self._header.example_bytes
        content = self._stream.read(size)
        if len(content) < size:
            raise DataError(f"{self._what} breaks off: its header says more than there is")
        return np.frombuffer(content, self._header.dtype)


def _texts(array: np.ndarray[Any, Any]) -> pa.Array:
    # From NumPy's own Arrow would end a text at its first zero byte.
    return pa.array(array.tolist(), _TEXTS[array.dtype.kind])
