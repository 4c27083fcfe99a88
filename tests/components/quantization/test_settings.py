import pytest

from tfx_tflite.components.errors import ConfigError
from tfx_tflite.components.quantization.conversion.limits import Limits
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.quantization.settings import QuantizerSettings


def given(**options: object) -> QuantizerSettings:
    return QuantizerSettings.given(None, options)


def test_options_are_settings_with_the_defaults_of_a_config():
    settings = given(scheme="int8", io_type="uint8", batch_size=4)
    assert settings.recipe == Recipe(Scheme.INT8, "uint8", 4)
    assert settings.policy == RangePolicy("robust", 99.9)
    assert settings.limits == Limits(3600.0, None)
    assert settings.signature == "serving_default"


def test_no_batch_size_keeps_the_signatures_own():
    assert given(batch_size=None) == given(batch_size="dynamic") == given()
    assert given().recipe.batch_size is None


def test_the_stock_calibrator_has_no_policy():
    assert given(ranges="stock").policy is None


def test_megabytes_are_of_2_to_the_20_bytes():
    assert given(memory_limit=3).limits.memory == 3 * 2**20


def test_settings_travel_as_json_in_one_property():
    settings = given(scheme="float16", percentile=99, time_limit=60)
    assert QuantizerSettings.from_property({"settings": settings.to_property()}) == settings


def test_properties_of_an_earlier_version_are_refused():
    with pytest.raises(ConfigError, match="no execution property 'settings', but scheme; compile"):
        QuantizerSettings.from_property({"scheme": "int8"})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"batch_size": 0}, "batch_size: expected .*greater than or equal to 1.*received 0"),
        ({"float_fallback": "maybe"}, "float_fallback: expected 'refuse' or 'allow', received 'ma"),
        ({"scheme": "int7"}, "scheme: expected 'float32', .*, received 'int7'"),
        ({"scheme": "float16", "io_type": "int8"}, "^io_type 'int8' does not go with scheme"),
        ({"shceme": "int8"}, "shceme: unknown key; did you mean 'scheme'"),
        ({"ranges": "mean"}, "ranges: expected 'robust', 'minmax', 'percentile' or 'stock'"),
        ({"percentile": 49}, "percentile: expected greater than or equal to 50, received 49"),
        ({"percentile": 100.0}, "percentile: expected less than 100, received 100.0"),
        ({"time_limit": 0}, "time_limit: expected greater than 0, received 0"),
        ({"memory_limit": -1}, "memory_limit: expected greater than or equal to 1, received -1"),
    ],
)
def test_an_option_that_is_not_possible_is_refused_by_name(options: dict, expected: str):
    with pytest.raises(ConfigError, match=expected):
        given(**options)


def test_settings_and_options_do_not_go_together():
    with pytest.raises(ConfigError, match="give settings or scheme, not both"):
        QuantizerSettings.given(given(), {"scheme": "int8"})
