"""How model inputs come from examples: the one place where features become tensors.

Calibration, conversion and evaluation all call this, so that they can never disagree: the feature
named like the signature's input, reshaped to the input's shape, cast only if nothing is lost.
Nothing here needs TensorFlow; a batch is an Arrow RecordBatch as TFXIO reads it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tfx_tflite.components.errors import DataError, listed
from tfx_tflite.components.examples.first_records import SEQUENCES

# An array of whatever type; a docstring says of which, and of which shape.
Array = npt.NDArray[Any]
# Inputs or outputs of a model by name, the batch dimension first.
Tensors = Mapping[str, Array]

# The column under which TFXIO keeps the serialized tf.Examples of a batch.
RAW_RECORD_COLUMN = "__raw_record__"
# The column under which `splits.ReadBatches` keeps where in the split each example is.
POSITION_COLUMN = "__position__"
# A position is a file's place among the split's and an example's place in the file, in one number.
EXAMPLES_A_FILE = 1 << 40


def file_key(place: int) -> bytes:
    """Returns the key of a batch's schema metadata under which it keeps the name of a file.

    Args:
        place: The file's place among the split's.
    """
    return b"file %d" % place


@dataclass(frozen=True)
class InputSpec:
    """One input of a signature.

    Attributes:
        name: The input's name in the signature.
        shape: With the batch dimension first; None if a dimension is not fixed.
        dtype: The NumPy dtype that the model takes; `object` for strings.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]

    @property
    def example_shape(self) -> tuple[int | None, ...]:
        """The shape without the batch dimension."""
        return self.shape[1:]


@dataclass(frozen=True)
class InputGroup:
    """Examples of a batch whose inputs are of one shape, so that a model takes them at once.

    Attributes:
        rows: Which examples of the batch, ascending, shape (examples,).
        tensors: By input name, of shape (examples, *example_shape).
    """

    rows: Array
    tensors: dict[str, Array]


# The shapes that a schema gives features, without the batch dimension.
FeatureShapes = Mapping[str, tuple[int, ...]]
# The features that feed inputs, by the inputs' names.
FeatureNames = Mapping[str, str]
_OWN_NAMES: FeatureNames = {}


def input_groups(
    batch: pa.RecordBatch,
    inputs: Sequence[InputSpec],
    signature: str,
    shapes: FeatureShapes,
    features: FeatureNames = _OWN_NAMES,
) -> list[InputGroup]:
    """Returns the tensors that a signature takes, from the features of a batch of examples.

    A model whose axes are free beside the batch takes examples of differing shapes, but not at
    once; there is a group for each shape then, in the order of the shapes.

    Args:
        batch: Columns of lists, one list an example, as TFXIO decodes tf.Examples.
        inputs: What the signature takes.
        signature: The signature's name, for messages.
        shapes: Of the features, for inputs with more than one free axis.
        features: Which feature feeds which input; one that is not there is fed by the feature of
            its name.

    Raises:
        DataError: A feature is missing, has the wrong number of values, or would lose something
            in the cast.
    """
    columns = []
    for spec in inputs:
        feature = features.get(spec.name, spec.name)
        columns.append(_Column.read(batch, feature, spec, signature, shapes.get(feature)))
    free = np.concatenate([column.free for column in columns], axis=1)
    if (free == free[:1]).all():
        rows = np.arange(batch.num_rows)
        return [InputGroup(rows, {c.spec.name: c.of(rows, whole=True) for c in columns})]
    _, codes = np.unique(free, axis=0, return_inverse=True)
    groups = (np.flatnonzero(codes == code) for code in range(codes.max() + 1))
    return [InputGroup(rows, {c.spec.name: c.of(rows) for c in columns}) for rows in groups]


@dataclass(frozen=True)
class _Fed:
    """An input of a signature, and the feature that feeds it."""

    feature: str
    spec: InputSpec
    signature: str

    @property
    def input(self) -> str:
        """The input, for messages."""
        return f"input {self.spec.name!r} of signature {self.signature!r}"


@dataclass(frozen=True)
class _Column:
    """One input of all examples of a batch.

    Attributes:
        spec: The input.
        values: Of all examples in order, of the input's dtype, flat.
        starts: Where each example's values begin, shape (n,).
        free: The sizes of the input's free axes, shape (n, free axes).
    """

    spec: InputSpec
    values: Array
    starts: Array
    free: Array

    @classmethod
    def read(
        cls,
        batch: pa.RecordBatch,
        feature: str,
        spec: InputSpec,
        signature: str,
        shape: tuple[int, ...] | None,
    ) -> "_Column":
        needed_as = f"input of signature {signature!r}"
        if feature != spec.name:
            needed_as = f"input {spec.name!r} of signature {signature!r}"
        lengths, values = feature_values(batch, feature, needed_as)
        fed = _Fed(feature, spec, signature)
        free = _free_sizes(batch, lengths, fed, shape)
        starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)[:-1]])
        return cls(spec, _cast(batch, values, starts, fed), starts, free)

    def of(self, rows: Array, whole: bool = False) -> Array:
        """Returns the tensor of some examples of one shape.

        Args:
            rows: Which.
            whole: Whether they are all there are.
        """
        sizes = iter(self.free[rows[:1]].max(axis=0, initial=0).tolist())
        shape = tuple(next(sizes) if size is None else size for size in self.spec.example_shape)
        if whole:
            return self.values.reshape(len(rows), *shape)
        length = int(np.prod(shape, dtype=np.int64))
        places: Array = self.starts[rows][:, None] + np.arange(length)
        return self.values[places].reshape(len(rows), *shape)


def feature_values(batch: pa.RecordBatch, name: str, needed_as: str) -> tuple[Array, Array]:
    """Returns a feature's number of values in each example, and all its values in order.

    Args:
        batch: Columns of lists, one list an example.
        name: The feature.
        needed_as: What it is needed for, for messages.

    Raises:
        DataError: The feature is not in the batch, or not in each of its examples.
    """
    if name not in batch.schema.names:
        features = sorted({*batch.schema.names} - {RAW_RECORD_COLUMN, POSITION_COLUMN})
        raise DataError(
            f"feature {name!r} ({needed_as}) is not in the examples; they have: {listed(features)}"
            + (f"; {SEQUENCES}" if _has_sequences(batch) else "")
        )
    column = batch.column(batch.schema.get_field_index(name))
    if pa.types.is_null(column.type) or column.null_count:
        missing = len(column) if pa.types.is_null(column.type) else column.null_count
        first = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
        raise DataError(
            f"feature {name!r} ({needed_as}) is missing in {missing} of {len(column)} examples of "
            f"a batch, first in {place_of(batch, first)}; give it a value in every example"
        )
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        raise DataError(f"feature {name!r} ({needed_as}) has type {column.type}, expected a list")
    lengths = np.asarray(column.value_lengths())
    return lengths, column.flatten().to_numpy(zero_copy_only=False)


def _has_sequences(batch: pa.RecordBatch) -> bool:
    """Returns whether the examples of a batch are SequenceExamples."""
    place = batch.schema.get_field_index(RAW_RECORD_COLUMN)
    if place < 0 or not batch.num_rows:
        return False
    # Loads TensorFlow, which is only needed here, to explain a failure.
    from tfx_tflite.components.examples.records import is_sequence

    [record] = batch.column(place)[0].as_py()
    return is_sequence(record)


def _free_sizes(
    batch: pa.RecordBatch, lengths: Array, fed: _Fed, shape: tuple[int, ...] | None
) -> Array:
    """Returns the sizes of an input's free axes in each example, shape (n, free axes)."""
    spec = fed.spec
    known = int(np.prod([size for size in spec.example_shape if size is not None], dtype=np.int64))
    free = [axis for axis, size in enumerate(spec.example_shape) if size is None]
    if len(free) > 1 and len(lengths):
        return np.tile(_declared_sizes(batch, lengths, fed, shape), (len(lengths), 1))
    is_wrong = (lengths % max(known, 1) != 0) | (lengths == 0) if free else lengths != known
    if np.any(is_wrong):
        raise DataError(
            f"feature {fed.feature!r} has {int(lengths[is_wrong][0])} values in an example, but "
            f"{fed.input} has shape {format_shape(spec.shape)}"
            + (f" ({known} values an example)" if not free else "")
            + f"; see {place_of(batch, int(np.argmax(is_wrong)))}"
        )
    return (lengths // max(known, 1))[:, None][:, : len(free)]


def _declared_sizes(
    batch: pa.RecordBatch, lengths: Array, fed: _Fed, shape: tuple[int, ...] | None
) -> list[int]:
    """Returns the sizes of several free axes, which no number of values could tell."""
    wanted = fed.spec.example_shape
    where = f"{fed.input} has shape {format_shape(fed.spec.shape)}"
    if shape is None or len(shape) != len(wanted):
        raise DataError(
            f"{where}, whose sizes do not follow from the {lengths[0]} values of feature "
            f"{fed.feature!r}; give the feature's shape in data.schema, or the tensor by a "
            "preprocessing_signature"
        )
    fits = all(size in (None, given) for size, given in zip(wanted, shape, strict=True))
    other = lengths != int(np.prod(shape, dtype=np.int64))
    if not fits or other.any():
        raise DataError(
            f"{where}, but the schema gives feature {fed.feature!r} the shape "
            f"{format_shape(shape)} and an example has {lengths[np.argmax(other)]} values; see "
            f"{place_of(batch, int(np.argmax(other)))}"
        )
    return [given for size, given in zip(wanted, shape, strict=True) if size is None]


def _cast(batch: pa.RecordBatch, values: Array, starts: Array, fed: _Fed) -> Array:
    spec = fed.spec
    if values.dtype == spec.dtype:
        return values
    if values.dtype == object or spec.dtype == object:
        raise DataError(
            f"feature {fed.feature!r} holds {_type_name(values.dtype)}, but {fed.input} takes "
            f"{_type_name(spec.dtype)}; convert it in the data or in "
            "a preprocessing_signature"
        )
    with np.errstate(invalid="ignore", over="ignore"):
        cast = values.astype(spec.dtype)
        lost = (cast.astype(values.dtype) != values) & ~_both_nan(cast, values)
    if np.any(lost):
        index = int(np.argmax(lost))
        row = int(np.searchsorted(starts, index, side="right")) - 1
        raise DataError(
            f"feature {fed.feature!r} holds {values[index].item()!r} in {place_of(batch, row)}, "
            f"which {fed.input} ({_type_name(spec.dtype)}) cannot hold; nothing is cast where it "
            "would change"
        )
    return cast


def _both_nan(left: Array, right: Array) -> Array:
    if left.dtype.kind != "f" or right.dtype.kind != "f":
        return np.zeros(left.shape, dtype=bool)
    both: Array = np.isnan(left) & np.isnan(right)
    return both


def _type_name(dtype: np.dtype[Any]) -> str:
    return "strings" if dtype.kind == "O" else str(np.dtype(dtype))


def place_of(batch: pa.RecordBatch, row: int) -> str:
    """Returns which record of which file an example is, in words for a message.

    Args:
        batch: As `splits.ReadBatches` gives it; of another only the place in it is known.
        row: Which of its examples.
    """
    index = batch.schema.get_field_index(POSITION_COLUMN)
    if index < 0:
        return f"example {row} of a batch"
    file, number = divmod(batch.column(index)[row].as_py()[0], EXAMPLES_A_FILE)
    name = (batch.schema.metadata or {}).get(file_key(file), b"a file")
    return f"record {number} of {name.decode('utf-8', 'replace')}"


Predict = Callable[[Tensors], dict[str, Array]]


# How many bytes of inputs go through a model at once: the activations of a net that takes large
# examples are many times larger than these, and what does not fit the caches is slow.
_CHUNK_BYTES = 1 << 20


def predict_in_chunks(predict: Predict, inputs: Tensors, size: int | None) -> dict[str, Array]:
    """Returns a model's outputs on a batch, whatever batch size the model has built in.

    Args:
        predict: The model, on batches of its own size.
        inputs: By name, the batch dimension first.
        size: The batch size that is built in, to which the last chunk is filled up by repeating its
            last example; None if the model takes any, which then gets about a megabyte at once.
    """
    rows = len(next(iter(inputs.values())))
    at_once = _rows_at_once(inputs) if size is None else size
    if size is None and rows <= at_once:
        return predict(inputs)
    chunks = [
        predict({name: _filled(values[at : at + at_once], size) for name, values in inputs.items()})
        for at in range(0, rows, at_once)
    ]
    return {name: np.concatenate([chunk[name] for chunk in chunks])[:rows] for name in chunks[0]}


def _rows_at_once(inputs: Tensors) -> int:
    rows = max(len(next(iter(inputs.values()))), 1)
    chunks = -(-sum(values.nbytes for values in inputs.values()) // _CHUNK_BYTES)
    # All of nearly one size, as another one makes a model allocate anew.
    return -(-rows // max(chunks, 1))


def _filled(values: Array, size: int | None) -> Array:
    missing = 0 if size is None else size - len(values)
    return np.concatenate([values, np.repeat(values[-1:], missing, axis=0)]) if missing else values


def format_shape(shape: Sequence[int | None]) -> str:
    """Returns a shape as text, with `?` for a dimension that is not fixed."""
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


def first_non_finite(values: Array) -> int | None:
    """Returns the first example with NaN or infinity, None if there is none.

    Args:
        values: Of any type and of shape (examples, …).
    """
    return first_wrong(~np.isfinite(values)) if values.dtype.kind == "f" else None


def first_wrong(wrong: Array) -> int | None:
    """Returns the first example with anything wrong, None if there is none.

    Args:
        wrong: Whether a value is, bool of shape (examples, …).
    """
    rows = wrong.reshape(len(wrong), -1).any(axis=1)
    return int(np.argmax(rows)) if rows.any() else None
