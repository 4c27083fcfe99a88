"""What the report suggests after a refusal, for each kind of rule that does not hold."""

import math

import pytest

from tests.components.report.reports import BLESSED, FAILED, REFUSED, UNDECIDED, varied
from tfx_tflite.components.destinations.manifest import CalibrationSample
from tfx_tflite.components.judgement.gate import LIMITS
from tfx_tflite.components.report.document import PushedReference, Report
from tfx_tflite.components.report.next_steps import SUGGESTIONS, kind_of, next_steps
from tfx_tflite.components.report.wording import number
from tfx_tflite.components.verdict import OVERALL, RuleResult, Verdict

# Calibrated on many examples, so that layers and slices are what is left to look at.
SAMPLE = CalibrationSample(digest="d", size=200, requested=200)
PUSHED = PushedReference(version=7, uri="pushed/7", digest="sha256:0")


def refused(*rules: RuleResult, **fields: object) -> Report:
    return varied(REFUSED, **{"rules": rules, "calibration_sample": SAMPLE, **fields})


def first_step(report: Report) -> str:
    """Returns what is said first beside that a search may help, which goes before what it helps."""
    return next(step for step in next_steps(report) if "quantization.scheme: auto" not in step)


def limited(figure: str, found: float, limit: float) -> RuleResult:
    [side] = [known.side for known in LIMITS if known.figure == figure]
    return varied(
        FAILED,
        metric=figure,
        side=side,
        slice=OVERALL,
        quantized_value=found,
        limit=limit,
        lower=None,
        upper=None,
        method=None,
    )


def limited_value(before: float, after: float, limit: float, **fields: object) -> RuleResult:
    figures = {"float_value": before, "quantized_value": after, "drop": before - after}
    bound = {"bound": before - limit, "limit": limit, "side": "at least"}
    return varied(FAILED, slice=OVERALL, **figures, **bound, **fields)


def against_pushed(**fields: object) -> RuleResult:
    return varied(FAILED, against="pushed", slice=OVERALL, **fields)


def test_a_blessed_model_needs_no_next_step():
    assert next_steps(BLESSED) == ()


def test_every_limit_of_the_gate_has_a_suggestion():
    assert {limit.figure for limit in LIMITS} <= SUGGESTIONS.keys()


@pytest.mark.parametrize(
    ("rule", "fields", "kind", "words"),
    [
        (
            varied(FAILED, slice=OVERALL, drop=0.03, bound=0.01),
            {},
            "drop",
            f"{FAILED.title} is worse by 0.03 over all examples, and 0.01 is allowed",
        ),
        (
            varied(FAILED, slice="label:3", drop=0.2),
            {"scheme": "int8"},
            "drop in slices",
            "calibration.stratify_by: label",
        ),
        (
            varied(FAILED, slice="label:3", drop=0.2),
            {"scheme": "dynamic_range"},
            "drop in slices",
            "train on more such examples",
        ),
        (
            varied(UNDECIDED, slice="label:5", more_examples=710),
            {},
            "undecided",
            "evaluate on about 710 more examples of that slice",
        ),
        (
            varied(UNDECIDED, slice=OVERALL, more_examples=None),
            {},
            "undecided",
            "hardly any number of examples would settle it",
        ),
        (
            varied(FAILED, quantized_value=math.nan, drop=math.nan),
            {},
            "not finite",
            "of the quantized model is no finite number",
        ),
        (
            varied(FAILED, float_value=math.nan, quantized_value=math.nan, drop=math.nan),
            {},
            "not finite",
            "of the float model is no finite number",
        ),
        (against_pushed(), {}, "nothing pushed", "when_nothing_pushed: pass"),
        (
            against_pushed(verdict=Verdict.UNDECIDED),
            {"pushed_problem": "cannot read s3://models: denied"},
            "pushed model not known",
            "Run again when the pushed model can be read",
        ),
        (
            limited("size_ratio", 0.8, 0.5),
            {"scheme": "int8", "size_parts": varied(REFUSED.size_parts, constants=100)},
            "size_ratio",
            "operators and names, which no scheme makes smaller",
        ),
        (
            limited("size_ratio", 0.5, 0.3),
            {"scheme": "float16", "size_parts": None},
            "size_ratio",
            "Try dynamic_range or int8",
        ),
        (
            limited("size_ratio", 0.26, 0.2),
            {"scheme": "int8", "size_parts": None},
            "size_ratio",
            "only a float model with fewer weights is smaller",
        ),
        (
            limited("latency_ratio", 1.3, 1.0),
            {"latency_ms": varied(REFUSED.latency_ms, ratio=1.3, ratio_quartiles=(0.8, 1.6))},
            "latency_ratio",
            "Half of the measurements lie between 0.8 and 1.6",
        ),
        (
            limited("latency_ratio", 1.3, 1.0),
            {"latency_ms": varied(REFUSED.latency_ms, ratio=1.3, ratio_quartiles=(1.2, 1.4))},
            "latency_ratio",
            "measure on the device",
        ),
        (
            limited("latency_ratio", 9.0, 1.0),
            {"scheme": "int16x8", "latency_ms": None},
            "latency_ratio",
            "kernels for 16-bit activations are slow",
        ),
        (limited("arena_ratio", 0.9, 0.5), {"scheme": "float16"}, "arena_ratio", "Try int8"),
        (
            limited("arena_ratio", 0.3, 0.2),
            {"scheme": "int8"},
            "arena_ratio",
            "the largest is the output of layer",
        ),
        (
            limited("size_bytes", 20000, 10000),
            {"scheme": "float32"},
            "size_bytes",
            "The model file has 20,000 bytes, and 10,000 are allowed. Try dynamic_range or int8",
        ),
        (
            limited("size_bytes", 20000, 10000),
            {"scheme": "int8"},
            "size_bytes",
            "only a float model with fewer weights is smaller",
        ),
        (
            varied(limited("arena_bytes", 5424, 4000), target="tflite-micro"),
            {},
            "arena_bytes",
            "The model needs 5,424 bytes of working memory on tflite-micro, and 4,000 are allowed",
        ),
        (
            limited("latency_ms", 7.5, 5),
            {},
            "latency_ms",
            "An inference takes 7.5 ms, and 5 are allowed. That was measured on the machine",
        ),
        (
            varied(limited("accelerated", 0.5, 1.0), target="tflite-micro, ethos-u55-128"),
            {},
            "accelerated",
            "The accelerator of tflite-micro, ethos-u55-128 runs 50% of the operators",
        ),
        (
            varied(
                limited("runtime_version", 2017000, 2014000),
                quantized_release="2.17.0",
                limit_release="2.14.0",
            ),
            {"scheme": "int8"},
            "runtime_version",
            "needs TensorFlow Lite 2.17.0 or later, and devices have 2.14.0: update the runtime",
        ),
        (
            varied(
                limited("runtime_version", 2017000, 2014000),
                quantized_release="2.17.0",
                limit_release="2.14.0",
            ),
            {"scheme": "dynamic_range"},
            "runtime_version",
            "try int8_float_io or float16",
        ),
        (
            limited_value(0.97, 0.84, 0.9),
            {},
            "value",
            "is 0.84, and at least 0.9 is asked for. The float model has 0.97: what is missing is",
        ),
        (
            limited_value(0.85, 0.84, 0.9),
            {},
            "value of both models",
            "The float model itself has 0.85: quantization is not what is wrong",
        ),
        (
            limited_value(0.97, 0.92, 0.9, verdict=Verdict.UNDECIDED, more_examples=1234),
            {},
            "undecided value",
            "do not show that: evaluate on about 1,234 more examples, or ask for less",
        ),
        (
            limited_value(0.97, 0.9, 0.9, verdict=Verdict.UNDECIDED, more_examples=None),
            {},
            "undecided value",
            "hardly any number of examples would settle it",
        ),
        (limited_value(0.9, math.nan, 0.9), {}, "not finite", "quantized model is no finite"),
        (
            limited("size_bytes", 7012345, 6553600),
            {"scheme": "int8"},
            "size_bytes",
            "The model file has 7,012,345 bytes, and 6,553,600 are allowed",
        ),
        (
            varied(limited("latency_ms", 5.25, 5.0), verdict=Verdict.UNDECIDED),
            {},
            "latency_ms",
            "too busy to tell",
        ),
        (
            varied(limited("latency_ratio", 1.01, 1.0), verdict=Verdict.UNDECIDED),
            {},
            "latency_ratio",
            "The measurements lie on both sides of that",
        ),
        (
            limited("agreement", 0.9, 0.99),
            {},
            "agreement",
            "both models agree is 0.9, and at least 0.99 is asked for",
        ),
        (limited("kl_divergence", 0.2, 0.1), {}, "kl_divergence", "and at most 0.1 is asked for"),
        (
            limited("mean_absolute_difference", 0.2, 0.1),
            {},
            "mean_absolute_difference",
            "mean difference of the outputs from the float model's is 0.2",
        ),
        (limited("sqnr_db", 18.0, 20.0), {}, "sqnr_db", "and at least 20 is asked for"),
        (
            limited("latency_ratio", math.nan, 1.0),
            {},
            "figure not known",
            "need a model that TFLiteQuantizer made",
        ),
    ],
)
def test_each_kind_of_refused_rule_has_its_suggestion(rule, fields, kind, words):
    report = refused(rule, **fields)
    assert kind_of(rule, report) == kind
    assert words in first_step(report)


def test_the_kinds_that_were_tried_are_all_that_there_are():
    [mark] = test_each_kind_of_refused_rule_has_its_suggestion.pytestmark
    tried = {case[2] for case in mark.args[1]} | {"worse than the pushed model"}
    assert tried == SUGGESTIONS.keys()


def test_too_few_examples_come_first_with_how_many_are_lacking():
    report = refused(FAILED, examples=150, gate=varied(REFUSED.gate, min_examples=200))
    first = next_steps(report)[0]
    assert "has 150 examples, and gate.min_examples is 200: give it 50 more" in first


def with_overall(rule: RuleResult, today: float) -> Report:
    value = varied(
        REFUSED.metrics[0],
        metric=rule.metric,
        output=rule.output,
        slice=OVERALL,
        float_value=today,
        quantized_value=rule.quantized_value,
    )
    return refused(rule, metrics=(value,), pushed_reference=PUSHED)


@pytest.mark.parametrize(
    ("today", "words"),
    [(0.85, "quantization is not what is wrong"), (0.96, "what is lost is lost by quantizing it")],
)
def test_against_the_pushed_model_it_says_whether_the_float_model_is_worse_already(today, words):
    rule = against_pushed(float_value=0.95, quantized_value=0.84, drop=0.11)
    assert words in next_steps(with_overall(rule, today))[0]


def test_against_the_pushed_model_a_loss_is_worse_if_it_is_higher():
    rule = against_pushed(float_value=0.2, quantized_value=0.4, drop=0.2)
    assert "quantization is not what is wrong" in next_steps(with_overall(rule, 0.39))[0]
    assert "lost by quantizing it" in next_steps(with_overall(rule, 0.2))[0]


# --- Closer to float ------------------------------------------------------------------------------

DROP = varied(FAILED, slice=OVERALL)


def last_step(**fields: object) -> str:
    return next_steps(refused(DROP, **fields))[-1]


def test_values_outside_the_calibrated_range_point_at_the_calibration_examples():
    [seen] = REFUSED.saturation
    outside = varied(seen, slices=(varied(seen.slices[0], slice=OVERALL, outside=0.04),))
    said = last_step(saturation=(outside,))
    assert "4% of the values of input image are outside the range" in said


def test_few_calibration_examples_are_to_be_more():
    few = CalibrationSample(digest="d", size=5, requested=5)
    assert "calibrated on only 5 examples: set calibration.samples to 200" in last_step(
        calibration_sample=few
    )


def test_a_split_without_more_calibration_examples_is_to_have_more():
    few = CalibrationSample(digest="d", size=5, requested=200)
    assert "add examples to the split" in last_step(calibration_sample=few)


def with_layers(*noises: float) -> dict[str, object]:
    layer = next(layer for layer in REFUSED.layers if layer.sqnr_db is not None)
    layers = tuple(
        varied(layer, index=index, name=f"dense_{index}", sqnr_db=noise)
        for index, noise in enumerate(noises)
    )
    return {"layers": layers, "calibration": varied(REFUSED.calibration, ranges="robust")}


def test_a_noisy_layer_is_named_with_the_scheme_that_helps():
    said = last_step(**with_layers(40.0, 6.5, 30.0))
    assert "layer 1 (" in said and "dense_1" in said
    assert "ratio of only 6.5 dB: try the scheme int16x8" in said


def test_no_layer_is_blamed_if_none_stands_out():
    said = last_step(**with_layers(40.0, 36.0, 30.0))
    assert said.startswith("No single layer stands out") and "layer 2 (" in said


def test_ranges_that_outliers_spoil_are_to_be_robust():
    calibration = varied(REFUSED.calibration, ranges="minmax")
    fields = {**with_layers(40.0, 6.5), "calibration": calibration}
    assert "try calibration.ranges: robust in place of minmax" in last_step(**fields)


@pytest.mark.parametrize(
    ("scheme", "words"),
    [
        ("float32", "likely not from quantization"),
        ("float16", "likely not from quantization"),
        ("dynamic_range", "try the scheme float16"),
        ("int8", "try the scheme int16x8"),
        ("int8_float_io", "try the scheme int16x8"),
        ("int16x8", "try the scheme float16"),
        (None, "a scheme with more bits"),
    ],
)
def test_the_remedy_goes_by_the_scheme(scheme, words):
    assert words in last_step(scheme=scheme, **with_layers(40.0, 6.5))


def test_hostile_names_are_cut_short():
    layer = next(layer for layer in REFUSED.layers if layer.sqnr_db is not None)
    noisy = varied(layer, name="x" * 10_000, sqnr_db=1.0)
    report = refused(varied(FAILED, slice="y" * 10_000), layers=(noisy,))
    assert all(len(step) < 500 for step in next_steps(report))


def test_the_changed_answers_are_named_beside_a_drop():
    first = REFUSED.agreement.flips[0]
    said = first_step(refused(DROP))
    assert f"from class {first.float_answer} to class {first.quantized_answer}" in said
    assert number(DROP.drop) in said
