import numpy as np
import pyarrow as pa
import pytest

from tfx_tflite.components.errors import DataError, EvaluationError
from tfx_tflite.components.examples.tensors import InputSpec
from tfx_tflite.components.judgement.metrics.configured import ConfiguredMetric
from tfx_tflite.components.judgement.metrics.labels import LabelCheck, LabelReader
from tfx_tflite.components.judgement.metrics.targets import JudgedOutput, Target


def record_batch(**features: list) -> pa.RecordBatch:
    columns = [[v if isinstance(v, list) else [v] for v in values] for values in features.values()]
    return pa.RecordBatch.from_arrays([pa.array(c) for c in columns], list(features))


def read(labels: list, **target: object) -> np.ndarray:
    return LabelReader(Target(label="label", **target)).labels(record_batch(label=labels), {}, {})


def weigh(weights: list) -> np.ndarray | None:
    reader = LabelReader(Target(label="label", example_weight="weight"))
    return reader.weights(record_batch(weight=weights))


def label_check(metric: str, shape: tuple[int, ...], **config: object) -> LabelCheck:
    configured = ConfiguredMetric(metric, metric, config, is_area=metric == "AUC")
    spec = InputSpec("out", (None, *shape), np.dtype(np.float32))
    return LabelCheck(JudgedOutput(None, spec, Target(label="label")), (configured,))


def check(metric: str, labels: list, shape: tuple[int, ...], value: float = 0.5, **config) -> None:
    numbers = read(labels)
    outputs = np.full((len(numbers), *shape), value, np.float32)
    models = {"float": outputs, "quantized": outputs}
    label_check(metric, shape, **config)(numbers, models, record_batch(label=labels))


# --- What is in range ---


def test_class_indices_within_the_output_pass():
    check("SparseCategoricalAccuracy", [0, 9, 3], (10,))


@pytest.mark.parametrize("label", [10, -1])
def test_a_class_that_the_output_does_not_have_is_an_error_that_names_the_example(label: int):
    expected = rf"label 'label' is {label} in example 1 of a batch, but .* classes 0 to 9 .* 1 of 2"
    with pytest.raises(DataError, match=expected):
        check("SparseCategoricalAccuracy", [0, label], (10,))


def test_a_class_that_is_ignored_may_be_any_number():
    check("SparseCategoricalAccuracy", [0, 255, 9], (10,), ignore_class=255)


def test_beside_a_class_that_is_ignored_the_others_are_those_of_the_output():
    with pytest.raises(DataError, match=r"'label' is 10 in example 2 of a batch, .* 0 to 9; so"):
        check("SparseCategoricalAccuracy", [0, 255, 10], (10,), ignore_class=255)


def test_accuracy_takes_an_output_that_is_the_answer():
    check("Accuracy", [0, 2], (1,), value=2.0)


def test_accuracy_of_scores_is_an_error_that_names_its_like():
    with pytest.raises(EvaluationError, match=r"'out' of the float model is 0.5 .* BinaryAccurac"):
        check("Accuracy", [0, 2], (1,), value=0.5)


def test_a_binary_label_above_one_is_an_error():
    with pytest.raises(DataError, match=r"'label' is 2 in example 1 of .*, but .* take 0 to 1"):
        check("BinaryAccuracy", [0, 2], (1,))


def test_regression_labels_may_be_anything():
    check("MeanAbsoluteError", [-1e9, 12.5], (1,))


def test_one_hot_labels_that_do_not_add_up_to_one_are_an_error():
    with pytest.raises(DataError, match=r"adds up to 2 in example 1 of .* that add up to 1"):
        check("CategoricalAccuracy", [[1, 0, 0], [1, 1, 0]], (3,))


# --- What is read ---


def test_a_missing_label_is_an_error():
    with pytest.raises(DataError, match=r"'label' \(evaluation.label\) is not in the examples"):
        LabelReader(Target(label="label")).labels(record_batch(other=[1]), {}, {})


def test_a_string_label_without_a_vocabulary_is_an_error():
    with pytest.raises(DataError, match=r"holds strings, expected numbers; list .*vocabulary"):
        read([b"yes"])


def test_strings_become_the_places_of_their_entries():
    found = read([b"dog", b"cat", b"dog"], vocabulary=("cat", "bird", "dog"))
    assert found.tolist() == [[2], [0], [2]]


def test_an_unknown_string_is_an_error_that_names_the_nearest_entry():
    with pytest.raises(DataError, match=r"'dgo' in example 1 of .* nearest entry is 'dog'"):
        read([b"dog", b"dgo"], vocabulary=("cat", "dog"))


def test_numbers_beside_a_vocabulary_are_an_error():
    with pytest.raises(DataError, match=r"evaluation.vocabulary is for strings"):
        read([1], vocabulary=("cat", "dog"))


def test_examples_with_labels_of_different_lengths_are_an_error():
    with pytest.raises(DataError, match="2 values in an example and 1 in another"):
        read([[1, 2], [3]])


def test_a_label_that_is_no_number_is_an_error():
    with pytest.raises(DataError, match="'label' is nan in example 1 of a batch, expected"):
        read([0.5, float("nan")])


def test_a_label_may_be_an_input_of_the_model():
    reader = LabelReader(Target(label_input="image"))
    found = reader.labels(record_batch(x=[1, 2]), {"image": np.arange(8.0).reshape(2, 2, 2)}, {})
    assert found.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_an_input_that_the_model_does_not_have_is_an_error_that_lists_them():
    reader = LabelReader(Target(label_input="imgae"))
    with pytest.raises(EvaluationError, match="the model has no input 'imgae'; it has: image"):
        reader.labels(record_batch(x=[1, 2]), {"image": np.zeros((2, 4))}, {})


@pytest.mark.parametrize("given", [np.array(3), np.zeros((3, 2))])
def test_a_label_of_the_preprocessing_signature_is_one_row_an_example(given: np.ndarray):
    reader = LabelReader(Target(label="label"))
    with pytest.raises(DataError, match=r"gives label 'label' in shape .* for 2 examples"):
        reader.labels(record_batch(x=[1, 2]), {}, {"label": given})


def test_a_label_may_come_from_the_preprocessing_signature_unless_a_feature_has_its_name():
    prepared = {"label": np.array([[5], [6]])}
    reader = LabelReader(Target(label="label"))
    assert reader.labels(record_batch(x=[1, 2]), {}, prepared).tolist() == [[5], [6]]
    assert reader.labels(record_batch(label=[1, 2]), {}, prepared).tolist() == [[1], [2]]


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_that_is_negative_or_no_number_is_an_error(weight: float):
    with pytest.raises(DataError, match=f"weight 'weight' is {weight} in .* in 1 of 2 examples"):
        weigh([1.0, weight])


def test_a_missing_weight_is_an_error():
    with pytest.raises(DataError, match=r"'weight' \(evaluation.example_weight\) is missing in 1"):
        LabelReader(Target(label="x", example_weight="weight")).weights(
            pa.RecordBatch.from_arrays([pa.array([[1.0], None])], ["weight"])
        )


def test_an_example_has_one_weight():
    with pytest.raises(DataError, match="has 2 values in an example, expected one"):
        weigh([[1.0, 2.0]])


# --- What fits ---


@pytest.mark.parametrize(
    ("metric", "count", "shape", "config"),
    [
        ("SparseCategoricalAccuracy", 1, (10,), {}),
        ("SparseCategoricalAccuracy", 12, (3, 4, 5), {}),
        ("CategoricalAccuracy", 3, (3,), {}),
        ("CategoricalCrossentropy", 60, (3, 4, 5), {}),
        ("MeanSquaredError", 1, (), {}),
        ("MeanSquaredError", 1, (1,), {}),
        ("MeanSquaredError", 48, (4, 4, 3), {}),
        ("BinaryAccuracy", 5, (5,), {}),
        ("AUC", 16, (4, 4, 1), {}),
        ("Precision", 1, (3,), {"class_id": 2}),
        ("Precision", 3, (3,), {"class_id": 2}),
        ("AUC", 16, (4, 4, 3), {"class_id": 1}),
        ("NDCG", 1, (3,), {}),
        ("Precision", 1, (3,), {"top_k": 2}),
    ],
)
def test_labels_of_any_shape_that_fits_pass(metric: str, count: int, shape: tuple, config: dict):
    label_check(metric, shape, **config).of_shapes(count, shape)


@pytest.mark.parametrize(
    ("metric", "count", "shape", "config", "said"),
    [
        ("CategoricalAccuracy", 1, (3,), {}, "for class indices use SparseCategoricalAccuracy"),
        ("BinaryAccuracy", 1, (2,), {}, "SparseCategoricalAccuracy, or give .* class_id"),
        ("Precision", 1, (2,), {}, "SparseCategoricalAccuracy, or give .* class_id"),
        ("Recall", 1, (2,), {}, "an output of a single score"),
        ("F1Score", 1, (2,), {}, "an output of a single score"),
        ("AUC", 1, (2,), {}, "an output of a single score"),
        ("AUC", 16, (4, 4, 3), {}, "an output of a single score"),
        ("MeanSquaredError", 1, (12,), {}, "name a label of that many values"),
        ("SparseCategoricalAccuracy", 3, (3,), {}, "for one-hot labels use CategoricalAccuracy"),
        ("SparseCategoricalAccuracy", 1, (1,), {}, "no classes; use BinaryAccuracy"),
        ("SparseCategoricalAccuracy", 1, (4, 4, 3), {}, r"each position \(16\)"),
        ("Precision", 1, (3,), {"class_id": 3}, "the output has classes 0 to 2"),
        ("NDCG", 16, (4, 4, 3), {}, "through TFMA no class index a position"),
    ],
)
def test_a_label_that_does_not_fit_is_an_error_that_says_what_would(
    metric: str, count: int, shape: tuple, config: dict, said: str
):
    with pytest.raises(EvaluationError, match=said) as caught:
        label_check(metric, shape, **config).of_shapes(count, shape)
    message = str(caught.value)
    assert repr(metric) in message and "'label'" in message and "'out'" in message
    assert ", ".join(["?", *map(str, shape)]) in message and f"{count} value" in message


@pytest.mark.parametrize(
    ("metric", "config"), [("AUC", {}), ("BinaryCrossentropy", {}), ("AUC", {"class_id": 0})]
)
def test_logits_are_an_error_for_a_metric_of_probabilities(metric: str, config: dict):
    with pytest.raises(
        EvaluationError, match=f"'{metric}' takes probabilities .* 'out' of the flo"
    ):
        check(metric, [1], (1,), value=-3.0, **config)


@pytest.mark.parametrize(
    ("metric", "config"),
    [("BinaryCrossentropy", {"from_logits": True}), ("BinaryAccuracy", {"threshold": 0.0})],
)
def test_logits_are_taken_by_metrics_that_know_of_them(metric: str, config: dict):
    check(metric, [1], (1,), value=-3.0, **config)
