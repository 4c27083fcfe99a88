"""Recipes as documents, and those that are not possible."""

import json

import pytest

from tfx_tflite.components.errors import ConfigError
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.recipe import (
    CORRECT,
    EQUALIZE,
    FOLD,
    PER_CHANNEL,
    RangeRule,
    Recipe,
)
from tfx_tflite.components.quantization.schemes import Scheme

FULL = Recipe(
    Scheme.INT8_FLOAT_IO,
    batch_size=1,
    float_fallback="allow",
    ranges=RangeRule("percentile", 99.0),
    tensor_ranges={"CONV_2D:1": RangeRule("minmax")},
    weights={"FULLY_CONNECTED:1": PER_CHANNEL, "FULLY_CONNECTED:0": PER_CHANNEL},
    repairs=(FOLD, EQUALIZE),
    float_edges=("input:x", "CONV_2D:0"),
    float_layers=("head",),
    draw=2,
    structure="sha256:1",
)


@pytest.mark.parametrize("recipe", [FULL, *map(Recipe, Scheme), Recipe(Scheme.INT8, "uint8", 1)])
def test_a_recipe_is_itself_again_after_it_was_written(recipe: Recipe):
    assert Recipe.parse(recipe.to_json(), "recipe.json") == recipe


def test_a_document_says_what_is_not_the_default_one_key_a_line():
    assert Recipe(Scheme.INT8, repairs=(EQUALIZE,)).to_json().splitlines() == [
        "{",
        ' "scheme": "int8",',
        ' "repairs": [',
        '  "equalize"',
        " ]",
        "}",
    ]


def test_equal_recipes_are_the_same_text_in_whatever_order_layers_were_named():
    keys = ("FULLY_CONNECTED:1", "FULLY_CONNECTED:0")
    one, other = (
        Recipe(Scheme.INT8, weights=dict.fromkeys(order, PER_CHANNEL))
        for order in (keys, keys[::-1])
    )
    assert one == other and one.to_json() == other.to_json()
    assert list(json.loads(one.to_json())["weights"]) == sorted(keys)


def test_repairs_are_in_the_order_in_which_they_are_applied():
    assert Recipe(Scheme.INT8).having(CORRECT).having(EQUALIZE, FOLD).repairs == (
        FOLD,
        EQUALIZE,
        CORRECT,
    )
    assert FULL.having(FOLD) == FULL


def test_ranges_of_the_recipe_go_before_those_of_the_config():
    given = RangePolicy("minmax")
    assert Recipe(Scheme.INT8).policy(given) == given
    assert FULL.policy(given) == RangePolicy("percentile", 99.0)
    assert RangeRule.of(RangePolicy("percentile", 99.0)).policy == FULL.policy(given)
    assert Recipe(Scheme.INT8).policy(None) is None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "recipe.json is not a quantization recipe, as JSON: Expecting value"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "recipe.json is not a quantization recipe: "),
        ("{}", "scheme: this key is needed"),
        ('{"scheme": "int7"}', "scheme: expected 'float32'"),
        ('{"scheme": "auto"}', "received 'auto'"),
        ('{"scheme": "int8", "repair": []}', "repair: unknown key; did you mean 'repairs'?"),
        (
            '{"scheme": "int8", "repairs": ["mend"]}',
            "repairs.0: expected 'fold_batch_normalization'",
        ),
        (
            '{"scheme": "int8", "weights": {"A:0": "per_row"}}',
            "weights.A:0: expected 'per_channel', received 'per_row'",
        ),
        ('{"scheme": "int8", "ranges": {"ranges": "stock"}}', "ranges.ranges: expected 'robust'"),
        ('{"scheme": "int8", "format": 2}', "format: expected 1, received 2"),
        ('{"scheme": "int8", "io_type": "int16"}', "recipe.json: io_type 'int16' does not go"),
        ('{"scheme": "int8", "float_edges": ["A:0"]}', "float_edges and float_layers do not go"),
        ('{"scheme": "int8", "float_fallback": "allow"}', "float_fallback: allow does not go"),
        ('{"scheme": "float16", "repairs": ["equalize"]}', "repairs and weights do not go"),
        ('{"scheme": "int8", "batch_size": 0}', "batch_size: expected"),
    ],
)
def test_what_is_no_recipe_is_refused_with_the_key(content: str, expected: str):
    with pytest.raises(ConfigError) as error:
        Recipe.parse(content, "recipe.json")
    assert expected in str(error.value) and str(error.value).startswith("recipe.json")


def test_a_scheme_is_plain_and_what_has_more_is_not():
    assert Recipe(Scheme.INT8, "uint8", 1).is_plain
    assert not FULL.is_plain and not Recipe(Scheme.INT8, repairs=(FOLD,)).is_plain
    assert not Recipe(Scheme.INT8, draw=0).is_plain


@pytest.mark.parametrize("scheme", [each for each in Scheme if not each.needs_calibration])
def test_a_scheme_without_calibration_takes_no_draw(scheme: Scheme):
    with pytest.raises(ConfigError, match=f"draw does not go with scheme '{scheme.value}'"):
        Recipe(scheme, draw=0)


def test_a_recipe_without_a_draw_is_the_text_that_it_was_before_there_were_draws():
    assert "draw" not in Recipe(Scheme.INT8).to_json()
    assert '"draw": 0' in Recipe(Scheme.INT8, draw=0).to_json()
