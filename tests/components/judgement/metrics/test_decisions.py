import numpy as np
import pytest

from tfx_tflite.components.judgement.metrics.configured import ConfiguredMetric
from tfx_tflite.components.judgement.metrics.decisions import Decision, decision_of

AREA = ConfiguredMetric("AUC", "AUC", {}, is_area=True)


def plain(class_name: str, **settings: object) -> ConfiguredMetric:
    return ConfiguredMetric(class_name, class_name, settings)


def score(**settings: object) -> ConfiguredMetric:
    return plain("Precision", **settings)


ERROR = plain("MeanSquaredError")


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ([plain("SparseCategoricalAccuracy")], Decision()),
        ([plain("CategoricalCrossentropy")], Decision()),
        ([plain("TopKCategoricalAccuracy")], Decision()),
        ([plain("BinaryAccuracy")], Decision(0.5)),
        ([plain("BinaryAccuracy", threshold=0.0)], Decision(0.0)),
        ([plain("BinaryCrossentropy", from_logits=True)], Decision(0.0)),
        ([plain("BinaryCrossentropy")], Decision(0.5)),
        ([score(thresholds=0.3)], Decision(0.3)),
        ([score(thresholds=[0.3])], Decision(0.3)),
        ([score(class_id=2)], Decision(0.5, 2)),
        ([score(top_k=2)], Decision()),
        ([AREA], Decision(0.5)),
        ([ERROR], None),
        ([AREA, plain("BinaryAccuracy", threshold=0.2)], Decision(0.2)),
        ([score(class_id=1), plain("SparseCategoricalAccuracy")], Decision()),
        ([ERROR, score(thresholds=0.7)], Decision(0.7)),
    ],
)
def test_the_metric_that_looks_at_the_whole_answer_decides(metrics: list, expected: Decision):
    assert decision_of(metrics) == expected


OUTPUTS = np.array([[[0.1, 0.9], [0.6, 0.4]], [[0.7, 0.3], [0.2, 0.8]]])


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        (Decision(), [[1, 0], [0, 1]]),
        (Decision(0.5), [[0, 1, 1, 0], [1, 0, 0, 1]]),
        (Decision(0.35, 1), [[1, 1], [0, 1]]),
    ],
)
def test_each_position_or_value_has_an_answer(decision: Decision, expected: list):
    assert decision.of(OUTPUTS).tolist() == expected


def test_an_output_of_no_axis_is_one_value():
    assert Decision(0.5).of(np.array([0.2, 0.7])).tolist() == [[0], [1]]


@pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 3, 1)])
def test_there_is_no_class_to_decide_for_without_several(shape: tuple):
    assert not Decision().fits(np.zeros(shape))
    assert Decision().fits(np.zeros((*shape, 2)))
    assert Decision(0.5).fits(np.zeros(shape))
