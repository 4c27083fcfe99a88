"""Which label and metrics go with what a model says."""

import numpy as np
import pytest

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)


def feature(name: str, rows, kind: str = "int"):
    from tfx_tflite.pipelines.first_config.features import Feature

    return Feature(name, kind, [list(np.atleast_1d(row)) for row in rows], 0)


def tasks(label, outputs, inputs=None):
    from tfx_tflite.pipelines.first_config.task import tasks

    return tasks({label.name: label}, outputs, inputs or {})


def softmax(*shape: int) -> np.ndarray:
    values = np.exp(RNG.normal(size=shape))
    return (values / values.sum(axis=-1, keepdims=True)).astype(np.float32)


def logits(*shape: int) -> np.ndarray:
    return RNG.normal(scale=5, size=shape).astype(np.float32)


def names(task) -> list[str]:
    return [metric if isinstance(metric, str) else metric["class_name"] for metric in task.metrics]


def test_an_index_beside_classes_is_a_classification():
    [task] = tasks(feature("label", [0, 2, 1]), {"p": softmax(3, 3)})
    assert names(task) == ["SparseCategoricalAccuracy", "SparseCategoricalCrossentropy"]
    assert task.metrics[1] == "SparseCategoricalCrossentropy"
    assert task.classes == 3 and "probabilities" in task.kind


def test_logits_are_told_from_probabilities():
    [task] = tasks(feature("label", [0, 2, 1]), {"p": logits(3, 3)})
    assert task.metrics[1]["config"] == {"from_logits": True}
    [task] = tasks(feature("label", [0, 1, 1]), {"p": logits(3, 1)})
    assert task.metrics[0]["config"] == {"threshold": 0}
    assert "AUC" not in names(task)


def test_one_hot_labels_are_a_classification():
    [task] = tasks(feature("label", np.eye(3, dtype=int)), {"p": softmax(3, 3)})
    assert names(task)[0] == "CategoricalAccuracy"


def test_yes_or_no_beside_one_score():
    for label in (feature("y", [0, 1, 1]), feature("y", [0.0, 1.0, 1.0], "float")):
        [task] = tasks(label, {"p": np.array([[0.1], [0.9], [0.4]], np.float32)})
        assert names(task) == ["BinaryAccuracy", "AUC"]


def test_a_class_for_each_pixel():
    [task] = tasks(feature("mask", RNG.integers(0, 3, (4, 25))), {"p": softmax(4, 5, 5, 3)})
    assert names(task)[0] == "SparseCategoricalAccuracy"


def test_numbers_beside_numbers_are_a_regression():
    [task] = tasks(feature("price", RNG.normal(size=9), "float"), {"p": logits(9, 1)})
    assert task.kind == "regression" and task.rule["metric"] == "MeanAbsoluteError"
    [task] = tasks(feature("age", [3, 70, 12]), {"p": logits(3, 1)})
    assert task.kind == "regression"


def test_texts_are_classes_in_the_order_of_the_alphabet():
    [task] = tasks(feature("kind", [b"b", b"a", b"c"], "text"), {"p": softmax(3, 3)})
    assert task.vocabulary == ("a", "b", "c")
    # Which class is which nobody could tell.
    assert not tasks(feature("kind", [b"b", b"a"], "text"), {"p": softmax(2, 3)})


def test_a_model_that_gives_its_input_again_is_compared_with_it():
    [task] = tasks(feature("city", [b"x", b"y"], "text"), {"out": logits(2, 4, 4)}, {"image": 16})
    assert task.is_input and task.label == "image"


@pytest.mark.parametrize("rows", [[3, 7, 12], [[0, 1], [1, 0], [2, 0]]])
def test_labels_that_fit_no_output_are_none(rows):
    assert not tasks(feature("label", rows), {"p": softmax(3, 3)})


def test_what_is_called_like_a_label_comes_first():
    from tfx_tflite.pipelines.first_config.task import likely_labels

    features = {name: feature(name, [0]) for name in ("x", "score", "Target", "label")}
    assert likely_labels(features, ["score"], "") == ["label", "Target", "score"]
    assert likely_labels(features, [], "x") == ["x"]
