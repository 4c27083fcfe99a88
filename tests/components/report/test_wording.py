"""How figures read on the page."""

# ruff: noqa: RUF001 - the signs that the page is set in are not those of a keyboard

import pytest

from tfx_tflite.components.report import wording


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        (-0.28, "−0.28"),
        (12345.6, "12,346"),
        (1.5e-7, "1.5 × 10⁻⁷"),
        (2.5e9, "2.5 × 10⁹"),
        (0, "0"),
        (None, "—"),
        (float("nan"), "—"),
        (float("-inf"), "−∞"),
    ],
)
def test_numbers_have_four_significant_digits(value, text: str):
    assert wording.number(value) == text


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (65536, "size_bytes", "65,536 B"),
        (5488, "arena_bytes", "5,488 B"),
        (0.123456, "latency_ms", "0.1235 ms"),
        (0.9, "accelerated", "90%"),
        (0.9, "AUC", "0.9"),
        (float("nan"), "size_bytes", "—"),
        (None, "latency_ms", "—"),
    ],
)
def test_a_figure_that_a_rule_limits_has_its_unit(value, metric: str, text: str):
    assert wording.in_unit(value, metric) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(999, "999 B"), (999_999, "1 MB"), (43412, "43.41 kB"), (3_500_000, "3.5 MB"), (None, "—")],
)
def test_bytes_are_in_powers_of_1000(value, text: str):
    assert wording.size(value) == text
