"""The Python API of the components: settings as an object, or its fields as keyword arguments."""

import pytest

from tfx_tflite.components.destinations.settings import PusherSettings
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.components.examples.settings import RollingSettings, SamplePlan
from tfx_tflite.components.judgement.gate import Gate
from tfx_tflite.components.judgement.settings import EvaluatorSettings
from tfx_tflite.components.quantization.settings import QuantizerSettings

pytestmark = [pytest.mark.slow, pytest.mark.generations]

GATE = Gate.model_validate({"rules": [{"metric": "AUC", "max_drop": 0.1}]})
AGAINST_PUSHED = Gate.model_validate(
    {"rules": [{"metric": "AUC", "max_drop": 0.1, "against": "pushed"}]}
)


def channel(kind: str):
    from tfx import types
    from tfx.types import standard_artifacts

    return types.Channel(type=getattr(standard_artifacts, kind))


def sampler(**options):
    from tfx_tflite.components import CalibrationSampler

    return CalibrationSampler(examples=channel("Examples"), **options)


def quantizer(**options):
    from tfx_tflite.components import TFLiteQuantizer

    examples = {"calibration_examples": channel("Examples")}
    return TFLiteQuantizer(model=channel("Model"), **{**examples, **options})


def evaluator(**options):
    from tensorflow_model_analysis.proto import config_pb2

    from tfx_tflite.components import QuantizationEvaluator

    metrics = config_pb2.MetricsSpec(metrics=[config_pb2.MetricConfig(class_name="AUC")])
    return QuantizationEvaluator(
        examples=channel("Examples"),
        model=channel("Model"),
        baseline_model=channel("Model"),
        eval_config=config_pb2.EvalConfig(
            model_specs=[config_pb2.ModelSpec(label_key="label")], metrics_specs=[metrics]
        ),
        **options,
    )


def pusher(**options):
    from tfx.proto import pusher_pb2

    from tfx_tflite.components import TFLitePusher

    return TFLitePusher(
        model=channel("Model"),
        model_blessing=channel("ModelBlessing"),
        push_destination=pusher_pb2.PushDestination(),
        **options,
    )


def rolling_example_gen(**options):
    from tfx.proto import example_gen_pb2

    from tfx_tflite.components import RollingCsvExampleGen

    split = example_gen_pb2.Input.Split(name="train", pattern="{SPAN}/*")
    return RollingCsvExampleGen("data", example_gen_pb2.Input(splits=[split]), **options)


@pytest.mark.parametrize(
    ("component", "settings", "options"),
    [
        (
            sampler,
            SamplePlan,
            {
                "split": "eval",
                "samples": 10,
                "stratify_by": "label",
                "allocation": "proportional",
                "seed": 3,
            },
        ),
        (
            quantizer,
            QuantizerSettings,
            {
                "signature": "serving_tensors",
                "preprocessing_signature": "transform",
                "scheme": "int8_float_io",
                "io_type": None,
                "batch_size": 4,
                "float_fallback": "allow",
                "ranges": "percentile",
                "percentile": 99,
                "time_limit": 600,
                "memory_limit": 1000,
            },
        ),
        (
            evaluator,
            EvaluatorSettings,
            {
                "gate": AGAINST_PUSHED,
                "split": "test",
                "signature": "serving_tensors",
                "preprocessing_signature": "transform",
                "output": "kind",
                "golden_samples": 3,
                "pushed_destination": "pushed",
                "pushed_version": 7,
            },
        ),
        (pusher, PusherSettings, {"keep": 3, "signing_key": "key.pem", "force": True}),
        (rolling_example_gen, RollingSettings, {"spans": 3, "rolled_splits": ("train",)}),
    ],
)
def test_keyword_arguments_are_fields_of_the_settings(component, settings, options: dict):
    expected = settings.given(None, options)
    for made in (component(**options), component(settings=expected)):
        found = settings.from_property(made.exec_properties)
        assert found == expected
        assert {name: getattr(found, name) for name in options} == options


def test_without_any_the_defaults_are_those_of_a_config():
    made = quantizer()
    assert QuantizerSettings.from_property(made.exec_properties) == QuantizerSettings()


@pytest.mark.parametrize(
    ("component", "options", "expected"),
    [
        (sampler, {"samples": 0}, "samples: expected greater than or equal to 1, received 0"),
        (quantizer, {"scheme": "int7"}, "scheme: expected 'float32', .* or 'int16x8' or"),
        (quantizer, {"calibration_examples": None}, "scheme 'int8' needs calibration_examples"),
        (evaluator, {}, "gate: this key is needed"),
        (evaluator, {"gate": {"rules": []}}, "gate.rules: expected at least one entry"),
        (evaluator, {"gate": GATE, "spilt": "x"}, "spilt: unknown key; did you mean 'split'"),
        (evaluator, {"gate": AGAINST_PUSHED}, "against: pushed, which needs pushed_destination"),
        (pusher, {"keep": 0}, "keep: expected greater than or equal to 1, received 0"),
        (rolling_example_gen, {"spans": 0}, "spans: expected greater than or equal to 1"),
    ],
)
def test_what_is_not_possible_is_refused_when_a_component_is_made(component, options, expected):
    with pytest.raises(ConfigError, match=expected):
        component(**options)
