"""Parquet files as examples: what becomes of each type, and what is refused."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples import parquet
from tfx_tflite.components.examples.columns import examples_of


@pytest.fixture
def written(tmp_path: Path):
    """Writes columns by name as a file."""

    def write(name: str = "a.parquet", **columns: object) -> Path:
        path = tmp_path / name
        pq.write_table(pa.table(columns), path, row_group_size=2)
        return path

    return write


def rows(file: Path) -> dict[str, list]:
    """Returns the values of all rows of a file, by column."""
    batches = list(parquet.batches(str(file)))
    names = batches[0].schema.names if batches else []
    return {
        name: [value for batch in batches for value in batch.column(place).to_pylist()]
        for place, name in enumerate(names)
    }


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pa.array([0, 1, None], pa.int8()), [[0], [1], None]),
        (pa.array([True, False]), [[1], [0]]),
        (pa.array([0.0, 0.5]), [[0.0], [0.5]]),
        (pa.array(["", "ß"]), [[b""], ["ß".encode()]]),
        (pa.array([b"\xff\x00"]), [[b"\xff\x00"]]),
        (pa.array([b"ab"], pa.binary(2)), [[b"ab"]]),
        (pa.array(["u", "v", "u"]).dictionary_encode(), [[b"u"], [b"v"], [b"u"]]),
        (pa.array([[0, 1], [], None, [2]]), [[0, 1], [], None, [2]]),
        (pa.array([[0.5, 0.0]], pa.large_list(pa.float64())), [[0.5, 0.0]]),
        (pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2)), [[1, 2], [3, 4]]),
        (pa.array([["a", "b"]]), [[b"a", b"b"]]),
    ],
)
def test_each_type_becomes_what_a_tf_example_has_for_it(written, column: pa.Array, values: list):
    assert rows(written(x=column)) == {"x": values}


@pytest.mark.slow
def test_zeros_and_bytes_stay_what_they_are_which_tfx_s_executor_loses(written):
    import tensorflow as tf
    from tfx.components.example_gen import utils

    def value(record: bytes, name: str) -> list:
        feature = tf.train.Example.FromString(record).features.feature[name]
        kind = feature.WhichOneof("kind")
        return list(getattr(feature, kind).value) if kind else []

    file = written(label=pa.array([0]), image=pa.array([b"\xff"]))
    [record] = [row for batch in parquet.batches(str(file)) for row in examples_of(batch)]
    assert value(record, "label") == [0] and value(record, "image") == [b"\xff"]
    # What this guards against.
    theirs = utils.dict_to_example({"label": 0}).SerializeToString()
    assert value(theirs, "label") == []
    with pytest.raises(UnicodeDecodeError):
        utils.dict_to_example({"image": b"\xff"})


@pytest.mark.slow
def test_the_same_row_is_the_same_bytes_whatever_the_order_of_columns(written):
    columns = {"b": pa.array([1]), "a": pa.array([2.0]), "c": pa.array(["x"])}
    one = written("a.parquet", **columns)
    other = written("b.parquet", **dict(reversed(columns.items())))
    [first], [second] = (
        [row for batch in parquet.batches(str(file)) for row in examples_of(batch)]
        for file in (one, other)
    )
    assert first == second


def test_the_numbers_of_rows_that_pandas_keeps_are_no_feature(written):
    assert parquet.features(str(written(x=[1], __index_level_0__=[7]))) == {"x": "int"}


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([[[1, 2]]]), "'x' of .*a.parquet has type list.*write lists in lists as one"),
        (pa.array([{"a": 1}]), "'x' of .* has type struct.*or leave the column out"),
        (pa.array([Decimal("1.5")]), "'x' of .* has type decimal"),
        (pa.array([0], pa.timestamp("s")), "'x' of .* has type timestamp"),
        (pa.nulls(2), "'x' of .* has type null"),
        (pa.array([[1, None]]), "'x' of .* has a list with a null in it"),
        (pa.array([2**63], pa.uint64()), r"'x' of .* holds a number beyond 2\*\*63"),
        (pa.array([1e300]), "'x' of .* holds 1e.300, which is too large"),
    ],
)
def test_columns_that_make_no_feature_are_refused_by_name(written, column: pa.Array, message: str):
    with pytest.raises(DataError, match=message):
        rows(written(x=column))


def test_another_kind_of_file_is_refused(tmp_path: Path):
    (tmp_path / "a.parquet").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"a.parquet cannot be read as Parquet: .*magic"):
        rows(tmp_path / "a.parquet")


@pytest.mark.parametrize("where", [0.1, 0.5, 0.99])
def test_a_file_that_is_cut_is_damaged(written, where: float):
    file = written(x=np.random.default_rng(0).normal(size=1000))
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * where)])
    with pytest.raises(DataError, match=r"a.parquet cannot be read as Parquet"):
        rows(file)
