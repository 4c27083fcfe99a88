"""Which slices the examples of a batch belong to, as TFMA would say, for whole batches."""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import PlainSerializer, PlainValidator

from tfx_tflite.components.examples.tensors import Array

# A slice as TFMA names it: ((feature, value), …), sorted by feature; () is the overall slice.
SliceKey = tuple[tuple[str, str | int | float], ...]


def slice_rows(
    batch: pa.RecordBatch, specs: Sequence[Sequence[str]]
) -> Iterator[tuple[SliceKey, Array]]:
    """Yields each slice that has examples in a batch, with the rows of those examples.

    An example with several values of a feature belongs to the slice of each; one without the
    feature belongs to none.

    Args:
        batch: The examples, a list a feature and example.
        specs: The features to slice by, each spec a cross of its features; () is the overall slice.
    """
    columns = {name: _rows_by_value(batch, name) for spec in specs for name in spec}
    for spec in specs:
        if not spec:
            yield (), np.arange(batch.num_rows)
            continue
        names = sorted(spec)
        for values in itertools.product(*(columns[name].items() for name in names)):
            rows = values[0][1]
            for _, other in values[1:]:
                rows = np.intersect1d(rows, other, assume_unique=True)
            if len(rows):
                yield tuple(zip(names, (value for value, _ in values), strict=True)), rows


def _rows_by_value(batch: pa.RecordBatch, name: str) -> dict[str | int | float, Array]:
    index = batch.schema.get_field_index(name)
    if index < 0 or pa.types.is_null(batch.column(index).type):
        return {}
    column = batch.column(index)
    lengths = np.asarray(column.value_lengths().fill_null(0))
    rows = np.repeat(np.arange(batch.num_rows), lengths)
    values = column.flatten().to_numpy(zero_copy_only=False)
    distinct, codes = np.unique(values, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    groups = np.split(rows[order], np.cumsum(np.bincount(codes, minlength=len(distinct)))[:-1])
    return {
        plain_value(value): np.unique(group) for value, group in zip(distinct, groups, strict=True)
    }


def plain_value(value: object) -> str | int | float:
    """Returns the value of a feature as slices have it, equal for equal ones."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if value != value:
        # NaN is not equal to itself, so that every batch would have a slice of its own.
        return "nan"
    return value.item() if isinstance(value, np.generic) else value  # type: ignore[return-value]


def by_name(item: tuple[SliceKey, object]) -> tuple[int, str]:
    """Returns what to sort (slice, anything) pairs by: larger slices first, then by name."""
    return len(item[0]), str(item[0])


def slice_name(key: SliceKey) -> str:
    """Returns a slice's name for rules and reports: `overall`, or `feature:value` parts.

    No two slices have one name: a comma, a colon or a backslash within a part has a backslash.
    """
    parts = (":".join(_escaped(part) for part in pair) for pair in key)
    return ", ".join(parts) or "overall"


def _escaped(part: str | int | float) -> str:
    return re.sub(r"([\\,:])", r"\\\1", str(part))


def slice_key(pairs: Iterable[Sequence[str | int | float]]) -> SliceKey:
    """Returns a slice of what JSON has of it."""
    return tuple((str(feature), value) for feature, value in pairs)


def _from_pairs(pairs: Iterable[tuple[SliceKey, list[float]]]) -> dict[SliceKey, Array]:
    return {slice_key(key): np.array(sums) for key, sums in pairs}


# JSON has neither arrays nor slices as keys.
SumsBySlice = Annotated[
    dict[SliceKey, Array],
    PlainValidator(_from_pairs),
    PlainSerializer(
        lambda slices: [(key, sums.tolist()) for key, sums in sorted(slices.items(), key=by_name)]
    ),
]
CountsBySlice = Annotated[
    dict[SliceKey, int],
    PlainValidator(lambda pairs: {key: int(count) for key, count in _from_pairs(pairs).items()}),
    PlainSerializer(lambda slices: sorted(slices.items(), key=by_name)),
]
