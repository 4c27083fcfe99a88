import numpy as np
import pyarrow as pa
import pytest

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.model_inputs import InputSpec, tensors_from_features

FLOAT32, INT32, UINT8 = np.dtype("float32"), np.dtype("int32"), np.dtype("uint8")


def batch(**features: list) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [pa.array(values) for values in features.values()], list(features)
    )


def spec(shape: tuple, dtype: np.dtype = FLOAT32, name: str = "x") -> InputSpec:
    return InputSpec(name, shape, dtype)


def read(record_batch: pa.RecordBatch, *inputs: InputSpec) -> dict[str, np.ndarray]:
    return tensors_from_features(record_batch, inputs, "serving_tensors")


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


def test_refuses_a_batch_of_different_lengths():
    with pytest.raises(DataError, match="'x' has 1 values in an example"):
        read(batch(x=[[1.0, 2.0], [1.0]]), spec((None, None)))


def test_refuses_strings_for_a_number():
    with pytest.raises(
        DataError, match=r"'x' holds strings.*takes float32.*preprocessing_signature"
    ):
        read(batch(x=[["a"]]), spec((None, 1)))
