"""The search brings the bed's nets back, and leaves alone those that need nothing."""

from functools import cache
from pathlib import Path

import pytest

from tests.components.quantization_tuner.bed import quantized
from tests.components.quantization_tuner.bed.cases import (
    ALLOWED,
    AWKWARD,
    CASES,
    WELL_BEHAVED,
    Case,
)
from tests.components.quantization_tuner.searching import task
from tfx_tflite.components.quantization.audit.audit import audit
from tfx_tflite.components.quantization.conversion.tensorflow_lite import DENSE_PER_CHANNEL
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.quantization_tuner.search import Found, search

pytestmark = pytest.mark.slow

# Of these there is no int8 model that is good enough, each for a reason of its own.
WITHOUT_INT8 = ("raw_units", "normalization_layer", "mixed_inputs", "layer_normalization")


@cache
def found(name: str, directory: Path) -> Found:
    """Returns what a search finds of a net of the bed; floats are allowed if they must be."""
    return search(task(CASES[name], directory, integer_only=name not in WITHOUT_INT8))


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bed")


def lost(case: Case, result: Found) -> float:
    """Returns by how much the found model is worse on examples that the search did not see."""
    examples = case.splits().eval
    before = quantized.score(case, case.float_tflite, examples)
    return before - quantized.score(case, result.models.quantized, examples)


@pytest.mark.parametrize("name", [each.name for each in AWKWARD if each.name not in WITHOUT_INT8])
def test_strict_int8_is_back_within_half_a_point(name: str, directories: Path):
    result = found(name, directories / name)
    assert result.recipe.scheme is Scheme.INT8
    assert audit(result.models.quantized, Recipe(Scheme.INT8)) == []
    assert lost(CASES[name], result) <= ALLOWED


@pytest.mark.parametrize("name", WITHOUT_INT8)
def test_what_cannot_be_int8_is_back_within_a_point_some_other_way(name: str, directories: Path):
    result = found(name, directories / name)
    assert result.recipe.scheme is not Scheme.INT8
    assert len(result.models.quantized) < len(CASES[name].float_tflite)
    assert lost(CASES[name], result) <= 2 * ALLOWED


@pytest.mark.parametrize("name", ["raw_units", "normalization_layer"])
def test_raw_units_are_declared_impossible_in_one_evaluation_with_the_input_named(
    name: str, directories: Path
):
    report = found(name, directories / name).report
    assert [each.rung for each in report.tried].count("rounded inputs") == 1
    assert "no int8 model can hold the rules" in report.notes[0]
    assert "input 'x'" in report.notes[0]
    assert not {"equalization", "bias correction"} & {each.rung for each in report.tried}


@pytest.mark.parametrize("name", [each.name for each in AWKWARD])
def test_the_report_names_the_culprit_among_the_first_three(name: str, directories: Path):
    if name == "outlier_weights" and DENSE_PER_CHANNEL:
        pytest.skip("this TensorFlow gives dense weights a scale for each output by itself")
    culprits = found(name, directories / name).report.culprits
    assert set(CASES[name].culprits) & {each.key for each in culprits[:3]}


@pytest.mark.parametrize("case", WELL_BEHAVED, ids=lambda case: case.name)
def test_a_net_that_int8_suits_is_left_alone_after_one_evaluation(case: Case, directories: Path):
    result = found(case.name, directories / case.name)
    assert result.report.outcome == "plain" and result.report.evaluations == 1
    inputs = case.calibration.inputs
    assert result.models.quantized == quantized.plain(case.float_tflite, inputs)
