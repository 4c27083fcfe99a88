"""The rules of a report as rows and plots of the page."""

from types import SimpleNamespace

import pytest

from tests.components.report.reports import FAILED, REFUSED, RULE, varied
from tfx_tflite.components.judgement.gate import Gate, LatencyLimit, rule_of
from tfx_tflite.components.judgement.judging import judge
from tfx_tflite.components.report import page
from tfx_tflite.components.report.checks import Check


def test_no_change_and_the_bound_are_at_one_place_in_every_plot():
    ends = {"drop": 0.0022, "bound": 0.01, "lower": -0.003, "upper": 0.0088}
    small = Check(varied(RULE, **ends)).plot
    great = Check(varied(RULE, **{name: 1e4 * figure for name, figure in ends.items()})).plot
    assert (small.zero, small.bound, small.point, small.bar) == (
        great.zero,
        great.bound,
        great.point,
        great.bar,
    )
    assert small.bar[0] < small.zero < small.point < small.bar[1] < small.bound


def test_a_drop_outside_the_plot_is_marked_as_such():
    assert Check(varied(FAILED, drop=5.0, bound=0.01)).plot.beyond == 1
    assert Check(varied(RULE, drop=-5.0)).plot.beyond == -1


def test_a_bound_of_zero_has_a_plot():
    plot = Check(varied(FAILED, drop=0.1, bound=0.0)).plot
    assert plot.zero == plot.bound < plot.point


@pytest.mark.parametrize(
    ("limit", "value", "shown", "allowed"),
    [
        ({"max_size_ratio": 0.5}, 0.35, "at most 0.5", True),
        ({"max_size_ratio": 0.5}, 0.6, "at most 0.5", False),
        ({"max_latency_ratio": 1.5}, 1.6, "at most 1.5", False),
        ({"min_agreement": 0.99}, 0.997, "at least 0.99", True),
        ({"min_agreement": 0.99}, 0.97, "at least 0.99", False),
        ({"max_kl_divergence": 0.1}, 0.02, "at most 0.1", True),
        ({"min_sqnr_db": 30}, 33.0, "at least 30", True),
        ({"min_sqnr_db": 30}, 28.0, "at least 30", False),
    ],
)
def test_a_limit_of_the_gate_is_shown_as_the_config_has_it(limit, value, shown, allowed):
    evidence = SimpleNamespace(figure=lambda name, output: value, output_keys=(None,))
    judged = judge(Gate(rules=(rule_of(limit),)), [], 449, {}, evidence)
    [result] = judged.rules
    plot = Check(result).plot
    assert (plot.point < plot.bound) == allowed == judged.blessed
    assert plot.label == f"{value:g}, where {shown} is allowed"
    assert shown in page.render(varied(REFUSED, rules=(result,)))


def test_a_limit_on_the_runtime_is_shown_as_releases():
    evidence = SimpleNamespace(figure=lambda name, output: 2_017_000, output_keys=(None,))
    rule = rule_of({"max_runtime_version": "2.14.0"})
    [result] = judge(Gate(rules=(rule,)), [], 449, {}, evidence).rules
    assert Check(result).plot is None
    shown = page.render(varied(REFUSED, rules=(result,)))
    assert "at most 2.14.0" in shown and ">2.17.0<" in shown


def test_a_limit_on_an_unknown_figure_says_so():
    evidence = SimpleNamespace(figure=lambda name, output: None, output_keys=(None,))
    judged = judge(Gate(rules=(LatencyLimit(max_latency_ratio=1.0),)), [], 449, {}, evidence)
    [result] = judged.rules
    assert Check(result).plot is None
    assert Check(result).note == "latency_ratio is not known, so it cannot be judged"
