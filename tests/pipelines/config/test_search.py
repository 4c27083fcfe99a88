"""What a config may say of `scheme: auto` and of a recipe by hand."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conftest import CONFIGS
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.components.quantization.recipe import EQUALIZE, Recipe
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.pipelines.cli.main import main
from tfx_tflite.pipelines.config.file import load_config
from tfx_tflite.pipelines.config.recipe import given_recipe

DIGITS = CONFIGS / "digits.yaml"


def digits(quantization: str, *overrides: str):
    return load_config(DIGITS, [f"quantization={quantization}", *overrides])


def test_auto_begins_with_int8_on_a_thousand_training_examples():
    settings = digits("{scheme: auto}").quantization
    assert settings.is_searched and settings.plain_recipe == Recipe(Scheme.INT8)
    assert settings.needs_calibration and settings.scheme_name == "auto"
    search = settings.auto
    assert (search.tuning_split, search.tuning_samples) == ("train", 1000)
    assert search.integer_only and search.budget.evaluations == 40 and search.allow == ()


@pytest.mark.parametrize(
    ("quantization", "expected"),
    [
        (
            "{scheme: auto, auto: {tuning_split: eval}}",
            "tuning_split: is 'eval', on which the gate",
        ),
        ("{scheme: auto, auto: {tuning_split: test}}", "tuning_split: needs split 'test', but"),
        ("{scheme: auto, float_fallback: allow}", "set quantization.auto.integer_only: false"),
        ("{scheme: int8, auto: {integer_only: false}}", "auto: is of quantization.scheme: auto"),
        ("{auto: {integer_only: false}}", "auto: is of quantization.scheme: auto"),
        ("{scheme: auto, auto: {budget: {evaluations: 0}}}", "budget.evaluations: expected"),
        ("{scheme: auto, auto: {integer_onyl: true}}", "did you mean 'integer_only'"),
        ("{scheme: auto, io_type: int16}", "io_type 'int16' does not go with scheme 'int8'"),
        ("{recipe: r.json, scheme: int8}", "scheme: stands beside quantization.recipe"),
        ("{recipe: r.json, io_type: int8}", "io_type: stands beside quantization.recipe"),
    ],
)
def test_refuses_what_does_not_go_together(quantization: str, expected: str):
    with pytest.raises(ConfigError) as error:
        digits(quantization)
    assert expected in str(error.value)


def test_a_recipe_that_is_given_need_not_be_searched():
    settings = digits("{recipe: r.json, scheme: auto, auto: {tuning_samples: 10}}").quantization
    assert not settings.is_searched and settings.scheme_name == "recipe"


def test_a_search_is_not_calibrated_with_what_the_gate_judges_on():
    with pytest.raises(ConfigError, match=r"calibration\.split: is 'eval', on which"):
        digits("{scheme: auto}", "calibration.split=eval")


def test_a_search_measures_ranges_itself():
    with pytest.raises(ConfigError, match="stock does not go with quantization"):
        digits("{scheme: auto}", "calibration.ranges=stock")


def test_a_recipe_is_read_from_its_file(tmp_path: Path):
    recipe = Recipe(Scheme.INT8, repairs=(EQUALIZE,))
    file = tmp_path / "recipe.json"
    file.write_text(recipe.to_json())
    settings = digits(f"{{recipe: {file}}}").quantization
    assert settings.scheme_name == "recipe" and given_recipe(settings.recipe) == recipe


def validate(tmp_path: Path, content: str | None):
    file = tmp_path / "recipe.json"
    if content is not None:
        file.write_text(content)
    overrides = (f"quantization={{recipe: {file}}}", f"root={tmp_path}/root")
    arguments = [part for text in overrides for part in ("--set", text)]
    return CliRunner().invoke(main, ["validate", str(DIGITS), *arguments])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "there is no file"),
        ("scheme: int8", "is not a quantization recipe, as JSON: Expecting value"),
        (
            json.dumps({"scheme": "int8", "repair": []}),
            "repair: unknown key; did you mean 'repairs'?",
        ),
        (json.dumps({"scheme": "int8", "io_type": "int16"}), "io_type 'int16' does not go with"),
    ],
)
def test_validate_says_what_is_wrong_with_a_recipe(tmp_path: Path, content, expected: str):
    result = validate(tmp_path, content)
    assert result.exit_code == 2, result.output
    assert "quantization.recipe: " in result.stderr and expected in result.stderr


def test_validate_takes_a_recipe_that_is_one(tmp_path: Path):
    result = validate(tmp_path, Recipe(Scheme.INT8).to_json())
    assert result.exit_code == 0, result.output
