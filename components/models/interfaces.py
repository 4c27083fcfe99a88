"""What a model's file says that the model takes and gives, read without TensorFlow.

`validate` compares a config with it before anything is loaded. A run reads the same with TensorFlow
(`float_model.py`, `flatbuffer.py`), and a test compares the two.
"""

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError

from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.models import saved_model_proto
from tfx_tflite.components.models.saved_model_proto import TensorEntry

_SERVE_TAG = "serve"
# Every SavedModel carries this pseudo-signature for its initialisation.
_INIT_SIGNATURE = "__saved_model_init_op"
_IDENTIFIER = b"TFL3"
# What a file without signatures is taken to have, as LiteRT calls it.
_ONLY_SIGNATURE = "serving_default"
# TensorFlow's numbers of types, types.proto.
_TENSORFLOW_TYPES = {
    **{1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string"},
    **{8: "complex64", 9: "int64", 10: "bool", 14: "bfloat16", 17: "uint16", 18: "complex128"},
    **{19: "float16", 20: "resource", 21: "variant", 22: "uint32", 23: "uint64"},
}
# TensorFlow Lite's, schema.fbs.
_LITE_TYPES = (
    *("float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64"),
    *("int8", "float64", "complex128", "uint64", "resource", "variant", "uint32", "uint16"),
    *("int4", "bfloat16"),
)


@dataclass(frozen=True)
class TensorForm:
    """A tensor that a signature takes or gives.

    Attributes:
        name: What the signature calls it.
        shape: With the batch dimension first; None if a dimension is not fixed. Empty if the number
            of dimensions is not known either.
        dtype: The type as NumPy calls it, `string` for texts and bytes.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    @property
    def values(self) -> int | None:
        """How many values an example has; None if that is not fixed, or not known."""
        sizes = [size for size in self.shape[1:] if size is not None]
        is_fixed = bool(self.shape) and len(sizes) == len(self.shape) - 1
        return math.prod(sizes) if is_fixed else None


@dataclass(frozen=True)
class Interface:
    """A signature: its name, its inputs and its outputs, both ordered by name."""

    name: str
    inputs: tuple[TensorForm, ...]
    outputs: tuple[TensorForm, ...]


def of_saved_model(path: str | Path) -> dict[str, Interface]:
    """Returns the signatures of a SavedModel by name.

    Raises:
        ModelError: There is no SavedModel at `path`.
        OSError: It cannot be read.
    """
    file = Path(path) / "saved_model.pb"
    try:
        graphs = saved_model_proto.parse(file.read_bytes())
    except DecodeError as error:
        raise ModelError(f"{file} is not a SavedModel: {error}") from error
    if not graphs:
        raise ModelError(f"{file} is not a SavedModel: it holds no graph")
    for graph in graphs:
        if _SERVE_TAG in graph.meta_info_def.tags:
            return {
                entry.key: Interface(
                    entry.key, _forms(entry.value.inputs), _forms(entry.value.outputs)
                )
                for entry in graph.signature_def
                if entry.key != _INIT_SIGNATURE
            }
    raise ModelError(f"{file} has no graph tagged {_SERVE_TAG!r}")


def _forms(tensors: Sequence[TensorEntry]) -> tuple[TensorForm, ...]:
    return tuple(_form(entry) for entry in sorted(tensors, key=lambda entry: entry.key))


def _form(entry: TensorEntry) -> TensorForm:
    shape = entry.value.tensor_shape
    dims = () if shape.unknown_rank else shape.dim
    sizes = tuple(None if dim.size < 0 else int(dim.size) for dim in dims)
    return TensorForm(entry.key, sizes, _TENSORFLOW_TYPES.get(entry.value.dtype, "unknown"))


def of_flatbuffer(path: str | Path) -> dict[str, Interface]:
    """Returns the signatures of a TensorFlow Lite model by name.

    A model without signatures has one, whose names are those of its tensors.

    Raises:
        ModelError: The file is not a TensorFlow Lite model, or is damaged.
        OSError: It cannot be read.
    """
    content = Path(path).read_bytes()
    if content[4:8] != _IDENTIFIER:
        raise ModelError(f"{path} is not a TensorFlow Lite model")
    try:
        found = {interface.name: interface for interface in _lite_interfaces(content)}
    except (struct.error, IndexError, UnicodeDecodeError, OverflowError) as error:
        raise ModelError(f"{path} is a damaged TensorFlow Lite model: {error}") from error
    return found


def _lite_interfaces(content: bytes) -> Iterator[Interface]:
    model = _Table.root(content)
    graphs = model.tables(2)
    signatures = model.tables(7)
    for signature in signatures:
        tensors = graphs[signature.number(4, "<I")].tables(0)
        name = signature.text(2)
        yield Interface(
            name, _named(signature.tables(0), tensors), _named(signature.tables(1), tensors)
        )
    if not signatures and graphs:
        tensors = graphs[0].tables(0)
        inputs, outputs = (
            tuple(
                _lite_form(tensors[index].text(3), tensors[index])
                for index in graphs[0].numbers(slot)
            )
            for slot in (1, 2)
        )
        yield Interface(_ONLY_SIGNATURE, inputs, outputs)


def _named(entries: Sequence["_Table"], tensors: Sequence["_Table"]) -> tuple[TensorForm, ...]:
    """Returns the tensors that a signature names, ordered by name."""
    forms = (_lite_form(entry.text(0), tensors[entry.number(1, "<I")]) for entry in entries)
    return tuple(sorted(forms, key=lambda form: form.name))


def _lite_form(name: str, tensor: "_Table") -> TensorForm:
    sizes = tensor.numbers(7) or tensor.numbers(0)
    return TensorForm(
        name,
        tuple(None if size < 0 else size for size in sizes),
        _LITE_TYPES[tensor.number(1, "<b")],
    )


@dataclass(frozen=True)
class _Table:
    """A table of a flatbuffer; a field is named by its place in the schema, from 0.

    Attributes:
        content: The whole file.
        at: Where the table begins.
    """

    content: bytes
    at: int

    @classmethod
    def root(cls, content: bytes) -> "_Table":
        return cls(content, _unpack("<I", content, 0))

    def _field(self, slot: int) -> int | None:
        """Returns where a field is; None if it is left out."""
        slots = self.at - _unpack("<i", self.content, self.at)
        place = 4 + 2 * slot
        if place >= _unpack("<H", self.content, slots):
            return None
        offset = _unpack("<H", self.content, slots + place)
        return self.at + offset if offset else None

    def _target(self, slot: int) -> int | None:
        """Returns where a text or a list is; None if it is left out."""
        field = self._field(slot)
        return None if field is None else field + _unpack("<I", self.content, field)

    def number(self, slot: int, kind: str) -> int:
        """Returns a number, 0 if it is left out.

        Args:
            slot: The field.
            kind: Its type, as `struct` has it.
        """
        field = self._field(slot)
        return 0 if field is None else _unpack(kind, self.content, field)

    def numbers(self, slot: int) -> Sequence[int]:
        """Returns a list of numbers of 32 bits."""
        target = self._target(slot)
        if target is None:
            return ()
        length = _unpack("<I", self.content, target)
        return struct.unpack_from(f"<{length}i", self.content, target + 4)

    def text(self, slot: int) -> str:
        """Returns a text."""
        target = self._target(slot)
        if target is None:
            return ""
        length = _unpack("<I", self.content, target)
        return self.content[target + 4 : target + 4 + length].decode()

    def tables(self, slot: int) -> Sequence["_Table"]:
        """Returns a list of tables."""
        target = self._target(slot)
        if target is None:
            return ()
        places = (target + 4 + 4 * index for index in range(_unpack("<I", self.content, target)))
        return tuple(
            _Table(self.content, place + _unpack("<I", self.content, place)) for place in places
        )


def _unpack(kind: str, content: bytes, place: int) -> int:
    if place < 0:
        raise IndexError(f"an offset leads {-place} bytes before the file")
    (value,) = struct.unpack_from(kind, content, place)
    return int(value)
