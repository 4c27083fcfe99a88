"""NaN and infinity are errors that name file, record, model and tensor."""

import numpy as np
import pyarrow as pa
import pytest

from tfx_tflite.components.errors import DataError, EvaluationError
from tfx_tflite.components.examples.finite import check_inputs, check_outputs
from tfx_tflite.components.examples.tensors import EXAMPLES_A_FILE, POSITION_COLUMN, file_key

FINE = np.zeros((3, 2), np.float32)


def bad(value: float) -> np.ndarray:
    """Values with one that is not finite, in the second example."""
    values = FINE.copy()
    values[1, 1] = value
    return values


@pytest.fixture
def batch() -> pa.RecordBatch:
    positions = pa.array([[2 * EXAMPLES_A_FILE + 40 + row] for row in range(3)])
    named = pa.RecordBatch.from_arrays([positions], [POSITION_COLUMN])
    return named.replace_schema_metadata({file_key(2): b"data-2.gz"})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("model", ["float", "quantized", "pushed"])
def test_an_output_that_is_not_finite_names_model_output_and_example(batch, value, model: str):
    expected = f"the {model} model gives {value} in output 'y' for record 41 of data-2"
    with pytest.raises(EvaluationError, match=expected):
        check_outputs(batch, {"x": FINE}, {"other": FINE, "y": bad(value)}, model)


def test_the_input_that_caused_it_is_named(batch):
    with pytest.raises(EvaluationError, match=r"data-2\.gz, whose input 'x' is not finite"):
        check_outputs(batch, {"x": bad(np.inf)}, {"y": bad(np.nan)}, "float")


def test_outputs_of_any_rank_are_checked(batch):
    for shape in [(3,), (3, 1), (3, 2, 2, 2)]:
        values = np.zeros(shape, np.float32)
        values[2] = np.nan
        with pytest.raises(EvaluationError, match=r"record 42 of data-2\.gz"):
            check_outputs(batch, {}, {"y": values}, "float")


def test_finite_outputs_and_integers_are_fine(batch):
    check_outputs(batch, {"x": bad(np.nan)}, {"y": FINE, "z": np.zeros((3, 1), int)}, "float")


def test_outputs_that_are_not_one_row_an_example_are_left_alone(batch):
    check_outputs(batch, {}, {"scalar": np.float32(np.nan), "all": np.full(4, np.nan)}, "float")


def test_nan_in_an_input_names_file_and_record(batch):
    with pytest.raises(DataError, match=r"input 'x' is NaN in record 41 of data-2\.gz"):
        check_inputs(batch, {"number": np.zeros((3, 1), int), "x": bad(np.nan)})
    check_inputs(batch, {"x": bad(np.inf)})
