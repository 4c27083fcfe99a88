"""On which slices the quantized model loses most."""

import pytest

from tests.components.report.reports import FAILED, REFUSED, RULE, varied
from tfx_tflite.components.report.worst_slices import worst_slices

ACCURACY = varied(REFUSED.metrics[0], metric="accuracy", float_value=1.0, quantized_value=0.99)


def test_the_worst_slice_comes_first_whether_a_rule_or_only_a_metric_has_it():
    rules = (
        varied(RULE, metric="accuracy", drop=0.0022, float_value=0.9933, quantized_value=0.9911),
        varied(FAILED, metric="accuracy", slice="label:8", drop=0.058),
    )
    metrics = (
        ACCURACY,
        varied(ACCURACY, slice="label:3", quantized_value=0.98),
        varied(ACCURACY, slice="label:5", float_value=0.9),
    )
    [group] = worst_slices(metrics, rules)
    assert [found.value.slice for found in group.slices] == ["label:8", "label:3"]
    assert [found.drop for found in group.slices] == pytest.approx([0.058, 0.02])
    assert (group.overall, group.total) == (0.0022, 3)


def test_a_rise_of_an_error_is_a_drop():
    error = varied(ACCURACY, metric="MeanAbsoluteError")
    values = [
        varied(error, slice="a", quantized_value=1.5),
        varied(error, slice="b", quantized_value=0.5),
    ]
    [group] = worst_slices(values, ())
    assert [(found.value.slice, found.drop) for found in group.slices] == [("a", 0.5)]


def test_a_metric_of_unknown_direction_has_no_worst_slice():
    assert worst_slices([varied(ACCURACY, metric="mine", slice="a")], ()) == []
