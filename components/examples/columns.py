"""How columns of tables and arrays become tf.Examples.

A tf.Example has whole numbers of 64 bits, floating-point numbers of 32 and bytes. What does not fit
them is an error: nothing is turned into text, cut off or left out on the quiet.

Workers import this module, so it knows nothing of TFX.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples.first_records import Kind

# What the values of a tf.Example's features are.
KINDS: Mapping[pa.DataType, Kind] = {pa.int64(): "int", pa.float32(): "float", pa.binary(): "text"}


def target_type(kind: pa.DataType) -> pa.DataType | None:
    """Returns the type that a tf.Example has for values of a type; None if it has none.

    Args:
        kind: Of single values.
    """
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_floating(kind):
        return pa.float32()
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    is_bytes = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    if is_text or is_bytes or pa.types.is_fixed_size_binary(kind):
        return pa.binary()
    return None


def feature_values(values: pa.Array, what: str) -> pa.Array:
    """Returns values as a tf.Example has them: int64, float32 or binary.

    Args:
        values: Of a type that has a `target_type`, none of them null.
        what: What they are, for messages.

    Raises:
        DataError: A value is too large for the type.
    """
    wanted = target_type(values.type)
    if values.type == wanted:
        return values
    if wanted == pa.float32():
        return _floats(values, what)
    try:
        return pc.cast(values, wanted)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{what} holds a number beyond 2**63 - 1, the largest of a tf.Example"
        ) from error


def _floats(values: pa.Array, what: str) -> pa.Array:
    before = values.to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        after = before.astype(np.float32)
    lost = np.isinf(after) & ~np.isinf(before)
    if lost.any():
        raise DataError(
            f"{what} holds {before[lost][0].item()!r}, which is too large for a float of 32 bits, "
            "as a tf.Example has them"
        )
    return pa.array(after)


def in_lists(
    values: pa.Array,
    lengths: npt.NDArray[np.int64],
    is_missing: npt.NDArray[np.bool_] | None = None,
) -> pa.Array:
    """Returns values as a list an example.

    Args:
        values: Of all examples in order.
        lengths: How many of them each example has, shape (n,).
        is_missing: Whether an example lacks the feature, shape (n,); None if none does.
    """
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    mask = None if is_missing is None else np.append(is_missing, False)
    return pa.ListArray.from_arrays(pa.array(ends, mask=mask), values)


def examples_of(batch: pa.RecordBatch) -> Iterator[bytes]:
    """Yields the rows of a batch as serialized tf.Examples, the same bytes every time.

    Args:
        batch: Columns of lists of int64, float32 or binary.
    """
    # TensorFlow takes seconds to load, and who only looks at a file needs none.
    import tensorflow as tf
    from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

    for record in RecordBatchToExamplesEncoder().encode(batch):
        # The encoder puts the features in an order that differs from process to process.
        yield tf.train.Example.FromString(record).SerializeToString(deterministic=True)
