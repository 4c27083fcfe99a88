"""What QuantizationTuner refuses when a pipeline is built."""

import pytest

from tests.components.quantization_tuner.searching import eval_config
from tfx_tflite.components.errors import ConfigError, EvaluationError

METRIC = "SparseCategoricalAccuracy"
GATE = {"rules": [{"metric": METRIC, "max_drop": 0.01}]}


def tuner(metric: str = METRIC, **options: object):
    from tfx.types import Channel, standard_artifacts

    from tfx_tflite.components.quantization_tuner.component import QuantizationTuner

    return QuantizationTuner(
        examples=Channel(type=standard_artifacts.Examples),
        model=Channel(type=standard_artifacts.Model),
        calibration_examples=Channel(type=standard_artifacts.Examples),
        eval_config=eval_config({None: metric}),
        **{"gate": GATE, **options},
    )


def test_gives_a_recipe_and_takes_its_settings_as_one_property():
    from tfx_tflite.components.quantization_tuner.settings import TunerSettings

    node = tuner(search={"tuning_samples": 50}, scheme="auto")
    assert set(node.outputs) == {"recipe"}
    settings = TunerSettings.from_property(node.exec_properties)
    assert settings.search.tuning_samples == 50 and settings.is_searched


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"ranges": "stock"}, "ranges: stock does not go with a search"),
        ({"evaluation_split": "train"}, "tuning_split is 'train', on which the gate judges"),
        ({"search": {"tuning_split": "eval"}}, "tuning_split is 'eval', on which the gate judges"),
        ({"search": {"tuning_samples": 0}}, "tuning_samples: expected .*1, received 0"),
        ({"search": {"budget": {"evaluations": 0}}}, "budget.evaluations: expected .*received 0"),
        ({"search": {"budget": {"minutes": 0}}}, "budget.minutes: expected .*received 0"),
        ({"search": {"allow": ["magic"]}}, r"allow.*move_normalization.*magic"),
        ({"search": {"intger_only": True}}, "search.intger_only: unknown key"),
        ({"io_type": "int16", "scheme": "int8"}, "io_type 'int16' does not go with scheme 'int8'"),
        ({"gate": {"rules": []}}, "rules"),
        ({"seeds": 0}, "seeds: expected .*1, received 0"),
        ({"seeds": 3, "ranges": "stock"}, "ranges: stock does not go with seeds"),
        ({"seeds": 3, "scheme": "float16"}, "seeds is 3, but scheme 'float16' takes no calib"),
    ],
)
def test_refuses_what_is_not_possible(options: dict, expected: str):
    with pytest.raises(ConfigError, match=expected):
        tuner(**options)


def test_refuses_rules_that_do_not_go_with_the_metrics():
    with pytest.raises(EvaluationError, match="SparseCategoricalAccuracy"):
        tuner(metric="MeanSquaredError")


def test_the_quantizer_refuses_auto_without_a_recipe():
    from tfx.types import Channel, standard_artifacts

    from tfx_tflite.components.tflite_quantizer.component import TFLiteQuantizer

    given = {
        "model": Channel(type=standard_artifacts.Model),
        "calibration_examples": Channel(type=standard_artifacts.Examples),
    }
    with pytest.raises(ConfigError, match="'auto' needs a recipe, which QuantizationTuner finds"):
        TFLiteQuantizer(**given, scheme="auto")
    with pytest.raises(ConfigError, match="seeds: 3 needs a recipe, which QuantizationTuner finds"):
        TFLiteQuantizer(**given, scheme="int8", seeds=3)
    recipe = tuner().outputs["recipe"]
    assert TFLiteQuantizer(**given, recipe=recipe, scheme="auto").inputs["recipe"] is recipe
