"""The diagnosis names what was done to a net, and says why and what to do."""

from functools import cache

import pytest

from tests.components.quantization.test_sensitivity import calibrated, observed
from tests.components.quantization_tuner.bed.cases import AWKWARD, CASES, WELL_BEHAVED, Case
from tests.components.quantization_tuner.bed.quantized import ranges
from tfx_tflite.components.quantization.conversion.from_ranges import quantize
from tfx_tflite.components.quantization.conversion.rewrites import rewritten
from tfx_tflite.components.quantization.culprit import Culprit
from tfx_tflite.components.quantization.diagnosis import culprits, diagnose
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme

pytestmark = pytest.mark.slow


@cache
def found(name: str) -> tuple[Culprit, ...]:
    return culprits(observed(CASES[name]))


@pytest.mark.parametrize("case", AWKWARD, ids=lambda case: case.name)
def test_the_culprit_is_among_the_top_three(case: Case):
    keys = {key for each in found(case.name)[:3] for key in (each.key, *each.together)}
    assert keys & set(case.culprits)


@pytest.mark.parametrize(
    ("name", "key", "part", "reason"),
    [
        ("rescaled_mobile_net", "CONV_2D:1", "activations", "channel imbalance"),
        ("outlier_weights", "FULLY_CONNECTED:0", "weights", "outlier"),
        ("raw_units", "input:x", "activations", "mixed units in one tensor"),
        ("normalization_layer", "SUB:0", "activations", "mixed units in one tensor"),
        ("swish", "MUL:1", "activations", "saturating activation"),
        ("hard_swish", "MUL:0", "activations", "saturating activation"),
        ("autoencoder", "FULLY_CONNECTED:3", "weights", "weights of very different size"),
        ("rescaled_residual", "CONV_2D:1", "activations", "channel imbalance"),
        ("imbalanced_depthwise", "CONV_2D:0", "activations", "channel imbalance"),
        ("mixed_inputs", "CONCATENATION:0", "activations", "mixed units in one tensor"),
        ("calibration_outliers", "input:x", "activations", "outlier"),
        ("layer_normalization", "FULLY_CONNECTED:0", "activations", "narrow output"),
    ],
)
def test_the_reason_is_what_was_done_to_it(name: str, key: str, part: str, reason: str):
    assert (key, part, reason) in [(each.key, each.part, each.reason) for each in found(name)[:3]]


def test_names_the_input_and_its_features():
    worst = found("raw_units")[0]
    assert (worst.name, worst.operator) == ("x", "")
    assert worst.meaning.startswith("12 of its 13 channels are lost")
    assert "Standardise the features" in worst.remedy
    # Proline, which comes last, is the one that sets the scale.
    assert worst.worst_channels and 12 not in worst.worst_channels


def test_says_which_layer_by_the_name_that_keras_gave_it():
    assert "wide" in found("outlier_weights")[0].name


def test_tells_the_noise_that_a_layer_adds_from_what_it_inherits():
    second = next(
        each
        for each in found("rescaled_residual")
        if (each.key, each.part) == ("CONV_2D:3", "activations")
    )
    assert second.added_db > 30 and second.sqnr_db < 10


def test_names_what_has_one_scale_with_it():
    [mixed] = [each for each in found("mixed_inputs") if each.part == "activations"]
    assert len(mixed.together) == 10 and all(key.startswith("input:") for key in mixed.together)


def test_outliers_are_counted():
    outlier = next(each for each in found("calibration_outliers") if each.key == "input:x")
    assert "goes to 50 in 2 calibration examples and to 1 in all others" in outlier.meaning


@pytest.mark.parametrize("case", WELL_BEHAVED, ids=lambda case: case.name)
def test_a_net_that_quantizes_well_has_no_culprit_to_speak_of(case: Case):
    assert len(found(case.name)) == 3
    assert all(each.output_error < 1e-3 and each.reason == "unknown" for each in found(case.name))
    assert "costs most of all, but little" in found(case.name)[0].meaning


def test_it_is_a_part_of_a_document():
    worst = found("swish")[0]
    assert Culprit.model_validate_json(worst.model_dump_json()) == worst


def test_all_of_it_in_one_call():
    case = CASES["raw_units"]
    float32, samples = rewritten(case.float_tflite), case.calibration.inputs
    whole = diagnose(
        float32,
        quantize(calibrated(case), Recipe(Scheme.INT8)),
        ranges(float32, samples),
        [samples],
        RangePolicy(case.ranges),
    )
    assert whole == found("raw_units")
