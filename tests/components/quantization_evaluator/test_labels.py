import numpy as np
import pyarrow as pa
import pytest

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.quantization_evaluator.labels import LabelCheck


def check(metric: str, labels: list, classes: int) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([[label] for label in labels])], ["label"])
    LabelCheck.for_metrics("label", [metric])(batch, np.zeros((len(labels), classes)))


def test_class_indices_within_the_output_pass():
    check("SparseCategoricalAccuracy", [0, 9, 3], classes=10)


@pytest.mark.parametrize("label", [10, -1])
def test_a_class_that_the_output_does_not_have_is_an_error(label: int):
    with pytest.raises(DataError, match=rf"label 'label' is {label}, but .* classes 0 to 9"):
        check("SparseCategoricalAccuracy", [0, label], classes=10)


def test_a_binary_label_above_one_is_an_error():
    with pytest.raises(DataError, match="label 'label' is 2, but the metrics take 0 to 1"):
        check("BinaryAccuracy", [0, 2], classes=1)


def test_regression_labels_may_be_anything():
    check("MeanAbsoluteError", [-1e9, 12.5], classes=1)


def test_a_missing_label_is_an_error():
    batch = pa.RecordBatch.from_arrays([pa.array([[1]])], ["other"])
    with pytest.raises(DataError, match=r"'label' \(evaluation.label\) is not in the examples"):
        LabelCheck.for_metrics("label", ["AUC"])(batch, np.zeros((1, 1)))


def test_a_string_label_is_an_error():
    with pytest.raises(DataError, match="holds strings, expected numbers"):
        check("AUC", [b"yes"], classes=1)
