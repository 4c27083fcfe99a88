"""How model inputs come from examples: the one place where features become tensors.

Calibration, conversion and evaluation all call this, so that they can never disagree: the feature
named like the signature's input, reshaped to the input's shape, cast only where nothing is lost.
Nothing here needs TensorFlow; a batch is an Arrow RecordBatch as TFXIO reads it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tfx_tflite.components.errors import DataError, listed

# The column under which TFXIO keeps the serialized tf.Examples of a batch.
RAW_RECORD_COLUMN = "__raw_record__"
# The column under which `example_splits.ReadBatches` keeps where in the split each example is.
POSITION_COLUMN = "__position__"
# A position is a file's place among the split's and an example's place in the file, in one number.
EXAMPLES_A_FILE = 1 << 40


@dataclass(frozen=True)
class InputSpec:
    """One input of a signature.

    Attributes:
        name: The input's name in the signature, which is also the feature's.
        shape: With the batch dimension first; None where a dimension is not fixed.
        dtype: The NumPy dtype that the model takes; `object` for strings.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype

    @property
    def example_shape(self) -> tuple[int | None, ...]:
        """The shape without the batch dimension."""
        return self.shape[1:]


def tensors_from_features(
    batch: pa.RecordBatch, inputs: Sequence[InputSpec], signature: str
) -> dict[str, np.ndarray]:
    """Returns the tensors that a signature takes, from the features of a batch of examples.

    Args:
        batch: Columns of lists, one list an example, as TFXIO decodes tf.Examples.
        inputs: What the signature takes.
        signature: The signature's name, for messages.

    Returns:
        An array for each input, of the input's dtype and of shape (batch, *example_shape).

    Raises:
        DataError: A feature is missing, has the wrong number of values, or would lose something
            in the cast.
    """
    return {spec.name: _tensor(batch, spec, signature) for spec in inputs}


def _tensor(batch: pa.RecordBatch, spec: InputSpec, signature: str) -> np.ndarray:
    lengths, values = feature_values(batch, spec.name, f"input of signature {signature!r}")
    shape = _batch_shape(lengths, spec, signature)
    return _cast(values, spec, signature).reshape(shape)


def feature_values(
    batch: pa.RecordBatch, name: str, needed_as: str
) -> tuple[np.ndarray, np.ndarray]:
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
        )
    column = batch.column(batch.schema.get_field_index(name))
    if pa.types.is_null(column.type) or column.null_count:
        missing = len(column) if pa.types.is_null(column.type) else column.null_count
        raise DataError(
            f"feature {name!r} ({needed_as}) is missing in {missing} of {len(column)} examples of "
            "a batch; give it a value in every example"
        )
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        raise DataError(f"feature {name!r} ({needed_as}) has type {column.type}, expected a list")
    lengths = np.asarray(column.value_lengths())
    return lengths, column.flatten().to_numpy(zero_copy_only=False)


def _batch_shape(lengths: np.ndarray, spec: InputSpec, signature: str) -> tuple[int, ...]:
    known = int(np.prod([size for size in spec.example_shape if size is not None], dtype=np.int64))
    unknown = [axis for axis, size in enumerate(spec.example_shape) if size is None]
    length = int(lengths[0]) if len(lengths) else known
    fits = length == known if not unknown else len(unknown) == 1 and length % max(known, 1) == 0
    if not fits or np.any(lengths != length):
        wrong = length if not fits else int(lengths[lengths != length][0])
        raise DataError(
            f"feature {spec.name!r} has {wrong} values in an example, but input {spec.name!r} of "
            f"signature {signature!r} has shape {format_shape(spec.shape)}"
            + (f" ({known} values an example)" if not unknown else "")
        )
    filled = tuple(length // max(known, 1) if size is None else size for size in spec.example_shape)
    return (len(lengths), *filled)


def _cast(values: np.ndarray, spec: InputSpec, signature: str) -> np.ndarray:
    if values.dtype == spec.dtype:
        return values
    if values.dtype == object or spec.dtype == object:
        raise DataError(
            f"feature {spec.name!r} holds {_type_name(values.dtype)}, but input {spec.name!r} of "
            f"signature {signature!r} takes {_type_name(spec.dtype)}; convert it in the data or in "
            "a preprocessing_signature"
        )
    with np.errstate(invalid="ignore", over="ignore"):
        cast = values.astype(spec.dtype)
        lost = (cast.astype(values.dtype) != values) & ~_both_nan(cast, values)
    if np.any(lost):
        raise DataError(
            f"feature {spec.name!r} holds {values[lost][0].item()!r}, which input {spec.name!r} of "
            f"signature {signature!r} ({_type_name(spec.dtype)}) cannot hold; nothing is cast "
            "where it would change"
        )
    return cast


def _both_nan(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    if left.dtype.kind != "f" or right.dtype.kind != "f":
        return np.zeros(left.shape, dtype=bool)
    return np.isnan(left) & np.isnan(right)


def _type_name(dtype: np.dtype) -> str:
    return "strings" if dtype.kind == "O" else str(np.dtype(dtype))


Predict = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]


# How many bytes of inputs go through a model at once: the activations of a net that takes large
# examples are many times larger than these, and what does not fit the caches is slow.
_CHUNK_BYTES = 1 << 20


def predict_in_chunks(
    predict: Predict, inputs: Mapping[str, np.ndarray], size: int | None
) -> dict[str, np.ndarray]:
    """Returns a model's outputs on a batch, whatever batch size the model has built in.

    Args:
        predict: The model, on batches of its own size.
        inputs: By name, the batch dimension first.
        size: The batch size that is built in, to which the last chunk is filled up by repeating its
            last example; None where the model takes any, which then gets about a megabyte at once.
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


def _rows_at_once(inputs: Mapping[str, np.ndarray]) -> int:
    rows = max(len(next(iter(inputs.values()))), 1)
    chunks = -(-sum(values.nbytes for values in inputs.values()) // _CHUNK_BYTES)
    # All of nearly one size, as another one makes a model allocate anew.
    return -(-rows // max(chunks, 1))


def _filled(values: np.ndarray, size: int | None) -> np.ndarray:
    missing = 0 if size is None else size - len(values)
    return np.concatenate([values, np.repeat(values[-1:], missing, axis=0)]) if missing else values


def format_shape(shape: Sequence[int | None]) -> str:
    """Returns a shape as text, with `?` for a dimension that is not fixed."""
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
