"""What is evaluated how, and what is refused before anything is read."""

import json

import numpy as np
import pytest

from tfx_tflite.components.errors import EvaluationError
from tfx_tflite.components.examples.tensors import InputSpec
from tfx_tflite.components.judgement.gate import (
    AgreementLimit,
    Gate,
    GateRule,
    MetricRule,
    SizeLimit,
)
from tfx_tflite.components.judgement.metrics.targets import JudgedOutput, Target
from tfx_tflite.components.judgement.settings import EvaluatorSettings

pytestmark = pytest.mark.slow


def judged(key: str | None, shape: tuple, **target: object) -> JudgedOutput:
    spec = InputSpec(key or "out", (None, *shape), np.dtype(np.float32))
    return JudgedOutput(key, spec, Target(**{"label": "label", "output": key, **target}))


def config(metrics: dict[str | None, list]):
    from tensorflow_model_analysis.proto import config_pb2

    from tfx_tflite.components.judgement.eval_config import two_model_config

    specs = []
    for key, names in metrics.items():
        pairs = [(name, {}) if isinstance(name, str) else name for name in names]
        specs.append(
            config_pb2.MetricsSpec(
                output_names=[key] if key else [],
                metrics=[
                    config_pb2.MetricConfig(class_name=name, config=json.dumps(settings))
                    for name, settings in pairs
                ],
            )
        )
    return two_model_config(
        config_pb2.EvalConfig(
            model_specs=[config_pb2.ModelSpec(label_key="label")], metrics_specs=specs
        )
    )


def plan(metrics: dict[str | None, list], outputs: list[JudgedOutput], *rules: GateRule):
    from tfx_tflite.components.judgement.metric_plan import MetricPlan

    return MetricPlan.make(config(metrics), outputs, Gate(rules=rules or (SIZE,)))


SIZE = SizeLimit(max_size_ratio=1.0)
CONFIDENT = MetricRule(metric="AUC", max_drop=0.1, confidence=0.9)
TWO = {"kind": ["SparseCategoricalAccuracy"], "price": ["MeanSquaredError", "MeanLabel"]}


def test_each_output_has_its_metrics_and_the_rest_goes_through_tfma():
    found = plan(TWO, [judged("kind", (3,)), judged("price", (1,))])
    kind, price = found.outputs
    assert list(kind.by_name) == ["SparseCategoricalAccuracy"]
    assert list(price.by_name) == ["MeanSquaredError"]
    [spec] = found.rest.metrics_specs
    assert [metric.class_name for metric in spec.metrics] == ["MeanLabel"]
    assert list(spec.output_names) == ["price"]


def test_a_metric_of_ones_own_may_have_any_label():
    from tensorflow_model_analysis.proto import config_pb2

    from tfx_tflite.components.judgement.metric_plan import MetricPlan

    own = config({None: ["MeanLabel"]})
    own.metrics_specs[0].metrics[0].module = "mine"
    found = MetricPlan.make(own, [judged(None, (4, 4, 3))], Gate(rules=(SIZE,)))
    found.checks[0].of_shapes(7, (4, 4, 3))
    assert isinstance(found.rest, config_pb2.EvalConfig)


@pytest.mark.parametrize("metric", ["SparseCategoricalAccuracy", "MeanSquaredError"])
def test_a_mean_has_a_confidence_with_weights(metric: str):
    rule = MetricRule(metric=metric, max_drop=0.1, confidence=0.9)
    shape = (3,) if metric.startswith("Sparse") else (1,)
    plan({None: [metric]}, [judged(None, shape, example_weight="w")], rule)


@pytest.mark.parametrize(
    ("output", "metric", "said"),
    [
        (judged(None, (1,), example_weight="w"), "AUC", "beside evaluation.example_weight"),
        (judged(None, (4,)), "AUC", "of which an example has several"),
        (judged(None, (2, 2, 3)), ("AUC", {"class_id": 1}), "of which an example has several"),
    ],
)
@pytest.mark.parametrize("limit", [{"max_drop": 0.1}, {"min_value": 0.9}])
def test_scores_that_are_weighted_or_several_an_example_have_no_confidence(
    output: JudgedOutput, metric: object, said: str, limit: dict[str, float]
):
    rule = MetricRule.model_validate({"metric": "AUC", "confidence": 0.9, **limit})
    with pytest.raises(EvaluationError, match=f"there is no confidence .*{said}.* to null"):
        plan({None: [metric]}, [output], rule)
    plan({None: [metric]}, [output], rule.model_copy(update={"confidence": None}))


def test_a_value_that_tfma_computes_alone_has_no_confidence():
    known = [judged("kind", (3,)), judged("price", (1,))]
    keys = {"metric": "MeanLabel", "min_value": 0.9, "confidence": 0.9}
    rule = MetricRule.model_validate(keys)
    with pytest.raises(EvaluationError, match="'MeanLabel': there is no confidence for this metri"):
        plan(TWO, known, rule)
    plan(TWO, known, rule.model_copy(update={"confidence": None}))


def test_the_scores_of_one_class_have_a_confidence():
    found = plan({None: [("AUC", {"class_id": 1})]}, [judged(None, (3,))], CONFIDENT)
    [tested] = found.outputs[0].tested
    assert tested.metric.class_id == 1


def test_agreement_on_what_decides_nothing_is_an_error_that_says_what_to_limit_instead():
    rule = AgreementLimit(min_agreement=0.9)
    with pytest.raises(EvaluationError, match=r"'price' .* make no decision .* min_sqnr_db instea"):
        plan(TWO, [judged("kind", (3,)), judged("price", (1,))], rule)
    named = rule.model_copy(update={"output": "kind"})
    plan(TWO, [judged("kind", (3,)), judged("price", (1,))], named)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            MetricRule(metric="AUC", max_drop=0),
            r"several outputs have a metric .* one of: a, b",
        ),
        (
            MetricRule(metric="AUC", output="c", max_drop=0),
            "'c' is not judged; evaluation.outputs has: a, b",
        ),
        (
            AgreementLimit(min_agreement=0.5, output="c"),
            "'c' is not judged; evaluation.outputs has: a, b",
        ),
        (
            MetricRule(metric="BinaryAccuracy", output="b", max_drop=0),
            "'BinaryAccuracy' is not evaluated on output 'b', only on a",
        ),
    ],
)
def test_a_rule_that_names_no_output_or_a_wrong_one_is_an_error_with_the_choices(
    rule: GateRule, said: str
):
    metrics = {"a": ["AUC", "BinaryAccuracy"], "b": ["AUC"]}
    with pytest.raises(EvaluationError, match=said):
        plan(metrics, [judged("a", (1,)), judged("b", (1,))], rule)


def test_one_name_for_metrics_of_two_classes_is_an_error():
    metrics = {"a": [("AUC", {"name": "m"})], "b": [("MeanSquaredError", {"name": "m"})]}
    # A rule on either would not know which way it is better.
    rule = MetricRule(metric="m", output="a", max_drop=0)
    with pytest.raises(EvaluationError, match="of class AUC, MeanSquaredError on different"):
        plan(metrics, [judged("a", (1,)), judged("b", (1,))], rule)


def test_targets_survive_json():
    targets = (Target(label_input="x"), Target(output="b", label="l", vocabulary=("ä", "b")))
    rule = MetricRule(metric="m", max_drop=0)
    settings = EvaluatorSettings(gate=Gate(rules=(rule,)), targets=targets)
    assert EvaluatorSettings.from_property({"settings": settings.to_property()}) == settings


def test_a_target_has_one_label():
    with pytest.raises(ValueError, match="give a label: a feature, or an input"):
        Target(label="a", label_input="b")


# --- What the schema says ---


def schema(kind: str, count: int | None, shape: tuple | None = None) -> bytes:
    from tensorflow_metadata.proto.v0 import schema_pb2

    found = schema_pb2.Schema()
    feature = found.feature.add(name="label", type=getattr(schema_pb2, kind))
    if count is not None:
        feature.value_count.min = feature.value_count.max = count
    for size in shape or ():
        feature.shape.dim.add(size=size)
    return found.SerializeToString()


def check(metric: str, output: JudgedOutput, serialized: bytes | None) -> None:
    from tfx_tflite.components.judgement.metrics.label_schema import check_schema

    check_schema(plan({None: [metric]}, [output]).checks, serialized)


@pytest.mark.parametrize("known", [{"count": 1}, {"count": None, "shape": (1,)}])
def test_a_label_that_cannot_fit_is_found_in_the_schema(known: dict):
    with pytest.raises(EvaluationError, match="for class indices use SparseCategoricalAccuracy"):
        check("CategoricalAccuracy", judged(None, (3,)), schema("INT", **known))


@pytest.mark.parametrize(
    ("output", "serialized"),
    [
        (judged(None, (3,)), schema("INT", None)),
        (judged(None, (None,)), schema("INT", 1)),
        (judged(None, (3,)), None),
    ],
)
def test_what_schema_and_signature_do_not_know_waits_for_the_first_batch(output, serialized):
    check("CategoricalAccuracy", output, serialized)


def test_strings_without_a_vocabulary_are_found_in_the_schema():
    with pytest.raises(EvaluationError, match=r"'label' holds strings, .* evaluation.vocabulary"):
        check("SparseCategoricalAccuracy", judged(None, (3,)), schema("BYTES", 1))
    words = judged(None, (3,), vocabulary=("a", "b", "c"))
    check("SparseCategoricalAccuracy", words, schema("BYTES", 1))


def test_a_vocabulary_has_as_many_entries_as_the_output_has_classes():
    with pytest.raises(EvaluationError, match="vocabulary has 2 entries, but output 'out' has 3"):
        check("SparseCategoricalAccuracy", judged(None, (3,), vocabulary=("a", "b")), None)


@pytest.mark.parametrize("metric", ["SparseCategoricalAccuracy", "SparseCategoricalCrossentropy"])
def test_a_class_to_ignore_is_a_setting_that_keras_need_not_have(metric: str):
    from tfx_tflite.components.judgement.eval_config import check_metrics

    check_metrics(config({None: [(metric, {"ignore_class": 255})]}))
    [output] = plan({None: [(metric, {"ignore_class": 255})]}, [judged(None, (3,))]).outputs
    assert output.by_name[metric].ignore_class == 255


@pytest.mark.parametrize("ignored", ["void", 2.5, True])
def test_a_class_to_ignore_is_a_whole_number(ignored: object):
    from tfx_tflite.components.judgement.eval_config import check_metrics

    metrics = config({None: [("SparseCategoricalAccuracy", {"ignore_class": ignored})]})
    with pytest.raises(EvaluationError, match="ignore_class of 'SparseCategoricalAccuracy' is"):
        check_metrics(metrics)


def test_a_metric_of_keras_that_tfma_cannot_merge_is_refused_before_the_wait():
    from tfx_tflite.components.judgement.eval_config import check_metrics

    expected = r"cannot merge Keras' 'R2Score' over batches; use SquaredPearsonCorrelation"
    with pytest.raises(EvaluationError, match=expected):
        check_metrics(config({None: ["R2Score"]}))


@pytest.mark.parametrize("average", [None, "macro", "micro", "weighted"])
def test_the_f_beta_score_of_keras_is_refused_whatever_its_average(average: str | None):
    from tfx_tflite.components.judgement.eval_config import check_metrics

    settings = {"average": average, "threshold": 0.5}
    with pytest.raises(EvaluationError, match=r"cannot merge Keras' 'FBetaScore' .* use F1Score"):
        check_metrics(config({None: [("FBetaScore", settings)]}))
