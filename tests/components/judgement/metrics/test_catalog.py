"""The table of metrics against TFMA and Keras themselves."""

import inspect

import pytest

from tfx_tflite.components.judgement.metrics import position_values
from tfx_tflite.components.judgement.metrics.catalog import (
    _BY_NAME,
    _TABLE,
    Decides,
    Judging,
    LabelKind,
    row_of,
)

SCORES = (Judging.SCORES, Judging.SHARE)


def test_each_class_has_one_row():
    assert len(_BY_NAME) == sum(1 + len(row.aliases) for row in _TABLE)


def test_each_function_of_values_is_named_by_a_row_and_the_other_way_round():
    functions = {
        name
        for name, function in vars(position_values).items()
        if inspect.isfunction(function) and not name.startswith("_")
    }
    assert {row.values for row in _TABLE if row.values} == functions


@pytest.mark.parametrize("row", _TABLE, ids=lambda row: row.name)
def test_what_a_row_says_goes_together(row):
    assert bool(row.values) == (row.judging in (Judging.COUNTS, Judging.MEAN, Judging.ROOT))
    assert bool(row.share) == (row.judging is Judging.SHARE)
    assert (row.decides is Decides.SCORE) == (row.judging in SCORES)


def test_a_metric_of_ones_own_decides_like_the_one_that_it_is_called_like():
    row = row_of("SparseCategoricalFocalAccuracy")
    assert (row.better, row.label, row.decides) == (None, LabelKind.CLASS_INDEX, Decides.CLASS)
    assert row_of("Focal").decides is Decides.NOTHING


@pytest.mark.slow
def test_the_metrics_of_scores_are_those_that_tfma_makes_from_confusion_matrices():
    from tensorflow_model_analysis.metrics import confusion_matrix_metrics, metric_types

    of_tfma = {
        name
        for name, found in metric_types.registered_metrics().items()
        if isinstance(found, type)
        and issubclass(found, confusion_matrix_metrics.ConfusionMatrixMetricBase)
        # Metrics of boxes and of sets derive from these, and pair labels with outputs differently.
        and found.__module__ == confusion_matrix_metrics.__name__
    }
    # Which has a value an example, too.
    of_tfma.remove("BinaryAccuracy")
    assert {name for name, row in _BY_NAME.items() if row.judging in SCORES} == of_tfma


@pytest.mark.slow
def test_tfma_and_keras_have_every_metric():
    import keras
    from tensorflow_model_analysis.metrics import metric_types

    of_ours = {row.name for row in _TABLE if row.module}
    known = {*metric_types.registered_metrics(), *dir(keras.metrics), *of_ours}
    assert not _BY_NAME.keys() - known
