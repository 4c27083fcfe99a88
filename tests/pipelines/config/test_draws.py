"""What a config may say of several draws of calibration examples."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conftest import CONFIGS
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.pipelines.cli.main import main
from tfx_tflite.pipelines.config.file import load_config

DIGITS = CONFIGS / "digits.yaml"


def digits(*overrides: str):
    return load_config(DIGITS, list(overrides))


def test_one_draw_is_the_default_and_needs_no_tuning():
    config = digits()
    assert config.calibration.seeds == config.calibration.plan.seeds == 1
    assert not config.tries_draws and not config.is_tuned


@pytest.mark.parametrize(
    ("quantization", "tries_draws", "is_searched"),
    [
        ("{scheme: int8}", True, False),
        ("{scheme: int16x8}", True, False),
        ("{scheme: auto}", True, True),
        ("{scheme: float16}", False, False),
        ("{recipe: r.json}", False, False),
    ],
)
def test_draws_are_tried_of_schemes_that_calibrate(
    quantization: str, tries_draws: bool, is_searched: bool
):
    config = digits("calibration.seeds=5", f"quantization={quantization}")
    assert config.tries_draws == tries_draws
    assert config.is_tuned == (tries_draws or is_searched)
    assert config.calibration.plan.seeds == 5


def test_the_tuning_split_is_said_where_a_search_says_it():
    config = digits(
        "calibration.seeds=5", "quantization={scheme: int8, auto: {tuning_samples: 300}}"
    )
    assert config.quantization.auto.tuning_samples == 300


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("calibration.seeds=0",), "calibration.seeds: expected"),
        (("calibration.seeds=2.5",), "calibration.seeds: expected"),
        (
            ("calibration.seeds=3", "calibration.ranges=stock"),
            "calibration.seeds: is 3, which does not go with calibration.ranges: stock",
        ),
        (
            ("calibration.seeds=3", "quantization.auto={tuning_split: eval}"),
            "tuning_split: is 'eval', on which the gate judges; the choice of a draw must not see",
        ),
        (
            ("calibration.seeds=3", "quantization.auto={tuning_split: test}"),
            "tuning_split: needs split 'test', but",
        ),
        (
            ("calibration.seeds=3", "quantization.auto={integer_only: false}"),
            "quantization.auto.integer_only: is of quantization.scheme: auto; with calibration.se",
        ),
        (
            ("calibration.seeds=3", "quantization={scheme: float16, auto: {tuning_samples: 9}}"),
            "quantization.auto: is of quantization.scheme: auto",
        ),
        (("quantization.auto={tuning_samples: 9}",), "quantization.auto: is of quantization.sch"),
    ],
)
def test_refuses_what_does_not_go_together(overrides: tuple[str, ...], expected: str):
    with pytest.raises(ConfigError) as error:
        digits(*overrides)
    assert expected in str(error.value)


def validate(tmp_path: Path, seeds: int, quantization: str):
    overrides = (f"calibration.seeds={seeds}", f"quantization={quantization}", f"root={tmp_path}")
    arguments = [part for text in overrides for part in ("--set", text)]
    return CliRunner().invoke(main, ["validate", str(DIGITS), *arguments])


@pytest.mark.parametrize("scheme", ["float16", "dynamic_range", "float32"])
def test_validate_warns_of_draws_that_nothing_is_calibrated_with(tmp_path: Path, scheme: str):
    result = validate(tmp_path, 5, f"{{scheme: {scheme}}}")
    assert result.exit_code == 0, result.output
    expected = f"calibration.seeds: is 5 to no effect: scheme {scheme} takes no calibration"
    assert expected in result.stderr


@pytest.mark.parametrize("scheme", ["int8", "auto"])
def test_validate_has_nothing_to_say_of_draws_that_are_taken(tmp_path: Path, scheme: str):
    result = validate(tmp_path, 5, f"{{scheme: {scheme}}}")
    assert result.exit_code == 0 and "calibration.seeds" not in result.output, result.output


@pytest.mark.parametrize(
    ("draw", "seeds", "problem"),
    [
        (None, 1, ""),
        (0, 1, ""),
        (2, 3, ""),
        (2, 2, "quantization.recipe: takes draw 2 of the calibration examples, and calibration.se"),
        (None, 3, "calibration.seeds: is 3, and quantization.recipe says no draw, so that the fi"),
    ],
)
def test_validate_says_if_the_draw_of_a_recipe_is_not_there(
    tmp_path: Path, draw: int | None, seeds: int, problem: str
):
    file = tmp_path / "recipe.json"
    file.write_text(Recipe(Scheme.INT8, draw=draw).to_json())
    result = validate(tmp_path, seeds, f"{{recipe: {file}}}")
    assert (result.exit_code == 0) == (not problem), result.output
    assert problem in result.stderr
