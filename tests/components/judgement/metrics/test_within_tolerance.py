"""`WithinTolerance`: near enough or not, for the gate and for TFMA."""

import json

import numpy as np
import pytest
from pydantic import ValidationError

from tfx_tflite.components.judgement.metrics.batched_metrics import MeanMetric, batched_metric
from tfx_tflite.components.judgement.metrics.configured import ConfiguredMetric
from tfx_tflite.components.judgement.settings import MetricConfig

LABELS = np.array([[10.0], [-10.0], [0.0], [2.0]])
OUTPUTS = np.array([[12.0], [-7.9], [0.0], [2.5]])
EXPECTED = [
    ({"relative": 0.2}, [1, 0, 1, 0]),
    ({"relative": 0.21}, [1, 1, 1, 0]),
    ({"absolute": 0.5}, [0, 0, 1, 1]),
    ({"absolute": 0}, [0, 0, 1, 0]),
    ({"relative": 0.2, "absolute": 0.5}, [1, 0, 1, 1]),
]


def metric(shape: tuple[int, ...] = (1,), **tolerances: float) -> MeanMetric:
    found = batched_metric(ConfiguredMetric("near", "WithinTolerance", tolerances), shape)
    assert isinstance(found, MeanMetric)
    return found


@pytest.mark.parametrize(("tolerances", "expected"), EXPECTED)
def test_a_value_counts_if_it_is_within_any_of_the_tolerances(tolerances, expected):
    assert metric(**tolerances).values(LABELS, OUTPUTS).tolist() == expected


def test_one_value_an_example_is_right_or_wrong_and_of_several_it_is_the_share():
    assert metric(relative=0.2).is_correctness
    several = metric((2,), relative=0.2)
    assert several.is_share and not several.is_correctness
    assert several.values(LABELS.reshape(2, 2), OUTPUTS.reshape(2, 2)).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "give relative"),
        ({"relative": -0.1}, "relative: expected greater than or equal to 0"),
        ({"absolute": "far"}, "absolute: expected a valid number"),
        ({"relativ": 0.2}, "did you mean 'relative'"),
    ],
)
def test_a_config_names_a_tolerance(config: dict[str, object], said: str):
    with pytest.raises(ValidationError, match=f"WithinTolerance: .*{said}"):
        MetricConfig(class_name="WithinTolerance", config=config)


@pytest.mark.slow
@pytest.mark.parametrize(("tolerances", "expected"), EXPECTED)
def test_tfma_builds_it_and_keras_has_the_same_value(tolerances, expected):
    from tensorflow_model_analysis.metrics import metric_specs
    from tensorflow_model_analysis.proto import config_pb2

    from tfx_tflite.components.judgement.eval_config import check_metrics, for_keras
    from tfx_tflite.components.judgement.eval_config import two_model_config as two_models
    from tfx_tflite.components.judgement.metrics.keras_metrics import WithinTolerance

    proto = config_pb2.MetricConfig(class_name="WithinTolerance", config=json.dumps(tolerances))
    config = two_models(
        config_pb2.EvalConfig(
            model_specs=[config_pb2.ModelSpec(label_key="label")],
            metrics_specs=[config_pb2.MetricsSpec(metrics=[proto])],
        )
    )
    check_metrics(config)
    [spec] = config.metrics_specs
    metric_specs.to_computations(
        [config_pb2.MetricsSpec(metrics=[for_keras(spec.metrics[0])])], eval_config=config
    )
    keras = WithinTolerance.from_config(WithinTolerance(**tolerances).get_config())
    keras.update_state(LABELS, OUTPUTS)
    assert float(keras.result()) == np.mean(expected)
