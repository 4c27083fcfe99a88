import pytest

from tfx_tflite.components.errors import ConfigError
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import SCHEMES, Making, Scheme


@pytest.mark.parametrize(
    ("scheme", "io_type"),
    [
        ("float32", "float32"),
        ("dynamic_range", "float32"),
        ("float16", "float32"),
        ("int8_float_io", "float32"),
        ("int8", "int8"),
        ("int16x8", "float32"),
    ],
)
def test_each_scheme_has_its_own_io_type(scheme: str, io_type: str):
    assert Recipe(Scheme(scheme)).resolved_io_type == io_type


def test_only_schemes_with_quantized_activations_need_calibration():
    needing = {scheme.value for scheme in Scheme if scheme.needs_calibration}
    assert needing == {"int8_float_io", "int8", "int16x8"}


@pytest.mark.parametrize(("scheme", "io_type"), [("int8", "uint8"), ("int16x8", "int16")])
def test_offers_other_io_types_where_tflite_does(scheme: str, io_type: str):
    assert Recipe(Scheme(scheme), io_type).resolved_io_type == io_type


def test_refuses_an_io_type_that_the_scheme_does_not_offer():
    with pytest.raises(ConfigError, match=r"'int8' does not go with scheme 'float16'.*float32"):
        Recipe(Scheme.FLOAT16, "int8")


@pytest.mark.parametrize("scheme", [each for each in Scheme if each is not Scheme.INT8_FLOAT_IO])
def test_floats_between_integers_are_for_one_scheme(scheme: Scheme):
    with pytest.raises(ConfigError, match=r"float_fallback: allow does not go .*int8_float_io"):
        Recipe(scheme, float_fallback="allow")
    assert Recipe(Scheme.INT8_FLOAT_IO, float_fallback="allow").allows_float


@pytest.mark.parametrize("scheme", list(Scheme))
def test_every_scheme_has_a_row_that_fits_together(scheme: Scheme):
    traits = SCHEMES[scheme]
    assert (traits.making is Making.FROM_RANGES) == scheme.needs_calibration
    assert all(biases.startswith("INT") == scheme.needs_calibration for biases in traits.biases)
