import numpy as np
import pyarrow as pa
import pytest

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples.tensors import InputSpec, input_groups

FLOAT32, INT32, UINT8 = np.dtype("float32"), np.dtype("int32"), np.dtype("uint8")


def batch(**features: list) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [pa.array(values) for values in features.values()], list(features)
    )


def spec(shape: tuple, dtype: np.dtype = FLOAT32, name: str = "x") -> InputSpec:
    return InputSpec(name, shape, dtype)


def read(record_batch: pa.RecordBatch, *inputs: InputSpec) -> dict[str, np.ndarray]:
    [group] = input_groups(record_batch, inputs, "serving_tensors", {})
    assert group.rows.tolist() == list(range(record_batch.num_rows))
    return group.tensors


def test_takes_each_input_from_the_feature_of_its_name():
    tensors = read(batch(a=[[1.0], [2.0]], b=[[3.0], [4.0]]), spec((None, 1), name="b"))
    np.testing.assert_array_equal(tensors["b"], [[3.0], [4.0]])
    assert list(tensors) == ["b"]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((None,), (2,)),
        ((None, 1), (2, 1)),
        ((None, 2, 3), (2, 2, 3)),
        ((None, 1, 2, 3), (2, 1, 2, 3)),
        ((None, None, 3), (2, 2, 3)),
    ],
)
def test_reshapes_to_the_inputs_shape(shape: tuple, expected: tuple):
    values = list(map(float, range(int(np.prod(expected[1:])))))
    assert read(batch(x=[values, values]), spec(shape))["x"].shape == expected


def test_keeps_values_in_row_major_order():
    tensors = read(batch(x=[[0.0, 1.0, 2.0, 3.0]]), spec((None, 2, 2)))
    np.testing.assert_array_equal(tensors["x"], [[[0, 1], [2, 3]]])


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([[1], [255]], UINT8), ([[1], [-7]], INT32), ([[3], [4]], FLOAT32), ([[3.0], [4.0]], INT32)],
)
def test_casts_where_nothing_is_lost(values: list, dtype: np.dtype):
    tensors = read(batch(x=values), spec((None, 1), dtype))
    assert tensors["x"].dtype == dtype
    np.testing.assert_array_equal(tensors["x"], values)


@pytest.mark.parametrize(
    ("values", "dtype", "shown"),
    [
        ([[256]], UINT8, "256"),
        ([[-1]], UINT8, "-1"),
        ([[2**24 + 1]], FLOAT32, "16777217"),
        ([[0.5]], INT32, "0.5"),
        ([[float("nan")]], INT32, "nan"),
    ],
)
def test_refuses_a_cast_that_loses_something(values: list, dtype: np.dtype, shown: str):
    with pytest.raises(DataError, match=f"feature 'x' holds {shown}.*cannot hold"):
        read(batch(x=values), spec((None, 1), dtype))


def test_nan_survives_a_cast_between_floats():
    column = pa.array([[float("nan")]], type=pa.list_(pa.float64()))
    record_batch = pa.RecordBatch.from_arrays([column], ["x"])
    assert np.isnan(read(record_batch, spec((None, 1)))["x"]).all()


def test_names_a_missing_feature_and_those_there_are():
    with pytest.raises(DataError, match=r"'x' \(input of signature 'serving_tensors'\).*: a, b"):
        read(batch(b=[[1.0]], a=[[1.0]]), spec((None, 1)))


def test_counts_the_examples_that_lack_a_feature():
    with pytest.raises(DataError, match=r"'x'.* is missing in 2 of 3 examples"):
        read(batch(x=[[1.0], None, None]), spec((None, 1)))


def test_names_feature_input_signature_and_both_shapes_where_the_length_is_wrong():
    expected = r"'x' has 3 values in an example, but input 'x' of signature 'serving_tensors' has "
    with pytest.raises(DataError, match=expected + r"shape \[\?, 2, 2\] \(4 values an example\)"):
        read(batch(x=[[1.0, 2.0, 3.0]]), spec((None, 2, 2)))


def test_refuses_the_example_of_another_length():
    with pytest.raises(DataError, match="'x' has 1 values in an example"):
        read(batch(x=[[1.0, 2.0], [1.0]]), spec((None, 2)))


def test_refuses_an_example_without_values_on_a_free_axis():
    with pytest.raises(DataError, match="'x' has 0 values in an example"):
        read(batch(x=[[1.0, 2.0], []]), spec((None, None)))


def test_refuses_strings_for_a_number():
    with pytest.raises(
        DataError, match=r"'x' holds strings.*takes float32.*preprocessing_signature"
    ):
        read(batch(x=[["a"]]), spec((None, 1)))


def test_examples_of_differing_lengths_are_grouped_by_shape_and_keep_their_values():
    values = [[1.0, 2.0], [3.0, 4.0, 5.0, 6.0], [7.0, 8.0], [9.0, 10.0, 11.0, 12.0]]
    groups = input_groups(batch(x=values), [spec((None, None, 2))], "s", {})
    assert [group.rows.tolist() for group in groups] == [[0, 2], [1, 3]]
    np.testing.assert_array_equal(groups[0].tensors["x"], [[[1, 2]], [[7, 8]]])
    np.testing.assert_array_equal(groups[1].tensors["x"], [[[3, 4], [5, 6]], [[9, 10], [11, 12]]])


def test_two_inputs_of_differing_lengths_make_a_group_for_each_pair_of_lengths():
    record_batch = batch(x=[[1.0], [1.0, 2.0], [3.0]], y=[[1.0], [1.0], [1.0, 2.0]])
    inputs = [spec((None, None)), spec((None, None), name="y")]
    groups = input_groups(record_batch, inputs, "s", {})
    assert [group.rows.tolist() for group in groups] == [[0], [2], [1]]
    assert groups[1].tensors["y"].tolist() == [[1.0, 2.0]]


def test_the_schema_tells_the_sizes_of_several_free_axes():
    values = list(map(float, range(12)))
    [group] = input_groups(batch(x=[values]), [spec((None, None, None, 3))], "s", {"x": (2, 2, 3)})
    assert group.tensors["x"].shape == (1, 2, 2, 3)


def test_several_free_axes_without_a_shape_in_the_schema_are_refused_with_the_remedies():
    expected = (
        r"sizes do not follow from the 12 values of feature 'x'; .*data\.schema.*preprocessing_sig"
    )
    with pytest.raises(DataError, match=expected):
        read(batch(x=[[0.0] * 12]), spec((None, None, None, 3)))


@pytest.mark.parametrize("shape", [(3, 2, 3), (2, 3, 2)])
def test_a_shape_in_the_schema_that_does_not_fit_is_refused(shape: tuple):
    with pytest.raises(DataError, match=r"but the schema gives feature 'x' the shape"):
        input_groups(batch(x=[[0.0] * 12]), [spec((None, None, None, 3))], "s", {"x": shape})
